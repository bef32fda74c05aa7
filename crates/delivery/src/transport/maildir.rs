//! Stores messages in Maildirs.
//!
//! One file a recipient: `Return-Path` and `Delivered-To` first, then the content with LF for each
//! CR LF, as everything that reads Maildirs expects.
//!
//! # Guarantees
//! Delivered means on stable storage: file synced, renamed into `new`, directory synced, after
//! the directories on the way to it. A name
//! follows from message and recipient, so a delivery that is repeated after a crash is recognised,
//! also when a mail reader has moved the file to `cur` and flagged it. What a recipient's address
//! says never leads out of the template's root, and no symbolic link below the root is followed:
//! the owner of a mailbox cannot direct what we write.
//!
//! # Limits
//! Large contents are copied in pieces; their size is never memory. Everything that blocks happens
//! on a blocking thread, one for each message.
//!
//! # Failure
//! A clock that was set back between two attempts can hide a repetition whose letter was read.
//! A full disk or quota, and every other fault of the file system, defers. A local part that cannot
//! be a directory name is no such user.

mod directories;
mod store;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use mail::reply::table;
use mail::{Envelope, Mailbox, MessageId, Outcome, Provenance, SpoolId};

use self::directories::Directories;
use self::store::{Letter, Store};
use self::template::Template;
use super::{Octets, Work};

pub use self::template::TemplateError;

/// Maildirs whose paths follow from the recipients' addresses.
#[derive(Clone, Debug)]
pub struct Maildir {
    template: Arc<Template>,
    directories: Arc<Directories>,
}

impl Maildir {
    /// Maildirs at `template`: an absolute path, in which `{domain}` stands for the recipient's
    /// domain and `{local}` for its local part without quotes and without what follows
    /// `delimiter`; both in lower case. The directories from the first placeholder on are made
    /// when they are needed, with access for nobody else.
    ///
    /// # Errors
    /// When the template is not absolute, has `..` in it, or another placeholder.
    pub fn new(template: &str, delimiter: Option<char>) -> Result<Self, TemplateError> {
        Template::parse(template, delimiter).map(|template| Self {
            template: Arc::new(template),
            directories: Arc::default(),
        })
    }

    /// Whether the recipient's Maildir is there. Blocks for a look at the file system.
    #[must_use]
    pub fn exists(&self, recipient: &Mailbox) -> bool {
        self.template
            .place(recipient)
            .is_some_and(|place| place.path().is_dir())
    }

    /// Stores the message for each recipient.
    pub(super) async fn deliver(&self, work: Work<'_>) -> Vec<Outcome> {
        let origin = Source {
            spool: work.spool,
            id: work.id,
            provenance: work.provenance,
        };
        let letters = self.letters(&origin, work.envelope, work.recipients);
        self.store(letters, work.content).await
    }

    async fn store(&self, letters: Vec<Letter>, content: impl Octets) -> Vec<Outcome> {
        let n_letters = letters.len();
        let directories = Arc::clone(&self.directories);
        let storing =
            tokio::task::spawn_blocking(move || Store::new(&directories, content).store(&letters));
        storing.await.unwrap_or_else(|_| {
            // The thread panicked, or the runtime is going down: nothing is known, so nothing is
            // claimed. What was stored is recognised at the next attempt.
            vec![Outcome::Deferred(table::MAILBOX_FAILED.reply()); n_letters]
        })
    }

    fn letters(&self, source: &Source<'_>, envelope: &Envelope, indexes: &[u32]) -> Vec<Letter> {
        let letters = indexes.iter().map(|&index| {
            let recipient = usize::try_from(index)
                .ok()
                .and_then(|i| envelope.recipients.get(i));
            let address = recipient.map(|recipient| &recipient.address);
            Letter {
                arrived: source.provenance.arrived,
                header: format!(
                    "Return-Path: {}\nDelivered-To: {}\n",
                    envelope.sender,
                    address.map_or("", Mailbox::as_str)
                ),
                name: source.file_name(index),
                place: address.and_then(|address| self.template.place(address)),
            }
        });
        letters.collect()
    }
}

/// Which message it is.
struct Source<'a> {
    spool: SpoolId,
    id: MessageId,
    provenance: &'a Provenance,
}

impl Source<'_> {
    /// Seconds, something unique and the place of its making, as Maildir names have it; no colon
    /// and no slash in it.
    fn file_name(&self, index: u32) -> String {
        let Provenance { arrived, trace, .. } = self.provenance;
        format!(
            "{}.{trace}M{}R{index}.{}",
            arrived.unix_seconds(),
            self.id,
            self.spool
        )
    }
}
