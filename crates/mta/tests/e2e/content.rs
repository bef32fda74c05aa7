//! Content arrives as it was given, octet by octet.

use testkit::Remote;

use crate::system::{System, give};

/// Lines that some server somewhere gets wrong.
const AWKWARD: &str = "Subject: awkward

.one dot
..two dots
. a dot and a space
From the beginning of a line
Grüße, \u{1f4e8}
\ttab and trailing blanks  \t

=20 looks encoded
";

#[test]
fn awkward_lines_arrive_as_they_were_given() {
    let remote = Remote::new();
    let system = System::with_relay(remote.port());
    let mut client = system.at_submission();
    client.play(
        "C: MAIL FROM:<alice@example.test> BODY=8BITMIME
         S: 250
         C: RCPT TO:<x@far.example>
         S: 250
         C: RCPT TO:<bob@example.test>
         S: 250
         C: DATA
         S: 354",
    );
    for line in AWKWARD.lines() {
        let dot = if line.starts_with('.') { "." } else { "" };
        client.say(&format!("{dot}{line}"));
    }
    client.play("C: .\nS: 250");
    let (_, body) = AWKWARD.split_once("\n\n").expect("it has a header");
    for content in [
        remote.received("Subject: awkward").content,
        system.arrived("bob", "Subject: awkward"),
    ] {
        let content = content.replace("\r\n", "\n");
        assert!(content.ends_with(body), "{content}");
    }
}

#[test]
fn chunks_arrive_as_they_were_given() {
    let system = System::embedded();
    let mut client = system.at_input();
    let chunks = [
        "Subject: chunks\r\n\r\n.\r\nQUIT\r\n",
        "..\r\nlast line\r\n",
    ];
    client.play(
        "C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<alice@example.test>
         S: 250",
    );
    client.send(&format!("BDAT {}\r\n{}", chunks[0].len(), chunks[0]));
    assert!(client.reply().starts_with("250"));
    client.send(&format!("BDAT {} LAST\r\n{}", chunks[1].len(), chunks[1]));
    assert!(client.reply().starts_with("250 2.0.0 accepted as "));
    let message = system
        .arrived("alice", "Subject: chunks")
        .replace("\r\n", "\n");
    assert!(
        message.ends_with("\n\n.\nQUIT\n..\nlast line\n"),
        "{message}"
    );
}

#[test]
fn a_large_message_arrives_whole_also_by_way_of_a_front_s_spool() {
    let system = System::impatient();
    let line = |number: usize| format!("{number:07} {}", "x".repeat(900));
    let large: String = (0..5_000).map(|number| line(number) + "\n").collect();
    let mut client = system.at_submission();
    let bob = ["bob@example.test"];
    let direct = format!("Subject: direct\n\n{large}");
    give(&mut client, "me@example.org", &bob, &direct);
    let output = system.postern.pid("output");
    testkit::postern::send(output, rustix::process::Signal::STOP);
    let detour = format!("Subject: detour\n\n{large}");
    give(&mut client, "me@example.org", &bob, &detour);
    testkit::postern::send(output, rustix::process::Signal::CONT);
    for mark in ["direct", "detour"] {
        let message = system.arrived("bob", &format!("Subject: {mark}\n"));
        let (_, body) = message.split_once("\n\n").expect("it has a header");
        // Not by assert_eq, which would print megabytes.
        assert!(body == large, "{} octets of {}", body.len(), large.len());
    }
}

#[test]
fn what_is_too_large_is_refused_before_and_while_it_comes() {
    let system = System::with(|config| {
        config.replace(
            "[instance.output] ",
            "[instance.input.limits]\nmessage_size = \"64 KiB\"\n\n[instance.output] ",
        )
    });
    let mut client = system.at_input();
    client.play(
        "C: MAIL FROM:<a@example.org> SIZE=70000
         S: 552 5.3.4
         C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<alice@example.test>
         S: 250
         C: DATA
         S: 354",
    );
    let line = "x".repeat(70);
    for _ in 0..1_000 {
        client.say(&line);
    }
    client.play(
        "C: .
         S: 552 5.3.4
         C: NOOP
         S: 250",
    );
}
