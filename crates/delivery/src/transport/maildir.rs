//! Stores messages in Maildirs.
//!
//! One file a recipient: `Return-Path` and `Delivered-To` first, then the content with LF for each
//! CR LF, as everything that reads Maildirs expects. Binary content (RFC 3030) is stored as it is.
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
//! on a blocking thread, one for each message. A mailbox whose storage hangs gets no other thread,
//! and holds up no other mailbox for long.
//!
//! # Failure
//! A clock that was set back between two attempts can hide a repetition whose letter was read.
//! A full disk or quota, and every other fault of the file system, defers. No such user is who has
//! a local part that cannot be a directory name, and whose mailbox is not there below a base that
//! is; see [`Directories`]. Replies name no path: that is for operators, in their cause.

mod busy;
mod directories;
mod lookup;
mod store;
mod template;
#[cfg(test)]
mod tests;
mod trouble;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use mail::dsn::Action;
use mail::reply::table;
use mail::{BodyType, Envelope, Mailbox, MessageId, Outcome, Provenance, Reply, SpoolId};

use self::busy::Busy;
use self::directories::{Directories, Found};
use self::lookup::Lookups;
use self::store::{Failure, Letter, LineEnds, Store};
use self::template::{Place, Template};
use self::trouble::{Bases, Within};
use super::{By, Carried, Octets, SiteSeen, Work};

pub use self::template::TemplateError;
pub use self::trouble::News;

/// Whose Maildirs there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailboxes {
    /// Of those who have one: somebody else makes it.
    Existing,
    /// Of all for whom mail comes, as they are named elsewhere; what is missing is made.
    Made,
}

/// Whether the domains that get here are named in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domains {
    /// Anybody can think of one.
    Any,
    /// Each of them is, and has its directory.
    Named,
}

/// Where Maildirs are.
#[derive(Clone, Copy, Debug)]
pub struct MaildirSettings<'a> {
    /// An absolute path, in which `{domain}` stands for the recipient's domain and `{local}` for
    /// its local part without quotes and without what follows `delimiter`; both in lower case.
    pub template: &'a str,
    /// What begins the extension of a local part.
    pub delimiter: Option<char>,
    /// Whose there are. What is made is accessible to nobody else.
    pub mailboxes: Mailboxes,
    /// Which domains get here.
    pub domains: Domains,
    /// The state directory: below it, the directory that the template begins with is made as well.
    pub state: Option<&'a Path>,
}

/// What is done to storage next; for tests, which see it, or make it slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// To look for this Maildir.
    Look(&'a Path),
    /// To make the names in this directory durable.
    Sync(&'a Path),
}

/// Whether a recipient has a Maildir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Storage does not say now: the reply, with its cause, and what to tell operators of it.
    CannotTell(Reply, Option<News>),
    /// It has none.
    NotThere,
    /// It has one.
    There(Option<News>),
}

/// Maildirs whose paths follow from the recipients' addresses.
#[derive(Clone)]
pub struct Maildir {
    template: Arc<Template>,
    mailboxes: Mailboxes,
    directories: Arc<Directories>,
    lookups: Arc<Lookups>,
    bases: Arc<Bases>,
    busy: Arc<Busy>,
}

impl fmt::Debug for Maildir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Maildir").field(&self.template).finish()
    }
}

impl Maildir {
    /// Maildirs at a place.
    ///
    /// # Errors
    /// When the template is not absolute, has `..` in it, or another placeholder.
    pub fn new(settings: MaildirSettings<'_>) -> Result<Self, TemplateError> {
        Self::made_of(settings, None)
    }

