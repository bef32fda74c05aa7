//! XFORWARD: the word of a named peer about its client.

use testkit::dialogue::trace_id;

use crate::system::System;

/// One transaction of a client behind the peer that we are.
const TRANSACTION: &str = "
    C: MAIL FROM:<a@example.org>
    S: 250
    C: RCPT TO:<alice@example.test>
    S: 250
    C: DATA
    S: 354
    C: Subject: forwarded
    C:
    C: x
    C: .
    S: 250";

#[test]
fn a_named_peer_may_say_who_its_client_was() {
    let system = System::with(|config| {
        config.replace(
            "[instance.output] ",
            "[[instance.input.peer]]\nnetwork = \"127.0.0.1\"\nxforward = \"allowed\"\n\n\
             [instance.output] ",
        )
    });
    let mut client = testkit::Dialogue::tcp(system.ports.input);
    let replies = client.play("S: 220\nC: EHLO front.example\nS: 250");
    assert!(replies[1].contains("XFORWARD"), "{replies:?}");
    client.play(
        "C: XFORWARD NAME=far.example.org ADDR=192.0.2.77 PORT=2525
         S: 250
         C: XFORWARD HELO=greeted.example.org PROTO=ESMTP SOURCE=REMOTE
         S: 250",
    );
    let replies = client.play(TRANSACTION);
    let message = system.arrived("alice", "Subject: forwarded");
    let received = message.lines().find(|line| line.starts_with("Received: "));
    let received = received.unwrap_or_default();
    assert!(received.contains("from greeted.example.org"), "{message}");
    assert!(received.contains("192.0.2.77"), "{message}");
    let id = trace_id(replies.last().map_or("", String::as_str));
    system.logged(&[&id, "input", "192.0.2.77"]);
}

#[test]
fn nobody_else_may() {
    let system = System::embedded();
    let mut client = system.at_input();
    assert!(!client.said().contains("XFORWARD"), "{}", client.said());
    client.play("C: XFORWARD NAME=far.example.org ADDR=192.0.2.77\nS: 5");
    client.play(TRANSACTION);
    let message = system.arrived("alice", "Subject: forwarded");
    assert!(!message.contains("192.0.2.77"), "{message}");
}
