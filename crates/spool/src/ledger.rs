//! What is live, what is dead, and what each segment is still needed for.
//!
//! Pure bookkeeping, the same for replay at opening and for running: it is told of records as they
//! become durable, in the order of the log. Invariants 3 and 5 of `docs/spool-format.md` rest on
//! it: a segment counts as needless only when nothing in it, live or dead, is needed.

pub(crate) mod keys;
mod live;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use mail::{HandoffKey, MessageId};

pub(crate) use keys::KeyTable;
pub(crate) use live::Live;
pub(crate) use segment::Segment;

use crate::format::record::RecordHeader;

/// Stands for the end of a segment that is not known to be durable, while recovery has not copied
/// forward what lies there.
pub(crate) const TAIL: u32 = u32::MAX;

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

/// A dead message that a copy in some segment could bring back.
struct Tomb {
    /// Segments with copies, but for the one that holds the end.
    holders: Vec<u32>,
    /// The segment that holds the end.
    end: u32,
}

/// The books of one spool.
#[derive(Default)]
pub(crate) struct Ledger {
    live: BTreeMap<MessageId, Live>,
    tombs: HashMap<MessageId, Tomb>,
    pub(crate) segments: BTreeMap<u32, Segment>,
    pub(crate) keys: KeyTable,
    /// The segment that holds the latest snapshot of the keys, and its length there.
    snapshot: Option<(u32, u64)>,
    live_bytes: u64,
    /// Octets that records of outcomes may still take: see [`Live::promised`].
    promised_bytes: u64,
    content_file_bytes: u64,
    /// Segments that became needless; whether they still are has to be asked.
    idle: Vec<u32>,
    /// Segments of which something could not be read at opening, and the first message that cannot
    /// be in them.
    unread: (Vec<u32>, u64),
}

impl Ledger {
    pub(crate) fn get(&self, id: MessageId) -> Option<&Live> {
        self.live.get(&id)
    }

    /// Whether it is live, or dead with copies that could bring it back.
    pub(crate) fn knows(&self, id: MessageId) -> bool {
        self.live.contains_key(&id) || self.tombs.contains_key(&id)
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = (MessageId, &Live)> {
        self.live.iter().map(|(&id, live)| (id, live))
    }

    /// To be called when replay is over. Nodes of a tree that grew message by message are half
    /// empty; those of one that is made at once are full.
    pub(crate) fn compact(&mut self) {
        let live = std::mem::take(&mut self.live);
        self.live = live.into_iter().collect();
    }

    pub(crate) fn n_live(&self) -> usize {
        self.live.len()
    }

    pub(crate) const fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Octets that the live messages may still need for their outcomes.
    pub(crate) const fn promised_bytes(&self) -> u64 {
        self.promised_bytes
    }

    pub(crate) const fn content_file_bytes(&self) -> u64 {
        self.content_file_bytes
    }

    /// A record with a message is durable at `place`. `state` replaces the one known unless empty.
    pub(crate) fn accepted(
        &mut self,
        id: MessageId,
        place: Place,
        header: RecordHeader,
        n_recipients: u32,
        state: Box<[u8]>,
    ) {
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.copies.push(id);
        }
        if let Some(tomb) = self.tombs.get_mut(&id) {
            // Dead is for ever: the copy only adds to what its end must outlive.
            if tomb.end != place.segment {
                insert(&mut tomb.holders, place.segment);
            }
            return;
        }
        let mut new = Live::new(place, &header, n_recipients, state);
        if let Some(old) = self.live.remove(&id) {
            self.uncount(&old);
            new.succeed(old);
        }
        self.count(&new);
        self.live.insert(id, new);
    }

    /// A record of this message was written to `segment` as well, and the sync of that failed:
    /// nobody knows whether it is there, so its end has to outlive that segment.
    pub(crate) fn copy_in_doubt(&mut self, id: MessageId, segment: u32) {
        let Some(account) = self.segments.get_mut(&segment) else {
            return;
        };
        account.copies.push(id);
        if let Some(live) = self.live.get_mut(&id) {
            live.remember_older(segment);
        } else if let Some(tomb) = self.tombs.get_mut(&id) {
            insert(&mut tomb.holders, segment);
        }
    }

