//! The delivering instance stops for a while: fronts go on, and everything arrives afterwards.

use rustix::process::Signal;
use testkit::{maildir, postern, wait};

use crate::system::{System, give, letter};

#[test]
fn fronts_go_on_while_output_is_stopped_and_everything_arrives_once_when_it_returns() {
    let system = System::impatient();
    let mut client = system.at_input();
    give(
        &mut client,
        "a@example.org",
        &["alice@example.test"],
        &letter("before"),
    );
    system.arrived("alice", "Subject: before");

    let output = system.postern.pid("output");
    postern::send(output, Signal::STOP);
    // Known, since it was asked about.
    for mark in ["in-1", "in-2", "in-3"] {
        let reply = give(
            &mut client,
            "a@example.org",
            &["alice@example.test"],
            &letter(mark),
        );
        assert!(reply.starts_with("250 2.0.0 accepted as "), "{reply}");
    }
    // Nobody can be asked about him.
    client.play(
        "C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<bob@example.test>
         S: 451",
    );
    let mut local = system.at_submission();
    for mark in ["sub-1", "sub-2", "sub-3"] {
        let reply = give(
            &mut local,
            "me@example.org",
            &["bob@example.test"],
            &letter(mark),
        );
        assert!(reply.starts_with("250 2.0.0 accepted as "), "{reply}");
    }
    // On a busy machine an answer may be late, and is none then.
    wait::until_true("the fronts keep what is theirs", || {
        (system.queued("input"), system.queued("submission")) == (Some(3), Some(3))
    });
    system.logged(&["input", "breaker", "next=output", "state=open"]);
    let status = system.postern.call(&["status"]).fails(3);
    assert!(status.contains("output       NOT ANSWERING"), "{status}");
    assert!(status.contains("handoff to output"), "{status}");

    postern::send(output, Signal::CONT);
    has_exactly(&system, "alice", &["before", "in-1", "in-2", "in-3"]);
    has_exactly(&system, "bob", &["sub-1", "sub-2", "sub-3"]);
    wait::until_true("bob can be asked about again", || {
        let mut client = system.at_input();
        client.play("C: MAIL FROM:<a@example.org>\nS: 250");
        client.say("RCPT TO:<bob@example.test>");
        client.reply().starts_with("250")
    });
}

#[test]
fn after_output_was_stopped_a_front_that_remembers_no_recipient_goes_on() {
    let system = System::impatient();
    let output = system.postern.pid("output");
    postern::send(output, Signal::STOP);
    let mut client = system.at_input();
    client.play(
        "C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<alice@example.test>
         S: 451 4.4.1",
    );
    system.logged(&["input", "breaker", "next=output", "state=open"]);
    postern::send(output, Signal::CONT);
    let over_at = std::time::Instant::now();
    // Nobody brings a message that could get through, since no recipient is accepted.
    wait::until_true("alice can be asked about again", || {
        let mut client = system.at_input();
        client.play("C: MAIL FROM:<a@example.org>\nS: 250");
        client.say("RCPT TO:<alice@example.test>");
        client.reply().starts_with("250")
    });
    println!(
        "recipients are verified {:?} after the outage",
        over_at.elapsed()
    );
    system.logged(&["input", "breaker", "next=output", "state=closed"]);
    let status = system.postern.call(&["status"]).ok();
    assert!(!status.contains("handoff to output"), "{status}");
}

/// Waits until all of it is there; the same handoff twice would be a message twice.
#[track_caller]
fn has_exactly(system: &System, user: &str, marks: &[&str]) {
    for mark in marks {
        system.arrived(user, &format!("Subject: {mark}"));
    }
    system.drained();
    assert_eq!(maildir::messages(&system.maildir(user)).len(), marks.len());
}

#[test]
fn what_waits_in_a_front_survives_its_restart() {
    let system = System::impatient();
    let output = system.postern.pid("output");
    postern::send(output, Signal::STOP);
    let mut local = system.at_submission();
    give(
        &mut local,
        "me@example.org",
        &["bob@example.test"],
        &letter("kept"),
    );
    let submission = system.postern.pid("submission");
    postern::send(submission, Signal::KILL);
    wait::until_true("submission is back with its message", || {
        system.queued("submission") == Some(1)
    });
    assert_ne!(system.postern.pid("submission"), submission);
    postern::send(output, Signal::CONT);
    system.arrived("bob", "Subject: kept");
    system.drained();
    assert_eq!(maildir::messages(&system.maildir("bob")).len(), 1);
}
