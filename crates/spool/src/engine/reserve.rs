//! Room for outcomes, set aside before a message is taken.
//!
//! A recipient whose outcome is not recorded is sent the message again. So the room for it is
//! there before the message is: whole segments, allocated ahead, that nobody else can fill.
//!
//! # Guarantees
//! Who may write follows from how many segments are free besides the active one, whatever the
//! active one is: a message while as many as the [`Reserve`] says are, an outcome while one is,
//! records of our own always. One record for each live message fits into all of the reserve but
//! one segment; that one serves to empty those whose outcomes have been replaced, and an outcome
//! for which there is no room waits for it.
//!
//! # Failure
//! While the reserve cannot be filled, messages are refused, and outcomes are recorded without the
//! texts of replies. Room is asked for again when the disk says that it has some; where it says so
//! and lies, ever more seldom, up to once in [`TRIES_APART_MAX`] requests.

use super::Engine;
use super::retiring::Obstacle;
use crate::format::record::outcome_len_max;
use crate::format::segment::FIRST_BATCH;
use crate::format::{BLOCK, align, batch};
use crate::shared::{Draft, Effect};
use crate::{CommitError, Disk};

/// Free segments that are kept besides what is promised: one that outcomes fill, and one to empty
/// segments into.
pub(super) const FREE_KEPT: usize = 2;

/// The most requests for room that pass between two tries to make some.
const TRIES_APART_MAX: u32 = 1024;

/// For what room is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// A new message, also a notification.
    Message {
        /// How many outcomes it promises.
        n_recipients: u32,
    },
    /// What became of a message.
    Outcome,
    /// A record of our own, which frees more than it takes.
    Own,
}

/// What came of asking for room.
pub(super) enum Made {
    /// It is there.
    Room,
    /// There will be some when segments have been emptied.
    Later,
    Refused(CommitError),
}

/// How much is set aside while a batch is composed.
#[derive(Clone, Copy)]
pub(super) struct Reserve {
    /// Octets that live messages may still need for their outcomes.
    promised: u64,
    /// Octets that a segment may hold and still be worth emptying.
    weight_max: u64,
}

/// When to try again to make a segment.
#[derive(Default)]
pub(super) struct Pace {
    /// Requests to let pass after the latest failure; 0 when there was none.
    apart: u32,
    left: u32,
    /// How many segments in a row were made and could not be written to.
    n_unwritable: u32,
}

impl Room {
    pub(super) const fn of(draft: &Draft, is_own: bool) -> Self {
        match &draft.effect {
            Effect::Accepted(acceptance) | Effect::Notified { acceptance, .. } => Self::Message {
                n_recipients: acceptance.n_recipients,
            },
            _ if is_own => Self::Own,
            _ => Self::Outcome,
        }
    }
}

impl Reserve {
    /// Counts a message that is about to be written.
    pub(super) const fn promise(&mut self, n_recipients: u32) {
        self.promised += outcome_len_max(n_recipients);
    }

    /// How many segments have to be free.
    ///
    /// With all but the last of them full of outcomes, and no more than one needed for each
    /// message, one of them holds no more than `weight_max` that is needed.
    pub(super) fn segments(&self) -> usize {
        let promised = self.promised / self.weight_max;
        usize::try_from(promised).map_or(usize::MAX, |n| n.saturating_add(FREE_KEPT))
    }
}

impl Pace {
    fn allows(&mut self, disk: &dyn Disk, len: u64) -> bool {
        if disk.available() < len {
            self.apart = self.apart.max(1);
            return false;
        }
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }

    pub(super) fn failed(&mut self) {
        self.apart = (self.apart * 2).clamp(1, TRIES_APART_MAX);
        self.left = self.apart;
    }

    pub(super) fn succeeded(&mut self) {
        self.apart = match self.n_unwritable {
            0 => 0,
            n => 1_u32
                .checked_shl(n)
                .map_or(TRIES_APART_MAX, |apart| apart.min(TRIES_APART_MAX)),
        };
        self.left = self.apart;
    }

    /// A segment that had been made could be written to, or could not.
    pub(super) const fn wrote(&mut self, is_written: bool) {
        self.n_unwritable = if is_written {
            0
        } else {
            self.n_unwritable.saturating_add(1)
        };
    }

    /// Whether the latest try failed, or would have.
    const fn is_in_vain(&self) -> bool {
        self.apart > 0
    }
}

impl Engine {
    pub(super) fn reserve(&self) -> Reserve {
        let state = self.shared.lock();
        Reserve {
            promised: state.ledger.promised_bytes(),
            weight_max: self.weight_max(state.ledger.keys.snapshot_len()),
        }
    }

    /// Emptying a segment that holds this much gains room for sure: its records are packed no
    /// worse, and the keys may have to be written.
    pub(super) fn weight_max(&self, keys: u64) -> u64 {
        let usable = u64::from(self.shared.options.segment_len - FIRST_BATCH);
        (usable / 8 * 7)
            .saturating_sub(u64::from(BLOCK) + keys)
            .max(usable / 8)
    }