    /// A state record is durable.
    pub(crate) fn state(&mut self, id: MessageId, segment: u32, state: Box<[u8]>) {
        if let Some(mut live) = self.live.remove(&id) {
            self.uncount(&live);
            live.set_state(segment, state);
            self.count(&live);
            self.live.insert(id, live);
        }
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.states.push(id);
        }
    }

    /// The end of a message is durable. Returns its content file, which may go now.
    pub(crate) fn done(&mut self, id: MessageId, segment: u32) -> Option<u64> {
        let mut file = None;
        let holders = if let Some(live) = self.live.remove(&id) {
            self.uncount(&live);
            file = live.file();
            live.into_holders()
        } else if let Some(tomb) = self.tombs.remove(&id) {
            self.unpin(tomb.end);
            tomb.holders
        } else {
            return None;
        };
        let mut holders: Vec<u32> = holders.into_iter().filter(|&h| h != segment).collect();
        self.add_unread(id, &mut holders);
        if !holders.is_empty() {
            if let Some(segment) = self.segments.get_mut(&segment) {
                segment.n_pins += 1;
                segment.ends.push(id);
            }
            let tomb = Tomb {
                holders,
                end: segment,
            };
            self.tombs.insert(id, tomb);
        }
        file
    }

    /// A part of these segments cannot be read now, and may be at the next opening: it may hold a
    /// copy of every message with an id below `first_id`. So no end of one may be forgotten, and
    /// nothing goes of what is there now: it may belong to a message that is not known.
    pub(crate) fn leave_unread(&mut self, segments: Vec<u32>, first_id: u64) {
        self.unread = (segments, first_id);
        let used = self.segments.values_mut().filter(|s| !s.is_free());
        used.for_each(|segment| segment.keep = true);
    }

    fn add_unread(&self, id: MessageId, holders: &mut Vec<u32>) {
        let (unread, first_id) = &self.unread;
        if id.0 < *first_id {
            unread.iter().for_each(|&of| insert(holders, of));
        }
    }

    /// A key came with a record in `segment`.
    pub(crate) fn key_in(&mut self, key: &HandoffKey, segment: u32) {
        if let Some(segment) = self.segments.get_mut(&segment) {
            let highest = segment.keys.entry((key.sender, key.epoch)).or_default();
            *highest = key.number.max(*highest);
        }
    }

    /// A snapshot of the keys is durable, a record of `len` octets: no other segment is needed for
    /// a key before it.
    pub(crate) fn snapshot_in(&mut self, segment: u32, len: u64) {
        self.forget_snapshot();
        self.snapshot = Some((segment, len));
        self.live_bytes += len;
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.live_bytes += len;
        }
        self.segments.values_mut().for_each(|s| s.keys.clear());
    }

    /// Segments that became needless since the last call, and may have become needed again.
    pub(crate) fn take_idle(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.idle)
    }

    /// Whether the keys must be written anew before `segment` may go.
    pub(crate) fn needs_snapshot(&self, number: u32) -> bool {
        let Some(segment) = self.segments.get(&number) else {
            return false;
        };
        (self.snapshot.is_some_and(|(of, _)| of == number) && self.keys.len() > 0)
            || segment
                .keys
                .iter()
                .any(|(&(sender, epoch), &highest)| self.keys.needs(sender, epoch, highest))
    }

    /// A segment was retired or deleted durably: none of its copies can come back.
    pub(crate) fn retired(&mut self, number: u32) -> Option<Segment> {
        let mut segment = self.segments.remove(&number)?;
        debug_assert!(segment.is_needless());
        for id in segment.copies.drain(..) {
            if let Some(live) = self.live.get_mut(&id) {
                live.forget_older(number);
            } else if let Some(tomb) = self.tombs.get_mut(&id) {
                tomb.holders.retain(|&holder| holder != number);
                if tomb.holders.is_empty() {
                    let end = tomb.end;
                    self.tombs.remove(&id);
                    self.unpin(end);
                }
            }
        }
        if self.snapshot.is_some_and(|(of, _)| of == number) {
            self.forget_snapshot();
        }
        Some(segment)
    }

    /// The next thing that is needed in a sealed segment, from where the last call stopped;
    /// `None` at the end, and the next call begins anew.
    pub(crate) fn next_needed(&mut self, number: u32) -> Option<Needed> {
        let segment = self.segments.get_mut(&number)?;
        loop {
            let at = segment.cursor;
            segment.cursor += 1;
            let (n_copies, n_states) = (segment.copies.len(), segment.states.len());
            let needed = if let Some(&id) = segment.copies.get(at) {
                let place = self.live.get(&id).map(|live| live.place.segment);
                (place == Some(number)).then_some(Needed::Copy(id))
            } else if let Some(&id) = segment.states.get(at - n_copies) {
                let record = self.live.get(&id).and_then(Live::state_record);
                record
                    .is_some_and(|(at, _)| at == number)
                    .then_some(Needed::State(id))
            } else if let Some(&id) = segment.ends.get(at - n_copies - n_states) {
                let end = self.tombs.get(&id).map(|tomb| tomb.end);
                (end == Some(number)).then_some(Needed::End(id))
            } else {
                segment.cursor = 0;
                return None;
            };
            if needed.is_some() {
                return needed;
            }
        }
    }

    /// Messages whose state lies in a tail that is not known to be durable.
    pub(crate) fn states_in_tail(&self) -> Vec<MessageId> {
        let in_tail = |live: &Live| live.state_record().is_some_and(|(at, _)| at == TAIL);
        ids(self
            .live
            .iter()
            .filter(|(_, live)| in_tail(live))
            .map(|(id, _)| *id))
    }

    /// Dead messages whose end lies in a tail that is not known to be durable.
    pub(crate) fn ends_in_tail(&self) -> Vec<MessageId> {
        ids(self
            .tombs
            .iter()
            .filter(|(_, tomb)| tomb.end == TAIL)
            .map(|(id, _)| *id))
    }

    /// How many things are held in memory, of any kind.
    #[cfg(test)]
    pub(crate) fn n_held(&self) -> usize {
        let live = self.live.values().map(|live| 1 + live.n_older());
        let tombs = self.tombs.values().map(|tomb| 1 + tomb.holders.len());
        let segments = self.segments.values().map(Segment::n_held);
        let held: usize = live.chain(tombs).chain(segments).sum();
        held + self.keys.n_held() + self.idle.len()
    }

    fn forget_snapshot(&mut self) {
        let Some((segment, len)) = self.snapshot.take() else {
            return;
        };
        self.live_bytes -= len;
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.live_bytes -= len;
        }
    }

    fn unpin(&mut self, segment: u32) {
        if let Some(account) = self.segments.get_mut(&segment) {
            account.n_pins -= 1;
            if account.is_needless() {
                self.idle.push(segment);
            }
        }
    }

    fn count(&mut self, live: &Live) {
        self.content_file_bytes += live.content_file_len();
        self.promised_bytes += live.promised();
        for (segment, len) in live.records() {
            self.live_bytes += len;
            if let Some(segment) = self.segments.get_mut(&segment) {
                segment.n_live += 1;
                segment.live_bytes += len;
            }
        }
    }

    fn uncount(&mut self, live: &Live) {
        self.content_file_bytes -= live.content_file_len();
        self.promised_bytes -= live.promised();
        for (segment, len) in live.records() {
            self.live_bytes -= len;
            if let Some(account) = self.segments.get_mut(&segment) {
                account.n_live -= 1;
                account.live_bytes -= len;
                if account.is_needless() {
                    self.idle.push(segment);
                }
            }
        }
    }
}

/// Something that a segment is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needed {
    /// The message itself.
    Copy(MessageId),
    /// The end of a message that another segment could bring back.
    End(MessageId),
    /// The state of a message.
    State(MessageId),
}

fn insert(set: &mut Vec<u32>, value: u32) {
    if !set.contains(&value) {
        set.push(value);
    }
}

fn ids(of: impl Iterator<Item = MessageId>) -> Vec<MessageId> {
    let mut ids: Vec<_> = of.collect();
    ids.sort_unstable();
    ids
}
