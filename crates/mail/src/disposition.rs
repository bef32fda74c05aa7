//! What became of a recipient: at one attempt, and in all.

use crate::Reply;

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

/// What one attempt came to for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not now; to be tried again.
    Deferred(Reply),
    /// Done.
    Delivered(Reply),
    /// Never.
    Failed(Reply),
    /// Kept for an operator, and why.
    Held(Reply),
}

impl Outcome {
    /// What a peer's reply to the recipient or to the data means.
    #[must_use]
    pub fn from_reply(reply: Reply) -> Self {
        match reply.class() {
            crate::ReplyClass::Positive => Self::Delivered(reply),
            crate::ReplyClass::Permanent => Self::Failed(reply),
            _ => Self::Deferred(reply),
        }
    }

    /// The reply behind it.
    #[must_use]
    pub const fn reply(&self) -> &Reply {
        match self {
            Self::Deferred(r) | Self::Delivered(r) | Self::Failed(r) | Self::Held(r) => r,
        }
    }
}
