//! A batch: put together without copying a content, written by one call, committed by one sync.

use std::io::{self, IoSlice};

use super::Engine;
use super::reserve::Room;
use crate::content::file_name;
use crate::format::batch::{self, BatchHeader};
use crate::format::record::{self, ALIGN};
use crate::format::{BLOCK, Identity, Position, align};
use crate::limits::{BATCH_LEN_MAX, BATCH_RECORDS_MAX};
use crate::planted::{Mistake, planted};
use crate::shared::{Draft, Effect};

/// Enough for the padding of a record and of a batch.
static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// Records that become durable together.
pub(super) struct Batch {
    drafts: Vec<Draft>,
    /// Octets of header and records.
    len: u64,
}

/// A batch as it lies in the segment.
pub(super) struct Written {
    pub(super) batch: Batch,
    /// The offset of each record, and its header.
    pub(super) records: Vec<(u32, [u8; record::LEN])>,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            drafts: Vec::new(),
            len: batch::LEN as u64,
        }
    }

    /// Whether a record fits too, when `room` octets are left in the segment.
    pub(super) fn fits(&self, draft: &Draft, room: u32) -> bool {
        let len = self.len + draft.header.record_len();
        let small = self.drafts.len() < BATCH_RECORDS_MAX && len <= BATCH_LEN_MAX as u64;
        (small || self.is_empty()) && align(len, u64::from(BLOCK)) <= u64::from(room)
    }

    pub(super) fn push(&mut self, draft: Draft) {
        self.len += draft.header.record_len();
        self.drafts.push(draft);
    }

    /// How many messages it takes in.
    pub(super) fn n_messages(&self) -> usize {
        let is_message = |draft: &&Draft| matches!(Room::of(draft, false), Room::Message { .. });
        self.drafts.iter().filter(is_message).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }

    pub(super) fn drafts(&self) -> &[Draft] {
        &self.drafts
    }

    pub(super) fn into_drafts(self) -> impl Iterator<Item = Draft> {
        self.drafts.into_iter()
    }

    pub(super) fn padded_len(&self) -> u32 {
        narrow(align(self.len, u64::from(BLOCK)))
    }

    /// The headers of the records, for a batch at this position.
    fn headers(&self, identity: &Identity, at: Position) -> Vec<(u32, [u8; record::LEN])> {
        let mut offset = u64::from(at.offset) + batch::LEN as u64;
        let mut headers = Vec::with_capacity(self.drafts.len());
        for draft in &self.drafts {
            let position = Position {
                generation: at.generation,
                offset: narrow(offset),
            };
            headers.push((position.offset, draft.header.encode(identity, position)));
            offset += draft.header.record_len();
        }
        headers
    }

    fn slices<'a>(
        &'a self,
        header: &'a [u8],
        records: &'a [(u32, [u8; record::LEN])],
    ) -> Vec<IoSlice<'a>> {
        let mut slices = Vec::with_capacity(2 + 4 * records.len());
        slices.push(IoSlice::new(header));
        for (draft, (_, header)) in self.drafts.iter().zip(records) {
            let len = record::LEN + draft.meta.len() + draft.content.len();
            slices.push(IoSlice::new(header));
            slices.push(IoSlice::new(&draft.meta));
            slices.push(IoSlice::new(draft.content.as_slice()));
            slices.push(IoSlice::new(padding(len as u64, ALIGN)));
        }
        slices.push(IoSlice::new(padding(self.len, u64::from(BLOCK))));
        slices
    }
}

impl Engine {
    /// Makes a batch durable, in the active segment or, if that fails, in another.
    pub(super) fn commit(&mut self, batch: Batch) {
        if planted(Mistake::ContentRemovedBeforeEnd) {
            self.remove_contents_of(&batch);
        }
        let batch = match self.write(batch) {
            Ok(written) => return self.apply(written, None),
            Err((batch, _)) => batch,
        };
        // What the failed sync left behind is unknown, so the segment is never written again,
        // and these records are not acknowledged before they are durable elsewhere.
        let failed = self.active.number;
        self.abandon_active();
        if let Err(error) = self.roll() {
            return self.fail(batch, &error);
        }
        match self.write(batch) {
            Ok(written) => self.apply(written, Some(failed)),
            Err((batch, error)) => {
                self.abandon_active();
                self.fail(batch, &error);
            }
        }
    }

    /// What a planted mistake does.
    fn remove_contents_of(&self, batch: &Batch) {
        let state = self.shared.lock();
        for draft in &batch.drafts {
            let ended = matches!(draft.effect, Effect::Done(_)).then_some(draft.header.id);
            let file = ended.and_then(|id| state.ledger.get(id)?.file());
            let _ = file.map(|number| self.shared.disk.remove(&file_name(number)));
        }
    }

    fn write(&mut self, batch: Batch) -> Result<Written, (Batch, io::Error)> {
        let (file, generation, next_id) = {
            let state = self.shared.lock();
            let Some(segment) = state.ledger.segments.get(&self.active.number) else {
                let error = io::Error::other("the active segment is gone");
                return Err((batch, error));
            };
            let file = std::sync::Arc::clone(&segment.file);
            (file, segment.header.generation, state.next_id)
        };
        let at = Position {
            generation,
            offset: self.active.end,
        };
        if self.room() < batch.padded_len() {
            return Err((batch, io::ErrorKind::StorageFull.into()));
        }
        let header = BatchHeader {
            len: narrow(batch.len),
            sequence: self.sequence,
            durable: self.active.end,
            n_records: narrow(batch.drafts.len() as u64),
            next_id,
        };
        let header = header.encode(&self.shared.identity, at);
        let records = batch.headers(&self.shared.identity, at);
        // Also when it fails: the batch may be on disk, and another must not have its sequence.
        self.sequence += 1;
        let written = file
            .write_at(u64::from(at.offset), &batch.slices(&header, &records))
            .and_then(|()| file.sync());
        if let Err(error) = written {
            return Err((batch, error));
        }
        self.active.end += batch.padded_len();
        Ok(Written { batch, records })
    }
}

fn padding(len: u64, to: u64) -> &'static [u8] {
    let missing = align(len, to) - len;
    &ZEROS[..usize::try_from(missing).unwrap_or(0)]
}

/// Lengths within a segment fit 32 bits.
fn narrow(n: u64) -> u32 {
    u32::try_from(n).expect("invariant: what is written fits a segment")
}
