//! What is kept of a message besides its content.

use std::collections::BTreeSet;
use std::sync::Arc;

use mail::{Disposition, Envelope, HandoffKey, MessageId, Provenance, Reply, Timestamp};

use crate::{DurableContent, IndexSet};

/// A message to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it came from.
    pub provenance: Provenance,
    /// For whom it is, and what the sender asked for.
    pub envelope: Envelope,
    /// The handoff by which it came, where the key has to be remembered.
    pub key: Option<AcceptedKey>,
    /// The key that all its recipients are bound to until progress says otherwise: they are handed
    /// on together, under it.
    pub handoff: Option<HandoffKey>,
    /// When it is to be tried first.
    pub next_due: Timestamp,
}

/// A handoff that this spool has taken responsibility for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedKey {
    /// Names the handoff.
    pub key: HandoffKey,
    /// Which of the recipients of the handoff were accepted.
    pub accepted: IndexSet,
}

/// The octets of a message, complete and in their final form.
#[derive(Debug)]
pub enum Content {
    /// In memory: at most [`INLINE_CONTENT_LEN_MAX`](crate::limits::INLINE_CONTENT_LEN_MAX)
    /// octets. Goes into the segment without another copy in this process; who shares it can
    /// deliver it without reading it back.
    Bytes(Arc<Vec<u8>>),
    /// In a file of its own, which is durable already.
    File(DurableContent),
}

/// Where one recipient stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientState {
    /// Whether anything is left to do.
    pub disposition: Disposition,
    /// How many attempts had an outcome.
    pub attempts: u32,
    /// The last reply, ours or the remote's.
    pub reply: Option<Reply>,
    /// The key that it is bound to, together with all others that have the same: whether the next
    /// instance has taken it under that key is in doubt until the key is settled.
    pub handoff: Option<HandoffKey>,
}

impl RecipientState {
    /// As every recipient begins.
    pub const NEW: Self = Self {
        disposition: Disposition::Pending,
        attempts: 0,
        reply: None,
        handoff: None,
    };
}

/// What an attempt, or an operator, changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The recipients that changed, by their index in the envelope, and where they stand now. Where
    /// the number of attempts rose, this is the outcome of the one that was under way.
    pub recipients: Vec<(u32, RecipientState)>,
    /// When the message is to be tried next.
    pub next_due: Timestamp,
}

/// How a notification leaves the message that it reports on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left to do: it goes.
    Done,
    /// Other recipients are left.
    Progress(Progress),
}

/// A message that was committed a moment ago, as memory still has it.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// Its name in the spool.
    pub id: MessageId,
    /// As it was accepted.
    pub message: Message,
    /// Octets of its content.
    pub content_len: u64,
    /// The content itself, where it is not in a file.
    pub content: Option<Arc<Vec<u8>>>,
}

/// A message as the spool has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name in this spool.
    pub id: MessageId,
    /// As it was accepted, but for `message.next_due`, which is the current one.
    pub message: Message,
    /// Where each recipient stands, in the order of the envelope.
    pub recipients: Vec<RecipientState>,
    /// Recipients of whom an attempt began that has no recorded outcome. At first all: acceptance
    /// stands for the record of an immediate first attempt. After a crash each of those that are
    /// pending may have been delivered: a possible duplicate.
    pub under_way: IndexSet,
    /// How many attempts in a row had no outcome before another was recorded for the same
    /// recipient: they ended with their process.
    pub cut_short: u32,
    /// Octets of its content.
    pub content_len: u64,
}

/// What the books have of a message, whether or not it can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// How many recipients it has, those with a final outcome among them.
    pub n_recipients: u32,
    /// Octets of its content.
    pub content_len: u64,
    /// The keys that recipients were bound to after it was accepted. A key with which it was
    /// accepted stands in the message, and is not known here.
    pub handoffs: BTreeSet<HandoffKey>,
}
