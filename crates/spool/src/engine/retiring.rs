//! Segments on their way from sealed to free, and what is written about them.

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::compose::keys_draft;
use super::segments::segment_name;
use super::{Engine, Step};
use crate::format::keys::encode_snapshot;
use crate::format::segment::{SegmentHeader, SegmentState};
use crate::ledger::Segment;
use crate::planted::{Mistake, planted};

/// The name of the summary of a segment.
pub(crate) fn summary_name(number: u32) -> String {
    format!("seg-{number:08x}.sum")
}

/// What stands in the way of retiring a segment.
pub(super) enum Obstacle {
    /// Nothing.
    None,
    /// It is needed, and will be looked at when it is not.
    Needed,
    /// The keys in it must be written elsewhere.
    Keys,
    /// Somebody reads in it.
    Reader,
}

impl Engine {
    /// One bounded piece of housekeeping.
    pub(super) fn tidy(&mut self) -> Step {
        let news = self.shared.lock().ledger.take_idle();
        self.idle.extend(news);
        self.idle.sort_unstable();
        self.idle.dedup();
        if self.retire_one() || self.prepare_step() || self.zero_step() || self.delete_surplus() {
            return Step::More;
        }
        self.choose_victim();
        if self.victim.is_some() {
            Step::More
        } else {
            Step::Idle
        }
    }

    /// Retires the first segment that can be; whether there was one.
    fn retire_one(&mut self) -> bool {
        let mut at = 0;
        while let Some(&number) = self.idle.get(at) {
            match self.obstacle(number) {
                Obstacle::None => {
                    self.idle.remove(at);
                    self.retire(number);
                    return true;
                }
                Obstacle::Needed => {
                    self.idle.remove(at);
                }
                Obstacle::Keys if self.own_is_stuck => at += 1,
                Obstacle::Keys => return self.write_keys(),
                Obstacle::Reader => at += 1,
            }
        }
        false
    }

    pub(super) fn obstacle(&self, number: u32) -> Obstacle {
        let state = self.shared.lock();
        let Some(segment) = state.ledger.segments.get(&number) else {
            return Obstacle::Needed;
        };
        if !segment.is_at_rest() || !segment.is_needless() || number == self.active.number {
            return Obstacle::Needed;
        }
        if state.ledger.needs_snapshot(number) && !planted(Mistake::KeysNotWrittenAnew) {
            return Obstacle::Keys;
        }
        if Arc::strong_count(&segment.file) > 1 {
            return Obstacle::Reader;
        }
        Obstacle::None
    }

    /// Puts a snapshot of the keys in front of the next batch. It has to be the very next: keys
    /// that are accepted in between would not be in it.
    pub(crate) fn write_keys(&mut self) -> bool {
        let snapshot = encode_snapshot(&self.shared.lock().ledger.keys.snapshot());
        self.own.push_front(keys_draft(snapshot));
        true
    }

    /// Puts a snapshot of the keys behind all records of our own.
    pub(crate) fn write_keys_last(&mut self) {
        let snapshot = encode_snapshot(&self.shared.lock().ledger.keys.snapshot());
        self.own.push_back(keys_draft(snapshot));
    }

    /// Makes a needless segment free, durably; one that cannot be is deleted.
    fn retire(&mut self, number: u32) {
        if self.victim == Some(number) {
            self.victim = None;
        }
        let (file, old, failed, written, next_id) = {
            let state = self.shared.lock();
            let Some(segment) = state.ledger.segments.get(&number) else {
                return;
            };
            let file = Arc::clone(&segment.file);
            (
                file,
                segment.header,
                segment.failed,
                segment.written_to(),
                state.next_id,
            )
        };
        let generation = if planted(Mistake::StaleRecordBelieved) {
            old.generation
        } else {
            self.generation
        };
        let header = SegmentHeader {
            generation,
            counter: old.counter + 1,
            state: SegmentState::Free,
            next_id,
            first_sequence: 0,
            ..old
        };
        self.generation += 1;
        // One of another size, left from other options, is not used again.
        let fits = old.len == self.shared.options.segment_len;
        let freed = !failed
            && fits
            && super::segments::commit_header(&*file, &self.shared.identity, &header).is_ok();
        if !freed && self.delete(number).is_err() {
            // It stays in the way until the next opening.
            return;
        }
        let mut state = self.shared.lock();
        state.stats.n_syncs += 1;
        state.ledger.retired(number);
        if freed {
            let segment = Segment::new(file, header, written);
            state.ledger.segments.insert(number, segment);
        }
        drop(state);
        if freed {
            // It was written before: it goes before one that is allocated only, so that a spool
            // that keeps up goes round in two segments.
            self.free.push_front(number);
            self.gained();
        }
        self.summaries.retain(|(of, _)| *of != number);
        // One that stays is of another generation, and ignored.
        let _ = self.shared.disk.remove(&summary_name(number));
    }

    fn delete(&mut self, number: u32) -> io::Result<()> {
        self.one_segment_less()?;
        self.shared.disk.remove(&segment_name(number))?;
        self.shared.disk.sync_dir("")
    }

    fn delete_surplus(&mut self) -> bool {
        if !self.has_surplus() {
            return false;
        }
        let Some(number) = self.free.pop_back() else {
            return false;
        };
        let deleted = self.delete(number).is_ok();
        if deleted {
            self.shared.lock().ledger.retired(number);
        }
        deleted
    }

    /// Seals at their durable ends the segments that were not sealed when the spool was opened.
    pub(crate) fn settle(&mut self, open_ends: &[(u32, u32)]) {
        for &(number, end) in open_ends {
            if self.set_header(number, SegmentState::Sealed(end)).is_err() {
                self.mark_failed(number);
            }
        }
        let state = self.shared.lock();
        let all = state.ledger.segments.iter();
        let at_rest = all.filter(|(_, s)| !s.is_free()).map(|(&number, _)| number);
        self.idle.extend(at_rest);
    }

    /// Writes the summaries of sealed segments that are still needed, but for the latest `keep`.
    pub(super) fn write_summaries(&mut self, keep: usize) {
        let n = self.summaries.len().saturating_sub(keep);
        for (number, bytes) in self.summaries.drain(..n) {
            // Derived data: without it, opening takes longer.
            let _ = write_summary(&*self.shared.disk, number, &bytes);
        }
    }
}

/// Writes a summary; not durable on return.
pub(crate) fn write_summary(disk: &dyn crate::Disk, number: u32, bytes: &[u8]) -> io::Result<()> {
    let name = summary_name(number);
    disk.create(&name)?.write_at(0, &[IoSlice::new(bytes)])
}
