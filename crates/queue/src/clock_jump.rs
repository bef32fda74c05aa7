//! Notices when the clock on the wall was set, and keeps mail from expiring by it.
//!
//! Ages are told by the wall clock, since they count over restarts and machines. A clock that comes
//! up in 1970 or is set to next year must not return every queued message to its sender. Timers
//! are not concerned: they run on the monotonic clock.

use std::time::Duration;

use mail::{Moment, Timestamp};

/// A difference between the clocks that is no jump: slewing, leap seconds, a busy machine.
const TOLERANCE: Duration = Duration::from_secs(3600);

/// How long after a jump nothing expires: a clock that nobody corrected in a day is right.
const PAUSE: Duration = Duration::from_secs(86_400);

/// The wall clock moved by more than an hour against the monotonic one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jump {
    /// It was set back by so much.
    Back(Duration),
    /// It was set forward by so much, or the machine slept.
    Forward(Duration),
}

/// Compares the two clocks whenever it is shown them.
#[derive(Debug)]
pub struct ClockWatch {
    moment: Moment,
    wall: Timestamp,
    paused_until: Option<Moment>,
}

impl ClockWatch {
    /// Starts with both clocks and the latest time that the spool remembers, if it does: a clock
    /// that stands an hour before that is not to be trusted from the start.
    #[must_use]
    pub fn new(now: Moment, wall: Timestamp, remembered: Option<Timestamp>) -> Self {
        let behind = remembered.is_some_and(|then| then.since(wall) > TOLERANCE);
        Self {
            moment: now,
            wall,
            paused_until: behind.then(|| now + PAUSE),
        }
    }

    /// Looks at both clocks, as often as the caller likes and at least once an hour (a slow drift
    /// is forgiven between looks). Returns a jump once; the caller raises the alarm.
    pub fn observe(&mut self, now: Moment, wall: Timestamp) -> Option<Jump> {
        let expected = self.wall.after(now.since(self.moment));
        self.moment = now;
        self.wall = wall;
        let (ahead, behind) = (wall.since(expected), expected.since(wall));
        let jump = if ahead > TOLERANCE {
            Jump::Forward(ahead)
        } else if behind > TOLERANCE {
            Jump::Back(behind)
        } else {
            return None;
        };
        self.paused_until = Some(now + PAUSE);
        Some(jump)
    }

    /// Whether ages may be judged: no jump within the last day.
    #[must_use]
    pub fn is_trusted(&self, now: Moment) -> bool {
        self.paused_until.is_none_or(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn watch() -> (ClockWatch, Moment, Timestamp) {
        let (now, wall) = (Moment::START, Timestamp::from_unix_ms(1_800_000_000_000));
        (ClockWatch::new(now, wall, Some(wall)), now, wall)
    }

    #[test]
    fn clocks_that_go_together_are_trusted() {
        let (mut watch, now, wall) = watch();
        for hours in 1..100 {
            let drift = Duration::from_secs(30) * hours;
            let seen = watch.observe(now + HOUR * hours, wall.after(HOUR * hours + drift));
            assert_eq!(seen, None);
        }
        assert!(watch.is_trusted(now + HOUR * 100));
    }

    #[test]
    fn a_jump_is_told_once_and_pauses_expiry_for_a_day() {
        let (mut watch, now, wall) = watch();
        let ten_years = HOUR * 24 * 3652;
        assert_eq!(
            watch.observe(now, wall.after(ten_years)),
            Some(Jump::Forward(ten_years))
        );
        assert_eq!(
            watch.observe(now + HOUR, wall.after(ten_years + HOUR)),
            None
        );
        assert!(!watch.is_trusted(now + HOUR * 23));
        assert!(watch.is_trusted(now + HOUR * 24));
        assert_eq!(
            watch.observe(now + HOUR * 2, wall.after(HOUR * 2)),
            Some(Jump::Back(ten_years))
        );
        assert!(!watch.is_trusted(now + HOUR * 25));
    }

    #[test]
    fn a_clock_before_the_newest_record_is_not_trusted_from_the_start() {
        let wall = Timestamp::from_unix_ms(1000);
        let watch = ClockWatch::new(Moment::START, wall, Some(wall.after(HOUR * 2)));
        assert!(!watch.is_trusted(Moment::START));
        assert!(ClockWatch::new(Moment::START, wall, None).is_trusted(Moment::START));
    }
}
