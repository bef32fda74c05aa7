//! What became of a recipient: at one attempt, and in all.

use crate::{Reply, ReplyClass};

/// Where one recipient of a queued message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Delivered, or accepted by the next instance or host: nothing is left to do.
    Delivered,
    /// Taken out by an operator.
    Dropped,
    /// Refused for good, or expired; the sender has been told where it asked to be.
    Failed,
    /// Waits until an operator releases it.
    Held,
    /// To be tried, now or later.
    Pending,
}

impl Disposition {
    /// Whether nothing is left to do for this recipient.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Dropped | Self::Failed)
    }
}

/// Whose words a reply is. The words do not show it: a peer may reply with exactly ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Author {
    /// The host or instance at the other end of a connection sent it.
    Peer,
    /// This process made it.
    Us,
}

/// What one attempt came to for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it means for the recipient.
    pub kind: OutcomeKind,
    /// The reply behind it.
    pub reply: Reply,
    /// Whose words the reply is.
    pub by: Author,
}

/// What an attempt means for a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeKind {
    /// Not now; to be tried again.
    Deferred,
    /// Done.
    Delivered,
    /// Never.
    Failed,
    /// Kept for an operator; the reply has the reason.
    Held,
}

impl Outcome {
    /// What a reply to the recipient or to the data means.
    #[must_use]
    pub fn from_reply(reply: Reply, by: Author) -> Self {
        let kind = match reply.class() {
            ReplyClass::Positive => OutcomeKind::Delivered,
            ReplyClass::Permanent => OutcomeKind::Failed,
            ReplyClass::Intermediate | ReplyClass::Transient => OutcomeKind::Deferred,
        };
        Self { kind, reply, by }
    }

    /// A peer's reply to the recipient or to the data.
    #[must_use]
    pub fn from_peer(reply: Reply) -> Self {
        Self::from_reply(reply, Author::Peer)
    }

    /// We defer it.
    #[must_use]
    pub const fn deferred(reply: Reply) -> Self {
        Self::ours(OutcomeKind::Deferred, reply)
    }

    /// We delivered it ourselves.
    #[must_use]
    pub const fn delivered(reply: Reply) -> Self {
        Self::ours(OutcomeKind::Delivered, reply)
    }

    /// We refuse it for good.
    #[must_use]
    pub const fn failed(reply: Reply) -> Self {
        Self::ours(OutcomeKind::Failed, reply)
    }

    /// We keep it for an operator.
    #[must_use]
    pub const fn held(reply: Reply) -> Self {
        Self::ours(OutcomeKind::Held, reply)
    }

    const fn ours(kind: OutcomeKind, reply: Reply) -> Self {
        let by = Author::Us;
        Self { kind, reply, by }
    }

    /// Whether the recipient is to be tried again.
    #[must_use]
    pub const fn is_deferred(&self) -> bool {
        matches!(self.kind, OutcomeKind::Deferred)
    }

    /// Whether nothing is left to do for the recipient, as it has its copy.
    #[must_use]
    pub const fn is_delivered(&self) -> bool {
        matches!(self.kind, OutcomeKind::Delivered)
    }
}
