//! Storage that is slow, or away.

use std::os::unix::net::UnixStream as Pair;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use delivery::Route;
use delivery::transport::{Domains, Handoff, Mailboxes, Maildir, MaildirSettings, Step, Transport};
use mail::MessageId;
use spool::Content;
use spool::simulated::SimulatedDisk;

use crate::handoffs::{Output, handed_off, next};
use crate::hanging::HangingDisk;
use crate::host::Host;
use crate::world::{
    Instance, LIMIT, PATIENT, alarm, deferred, delivered, failed, hold, message, open, relay, route,
};

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("postern-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn template(&self) -> String {
        format!("{}/{{local}}", self.0.display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn settings(template: &str) -> MaildirSettings<'_> {
    MaildirSettings {
        template,
        delimiter: None,
        mailboxes: Mailboxes::Existing,
        domains: Domains::Named,
        state: None,
    }
}

fn to(domain: &str, maildir: Maildir) -> Route {
    route(domain, Transport::Maildir(maildir))
}

/// Maildirs whose storage answers when what is returned with them is dropped.
fn slow(template: &str) -> (Sender<()>, Maildir) {
    let (go_on, waits) = channel();
    let waits = Mutex::new(waits);
    let watch = move |step: Step<'_>| {
        if matches!(step, Step::Look(_)) {
            let _ = waits.lock().unwrap().recv_timeout(LIMIT);
        }
    };
    let maildir = Maildir::watched(settings(template), watch).unwrap();
    (go_on, maildir)
}

fn mailbox(root: &Path, user: &str) {
    std::fs::create_dir(root.join(user)).unwrap();
}

#[tokio::test]
async fn a_mailbox_that_hangs_holds_up_neither_other_destinations_nor_operators() {
    let (slow_one, quick_one) = (Scratch::new("slow"), Scratch::new("quick"));
    mailbox(&slow_one.0, "a");
    mailbox(&quick_one.0, "b");
    let (go_on, maildir) = slow(&slow_one.template());
    let quick = quick_one.template();
    let routes = vec![
        to("slow.org", maildir),
        to("quick.org", Maildir::new(settings(&quick)).unwrap()),
        hold("held.org"),
    ];
    let output = Instance::new(routes, &PATIENT);
    // Both under way at once: more than a destination begins with.
    let first = output.accept(message(&["a@slow.org"]), "\r\n").await;
    output.accept(message(&["a@slow.org"]), "\r\n").await;
    output.accept(message(&["a@slow.org"]), "\r\n").await;
    output.accept(message(&["b@quick.org"]), "\r\n").await;
    output.accept(message(&["c@held.org"]), "\r\n").await;
    output.noted.until(1, delivered).await;
    let row = output.delivery.row(first).await.unwrap();
    assert_eq!(&*row.recipients[0].destination, "maildir");
    assert!(output.delivery.counts().n_under_way >= 2);
    drop(go_on);
    output.noted.until(4, delivered).await;
}

#[tokio::test]
async fn mail_waits_for_a_volume_that_is_away_and_operators_are_told_once() {
    let scratch = Scratch::new("away");
    let (mail, aside) = (scratch.0.join("mail"), scratch.0.join("aside"));
    std::fs::create_dir_all(mail.join("a")).unwrap();
    let template = format!("{}/{{local}}", mail.display());
    let maildir = Maildir::new(settings(&template)).unwrap();
    std::fs::rename(&mail, &aside).unwrap();
    std::fs::create_dir(&mail).unwrap();
    let output = Instance::new(vec![to("y.org", maildir)], &PATIENT);
    output.accept(message(&["a@y.org"]), "\r\n").await;
    output.noted.until(3, deferred).await;
    assert_eq!(output.noted.count(alarm), 1);
    assert_eq!(output.noted.count(failed), 0);
    std::fs::remove_dir(&mail).unwrap();
    std::fs::rename(&aside, &mail).unwrap();
    output.noted.until(1, delivered).await;
}

/// A disk with a message to each of these, whose content has `len` octets and a file of its own
/// where that `is_large`.
async fn with_messages(to: &[&str], len: usize, is_large: bool) -> (SimulatedDisk, Vec<MessageId>) {
    let disk = SimulatedDisk::new();
    let (spool, _) = open(&disk);
    let mut ids = Vec::new();
    for to in to {
        let octets = b"x\r\n".repeat(len / 3);
        let content = if is_large {
            let mut file = spool.content_file().unwrap();
            file.write(&octets).unwrap();
            Content::File(file.commit().unwrap())
        } else {
            Content::Bytes(octets.into())
        };
        ids.push(spool.accept(&message(&[to]), content).await.unwrap());
    }
    spool.close();
    (disk, ids)
}

async fn spool_reads_hang(len: usize, is_large: bool) {
    let mailboxes = Scratch::new(if is_large { "large" } else { "small" });
    mailbox(&mailboxes.0, "a");
    let template = mailboxes.template();
    let to_maildirs = to("maildir.org", Maildir::new(settings(&template)).unwrap());
    let host = Host::new(&[]).await;
    let (own_end, other_end) = Pair::pair().unwrap();
    let to = ["a@host.org", "a@maildir.org", "a@next.org"];
    let (disk, ids) = with_messages(&to, len, is_large).await;
    let disk = HangingDisk::new(disk);
    let instance = Instance::on_hanging(&disk, &PATIENT, |spool, _| {
        let next = Handoff::new(next(spool, own_end.into()), "input".parse().unwrap());
        vec![
            relay("host.org", host.port),
            to_maildirs,
            route("next.org", Transport::Handoff(next)),
        ]
    });
    let _next = Output::at(other_end.into());
    let hang = disk.hang(len.min(60_000));
    hang.holds(to.len()).await;
    instance.accept(message(&to), "\r\n").await;
    instance.noted.until(2, delivered).await;
    instance.noted.until(1, handed_off).await;
    for id in ids {
        assert!(instance.delivery.row(id).await.is_some());
        assert!(instance.delivery.retry(id, None, "uid 0").await.is_ok());
        let hold = instance.delivery.hold(id, None, "uid 0").await;
        assert!(hold.unwrap_err().contains("under way"));
    }
    hang.runtime_reads_nothing();
    drop(hang);
    instance.noted.until(4, delivered).await;
    instance.noted.until(2, handed_off).await;
    instance.empty().await;
}

#[tokio::test]
async fn a_read_of_the_spool_that_hangs_holds_up_no_other_and_no_operator() {
    spool_reads_hang(6_000, false).await;
}

#[tokio::test]
async fn a_large_content_that_hangs_holds_up_no_other_and_no_operator() {
    spool_reads_hang(300_000, true).await;
}
