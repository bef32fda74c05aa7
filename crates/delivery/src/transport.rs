//! What carries a message's recipients one step further, and says what came of each.
//!
//! # Guarantees
//! [`Transport::deliver`] returns one outcome for each recipient that it was given, in their order.
//! [`Delivered`] means that the next hop has taken responsibility: durably stored, or
//! answered with 2yz after the whole content. A future that is dropped leaves the outcome unknown.
//!
//! # Failure
//! What goes wrong here and not at the recipient is [`Deferred`].
//!
//! [`Deferred`]: mail::OutcomeKind::Deferred
//! [`Delivered`]: mail::OutcomeKind::Delivered

mod handoff;
mod maildir;
mod mx;
mod relay;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mail::dsn::Action;
use mail::{Author, Envelope, HandoffKey, MessageId, Outcome, Provenance, Reply, SpoolId};

pub use handoff::Handoff;
pub use maildir::{
    Domains, Lookup, Mailboxes, Maildir, MaildirSettings, News, Step, TemplateError,
};
pub use mx::{Exchangers, Mx, MxSettings, OwnAddresses};
pub use relay::{Relay, RelaySettings};

/// One message, and the recipients of it that are to be tried now.
#[derive(Debug)]
pub struct Work<'a> {
    /// The spool that it lies in.
    pub spool: SpoolId,
    /// Which message of that spool.
    pub id: MessageId,
    /// Where it came from, and which way it took here.
    pub provenance: &'a Provenance,
    /// The whole envelope.
    pub envelope: &'a Envelope,
    /// Indexes into the envelope's recipients, in rising order.
    pub recipients: &'a [u32],
    /// The key under which it is handed to the next instance.
    pub handoff: Option<HandoffKey>,
    /// The content, which nobody has begun to read.
    pub content: spool::Reader,
    /// Set before the first octet of content goes out: until then the attempt can be given up
    /// without a trace.
    pub content_begun: Arc<AtomicBool>,
}

/// What carries a recipient.
#[derive(Debug)]
pub enum Transport {
    /// Takes and throws away.
    Discard {
        /// Why, for the log.
        why: Box<str>,
    },
    /// Refuses, always with this reply.
    Error(Reply),
    /// Passes on to the next instance.
    Handoff(Handoff),
    /// Keeps for an operator.
    Hold {
        /// What the operator is told.
        why: Box<str>,
    },
    /// Stores in a Maildir.
    Maildir(Maildir),
    /// Sends to the mail exchangers of a domain.
    Mx(Exchangers),
    /// Sends to a fixed host.
    Relay(Relay),
    /// Defers, as nobody can tell now where the destination leads.
    Unresolved {
        /// The destination, as logs name it.
        destination: Box<str>,
        /// Why.
        reply: Reply,
        /// Whether that says anything of the recipients.
        by: By,
    },
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// One for each recipient, in their order.
    pub outcomes: Vec<Outcome>,
    /// What it showed of the site.
    pub site: SiteSeen,
    /// What is to be reported of those that were delivered, to a sender who asked for it (RFC 3461
    /// §5.2); `None` where the next hop reports it, or nobody does.
    pub success: Option<Action>,
    /// What operators are to know of it.
    pub news: Vec<News>,
    /// What carried it, where the transport's name does not say so.
    pub by: By,
}

/// What carried recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// This mail exchanger.
    Exchanger(Box<str>),
    /// Nothing: whether a way leads on could not be found out, for a reason that says nothing about
    /// the recipients. They do not expire by it.
    Nothing,
    /// The transport.
    Transport,
}

/// What an attempt showed of its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteSeen {
    /// It spoke about the message.
    Answering,
    /// Nobody was reached, or nobody who wanted to hear of a message: whichever it had been, the
    /// same would have come of it.
    Down,
}

impl Transport {
    /// Tries each of the recipients once.
    pub async fn deliver(&self, work: Work<'_>) -> Carried {
        // A relay tells when; a repeated handoff is recognised by its key.
        if !matches!(self, Self::Handoff(_) | Self::Mx(_) | Self::Relay(_)) {
            work.content_begun.store(true, Ordering::Relaxed);
        }
        match self {
            Self::Discard { why } => {
                let reply = mail::reply::table::OK.with_text(&format!("discarded: {why}"));
                Carried::all(work.recipients.len(), &Outcome::delivered(reply))
            }
            Self::Error(reply) => Carried::all(
                work.recipients.len(),
                &Outcome::from_reply(reply.clone(), Author::Us),
            ),
            Self::Handoff(handoff) => handoff.deliver(work).await,
            Self::Hold { why } => {
                let reply = mail::reply::table::HELD.with_text(&format!("held: {why}"));
                Carried::all(work.recipients.len(), &Outcome::held(reply))
            }
            Self::Maildir(maildir) => maildir.deliver(work).await,
            Self::Mx(exchangers) => exchangers.deliver(work).await,
            Self::Relay(relay) => relay.deliver(work).await,
            Self::Unresolved { reply, by, .. } => Carried {
                by: by.clone(),
                ..Carried::down(work.recipients.len(), &Outcome::deferred(reply.clone()))
            },
        }
    }

    /// Whether its outcome says nothing of the recipients.
    pub(crate) const fn says_nothing(&self) -> bool {
        matches!(
            self,
            Self::Unresolved {
                by: By::Nothing,
                ..
            }
        )
    }

