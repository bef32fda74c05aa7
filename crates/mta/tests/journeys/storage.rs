//! Storage that is slow, or away.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use delivery::Route;
use delivery::transport::{Domains, Mailboxes, Maildir, MaildirSettings, Step, Transport};

use crate::world::{
    Instance, LIMIT, PATIENT, alarm, deferred, delivered, failed, hold, message, route,
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
    let row = output.delivery.row(first).unwrap();
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
