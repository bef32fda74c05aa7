//! What becomes of the header section of a message that comes in.

use intake::{CONTENT_SHARING_MEMORY_MAX, RECEIVED_MAX};
use mail::Origin;

use crate::world::Instance;

const OURS: Origin = Origin::Local { uid: 7 };

/// What stands below our trace field when `content` has come in.
async fn taken(origin: Origin, sender: &str, content: &str) -> String {
    let instance = Instance::last("output");
    let mut client = instance.client(origin).await;
    let script = format!("MAIL FROM:<{sender}> => 250\nRCPT TO:<alice@x.org> => 250");
    client.play(&script).await;
    client.data(content, "250").await;
    let content = instance.last_content();
    let lines: Vec<_> = content.split_inclusive("\r\n").collect();
    let n_trace = 1 + lines[1..]
        .iter()
        .take_while(|l| l.starts_with('\t'))
        .count();
    assert!(lines[0].starts_with("Received: "), "{content}");
    lines[n_trace..].concat()
}

#[tokio::test]
async fn content_never_becomes_part_of_our_trace_field() {
    for (content, expected) in [
        (" folded\r\nSubject: x\r\n", "\r\n folded\r\nSubject: x\r\n"),
        ("Hello.\r\n", "\r\nHello.\r\n"),
        ("A: b\r\n\r\nBcc: c\r\n", "A: b\r\n\r\nBcc: c\r\n"),
        (
            "From me Mon\r\nA: b\r\n",
            "X-Mailbox-Line: From me Mon\r\nA: b\r\n",
        ),
    ] {
        assert_eq!(
            taken(Origin::Outside, "c@c.example", content).await,
            expected
        );
    }
}

#[tokio::test]
async fn a_message_of_our_own_is_completed_and_its_bcc_taken_out() {
    let content = "Subject: x\r\nBcc: hidden@x.org,\r\n also@x.org\r\nTo: alice\r\n\r\nBody.\r\n";
    let completed = taken(OURS, "me@x.org", content).await;
    assert!(
        completed.starts_with("Subject: x\r\nTo: alice@mail.x.org\r\nFrom: me@x.org\r\nDate: "),
        "{completed}"
    );
    assert!(completed.contains("\r\nMessage-ID: <"), "{completed}");
    assert!(
        completed.ends_with("@mail.x.org>\r\n\r\nBody.\r\n"),
        "{completed}"
    );
    assert!(
        !completed.contains("hidden") && !completed.contains("also"),
        "{completed}"
    );
    let alone = taken(OURS, "", "Hello.\r\n").await;
    assert!(
        alone.starts_with("From: MAILER-DAEMON@mail.x.org\r\n"),
        "{alone}"
    );
    assert!(alone.ends_with(">\r\n\r\nHello.\r\n"), "{alone}");
    let identity = Origin::Authenticated("alice".into());
    let completed = taken(identity, "me@x.org", "Bcc: b@x.org\r\n\r\n").await;
    assert!(
        completed.contains("Date: ") && !completed.contains("Bcc"),
        "{completed}"
    );
    let outside = taken(Origin::Outside, "c@c.example", content).await;
    assert_eq!(outside, content, "from the world it stays as it is");
}

#[tokio::test]
async fn a_loop_is_found_in_a_header_that_memory_does_not_hold() {
    let instance = Instance::last("output");
    let mut client = instance.client(Origin::Outside).await;
    let filler = format!("X-Filler: {}\r\n", "f".repeat(900));
    let filler = filler.repeat(CONTENT_SHARING_MEMORY_MAX / filler.len() + 1000);
    let size = filler.len() + 100_000;
    for (n, expected) in [(RECEIVED_MAX - 1, "250"), (RECEIVED_MAX, "554 5.4.6")] {
        let hops = "Received: from a by b;\r\n\tMon, 23 Nov 2026 23:50:00 +0000\r\n";
        let hops = hops.repeat(usize::try_from(n).unwrap());
        let script = format!("MAIL FROM:<> SIZE={size} => 250\nRCPT TO:<alice@x.org> => 250");
        client.play(&script).await;
        client
            .data(&format!("{filler}{hops}\r\nbody\r\n"), expected)
            .await;
    }
    assert_eq!(instance.stored().len(), 1);
}
