//! Emptying segments that hold little: what is needed in them is copied forward.
//!
//! # Guarantees
//! Segments take at most twice the live records, and four segments more: while the sealed ones
//! take more than twice the live records, the one with the least in it is less than half needed,
//! so emptying it frees more than it takes.

use std::sync::Arc;

use mail::MessageId;

use super::Engine;
use super::compose::{done_draft, state_draft};
use crate::DiskFile;
use crate::disk::read_again;
use crate::format::crc32c;
use crate::format::record::{self, Kind, MessageMeta, RecordHeader};
use crate::ledger::{Needed, Place};
use crate::limits::BATCH_RECORDS_MAX;
use crate::planted::{Mistake, planted};
use crate::shared::{Draft, Effect, State};

/// Octets that are copied forward in one step, so that no batch waits long.
const MOVE_LEN_MAX: u64 = 256 << 10;

/// Records that are copied forward in one step: a whole batch, so that small ones are packed well.
const MOVE_RECORDS_MAX: usize = BATCH_RECORDS_MAX;

/// Where to read a message that is to be moved.
struct Source {
    file: Arc<dyn DiskFile>,
    header: RecordHeader,
    place: Place,
    n_recipients: u32,
    state: Box<[u8]>,
}

impl Engine {
    /// Picks a segment to empty, if too much space is taken, or more is needed than there is.
    pub(super) fn choose_victim(&mut self) {
        if self.victim.is_some() || self.own_is_stuck {
            return;
        }
        let is_short = self.is_short();
        let n_sealed = self.n_sealed() as u64;
        let len = u64::from(self.shared.options.segment_len);
        let state = self.shared.lock();
        if !is_short && n_sealed * len <= 2 * state.ledger.live_bytes() {
            return;
        }
        let mut weight_max = self.weight_max(state.ledger.keys.snapshot_len());
        if !is_short {
            weight_max = weight_max.min(len / 2);
        }
        let candidates = state.ledger.segments.iter().filter(|(number, segment)| {
            // One that is read in cannot become free now, which is of no use in need.
            let is_read = Arc::strong_count(&segment.file) > 1;
            segment.is_at_rest()
                && !segment.is_needless()
                && **number != self.active.number
                && !(is_short && is_read)
        });
        let lightest = candidates.min_by_key(|(_, segment)| segment.weight());
        self.victim = lightest
            .filter(|(_, segment)| segment.weight() <= weight_max)
            .map(|(&number, _)| number);
    }

    /// Makes records of the next part of the segment that is being emptied.
    pub(super) fn collect_moves(&mut self) {
        let Some(victim) = self.victim.filter(|_| self.own.is_empty()) else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let mut len = 0;
        while len < MOVE_LEN_MAX && self.own.len() < MOVE_RECORDS_MAX {
            let mut state = shared.lock();
            let draft = match state.ledger.next_needed(victim) {
                None => {
                    self.victim = None;
                    return;
                }
                Some(Needed::Copy(id)) => {
                    let source = source(&state, id);
                    drop(state);
                    source.and_then(|source| moved_draft(id, source, Original::Left))
                }
                Some(Needed::End(id)) => Some(done_draft(id, None)),
                Some(Needed::State(id)) => state
                    .ledger
                    .get(id)
                    .map(|live| state_draft(id, live.state.to_vec(), None)),
            };
            let Some(draft) = draft else {
                // Damaged, or not readable now: the segment stays as it is.
                if let Some(segment) = shared.lock().ledger.segments.get_mut(&victim) {
                    segment.keep = true;
                }
                self.victim = None;
                return;
            };
            len += draft.header.record_len();
            self.own.push_back(draft);
        }
    }

    /// A record that repeats a live message; `None` where it cannot be read. What a notification
    /// says of its original is repeated in the same record.
    pub(crate) fn move_forward(&mut self, id: MessageId) -> Option<()> {
        let source = source(&self.shared.lock(), id)?;
        let original = if planted(Mistake::NotificationTornFromEnd) {
            Original::Left
        } else {
            Original::Repeated
        };
        self.own.push_back(moved_draft(id, source, original)?);
        Some(())
    }

    /// Whether the only good copy of a live message lies beyond the durable end of a segment.
    pub(crate) fn lies_in_tail(&self, id: MessageId, open_ends: &[(u32, u32)]) -> bool {
        let state = self.shared.lock();
        let Some(place) = state.ledger.get(id).map(|live| live.place) else {
            return false;
        };
        let mut ends = open_ends.iter();
        ends.any(|&(number, end)| number == place.segment && place.offset >= end)
    }

    /// A record that repeats the state of a live message.
    pub(crate) fn repeat_state(&mut self, id: MessageId) {
        let state = self.shared.lock();
        let live = state.ledger.get(id).map(|live| live.state.to_vec());
        drop(state);
        let draft = live.map(|state| state_draft(id, state, None));
        self.own.extend(draft);
    }

    /// A record that ends a message, or repeats its end.
    pub(crate) fn repeat_end(&mut self, id: MessageId) {
        self.own.push_back(done_draft(id, None));
    }
}

