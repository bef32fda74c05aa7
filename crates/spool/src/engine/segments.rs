//! Segments on their way from made to active to sealed.
//!
//! A segment is allocated as a whole when it is made, which writes next to nothing, and zeroed
//! later ([`zeroing`](super::zeroing)); where a file system cannot allocate, it is made by zeroing.

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::batch::Batch;
use super::zeroing::write_zeros;
use super::{Active, Engine};
use crate::DiskFile;
use crate::format::segment::{FIRST_BATCH, SegmentHeader, SegmentState};
use crate::ledger::{Segment, TAIL};

/// A segment that is being made, under a name that recovery removes.
pub(super) struct Preparing {
    number: u32,
    file: Arc<dyn DiskFile>,
    /// Whether there is room for all of it; else it is made by writing.
    is_allocated: bool,
    written: u32,
}

/// The name of a segment.
pub(crate) fn segment_name(number: u32) -> String {
    format!("seg-{number:08x}")
}

/// The name of a segment while it is made.
pub(crate) fn new_segment_name(number: u32) -> String {
    format!("new-{number:08x}")
}

/// Commits a header, to one slot and then to the other: a write that is torn leaves the header
/// before, and later damage to one slot leaves this one.
pub(crate) fn commit_header(
    file: &dyn DiskFile,
    identity: &crate::format::Identity,
    header: &SegmentHeader,
) -> io::Result<()> {
    let bytes = header.encode(identity);
    for offset in header.slot_offsets() {
        file.write_at(offset, &[IoSlice::new(&bytes)])?;
        file.sync()?;
    }
    Ok(())
}

impl Engine {
    /// Activates a free segment, making one if there is none.
    pub(super) fn roll(&mut self) -> io::Result<()> {
        if self.free.is_empty() {
            self.prepare_now()?;
        }
        self.activate_next()
    }

    /// Activates the first free segment whose header can be committed.
    pub(super) fn activate_next(&mut self) -> io::Result<()> {
        let mut error = io::Error::from(io::ErrorKind::StorageFull);
        while let Some(number) = self.free.pop_front() {
            match self.set_header(number, SegmentState::Active) {
                Ok(()) => {
                    self.active = Active::new(number);
                    return Ok(());
                }
                Err(failed) => {
                    self.mark_failed(number);
                    error = failed;
                }
            }
        }
        Err(error)
    }

    /// Says in the header of the active segment where it ends.
    pub(super) fn seal_active(&mut self) {
        let active = std::mem::replace(&mut self.active, Active::none());
        if active.number == TAIL {
            return;
        }
        let sealed = SegmentState::Sealed(active.end);
        if self.set_header(active.number, sealed).is_err() {
            // Everything in it is durable; only its header is not to be trusted any more.
            self.mark_failed(active.number);
            return;
        }
        self.idle.push(active.number);
        if let Some(summary) = active.summary
            && let Some(generation) = self.generation_of(active.number)
        {
            let identity = &self.shared.identity;
            let bytes = summary.finish(identity, generation, active.end, self.sequence - 1);
            self.summaries.push((active.number, bytes));
        }
        self.write_summaries(1);
    }

    /// Gives up the active segment after a failed write or sync.
    pub(super) fn abandon_active(&mut self) {
        let active = std::mem::replace(&mut self.active, Active::none());
        self.mark_failed(active.number);
    }

    pub(super) fn mark_failed(&mut self, number: u32) {
        if let Some(segment) = self.shared.lock().ledger.segments.get_mut(&number) {
            segment.failed = true;
            self.idle.push(number);
        }
    }

    /// Changes the state in a segment's header, durably.
    pub(super) fn set_header(&self, number: u32, to: SegmentState) -> io::Result<()> {
        let mut state = self.shared.lock();
        let next_id = state.next_id;
        state.stats.n_syncs += 1;
        let Some(segment) = state.ledger.segments.get(&number) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let file = Arc::clone(&segment.file);
        let mut header = segment.header;
        drop(state);
        header.counter += 1;
        header.next_id = next_id;
        header.state = to;
        if to == SegmentState::Active {
            header.first_sequence = self.sequence;
        }
        commit_header(&*file, &self.shared.identity, &header)?;
        if let Some(segment) = self.shared.lock().ledger.segments.get_mut(&number) {
            segment.header = header;
        }
        Ok(())
    }

    fn generation_of(&self, number: u32) -> Option<u64> {
        let state = self.shared.lock();
        let segment = state.ledger.segments.get(&number)?;
        Some(segment.header.generation)
    }

    /// Makes a free segment at once.
    pub(super) fn prepare_now(&mut self) -> io::Result<()> {
        let before = self.free.len();
        while self.free.len() == before {
            self.prepare_some()?;
        }
        Ok(())
    }

    pub(super) fn prepare_some(&mut self) -> io::Result<()> {
        let number = self.preparing.as_ref().map_or(self.number, |p| p.number);
        let result = self.prepare_chunk();
        if let Err(error) = &result {
            self.preparing = None;
            self.pace.failed();
            // Its octets are wanted elsewhere; what cannot be removed goes at the next opening.
            let _ = self.shared.disk.remove(&new_segment_name(number));
            if error.kind() == io::ErrorKind::NotFound {
                // Not a full disk: the directory was removed, and everything in it.
                self.fail(Batch::new(), error);
            }
        }
        result
    }

    fn prepare_chunk(&mut self) -> io::Result<()> {
        let len = self.shared.options.segment_len;
        let Some(preparing) = &mut self.preparing else {
            let number = self.number;
            self.number += 1;
            let file = self.shared.disk.create(&new_segment_name(number))?;
            let is_allocated = match file.allocate(len.into()) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::Unsupported => false,
                Err(error) => return Err(error),
            };
            self.preparing = Some(Preparing {
                number,
                file,
                is_allocated,
                written: 0,
            });
            return Ok(());
        };
        if !preparing.is_allocated && preparing.written < len {
            preparing.written = write_zeros(&*preparing.file, preparing.written, len)?;
            return Ok(());
        }
        self.finish_preparing()
    }

    fn finish_preparing(&mut self) -> io::Result<()> {
        let Some(preparing) = self.preparing.take() else {
            return Ok(());
        };
        let Preparing { number, file, .. } = preparing;
        let header = SegmentHeader {
            number,
            generation: self.generation,
            counter: 1,
            len: self.shared.options.segment_len,
            state: SegmentState::Free,
            next_id: self.shared.lock().next_id,
            first_sequence: 0,
        };
        self.generation += 1;
        commit_header(&*file, &self.shared.identity, &header)?;
        let disk = &self.shared.disk;
        disk.rename(&new_segment_name(number), &segment_name(number))?;
        disk.sync_dir("")?;
        let written = preparing.written.max(FIRST_BATCH);
        let segment = Segment::new(file, header, written);
        self.shared.lock().ledger.segments.insert(number, segment);
        self.one_segment_more();
        self.pace.succeeded();
        self.free.push_back(number);
        self.gained();
        Ok(())
    }

    /// Segments that hold records, but for the active one.
    pub(super) fn n_sealed(&self) -> usize {
        let n = self.shared.lock().ledger.segments.len();
        n.saturating_sub(self.free.len() + 1)
    }
}

const _: () = assert!(crate::limits::SEGMENT_LEN_MIN > 2 * FIRST_BATCH);
