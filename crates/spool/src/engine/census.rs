//! How many segments there are, as the superblocks say: a segment that somebody removed as a whole
//! leaves nothing else by which it could be missed.
//!
//! # Guarantees
//! At least as many segments are there as each superblock says: the number rises after a segment
//! is durable, and falls, durably in both, before one is deleted.
//!
//! # Failure
//! A superblock that could not be written may be damaged, so the other is left alone from there on:
//! then no segment is deleted before the next opening.

use std::io;

use super::Engine;
use crate::format::superblock::Superblock;
use crate::recover::files::overwrite_superblocks;

/// What the superblocks say.
pub(super) struct Census {
    superblock: Superblock,
    /// Whether it may be changed: not while the spool is being opened, nor after that failed.
    is_kept: bool,
}

impl Census {
    /// As opening found it.
    pub(super) const fn new(superblock: Superblock) -> Self {
        Self {
            superblock,
            is_kept: false,
        }
    }
}

impl Engine {
    /// Says how many segments there are when opening is over; what was missed was told by then.
    pub(crate) fn begin_census(&mut self) {
        let n = self.shared.lock().ledger.segments.len();
        self.census.is_kept = true;
        // Where it fails, the number that stands there is told about once more.
        let _ = self.say(u32::try_from(n).unwrap_or(u32::MAX));
    }

    /// A segment was made.
    pub(super) fn one_segment_more(&mut self) {
        // Where it fails, one that is missing may not be missed, and nothing else.
        let _ = self.say(self.census.superblock.n_segments.saturating_add(1));
    }

    /// A segment is about to be deleted.
    pub(super) fn one_segment_less(&mut self) -> io::Result<()> {
        self.say(self.census.superblock.n_segments.saturating_sub(1))
    }

    fn say(&mut self, n_segments: u32) -> io::Result<()> {
        if !std::mem::take(&mut self.census.is_kept) {
            return Err(io::Error::other("the superblocks are left alone"));
        }
        if n_segments != self.census.superblock.n_segments {
            let superblock = Superblock {
                n_segments,
                ..self.census.superblock
            };
            overwrite_superblocks(&*self.shared.disk, &superblock)?;
            self.shared.lock().stats.n_syncs += 2;
            self.census.superblock = superblock;
        }
        self.census.is_kept = true;
        Ok(())
    }
}
