//! The queue in numbers, from memory.

use std::ops::Bound;

use mail::{MessageId, Timestamp};

use crate::delivery::{Delivery, Entry};

/// How much is queued. Costs the same however much it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages.
    pub n_messages: u64,
    /// Attempts under way.
    pub n_under_way: u32,
    /// Jobs (a message's recipients at one site) that wait for their time or their turn.
    pub n_waiting: u32,
}

/// What memory has of one queued message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief {
    /// Its id in this instance's spool.
    pub id: MessageId,
    /// When it entered the system.
    pub arrived: Timestamp,
    /// Octets of content.
    pub size_bytes: u64,
    /// Recipients for whom something is left to do.
    pub n_recipients: u32,
    /// Those of them that were tried and are to be tried again.
    pub n_deferred: u32,
    /// Those of them that are held.
    pub n_held: u32,
}

impl Brief {
    const fn of(id: MessageId, entry: &Entry) -> Self {
        Self {
            id,
            arrived: entry.arrived,
            size_bytes: entry.size_bytes,
            n_recipients: entry.n_open,
            n_deferred: entry.n_deferred,
            n_held: entry.n_held,
        }
    }
}

impl Delivery {
    /// How much is queued.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let state = self.state();
        let totals = state.queue.totals();
        Counts {
            n_messages: state.messages.len() as u64,
            n_under_way: totals.n_under_way,
            n_waiting: totals.n_waiting,
        }
    }

    /// Up to `limit` messages with ids after `after`, in the order of ids. Deliveries wait for as
    /// long as it takes: some 20 ns each.
    #[must_use]
    pub fn briefs(&self, after: Option<MessageId>, limit: usize) -> Vec<Brief> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state();
        let messages = state.messages.range((from, Bound::Unbounded));
        let briefs = messages.map(|(id, entry)| Brief::of(*id, entry));
        briefs.take(limit).collect()
    }

    /// One of them; `None` when it is not queued.
    pub(crate) fn brief(&self, id: MessageId) -> Option<Brief> {
        let state = self.state();
        let entry = state.messages.get(&id)?;
        Some(Brief::of(id, entry))
    }
}
