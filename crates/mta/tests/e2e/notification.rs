//! Failure notifications: to whom they go, and to whom never.

use testkit::{Remote, maildir, wait};

use crate::system::{System, give, letter};

#[test]
fn the_sender_is_told_when_the_remote_side_refuses() {
    let remote = Remote::new();
    let system = System::with_relay(remote.port());
    give(
        &mut system.at_submission(),
        "alice@example.test",
        &["refuse-550@far.example", "fine@far.example"],
        &letter("half"),
    );
    assert_eq!(remote.received("Subject: half").to, ["fine@far.example"]);
    let notification = system.arrived("alice", "multipart/report");
    assert!(
        notification.starts_with("Return-Path: <>"),
        "{notification}"
    );
    for part in [
        "report-type=delivery-status",
        "Final-Recipient: rfc822; refuse-550@far.example",
        "Action: failed",
        "Status: 5.1.1",
        "Remote-MTA: dns; [127.0.0.1]",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user at the remote side",
        "Subject: half",
    ] {
        assert!(notification.contains(part), "no {part:?} in {notification}");
    }
    assert!(!notification.contains("fine@far.example"), "{notification}");
    system.drained();
    assert_eq!(maildir::messages(&system.maildir("alice")).len(), 1);
}

#[test]
fn a_null_sender_is_told_nothing() {
    let remote = Remote::new();
    let system = System::with_relay(remote.port());
    give(
        &mut system.at_submission(),
        "",
        &["refuse-550@far.example"],
        &letter("null"),
    );
    system.logged(&["output", "failed", "to=<refuse-550@far.example>"]);
    system.drained();
    assert!(remote.messages().is_empty());
    assert!(
        !system.postern.log().contains(" notified "),
        "{}",
        system.postern.log()
    );
}

#[test]
fn notify_never_is_obeyed() {
    let remote = Remote::new();
    let system = System::with_relay(remote.port());
    system.at_submission().play(
        "C: MAIL FROM:<alice@example.test>
         S: 250
         C: RCPT TO:<refuse-550@far.example> NOTIFY=NEVER
         S: 250
         C: DATA
         S: 354
         C: Subject: never
         C:
         C: x
         C: .
         S: 250",
    );
    system.logged(&["output", "failed", "to=<refuse-550@far.example>"]);
    system.drained();
    assert!(maildir::messages(&system.maildir("alice")).is_empty());
}

#[test]
fn what_the_remote_side_defers_waits_with_its_reply() {
    let remote = Remote::new();
    let system = System::with_relay(remote.port());
    give(
        &mut system.at_submission(),
        "alice@example.test",
        &["refuse-451@far.example"],
        &letter("wait"),
    );
    system.logged(&[
        "output",
        "deferred",
        "451 4.2.1 not now, says the remote side",
    ]);
    // It is told a moment before it is recorded.
    let page = wait::until("it was tried", || {
        let page = system.postern.ask(&["queue"]);
        page.contains("; tried once").then_some(page)
    });
    assert!(
        page.contains("451 4.2.1 not now, says the remote side"),
        "{page}"
    );
}
