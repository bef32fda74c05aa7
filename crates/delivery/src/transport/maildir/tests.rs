//! Deliveries into Maildirs in a directory of the test's own.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use mail::{BodyType, Origin, Recipient, ReversePath, Timestamp, TraceId};
use spool::ReadError;

use super::*;

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static N_MADE: AtomicU32 = AtomicU32::new(0);
        let n = N_MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("postern-maildir-{}-{n}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn maildir(&self) -> Maildir {
        let template = format!("{}/mail/{{domain}}/{{local}}", self.0.display());
        Maildir::new(&template, Some('+')).unwrap()
    }

    fn alice(&self) -> PathBuf {
        self.0.join("mail/example.org/alice")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Delivers one message, always the same, to `recipients`.
async fn deliver(scratch: &Scratch, recipients: &[&str], content: impl Octets) -> Vec<Outcome> {
    let maildir = scratch.maildir();
    let letters = maildir.letters(
        &Source {
            spool: SpoolId::from_bytes([7; 16]),
            id: MessageId(12),
            provenance: &provenance(),
        },
        &envelope(recipients),
        &(0..u32::try_from(recipients.len()).unwrap()).collect::<Vec<_>>(),
    );
    maildir.store(letters, content).await
}

fn provenance() -> Provenance {
    // Long ago, so that every mailbox counts as changed since.
    let arrived = Timestamp::from_unix_ms(1_000_000_000_000);
    Provenance {
        trace: TraceId::new(arrived, 1),
        origin: Origin::Outside,
        arrived,
        client: None,
        visited: Vec::new(),
        about: None,
    }
}

fn envelope(recipients: &[&str]) -> Envelope {
    let recipients = recipients
        .iter()
        .map(|address| Recipient::new(Mailbox::parse(address).unwrap()));
    Envelope {
        sender: ReversePath::parse("s@x.org").unwrap(),
        recipients: recipients.collect(),
        body: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[track_caller]
fn assert_delivered(outcomes: &[Outcome]) {
    let delivered = |outcome: &Outcome| matches!(outcome, Outcome::Delivered(_));
    assert!(outcomes.iter().all(delivered), "{outcomes:?}");
}

#[tokio::test]
async fn a_letter_has_its_fields_on_top_and_the_line_ends_of_the_system() {
    let scratch = Scratch::new();
    let content = b"Subject: x\r\n\r\n.dot\r\nend".to_vec();
    assert_delivered(&deliver(&scratch, &["Alice+list@Example.org"], content).await);
    let [letter] = &files(&scratch.alice().join("new"))[..] else {
        panic!("not one file");
    };
    assert_eq!(
        fs::read_to_string(letter).unwrap(),
        "Return-Path: <s@x.org>\nDelivered-To: Alice+list@Example.org\nSubject: x\n\n.dot\nend"
    );
    assert!(files(&scratch.alice().join("tmp")).is_empty());
}

#[tokio::test]
async fn nobody_else_can_read_what_is_made() {
    let scratch = Scratch::new();
    assert_delivered(&deliver(&scratch, &["alice@example.org"], b"x".to_vec()).await);
    let alice = scratch.alice();
    for directory in ["mail", "mail/example.org", "mail/example.org/alice"] {
        assert_eq!(mode(&scratch.0.join(directory)), 0o700, "{directory}");
    }
    assert_eq!(mode(&alice.join("cur")), 0o700);
    assert_eq!(mode(&files(&alice.join("new"))[0]), 0o600);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn a_repeated_delivery_is_recognised_whatever_the_reader_did_with_the_letter() {
    let scratch = Scratch::new();
    let (new, cur) = (scratch.alice().join("new"), scratch.alice().join("cur"));
    let to = ["alice@example.org"];
    assert_delivered(&deliver(&scratch, &to, b"x".to_vec()).await);
    let letter = files(&new).remove(0);
    let node = fs::metadata(&letter).unwrap().ino();

    assert_delivered(&deliver(&scratch, &to, b"x".to_vec()).await);
    assert_eq!(files(&new).len(), 1);
    assert_eq!(fs::metadata(&letter).unwrap().ino(), node, "written anew");

    let mut at = letter;
    for suffix in ["", ":2,", ":2,RS", ",S=123:2,S"] {
        let name = at.file_name().unwrap().to_str().unwrap();
        let name = name.split([':', ',']).next().unwrap();
        let moved = cur.join(format!("{name}{suffix}"));
        fs::rename(&at, &moved).unwrap();
        assert_delivered(&deliver(&scratch, &to, b"x".to_vec()).await);
        assert!(files(&new).is_empty(), "{suffix}");
        at = moved;
    }

    // Deleted by its reader: nothing remains to recognise it by.
    fs::remove_file(&at).unwrap();
    assert_delivered(&deliver(&scratch, &to, b"x".to_vec()).await);
    assert_eq!(files(&new).len(), 1);
}

#[tokio::test]
async fn recipients_of_one_mailbox_get_a_letter_each() {
    let scratch = Scratch::new();
    let to = ["alice@example.org", "alice+a@example.org"];
    assert_delivered(&deliver(&scratch, &to, b"x".to_vec()).await);
    assert_eq!(files(&scratch.alice().join("new")).len(), 2);
}

#[tokio::test]
async fn what_a_crash_left_in_tmp_is_replaced() {
    let scratch = Scratch::new();
    let to = ["alice@example.org"];
    assert_delivered(&deliver(&scratch, &to, b"whole".to_vec()).await);
    let letter = files(&scratch.alice().join("new")).remove(0);
    let torn = scratch
        .alice()
        .join("tmp")
        .join(letter.file_name().unwrap());
    fs::remove_file(&letter).unwrap();
    fs::write(&torn, "Return-Path: <s@x").unwrap();
    assert_delivered(&deliver(&scratch, &to, b"whole".to_vec()).await);
    assert!(fs::read_to_string(&letter).unwrap().ends_with("\nwhole"));
    assert!(!torn.exists());
}

#[tokio::test]
async fn links_that_the_owner_of_a_mailbox_made_are_not_followed() {
    let scratch = Scratch::new();
    let to = ["alice@example.org"];
    assert_delivered(&deliver(&scratch, &to, b"x".to_vec()).await);
    let letter = files(&scratch.alice().join("new")).remove(0);
    fs::remove_file(&letter).unwrap();

    let victim = scratch.0.join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(
        &victim,
        scratch
            .alice()
            .join("tmp")
            .join(letter.file_name().unwrap()),
    )
    .unwrap();
    assert_delivered(&deliver(&scratch, &to, b"x".to_vec()).await);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");

    let elsewhere = scratch.0.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::remove_dir_all(scratch.alice()).unwrap();
    symlink(&elsewhere, scratch.alice()).unwrap();
    let outcomes = deliver(&scratch, &to, b"x".to_vec()).await;
    assert!(
        matches!(&outcomes[..], [Outcome::Deferred(_)]),
        "{outcomes:?}"
    );
    assert!(files(&elsewhere).is_empty());
}

#[tokio::test]
async fn a_local_part_that_is_no_directory_name_fails_alone() {
    let scratch = Scratch::new();
    let to = [
        "\"../../evil\"@example.org",
        "alice@example.org",
        "\".ssh\"@example.org",
    ];
    let outcomes = deliver(&scratch, &to, b"x".to_vec()).await;
    let no_such_user = Outcome::Failed(table::NO_SUCH_USER.reply());
    assert_eq!((&outcomes[0], &outcomes[2]), (&no_such_user, &no_such_user));
    assert_delivered(&outcomes[1..2]);
    assert_eq!(
        files(&scratch.0.join("mail/example.org")),
        [scratch.alice()]
    );
}

#[tokio::test]
async fn a_mailbox_that_cannot_be_written_defers_and_says_why() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.0.join("mail")).unwrap();
    fs::write(scratch.0.join("mail/example.org"), "a file").unwrap();
    let outcomes = deliver(&scratch, &["alice@example.org"], b"x".to_vec()).await;
    let [Outcome::Deferred(reply)] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert_eq!(
        reply.to_string(),
        "451 4.2.0 mailbox cannot be written now: not a directory"
    );
}

#[tokio::test]
async fn a_large_content_arrives_whole() {
    let scratch = Scratch::new();
    let content = "0123456789abcde\r\n".repeat(20_000);
    let to = ["alice@example.org", "bob@example.org"];
    assert_delivered(&deliver(&scratch, &to, content.clone().into_bytes()).await);
    for user in ["alice", "bob"] {
        let new = scratch.0.join("mail/example.org").join(user).join("new");
        let letter = fs::read_to_string(&files(&new)[0]).unwrap();
        let body = letter.splitn(3, '\n').nth(2).unwrap();
        assert_eq!(body, content.replace("\r\n", "\n"));
    }
}

/// A content whose damage shows at its end, and only once.
struct Damaged {
    content: Vec<u8>,
    told: bool,
}

impl Octets for Damaged {
    fn content_len(&self) -> u64 {
        self.content.content_len()
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let n = self.content.read_at(offset, buffer)?;
        if offset + n as u64 == self.content_len() && !std::mem::replace(&mut self.told, true) {
            return Err(ReadError::Damaged(MessageId(12)));
        }
        Ok(n)
    }
}

#[tokio::test]
async fn a_damaged_content_reaches_no_mailbox() {
    let scratch = Scratch::new();
    let content = Damaged {
        content: vec![b'x'; 100_000],
        told: false,
    };
    let outcomes = deliver(&scratch, &["alice@example.org", "bob@example.org"], content).await;
    let deferred = Outcome::Deferred(table::TRY_AGAIN.reply());
    assert_eq!(outcomes, [deferred.clone(), deferred]);
    for directory in ["alice/new", "alice/tmp", "bob/new", "bob/tmp"] {
        let directory = scratch.0.join("mail/example.org").join(directory);
        assert!(files(&directory).is_empty(), "{}", directory.display());
    }
}

#[tokio::test]
async fn a_mailbox_exists_once_it_was_delivered_to() {
    let scratch = Scratch::new();
    let alice = Mailbox::parse("alice+x@example.org").unwrap();
    assert!(!scratch.maildir().exists(&alice));
    assert_delivered(&deliver(&scratch, &["alice@example.org"], b"x".to_vec()).await);
    assert!(scratch.maildir().exists(&alice));
    assert!(
        !scratch
            .maildir()
            .exists(&Mailbox::parse("\"..\"@example.org").unwrap())
    );
}
