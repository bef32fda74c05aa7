//! What an instance did, counted from its events: totals since control began, and the last minute.
//!
//! # Guarantees
//! A handoff is counted as a handoff and never as a delivery, so the sum over all instances counts
//! each delivery once.
//!
//! # Limits
//! 60 slots of one second for each instance, whatever happens.

use std::time::Duration;

use mail::Moment;
use mail::event::What;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Messages that this instance's spool took.
    Accepted,
    /// Connections of clients that have ended.
    Connections,
    /// Attempts, by recipient, that are to be repeated.
    Deferred,
    /// Recipients whose copy reached its mailbox or left this system.
    Delivered,
    /// Recipients taken out by an operator.
    Dropped,
    /// Recipients that failed for good.
    Failed,
    /// Messages that the next instance took.
    HandedOff,
    /// Recipients that were held.
    Held,
    /// Notifications made.
    Notified,
    /// Deliveries that may have been made twice.
    PossibleDuplicate,
    /// Commands that were none, or misplaced, or broke the grammar.
    ProtocolErrors,
    /// Connections, transactions and recipients refused.
    Refused,
    /// Recipients released by an operator.
    Released,
}

impl Count {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 13] = [
        Self::Accepted,
        Self::HandedOff,
        Self::Delivered,
        Self::Deferred,
        Self::Failed,
        Self::Refused,
        Self::Held,
        Self::Released,
        Self::Dropped,
        Self::Notified,
        Self::PossibleDuplicate,
        Self::Connections,
        Self::ProtocolErrors,
    ];

    /// Its name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Connections => "connections",
            Self::Deferred => "deferred",
            Self::Delivered => "delivered",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
            Self::HandedOff => "handed_off",
            Self::Held => "held",
            Self::Notified => "notified",
            Self::PossibleDuplicate => "possible_duplicates",
            Self::ProtocolErrors => "protocol_errors",
            Self::Refused => "refused",
            Self::Released => "released",
        }
    }

    const fn of(what: &What) -> Option<Self> {
        Some(match what {
            What::Accepted { .. } => Self::Accepted,
            What::Deferred { .. } => Self::Deferred,
            What::Delivered { .. } => Self::Delivered,
            What::Disconnected { .. } => Self::Connections,
            What::Dropped { .. } => Self::Dropped,
            What::Failed { .. } => Self::Failed,
            What::HandedOff { .. } => Self::HandedOff,
            What::Held { .. } => Self::Held,
            What::Notified { .. } => Self::Notified,
            What::PossibleDuplicate { .. } => Self::PossibleDuplicate,
            What::ProtocolError { .. } => Self::ProtocolErrors,
            What::Refused { .. } => Self::Refused,
            What::Released { .. } => Self::Released,
            What::Alarm { .. }
            | What::Breaker { .. }
            | What::Checked { .. }
            | What::Instance { .. } => return None,
        })
    }
}

const N_SLOTS: usize = 60;
const N_COUNTS: usize = Count::ALL.len();

/// The counts of one instance.
#[derive(Debug)]
pub struct Counters {
    totals: [u64; N_COUNTS],
    slots: [[u32; N_COUNTS]; N_SLOTS],
    /// The second of the newest slot.
    second: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl Counters {
    /// Nothing counted yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            totals: [0; N_COUNTS],
            slots: [[0; N_COUNTS]; N_SLOTS],
            second: 0,
        }
    }

    /// Counts an event that came at `now`.
    pub fn record(&mut self, now: Moment, what: &What) {
        let Some(count) = Count::of(what) else { return };
        self.advance(now);
        self.totals[count as usize] += 1;
        let slot = &mut self.slots[slot_of(self.second)][count as usize];
        *slot = slot.saturating_add(1);
    }

    /// How often it happened since control began.
    pub const fn total(&self, count: Count) -> u64 {
        self.totals[count as usize]
    }

    /// How often it happened in the 60 seconds before `now`.
    pub fn last_minute(&mut self, now: Moment, count: Count) -> u64 {
        self.advance(now);
        self.slots
            .iter()
            .map(|slot| u64::from(slot[count as usize]))
            .sum()
    }

    /// Empties the slots of the seconds that passed.
    fn advance(&mut self, now: Moment) {
        let second = now
            .since_start()
            .max(Duration::from_secs(self.second))
            .as_secs();
        for passed in (self.second + 1..=second).rev().take(N_SLOTS) {
            self.slots[slot_of(passed)] = [0; N_COUNTS];
        }
        self.second = second;
    }
}

fn slot_of(second: u64) -> usize {
    usize::try_from(second % N_SLOTS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_handoff_is_not_a_delivery() {
        let mut counters = Counters::new();
        for event in samples::all() {
            counters.record(at(1), &event.what);
        }
        let totals = Count::ALL.map(|count| (count.name(), counters.total(count)));
        assert_eq!(
            totals,
            [
                ("accepted", 4),
                ("handed_off", 1),
                ("delivered", 1),
                ("deferred", 1),
                ("failed", 1),
                ("refused", 2),
                ("held", 1),
                ("released", 1),
                ("dropped", 1),
                ("notified", 1),
                ("possible_duplicates", 1),
                ("connections", 1),
                ("protocol_errors", 1),
            ]
        );
    }

    #[test]
    fn the_last_minute_forgets_what_is_older() {
        let mut counters = Counters::new();
        let event = &samples::all()[0].what;
        counters.record(at(10), event);
        counters.record(at(40), event);
        assert_eq!(counters.last_minute(at(69), Count::Accepted), 2);
        assert_eq!(counters.last_minute(at(70), Count::Accepted), 1);
        assert_eq!(counters.last_minute(at(10_000_000), Count::Accepted), 0);
        assert_eq!(counters.total(Count::Accepted), 2);
    }
}
