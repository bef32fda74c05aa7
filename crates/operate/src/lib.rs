//! An instance's end of the requests channel: control asks, the instance answers about its queue.
//!
//! # Guarantees
//! Mail is not delayed: the queue is read in pages, by a thread that may wait for the disk, and
//! counted from memory in steps with the runtime given back between them.
//! A request whose asker has given up is not carried out: each says until when it is valid.
//!
//! # Limits
//! [`N_REQUESTS_MAX`] requests at a time; frames of at most [`FRAME_LEN_MAX`] octets; pages of
//! [`PAGE_LEN`] messages, steps of [`N_BRIEFS_AT_ONCE`]. A dry run shows [`N_ROWS_SHOWN`] messages.
//!
//! # Failure
//! What cannot be read as a request is answered with an error where it has an id, else dropped.

mod answer;
pub mod filter;
mod frame;
mod pages;
mod serve;

use std::future::Future;
use std::time::Duration;

use mail::{Disposition, Mailbox, MessageId, Origin, Reply, ReversePath, Timestamp, TraceId};

pub use frame::{Channel, FRAME_LEN_MAX};
pub use serve::serve;

/// How many requests are worked on at a time.
pub const N_REQUESTS_MAX: usize = 8;

/// How many messages of the queue are read before the next sign of life.
pub const PAGE_LEN: usize = 64;

/// How many messages are counted from memory before the runtime is given back: half a millisecond.
pub const N_BRIEFS_AT_ONCE: usize = 16 * 1024;

/// As many messages are shown by a dry run; it counts them all.
pub const N_ROWS_SHOWN: u64 = 1000;

/// One message in the queue, as a page has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageRow {
    /// It cannot be read.
    Unreadable(Brief),
    /// It was read.
    Whole(QueueRow),
}

/// One message in the queue, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRow {
    /// Its id in this instance's spool.
    pub id: MessageId,
    /// Its journey.
    pub trace: TraceId,
    /// The envelope sender.
    pub from: ReversePath,
    /// When it entered the system.
    pub arrived: Timestamp,
    /// Octets of content.
    pub size_bytes: u64,
    /// Where it entered.
    pub origin: Origin,
    /// The recipients, all or those that are not settled yet.
    pub recipients: Vec<RecipientRow>,
}

/// One recipient of a message in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientRow {
    /// Its place in the envelope: what names it for ever.
    pub index: u32,
    /// Its address.
    pub address: Mailbox,
    /// Where it stands.
    pub disposition: Disposition,
    /// Attempts so far.
    pub attempts: u32,
    /// When the next attempt is due; `None` where there will be none.
    pub next_due: Option<Timestamp>,
    /// What the last attempt came to, or why it is held.
    pub reply: Option<Reply>,
    /// What it waits for, where it was not tried yet.
    pub waits_for: Option<Box<str>>,
    /// Where it goes: `relay smtp.example.net:587`.
    pub destination: Box<str>,
}

/// What memory has of a message in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief {
    /// Its id in this instance's spool.
    pub id: MessageId,
    /// When it entered the system.
    pub arrived: Timestamp,
    /// Octets of content.
    pub size_bytes: u64,
    /// Recipients that are not settled.
    pub n_recipients: u32,
    /// Those of them that were tried, and will be again.
    pub n_deferred: u32,
    /// Those of them that are held.
    pub n_held: u32,
}

/// What is in the queue, in numbers that are at hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Messages.
    pub n_messages: u64,
    /// Attempts that go on now.
    pub n_active: u64,
    /// Messages at sites that wait for their turn or their time.
    pub n_waiting: u64,
}

/// What an instance says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceStatus {
    /// How long this process has run.
    pub uptime: Duration,
    /// The generation of its configuration.
    pub generation: u64,
    /// Connections of clients that are open now.
    pub n_connections: u64,
    /// Connections that found no place since the process started.
    pub n_turned_away: u64,
    /// Octets that the spool takes on disk.
    pub spool_bytes: u64,
    /// The last moment at which the certificate is valid that it shows.
    pub certificate_until: Option<Timestamp>,
    /// What an operator should know: `handoff to output: off, since …`.
    pub notes: Vec<Box<str>>,
}

/// What an operator does to a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Takes it out for ever, without a notification.
    Drop,
    /// Keeps it until it is released.
    Hold,
    /// Lets it go on.
    Release,
    /// Makes it due now.
    Retry,
}

impl Step {
    /// The verb of the request.
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Drop => "queue.drop",
            Self::Hold => "queue.hold",
            Self::Release => "queue.release",
            Self::Retry => "queue.retry",
        }
    }
}

/// What an instance must be able to say and do about its queue.
pub trait QueueView: Send + Sync + 'static {
    /// What it pays to remember from one page to the next.
    type Browser: Send + 'static;

    /// About the instance.
    fn status(&self) -> InstanceStatus;

    /// The queue in numbers. Cheap: kept, not counted.
    fn counts(&self) -> QueueCounts;

    /// At most `limit` messages with ids above `after`, in the order of their ids; from memory.
    fn briefs(&self, after: Option<MessageId>, limit: usize) -> Vec<Brief>;

    /// Whether a message is in the queue, and could not be read when that was tried last.
    fn is_unreadable(&self, id: MessageId) -> bool;

    /// For reading pages.
    fn browser(&self) -> Self::Browser;

    /// The next `limit` messages with ids above `after`, in the order of their ids, but for those
    /// that leave meanwhile; and the last id that was looked at, none at the end of the queue. May
    /// block.
    fn page(
        &self,
        browser: &mut Self::Browser,
        after: Option<MessageId>,
        limit: usize,
    ) -> (Vec<PageRow>, Option<MessageId>);

    /// Does `step` to these recipients, or to all that are not settled, at once; gives how many it
    /// touched (those whose state it changed). A settled recipient is not touched. What is changed
    /// is committed when this is done, and an event says `by` whom.
    ///
    /// # Errors
    /// A sentence for the operator.
    fn steer(
        &self,
        step: Step,
        id: MessageId,
        recipients: Option<&[u32]>,
        by: &str,
    ) -> impl Future<Output = Result<u32, String>> + Send;
}
