//! Messages that local programs left.

use std::fs::File;
use std::sync::atomic::{AtomicU32, Ordering};

use intake::{Left, PickupError};
use mail::event::What;
use mail::{BodyType, HandoffKey, Mailbox, Origin, ReversePath, SpoolId, Timestamp};

use crate::world::{Instance, MESSAGES_MAX};

const OURS: Origin = Origin::Local { uid: 4321 };

fn left(number: u64, content: &str) -> Left {
    Left {
        key: HandoffKey {
            sender: SpoolId::from_bytes([7; 16]),
            epoch: 1,
            number,
        },
        uid: 4321,
        arrived: Timestamp::from_unix_ms(1_795_477_800_000),
        sender: ReversePath::Null,
        recipients: ["alice@x.org", "nobody@x.org"]
            .map(|to| Mailbox::parse(to).unwrap())
            .into(),
        content_len: content.len() as u64,
        line_len_max: 998,
    }
}

/// A file without a name that holds `content`.
fn file(content: &str) -> File {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("postern-pickup-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, content).unwrap();
    let file = File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    file
}

#[tokio::test]
async fn a_message_that_is_picked_up_is_logged_with_its_user() {
    let instance = Instance::last("submission");
    let content = "Subject: x\n\nx\n";
    let given = instance.intake.pick_up(left(1, content), file(content));
    given.await.unwrap();
    let logged = instance.told().into_iter().find_map(|what| match what {
        What::Accepted { source, .. } => Some((source.uid, source.previous)),
        _ => None,
    });
    assert_eq!(logged, Some((Some(4321), Some("maildrop".into()))));
}

#[tokio::test]
async fn a_message_that_is_given_again_under_its_key_is_stored_once() {
    let instance = Instance::last("submission");
    let content = "Subject: x\nBcc: b@x.org\n\nKäthe\ra\r\n";
    for _ in 0..3 {
        let given = instance.intake.pick_up(left(1, content), file(content));
        given.await.unwrap();
    }
    let [message] = &instance.stored()[..] else {
        panic!("one message");
    };
    assert_eq!(message.provenance.origin, OURS);
    assert_eq!(
        message.envelope.recipients.len(),
        2,
        "nobody is asked about them"
    );
    assert_eq!(message.envelope.body, BodyType::EightBitMime);
    let stored = instance.last_content();
    assert!(stored.contains("with local id"), "{stored}");
    assert!(
        stored.contains("\r\nFrom: MAILER-DAEMON@mail.x.org\r\n"),
        "{stored}"
    );
    assert!(stored.ends_with("\r\n\r\nKäthe\r\na\r\n"), "{stored}");
    assert!(!stored.contains("b@x.org"), "{stored}");
    instance.intake.picked_up(&left(1, "").key);
    let given = instance.intake.pick_up(left(2, content), file(content));
    given.await.unwrap();
    assert_eq!(instance.stored().len(), 2, "another key is another message");
}

#[tokio::test]
async fn what_is_no_message_is_refused_and_what_finds_no_room_comes_again() {
    let instance = Instance::last("submission");
    for (content, len) in [("a\0b\n", 4), ("abc\n", 3), ("abc\n", 5)] {
        let mut left = left(1, content);
        left.content_len = len;
        let refused = instance.intake.pick_up(left, file(content)).await;
        assert!(
            matches!(refused, Err(PickupError::Refused(_))),
            "{refused:?}"
        );
    }
    let long = "x".repeat(999);
    let refused = instance.intake.pick_up(left(1, &long), file(&long)).await;
    assert!(
        matches!(refused, Err(PickupError::Refused(_))),
        "{refused:?}"
    );
    instance.let_wait(&OURS, MESSAGES_MAX);
    let waits = instance.intake.pick_up(left(1, "x"), file("x")).await;
    assert!(matches!(waits, Err(PickupError::Later(_))), "{waits:?}");
    instance.let_wait(&OURS, 0);
    assert!(instance.stored().is_empty());
    instance
        .intake
        .pick_up(left(1, "x"), file("x"))
        .await
        .unwrap();
    assert_eq!(instance.stored().len(), 1);
}

#[tokio::test]
async fn a_process_that_gave_up_its_spool_picks_nothing_up() {
    let instance = Instance::last("submission");
    let _edge = instance.give_up_the_spool().await;
    let waits = instance.intake.pick_up(left(1, "x"), file("x")).await;
    assert!(matches!(waits, Err(PickupError::Later(_))), "{waits:?}");
    assert!(instance.stored().is_empty());
}
