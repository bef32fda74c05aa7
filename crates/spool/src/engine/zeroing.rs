//! Zeroing segments ahead of the batches, while they are written for the first time.
//!
//! A sync of what was only allocated has to commit that it is written now: on ext4 it takes two to
//! three times as long, and three blocks of the journal. What was written before needs neither. So
//! the active segment and the one after it are zeroed, and what was freed is used again first: a
//! spool that keeps up goes round in two segments, and zeroes no more than those, once.
//!
//! # Failure
//! A segment that cannot be zeroed is not written again. Where nothing is zeroed, records are as
//! durable as elsewhere.

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::Engine;
use super::batch::Batch;
use crate::DiskFile;
use crate::format::segment::FIRST_BATCH;

/// Octets that are zeroed and synced in one step.
const CHUNK: u32 = 1 << 20;

/// The one after the active one is zeroed once more than this part of the active one is used: a
/// spool that keeps up has the one before back by then, and uses that again.
const USED_PART: u32 = 32;

/// Writes a chunk of zeros at `at`, or as many as `len` leaves, durably; returns where they end.
pub(super) fn write_zeros(file: &dyn DiskFile, at: u32, len: u32) -> io::Result<u32> {
    let n = len.saturating_sub(at).min(CHUNK);
    let zeros = vec![0; n as usize];
    file.write_at(at.into(), &[IoSlice::new(&zeros)])?;
    file.sync()?;
    Ok(at + n)
}

impl Engine {
    /// One bounded step of zeroing, if one is wanted; whether there was.
    pub(super) fn zero_step(&mut self) -> bool {
        let Some(number) = self.unwritten() else {
            return false;
        };
        let (file, at, len) = {
            let state = self.shared.lock();
            let Some(segment) = state.ledger.segments.get(&number) else {
                return false;
            };
            let file = Arc::clone(&segment.file);
            (file, segment.written, segment.header.len)
        };
        let at = if number == self.active.number {
            at.max(self.active.end)
        } else {
            at
        };
        match write_zeros(&*file, at, len) {
            Ok(end) => {
                self.pace.wrote(true);
                if let Some(segment) = self.shared.lock().ledger.segments.get_mut(&number) {
                    segment.written = end;
                }
            }
            Err(_) => {
                self.pace.wrote(false);
                self.give_up(number);
            }
        }
        true
    }

    /// The segment that is to be zeroed next, of the active one and the one after it.
    fn unwritten(&self) -> Option<u32> {
        let used = self.active.end.saturating_sub(FIRST_BATCH);
        let is_used = used > self.shared.options.segment_len / USED_PART;
        let next = self.free.front().copied();
        let next = next.filter(|_| is_used || self.n_sealed() == 0);
        let state = self.shared.lock();
        let is_unwritten = |number: &u32| {
            let segment = state.ledger.segments.get(number);
            segment.is_some_and(|segment| segment.written < segment.header.len)
        };
        let mut wanted = [Some(self.active.number), next].into_iter().flatten();
        wanted.find(is_unwritten)
    }

    /// A segment that cannot be zeroed is not written again.
    fn give_up(&mut self, number: u32) {
        if number != self.active.number {
            self.free.retain(|&free| free != number);
            return self.mark_failed(number);
        }
        // Everything in it is durable, so nothing has to be written anew.
        self.abandon_active();
        if let Err(error) = self.roll() {
            self.fail(Batch::new(), &error);
        }
    }
}