    /// The way to the next instance, if that is what it is.
    pub(crate) const fn handoff(&self) -> Option<&Handoff> {
        match self {
            Self::Handoff(handoff) => Some(handoff),
            Self::Discard { .. }
            | Self::Error(_)
            | Self::Hold { .. }
            | Self::Maildir(_)
            | Self::Mx(_)
            | Self::Relay(_)
            | Self::Unresolved { .. } => None,
        }
    }

    /// The name of the site that it leads to, by which attempts are counted and paced; `None` for
    /// what needs no pace.
    #[must_use]
    pub fn site(&self) -> Option<Box<str>> {
        match self {
            Self::Discard { .. } | Self::Error(_) | Self::Hold { .. } | Self::Unresolved { .. } => {
                None
            }
            Self::Handoff(handoff) => Some(handoff.name().into()),
            // Its storage may be slow, or away, and no other's.
            Self::Maildir(maildir) => Some(maildir.site().into()),
            Self::Mx(exchangers) => Some(exchangers.site().into()),
            Self::Relay(relay) => Some(relay.to_string().into()),
        }
    }
}

/// As logs and queue listings name it.
impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discard { .. } => f.write_str("discard"),
            Self::Error(_) => f.write_str("error"),
            Self::Handoff(handoff) => write!(f, "handoff {}", handoff.name()),
            Self::Hold { .. } => f.write_str("hold"),
            Self::Maildir(_) => f.write_str("maildir"),
            Self::Mx(exchangers) => f.write_str(exchangers.site()),
            Self::Relay(relay) => write!(f, "relay {relay}"),
            Self::Unresolved { destination, .. } => f.write_str(destination),
        }
    }
}

impl Carried {
    /// The site spoke, about each recipient.
    const fn each(outcomes: Vec<Outcome>) -> Self {
        Self {
            outcomes,
            site: SiteSeen::Answering,
            success: None,
            news: Vec::new(),
            by: By::Transport,
        }
    }

    /// The same came of all recipients.
    fn all(n_recipients: usize, outcome: &Outcome) -> Self {
        Self::each(vec![outcome.clone(); n_recipients])
    }

    /// The site is down.
    fn down(n_recipients: usize, outcome: &Outcome) -> Self {
        Self {
            site: SiteSeen::Down,
            ..Self::all(n_recipients, outcome)
        }
    }
}

/// The content cannot be read from the spool.
pub(crate) fn unreadable(error: &spool::ReadError) -> Reply {
    let cause = format!("cannot read the content from the spool: {error}");
    mail::reply::table::TRY_AGAIN.reply().with_cause(&cause)
}

/// A content that can be read from its start to its end, and again.
trait Octets: Send + 'static {
    /// How many octets there are.
    fn content_len(&self) -> u64;

    /// Reads at `offset` until `buffer` is full or the content ends; returns how much. Blocks. The
    /// call that reaches the end fails where the content is damaged.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, spool::ReadError>;

    /// All of it, where it need not be read.
    fn in_memory(&self) -> Option<Arc<Vec<u8>>> {
        None
    }
}

impl Octets for spool::Reader {
    fn content_len(&self) -> u64 {
        Self::content_len(self)
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, spool::ReadError> {
        Self::read_at(self, offset, buffer)
    }

    fn in_memory(&self) -> Option<Arc<Vec<u8>>> {
        Self::in_memory(self).cloned()
    }
}

/// Content of no more than this, in octets, is read whole before it is carried; what is larger is
/// read in pieces of [`PIECE_LEN`]. Neither is read on a thread of the runtime.
pub(crate) const SMALL_LEN_MAX: u64 = 256 * 1024;

/// Octets that are read at once of a large content.
const PIECE_LEN: usize = 64 * 1024;

/// A content in memory, for tests.
#[cfg(test)]
impl Octets for Vec<u8> {
    fn content_len(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, spool::ReadError> {
        let from = usize::try_from(offset).unwrap().min(self.len());
        let n = buffer.len().min(self.len() - from);
        buffer[..n].copy_from_slice(&self[from..from + n]);
        Ok(n)
    }

    fn in_memory(&self) -> Option<Arc<Vec<u8>>> {
        (self.content_len() <= SMALL_LEN_MAX).then(|| Arc::new(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maildir(template: &str) -> Transport {
        let settings = MaildirSettings {
            template,
            delimiter: None,
            mailboxes: Mailboxes::Existing,
            domains: Domains::Named,
            state: None,
        };
        Transport::Maildir(Maildir::new(settings).unwrap())
    }

    #[test]
    fn each_place_of_maildirs_is_a_site_of_its_own() {
        let (one, other) = (maildir("/mail/{local}"), maildir("/post/{local}"));
        assert_eq!(one.site().as_deref(), Some("maildir /mail/{local}"));
        assert_ne!(one.site(), other.site());
    }

    #[test]
    fn what_needs_no_pace_has_no_site() {
        let reply = mail::reply::table::TRY_AGAIN.reply();
        let destination = "mx y.org".into();
        for (transport, name) in [
            (Transport::Discard { why: "x".into() }, "discard"),
            (Transport::Hold { why: "x".into() }, "hold"),
            (Transport::Error(reply.clone()), "error"),
            (
                Transport::Unresolved {
                    destination,
                    reply,
                    by: By::Transport,
                },
                "mx y.org",
            ),
        ] {
            assert_eq!(transport.site(), None);
            assert_eq!(transport.to_string(), name);
        }
    }
}