    /// As [`Self::new`]; `watch` is called on the blocking thread before each step.
    ///
    /// # Errors
    /// Likewise.
    #[doc(hidden)]
    pub fn watched(
        settings: MaildirSettings<'_>,
        watch: impl Fn(Step<'_>) + Send + Sync + 'static,
    ) -> Result<Self, TemplateError> {
        Self::made_of(settings, Some(Arc::new(watch)))
    }

    fn made_of(
        settings: MaildirSettings<'_>,
        watch: Option<directories::Watch>,
    ) -> Result<Self, TemplateError> {
        let MaildirSettings {
            template,
            delimiter,
            mailboxes,
            domains,
            state,
        } = settings;
        Ok(Self {
            template: Arc::new(Template::parse(template, delimiter, domains)?),
            mailboxes,
            directories: Arc::new(Directories::new(mailboxes, state, watch)),
            lookups: Arc::default(),
            bases: Arc::default(),
            busy: Arc::default(),
        })
    }

    /// Whether somebody must look at storage to know whether a recipient has a Maildir.
    pub(crate) fn must_look(&self) -> bool {
        self.mailboxes == Mailboxes::Existing
    }

    /// The name of the site that all its Maildirs are.
    pub(super) fn site(&self) -> String {
        format!("maildir {}", self.template)
    }

    /// Whether the recipient has a Maildir.
    pub(crate) async fn look(&self, recipient: &Mailbox) -> Lookup {
        let Some(place) = self.template.place(recipient) else {
            return Lookup::NotThere;
        };
        match self.lookups.find(&self.directories, &place).await {
            Ok(Found::NotThere) => Lookup::NotThere,
            Ok(Found::There) => Lookup::There(self.bases.clear(&place.path())),
            Err(trouble) => {
                let reply = table::MAILBOX_NOT_SEEN.reply().with_cause(&trouble.text());
                Lookup::CannotTell(reply, self.bases.note(&trouble))
            }
        }
    }

    /// Stores the message for each recipient.
    pub(super) async fn deliver(&self, work: Work<'_>) -> Carried {
        let origin = Source {
            spool: work.spool,
            id: work.id,
            provenance: work.provenance,
        };
        let letters = self.letters(&origin, work.envelope, work.recipients);
        self.store(letters, work.content).await
    }

    async fn store(&self, letters: Vec<Letter>, content: impl Octets) -> Carried {
        let n_letters = letters.len();
        let directories = Arc::clone(&self.directories);
        let places = letters.iter().filter_map(|letter| letter.place.as_ref());
        let paths: Vec<_> = places.map(Place::path).collect();
        let delivering = self.busy.begin(paths.clone());
        let storing = tokio::task::spawn_blocking(move || {
            let stored = Store::new(&directories, content).store(&letters);
            drop(delivering);
            stored
        });
        let Ok(stored) = storing.await else {
            // The thread panicked, or the runtime is going down: nothing is known, so nothing is
            // claimed. What was stored is recognised at the next attempt.
            let failed = table::MAILBOX_FAILED.reply();
            let failed = failed.with_cause("the delivery was cut short: see standard error");
            return Carried::all(n_letters, &Outcome::deferred(failed));
        };
        let is_down = |stored: &Result<(), Failure>| match stored {
            Err(Failure::Mailbox(trouble)) => trouble.place == Within::Root,
            _ => false,
        };
        let mut news = Vec::new();
        for stored in &stored {
            if let Err(Failure::Mailbox(trouble)) = stored {
                news.extend(self.bases.note(trouble));
            }
        }
        if stored.iter().any(Result::is_ok) {
            news.extend(paths.iter().filter_map(|path| self.bases.clear(path)));
        }
        Carried {
            by: By::Transport,
            site: if !stored.is_empty() && stored.iter().all(is_down) {
                SiteSeen::Down
            } else {
                SiteSeen::Answering
            },
            outcomes: stored.iter().map(outcome).collect(),
            success: Some(Action::Delivered),
            news,
        }
    }

    fn letters(&self, source: &Source<'_>, envelope: &Envelope, indexes: &[u32]) -> Vec<Letter> {
        let line_ends = match envelope.body {
            BodyType::BinaryMime => LineEnds::Kept,
            BodyType::EightBitMime | BodyType::SevenBit => LineEnds::Unix,
        };
        let end = match line_ends {
            LineEnds::Kept => "\r\n",
            LineEnds::Unix => "\n",
        };
        let letters = indexes.iter().map(|&index| {
            let recipient = usize::try_from(index)
                .ok()
                .and_then(|i| envelope.recipients.get(i));
            let address = recipient.map(|recipient| &recipient.address);
            let place = address.and_then(|address| self.template.place(address));
            Letter {
                arrived: source.provenance.arrived,
                header: format!(
                    "Return-Path: {}{end}Delivered-To: {}{end}",
                    envelope.sender,
                    address.map_or("", Mailbox::as_str)
                ),
                hangs: place
                    .as_ref()
                    .is_some_and(|place| self.busy.hangs(&place.path())),
                line_ends,
                name: source.file_name(index),
                place,
            }
        });
        letters.collect()
    }
}

fn outcome(stored: &Result<(), Failure>) -> Outcome {
    match stored {
        Ok(()) => Outcome::delivered(table::DELIVERED_LOCALLY.reply()),
        Err(failure) => failure.outcome(),
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
