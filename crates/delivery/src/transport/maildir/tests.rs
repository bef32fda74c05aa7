//! Deliveries into Maildirs in a directory of the test's own.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;

use mail::{BodyType, Origin, OutcomeKind, Recipient, ReversePath, Timestamp, TraceId};
use spool::ReadError;

use super::*;

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    /// With a directory for mail in it, and a domain's within that.
    fn new() -> Self {
        let scratch = Self::empty();
        fs::create_dir(scratch.0.join("mail")).unwrap();
        scratch
    }

    fn empty() -> Self {
        static N_MADE: AtomicU32 = AtomicU32::new(0);
        let n = N_MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("postern-maildir-{}-{n}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn template(&self) -> String {
        format!("{}/mail/{{domain}}/{{local}}", self.0.display())
    }

    fn maildir(&self) -> Maildir {
        self.of(Mailboxes::Made)
    }

    /// Those of a volume on which alice and her domain are.
    fn existing() -> (Self, Maildir) {
        let scratch = Self::new();
        fs::create_dir_all(scratch.alice()).unwrap();
        let maildir = scratch.of(Mailboxes::Existing);
        (scratch, maildir)
    }

    fn of(&self, mailboxes: Mailboxes) -> Maildir {
        let template = self.template();
        Maildir::new(settings(&template, mailboxes)).unwrap()
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

fn settings(template: &str, mailboxes: Mailboxes) -> MaildirSettings<'_> {
    MaildirSettings {
        template,
        delimiter: Some('+'),
        mailboxes,
        domains: Domains::Named,
        state: None,
    }
}

/// Delivers one message, always the same, to `recipients`.
async fn deliver(scratch: &Scratch, recipients: &[&str], content: impl Octets) -> Vec<Outcome> {
    deliver_by(&scratch.maildir(), recipients, content)
        .await
        .outcomes
}

async fn deliver_by(maildir: &Maildir, recipients: &[&str], content: impl Octets) -> Carried {
    deliver_as(maildir, &envelope(recipients), content).await
}

async fn deliver_as(maildir: &Maildir, envelope: &Envelope, content: impl Octets) -> Carried {
    let recipients = &envelope.recipients;
    let letters = maildir.letters(
        &Source {
            spool: SpoolId::from_bytes([7; 16]),
            id: MessageId(12),
            provenance: &provenance(),
        },
        envelope,
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
    let delivered = |outcome: &Outcome| outcome.is_delivered();
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
    for directory in ["mail/example.org", "mail/example.org/alice"] {
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
        matches!(
            &outcomes[..],
            [one] if one.is_deferred()
        ),
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
    let no_such_user = Outcome::failed(table::NO_SUCH_USER.reply());
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
    let domain = scratch.0.join("mail/example.org");
    fs::write(&domain, "a file").unwrap();
    let outcomes = deliver(&scratch, &["alice@example.org"], b"x".to_vec()).await;
    let [Outcome { kind, reply, .. }] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert_eq!(*kind, OutcomeKind::Deferred);
    // A remote sender is shown no path of ours.
    assert_eq!(reply.to_string(), "451 4.2.0 mailbox cannot be written now");
    let uid = rustix::process::geteuid().as_raw();
    let expected = format!(
        "cannot open {} as uid {uid}: not a directory",
        domain.display()
    );
    assert_eq!(reply.cause(), Some(&*expected));
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
    let deferred = Outcome::deferred(table::TRY_AGAIN.reply());
    assert_eq!(outcomes, [deferred.clone(), deferred]);
    for directory in ["alice/new", "alice/tmp", "bob/new", "bob/tmp"] {
        let directory = scratch.0.join("mail/example.org").join(directory);
        assert!(files(&directory).is_empty(), "{}", directory.display());
    }
}

/// What a look for this recipient's mailbox comes to: its code, and whether that is an alarm.
async fn look(maildir: &Maildir, recipient: &str) -> (Option<u16>, bool) {
    let looked = maildir.look(&Mailbox::parse(recipient).unwrap()).await;
    match looked {
        Lookup::CannotTell(reply, news) => (
            Some(reply.code.value()),
            matches!(news, Some(News::Alarm(_))),
        ),
        Lookup::NotThere => (Some(550), false),
        Lookup::There(_) => (None, false),
    }
}

#[tokio::test]
async fn a_mailbox_is_missing_only_below_a_base_that_is_there() {
    let (scratch, maildir) = Scratch::existing();
    assert_eq!(look(&maildir, "alice+x@example.org").await, (None, false));
    assert_eq!(look(&maildir, "bob@example.org").await, (Some(550), false));
    assert_eq!(
        look(&maildir, "\"..\"@example.org").await,
        (Some(550), false)
    );
    assert_eq!(look(&maildir, "a@other.org").await, (Some(451), true));
    let outcomes = deliver_by(&maildir, &["bob@example.org"], b"x".to_vec()).await;
    let no_such_user = Outcome::failed(table::NO_SUCH_USER.reply());
    assert_eq!(outcomes.outcomes, [no_such_user]);
    assert!(!scratch.0.join("mail/example.org/bob").exists());
}

#[tokio::test]
async fn a_domain_that_nobody_named_has_no_mailbox_where_it_has_no_directory() {
    let (scratch, _) = Scratch::existing();
    let template = scratch.template();
    let maildir = Maildir::new(MaildirSettings {
        domains: Domains::Any,
        ..settings(&template, Mailboxes::Existing)
    });
    let found = look(&maildir.unwrap(), "a@other.org").await;
    assert_eq!(found, (Some(550), false));
}

/// Storage that is in trouble: alice has a mailbox, bob has none, and nobody may be refused.
async fn assert_nobody_is_refused(scratch: &Scratch, maildir: &Maildir, what: &str) {
    for user in ["alice", "bob"] {
        let address = format!("{user}@example.org");
        let (code, _) = look(maildir, &address).await;
        assert_eq!(code, Some(451), "{what}: {address}");
        let carried = deliver_by(maildir, &[&*address], b"x".to_vec()).await;
        let [Outcome { kind, reply, .. }] = &carried.outcomes[..] else {
            panic!("{what}: {carried:?}");
        };
        assert_eq!(*kind, OutcomeKind::Deferred);
        let cause = reply.cause().unwrap();
        let root = scratch.0.join("mail");
        assert!(cause.contains(root.to_str().unwrap()), "{what}: {cause}");
        assert!(!reply.text().contains('/'), "{what}: {reply}");
    }
}

#[tokio::test]
async fn storage_in_trouble_refuses_nobody() {
    let aside = |path: PathBuf| {
        let elsewhere = path.with_extension("aside");
        fs::rename(&path, &elsewhere).unwrap();
        path
    };
    type Break<'a> = &'a dyn Fn(&Scratch);
    let breaks: [(&str, Break<'_>); 7] = [
        ("the root is away", &|s| drop(aside(s.0.join("mail")))),
        ("an empty mount point", &|s| {
            fs::create_dir(aside(s.0.join("mail"))).unwrap();
        }),
        ("an empty directory for the domain", &|s| {
            fs::create_dir(aside(s.0.join("mail/example.org"))).unwrap();
        }),
        ("no directory for the domain", &|s| {
            drop(aside(s.0.join("mail/example.org")));
        }),
        ("a file in place of the root", &|s| {
            fs::write(aside(s.0.join("mail")), "x").unwrap();
        }),
        ("a loop of links in place of the root", &|s| {
            let root = aside(s.0.join("mail"));
            symlink(&root, &root).unwrap();
        }),
        ("a loop of links in place of the domain", &|s| {
            let domain = aside(s.0.join("mail/example.org"));
            symlink(&domain, &domain).unwrap();
        }),
    ];
    for (what, breaks) in breaks {
        let (scratch, maildir) = Scratch::existing();
        breaks(&scratch);
        assert_nobody_is_refused(&scratch, &maildir, what).await;
    }
}

#[tokio::test]
async fn another_root_than_before_refuses_nobody_and_gets_no_new_mailbox() {
    let (scratch, existing) = Scratch::existing();
    let made = scratch.maildir();
    assert_eq!(look(&existing, "alice@example.org").await, (None, false));
    assert_delivered(
        &deliver_by(&made, &["alice@example.org"], b"x".to_vec())
            .await
            .outcomes,
    );
    // The volume goes, and what was below its mount point is not empty.
    fs::rename(scratch.0.join("mail"), scratch.0.join("volume")).unwrap();
    fs::create_dir_all(scratch.0.join("mail/example.org/old")).unwrap();
    assert_eq!(
        look(&existing, "alice@example.org").await,
        (Some(451), true)
    );
    let carried = deliver_by(&made, &["alice@example.org"], b"x".to_vec()).await;
    assert!(matches!(
        &carried.outcomes[..],
        [one] if one.is_deferred()
    ));
    assert_eq!(carried.site, SiteSeen::Down);
    assert!(!scratch.alice().exists());
    fs::remove_dir_all(scratch.0.join("mail")).unwrap();
    fs::rename(scratch.0.join("volume"), scratch.0.join("mail")).unwrap();
    assert_eq!(look(&existing, "bob@example.org").await, (Some(550), false));
}

#[tokio::test]
async fn a_base_that_is_missing_is_one_alarm_and_its_return_is_reported() {
    let (scratch, maildir) = Scratch::existing();
    let (mail, aside) = (scratch.0.join("mail"), scratch.0.join("aside"));
    fs::rename(&mail, &aside).unwrap();
    assert_eq!(look(&maildir, "alice@example.org").await, (Some(451), true));
    assert_eq!(look(&maildir, "bob@example.org").await, (Some(451), false));
    let carried = deliver_by(&maildir, &["alice@example.org"], b"x".to_vec()).await;
    assert!(carried.news.is_empty() && carried.site == SiteSeen::Down);
    fs::rename(&aside, &mail).unwrap();
    let carried = deliver_by(&maildir, &["alice@example.org"], b"x".to_vec()).await;
    assert!(
        matches!(&carried.news[..], [News::Cleared(_)]),
        "{carried:?}"
    );
}

#[tokio::test]
async fn a_root_is_never_made_but_in_the_state_directory() {
    let scratch = Scratch::empty();
    let outcomes = deliver(&scratch, &["alice@example.org"], b"x".to_vec()).await;
    assert!(
        matches!(
            &outcomes[..],
            [one] if one.is_deferred()
        ),
        "{outcomes:?}"
    );
    assert!(!scratch.0.join("mail").exists());
    let template = scratch.template();
    let in_state = Maildir::new(MaildirSettings {
        state: Some(&scratch.0),
        ..settings(&template, Mailboxes::Made)
    });
    let carried = deliver_by(&in_state.unwrap(), &["alice@example.org"], b"x".to_vec()).await;
    assert_delivered(&carried.outcomes);
}

/// A watch that stops at looks for alice's mailbox until what is returned with it is dropped.
fn slow_for_alice() -> (Sender<()>, impl Fn(Step<'_>) + Send + Sync + 'static) {
    let (go_on, waits) = std::sync::mpsc::channel();
    let waits = Mutex::new(waits);
    let watch = move |step: Step<'_>| {
        if matches!(step, Step::Look(path) if path.ends_with("alice")) {
            let _ = waits.lock().unwrap().recv();
        }
    };
    (go_on, watch)
}

#[tokio::test]
async fn a_mailbox_whose_storage_hangs_holds_up_no_other() {
    let (scratch, _) = Scratch::existing();
    let template = scratch.template();
    let (go_on, watch) = slow_for_alice();
    let maildir = Maildir::watched(settings(&template, Mailboxes::Existing), watch).unwrap();
    let mut slow = Vec::new();
    // More than there are threads for this template.
    for _ in 0..40 {
        let maildir = maildir.clone();
        slow.push(tokio::spawn(async move {
            look(&maildir, "alice@example.org").await
        }));
    }
    tokio::task::yield_now().await;
    assert_eq!(look(&maildir, "bob@example.org").await, (Some(550), false));
    drop(go_on);
    for looked in slow {
        assert_eq!(looked.await.unwrap(), (None, false));
    }
}

#[tokio::test]
async fn binary_content_is_stored_as_it_is() {
    let scratch = Scratch::new();
    let mut envelope = envelope(&["alice@example.org"]);
    envelope.body = BodyType::BinaryMime;
    let content = b"Subject: x\r\n\r\n\x00\r\n\n\r".to_vec();
    let carried = deliver_as(&scratch.maildir(), &envelope, content.clone()).await;
    assert_delivered(&carried.outcomes);
    let letter = fs::read(&files(&scratch.alice().join("new"))[0]).unwrap();
    assert!(
        letter.ends_with(&[b"\r\n", &content[..]].concat()),
        "{letter:?}"
    );
}

#[tokio::test]
async fn a_letter_found_from_before_has_its_directories_synced_again() {
    let scratch = Scratch::new();
    let template = scratch.template();
    let synced = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&synced);
    let watch = move |step: Step<'_>| {
        if let Step::Sync(path) = step {
            seen.lock().unwrap().push(path.to_owned());
        }
    };
    let maildir = Maildir::watched(settings(&template, Mailboxes::Made), watch).unwrap();
    let to = ["alice@example.org"];
    assert_delivered(&deliver_by(&maildir, &to, b"x".to_vec()).await.outcomes);
    // An attempt that ended before it synced left the letter here.
    synced.lock().unwrap().clear();
    assert_delivered(&deliver_by(&maildir, &to, b"x".to_vec()).await.outcomes);
    let alice = scratch.alice();
    assert_eq!(
        *synced.lock().unwrap(),
        [alice.join("new"), alice.join("cur")]
    );
}