    /// Sees to it that the reserve is full, and that so many segments more are free.
    pub(super) fn set_aside(&mut self, reserve: &Reserve, more: usize) -> bool {
        let needed = reserve.segments().saturating_add(more);
        while self.free.len() < needed {
            if !self.may_prepare() || self.prepare_now().is_err() {
                return false;
            }
        }
        true
    }

    /// Where nothing is written in place, whether the disk has room for all that is set aside.
    pub(super) fn is_room_for(&self, reserve: &Reserve) -> bool {
        let len = u64::from(self.shared.options.segment_len);
        let needed = (reserve.segments() as u64).saturating_mul(len);
        !self.copies_on_write || self.shared.disk.available() >= needed
    }

    /// Whether a try to make a segment is due.
    pub(super) fn may_prepare(&mut self) -> bool {
        let len = u64::from(self.shared.options.segment_len);
        self.pace.allows(&*self.shared.disk, len)
    }

    /// Whether the reserve is not full and cannot be filled.
    pub(super) fn is_short(&self) -> bool {
        self.pace.is_in_vain() && self.free.len() < self.reserve().segments()
    }

    /// Octets of the active segment that a record may use.
    pub(super) fn room_for(&self, room: Room) -> u32 {
        match room {
            Room::Outcome if self.free.is_empty() => 0,
            Room::Message { .. } | Room::Outcome | Room::Own => self.room(),
        }
    }

    /// Octets left in the active segment.
    pub(super) fn room(&self) -> u32 {
        let len = self.shared.options.segment_len;
        let len = self.active_len().unwrap_or(len);
        len.saturating_sub(self.active.end)
    }

    fn active_len(&self) -> Option<u32> {
        let state = self.shared.lock();
        let segment = state.ledger.segments.get(&self.active.number)?;
        Some(segment.header.len)
    }

    /// Makes room for a record that does not fit into the active segment.
    pub(super) fn make_room(&mut self, room: Room, draft: &Draft, reserve: &Reserve) -> Made {
        let len = batch::LEN as u64 + draft.header.record_len();
        let len = align(len, u64::from(BLOCK));
        if len > u64::from(self.shared.options.segment_len - FIRST_BATCH) {
            return Made::Refused(CommitError::TooLarge);
        }
        match room {
            Room::Message { .. } if self.set_aside(reserve, 1) => self.roll_over(),
            Room::Message { .. } => Made::Refused(CommitError::Full),
            Room::Outcome => self.make_room_for_outcome(len, reserve),
            Room::Own if self.free.is_empty() && !self.may_prepare() => {
                Made::Refused(CommitError::Full)
            }
            Room::Own => self.roll_over(),
        }
    }

    fn make_room_for_outcome(&mut self, len: u64, reserve: &Reserve) -> Made {
        let filled = self.set_aside(reserve, 1);
        if u64::from(self.room_for(Room::Outcome)) >= len {
            return Made::Room;
        }
        if filled || self.free.len() > 1 {
            return self.roll_over();
        }
        // The last free segment serves to empty others, from here on.
        if self.free.len() == 1
            && let Made::Refused(error) = self.roll_over()
        {
            return Made::Refused(error);
        }
        if self.can_gain() {
            Made::Later
        } else if u64::from(self.room()) >= len {
            // Nothing else can use it.
            Made::Room
        } else {
            Made::Refused(CommitError::Full)
        }
    }

    /// Seals the active segment and activates a free one.
    fn roll_over(&mut self) -> Made {
        self.seal_active();
        match self.roll() {
            Ok(()) => Made::Room,
            Err(_) => Made::Refused(CommitError::Full),
        }
    }

    /// Whether housekeeping is about to free a segment.
    fn can_gain(&mut self) -> bool {
        self.choose_victim();
        self.victim.is_some()
            || self.idle.iter().any(|&number| match self.obstacle(number) {
                Obstacle::None => true,
                Obstacle::Keys => !self.own_is_stuck,
                Obstacle::Needed | Obstacle::Reader => false,
            })
    }

    /// A segment became free: what had no room may have some now.
    pub(super) const fn gained(&mut self) {
        self.own_is_stuck = false;
    }

    /// One bounded step towards another free segment, if one is wanted.
    pub(super) fn prepare_step(&mut self) -> bool {
        if self.preparing.is_none() && !(self.wants_free() && self.may_prepare()) {
            return false;
        }
        self.prepare_some().is_ok()
    }

    /// Whether the reserve is not full, or messages will soon need the segment after this one.
    fn wants_free(&self) -> bool {
        let needed = self.reserve().segments();
        if self.free.len() != needed {
            return self.free.len() < needed;
        }
        self.active.end > self.shared.options.segment_len / 2 && !self.exceeds_bound(1)
    }

    /// Whether more segments are free than it pays to keep.
    pub(super) fn has_surplus(&self) -> bool {
        self.free.len() > self.reserve().segments() && self.exceeds_bound(0)
    }

    /// Whether so many segments more take more than twice what is live and four segments.
    fn exceeds_bound(&self, more: usize) -> bool {
        let live = self.shared.lock().ledger.live_bytes();
        let len = u64::from(self.shared.options.segment_len);
        let n = self.n_sealed() + self.free.len() + 1 + more;
        n as u64 * len > 2 * live + 4 * len
    }
}
