//! What is kept of a message besides its content.

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
    /// The key under which this spool will hand it on.
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
}

impl RecipientState {
    /// As every recipient begins.
    pub const NEW: Self = Self {
        disposition: Disposition::Pending,
        attempts: 0,
        reply: None,
    };
}

/// What an attempt, or an operator, changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The recipients that changed, by their index in the envelope, and where they stand now.
    pub recipients: Vec<(u32, RecipientState)>,
    /// When the message is to be tried next.
    pub next_due: Timestamp,
    /// The key under which what is left will be handed on; replaces the one before.
    pub handoff: Option<HandoffKey>,
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
    /// As it was accepted. `message.next_due` and `message.handoff` are the current ones.
    pub message: Message,
    /// Where each recipient stands, in the order of the envelope.
    pub recipients: Vec<RecipientState>,
    /// Attempts that began and have no recorded outcome. One for a message that was accepted and
    /// nothing since: its acceptance stands for the record of an immediate first attempt. After a
    /// crash each of them may have delivered: a possible duplicate.
    pub unfinished: u32,
    /// Octets of its content.
    pub content_len: u64,
}
