//! One segment, as the books have it.

use std::collections::HashMap;
use std::sync::Arc;

use mail::{MessageId, SpoolId};

use crate::DiskFile;
use crate::format::record;
use crate::format::segment::{SegmentHeader, SegmentState};
use crate::planted::{Mistake, planted};

/// One segment: its file, its header, and what is needed in it.
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) header: SegmentHeader,
    /// How far it was zeroed or found written: behind that and its batches it is allocated only.
    /// A hint.
    pub(crate) written: u32,
    /// Messages with a copy here, and those that ended or changed here: where to look when the
    /// segment is emptied or retired.
    pub(super) copies: Vec<MessageId>,
    pub(super) states: Vec<MessageId>,
    pub(super) ends: Vec<MessageId>,
    /// How far the lists, one behind the other, were gone through to empty the segment.
    pub(super) cursor: usize,
    /// Live messages, live states and pins here.
    pub(super) n_live: u32,
    pub(super) n_pins: u32,
    pub(crate) live_bytes: u64,
    /// The highest number of each sender and epoch with a key here.
    pub(super) keys: HashMap<(SpoolId, u64), u64>,
    /// A sync failed: its header is not written any more, it is deleted when needless.
    pub(crate) failed: bool,
    /// Holds octets that are damaged and not in quarantine, or could not be moved.
    pub(crate) keep: bool,
}

impl Segment {
    pub(crate) fn new(file: Arc<dyn DiskFile>, header: SegmentHeader, written: u32) -> Self {
        Self {
            file,
            header,
            written,
            copies: Vec::new(),
            states: Vec::new(),
            ends: Vec::new(),
            cursor: 0,
            n_live: 0,
            n_pins: 0,
            live_bytes: 0,
            keys: HashMap::new(),
            failed: false,
            keep: false,
        }
    }

    pub(crate) fn is_free(&self) -> bool {
        self.header.state == SegmentState::Free && !self.failed
    }

    /// Nothing is written to it any more, and it may go when it is needless.
    pub(crate) const fn is_at_rest(&self) -> bool {
        let ended = self.failed || matches!(self.header.state, SegmentState::Sealed(_));
        ended && !self.keep
    }

    pub(crate) fn is_needless(&self) -> bool {
        self.n_live == 0 && (self.n_pins == 0 || planted(Mistake::RecycledTooEarly))
    }

    /// How many things are held in memory for it.
    #[cfg(test)]
    pub(super) fn n_held(&self) -> usize {
        1 + self.copies.len() + self.states.len() + self.ends.len() + self.keys.len()
    }

    /// How far it has been written: what [`Self::written`] says, or its batches.
    pub(crate) fn written_to(&self) -> u32 {
        match self.header.state {
            SegmentState::Sealed(end) => self.written.max(end),
            SegmentState::Active | SegmentState::Free => self.written,
        }
    }

    /// What it would cost to empty it.
    pub(crate) const fn weight(&self) -> u64 {
        self.live_bytes + self.n_pins as u64 * record::LEN as u64
    }
}