fn source(state: &State, id: MessageId) -> Option<Source> {
    let live = state.ledger.get(id)?;
    let segment = state.ledger.segments.get(&live.place.segment)?;
    Some(Source {
        file: Arc::clone(&segment.file),
        header: live.header(id),
        place: live.place,
        n_recipients: live.n_recipients,
        state: live.state.clone(),
    })
}

/// What becomes of what a notification says of its original, when it is copied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Original {
    /// It is a record of its own by now, where it is needed.
    Left,
    Repeated,
}

fn moved_draft(id: MessageId, mut source: Source, original: Original) -> Option<Draft> {
    if planted(Mistake::MoveForgetsState) {
        source.state = Box::default();
    }
    let mut meta = vec![0; source.header.meta_len as usize];
    let mut content = vec![0; usize::try_from(source.header.inline_len()).ok()?];
    let at = u64::from(source.place.offset) + record::LEN as u64;
    read_exact(&*source.file, at, &mut meta)?;
    read_exact(&*source.file, at + meta.len() as u64, &mut content)?;
    let inline = source.header.file == 0;
    if crc32c(&meta) != source.header.meta_crc
        || (inline && crc32c(&content) != source.header.content_crc)
    {
        return None;
    }
    let parts = MessageMeta::decode(source.header.kind, &meta)?;
    // A notification that something happened to since is durable elsewhere, and what it says too.
    let original = parts
        .original
        .filter(|_| original == Original::Repeated && source.state.is_empty());
    let meta = MessageMeta {
        message: parts.message,
        state: &source.state,
        original,
    }
    .encode();
    let original = original.map(|(of, state)| (of, Box::from(state)));
    let header = RecordHeader {
        kind: if original.is_some() {
            Kind::Notified
        } else {
            Kind::Moved
        },
        meta_len: u32::try_from(meta.len()).ok()?,
        meta_crc: crc32c(&meta),
        id,
        ..source.header
    };
    Some(Draft {
        header,
        meta,
        content: content.into(),
        effect: Effect::Moved {
            n_recipients: source.n_recipients,
            state: source.state,
            original,
        },
    })
}

fn read_exact(file: &dyn DiskFile, at: u64, buffer: &mut [u8]) -> Option<()> {
    (read_again(file, at, buffer).ok()? == buffer.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::super::Step;
    use super::*;
    use crate::Spool;
    use crate::simulated::SimulatedDisk;
    use crate::tests::fixture::{content, message};
    use crate::tests::model::open;

    const PER_SEGMENT: usize = 4;

    /// Segments that are full of messages, and the one that is written to.
    fn full(n_segments: usize) -> (Spool, Engine, Vec<MessageId>) {
        let (spool, _, mut engine) = open(&SimulatedDisk::new()).expect("opens");
        let mut ids = Vec::new();
        for n in 0..(n_segments * PER_SEGMENT) as u64 {
            let bytes = crate::Content::Bytes(content(n, 4_500).into());
            let promise = spool.accept(&message(n, 1), bytes);
            while engine.step() == Step::More {}
            ids.push(promise.wait().expect("kept"));
        }
        (spool, engine, ids)
    }

    /// Ends messages in one batch, without any housekeeping.
    fn end(spool: &Spool, engine: &mut Engine, ids: &[MessageId]) {
        let promises: Vec<_> = ids.iter().map(|&id| spool.done(id)).collect();
        let batch = engine.compose();
        engine.commit(batch);
        for promise in promises {
            promise.wait().expect("recorded");
        }
    }

    fn place(engine: &Engine, id: MessageId) -> u32 {
        let state = engine.shared.lock();
        state.ledger.get(id).expect("live").place.segment
    }

    /// The messages of each segment that is sealed.
    fn by_segment(engine: &Engine, ids: &[MessageId]) -> Vec<(u32, Vec<MessageId>)> {
        let mut segments = std::collections::BTreeMap::<u32, Vec<_>>::new();
        for &id in ids {
            segments.entry(place(engine, id)).or_default().push(id);
        }
        segments.remove(&engine.active.number);
        segments.into_iter().collect()
    }

    #[test]
    fn the_segment_with_the_least_in_it_is_emptied_and_none_while_space_is_in_bounds() {
        for lightest in 0..4 {
            let (spool, mut engine, ids) = full(6);
            let segments = by_segment(&engine, &ids);
            assert!(segments.len() >= 4);
            engine.choose_victim();
            assert_eq!(engine.victim, None, "all of it is needed");
            let mut ended = Vec::new();
            for (i, (_, ids)) in segments.iter().enumerate() {
                let n_left = if i == lightest { 1 } else { 2 };
                ended.extend(&ids[..ids.len() - n_left]);
            }
            end(&spool, &mut engine, &ended);
            let state = engine.shared.lock();
            let n_sealed = state.ledger.segments.len() as u64;
            let live = state.ledger.live_bytes();
            drop(state);
            assert!(n_sealed * u64::from(crate::limits::SEGMENT_LEN_MIN) > 2 * live);
            engine.choose_victim();
            assert_eq!(engine.victim, Some(segments[lightest].0));
        }
    }
}
