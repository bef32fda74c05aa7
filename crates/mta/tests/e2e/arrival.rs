//! Mail that arrives, and mail that must not.

use testkit::{Dialogue, maildir, wait};

use crate::system::{System, give, letter};

#[test]
fn a_message_to_input_is_in_the_maildir_with_its_trace_fields() {
    let system = System::embedded();
    let mut client = system.at_input();
    let reply = give(
        &mut client,
        "bob@example.org",
        &["alice@example.test"],
        &letter("first"),
    );
    assert!(reply.starts_with("250 2.0.0 accepted as "), "{reply}");
    let id = testkit::dialogue::trace_id(&reply);
    let message = system.arrived("alice", "Subject: first");
    let head: Vec<&str> = message.lines().take(6).collect();
    assert_eq!(head[0], "Return-Path: <bob@example.org>");
    assert_eq!(head[1], "Delivered-To: alice@example.test");
    assert_eq!(head[2], "Received: from client.example ([127.0.0.1])");
    assert_eq!(
        head[3],
        format!("\tby mail.example.test (input) with ESMTP id {id}")
    );
    assert_eq!(head[4], "\tfor <alice@example.test>;");
    assert!(head[5].ends_with(" +0000"), "{message}");
    assert!(message.ends_with("Good morning.\r\n") || message.ends_with("Good morning.\n"));
    // One hop through three instances is one hop.
    assert_eq!(message.matches("\nReceived:").count(), 1, "{message}");
}

#[test]
fn an_unknown_user_is_refused_at_rcpt_and_no_bounce_exists() {
    let system = System::embedded();
    let mut client = system.at_input();
    client.play(
        "C: MAIL FROM:<alice@example.test>
         S: 250
         C: RCPT TO:<nobody@example.test>
         S: 550 5.1.1
         C: DATA
         S: 5
         C: QUIT
         S: 221",
    );
    system.logged(&["input", "refused", "phase=rcpt", "to=<nobody@example.test>"]);
    let queue = system.postern.json(&["queue"]);
    for instance in queue["instances"].as_array().expect("a list") {
        assert_eq!(
            instance["messages"].as_array().map(Vec::len),
            Some(0),
            "{queue:#}"
        );
    }
    // Nothing was accepted anywhere, so nothing is on its way to her either.
    let log = system.postern.log();
    assert!(
        !log.contains(" accepted ") && !log.contains(" notified "),
        "{log}"
    );
    assert!(maildir::messages(&system.maildir("alice")).is_empty());
}

#[test]
fn input_does_not_relay() {
    let system = System::embedded();
    system.at_input().play(
        "C: MAIL FROM:<alice@example.test>
         S: 250
         C: RCPT TO:<x@far.example>
         S: 550 5.7.1
         C: RCPT TO:<postmaster>
         S: 250",
    );
}

#[test]
fn mail_for_elsewhere_is_held_and_the_queue_says_why() {
    let system = System::embedded();
    let mut client = Dialogue::unix(&system.postern.state("submission.sock"));
    client.play("S: 220\nC: EHLO me\nS: 250");
    let reply = give(
        &mut client,
        "alice@example.test",
        &["x@far.example"],
        &letter("held"),
    );
    assert!(reply.starts_with("250 2.0.0"), "{reply}");
    let sent = system.postern.call_with(
        &[
            "send",
            "--from",
            "bob@example.test",
            "--to",
            "y@far.example",
        ],
        "Good morning.",
    );
    let id = sent.ok();
    assert_eq!(id.trim().len(), 26, "the trace id is printed: {id}");
    let page = wait::until("both are held", || {
        let page = system.postern.ask(&["queue"]);
        (page.matches("held").count() >= 4).then_some(page)
    });
    for address in ["<x@far.example>", "<y@far.example>"] {
        let line = page
            .lines()
            .find(|line| line.contains(address))
            .expect("it is listed");
        assert!(line.contains("held"), "{page}");
        assert!(
            line.contains("the embedded configuration sends nothing into the world"),
            "{page}"
        );
    }
}

#[test]
fn a_program_that_submits_is_known_by_its_uid() {
    let system = System::embedded();
    system
        .postern
        .call_with(
            &[
                "send",
                "--from",
                "me@example.org",
                "--to",
                "alice@example.test",
            ],
            "Hi",
        )
        .ok();
    system.arrived("alice", "Hi");
    let uid = rustix::process::getuid().as_raw();
    system.logged(&["output", "accepted", "origin=local", &format!("uid={uid}")]);
}
