//! How old a message may become.
//!
//! # Standards
//! RFC 5321 §4.5.4.1: the give-up time is at least four to five days.

use std::time::Duration;

use mail::Timestamp;

/// How long delivery is tried, and when the sender is told that it takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// After this age nothing is tried again: what is left has failed. By custom 5 days.
    pub expire_after: Duration,
    /// After this age the sender is told once, where it asked for that. By custom 4 hours.
    pub warn_after: Duration,
}

/// Which stage of its life a message has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing is to be said.
    Young,
    /// A delay is to be notified, unless it was.
    Late,
    /// To be given up.
    Expired,
}

impl Lifetime {
    /// The stage at `now` of a message that entered the system at `arrived`.
    ///
    /// To be asked after an attempt failed, not before one: whatever kept a message (a stopped
    /// machine, a clock that was wrong), it is tried once more before it is given up. While
    /// [`ClockWatch::is_trusted`](crate::ClockWatch::is_trusted) says no, it is not to be asked.
    #[must_use]
    pub fn stage(&self, arrived: Timestamp, now: Timestamp) -> Stage {
        let age = now.since(arrived);
        if age >= self.expire_after {
            Stage::Expired
        } else if age >= self.warn_after {
            Stage::Late
        } else {
            Stage::Young
        }
    }

    /// The time of the next attempt: `delay` from `now`, but not after the expiry, so that the last
    /// attempt and its verdict come when the message expires.
    #[must_use]
    pub fn next_attempt(&self, arrived: Timestamp, now: Timestamp, delay: Duration) -> Timestamp {
        let expiry = arrived.after(self.expire_after);
        let due = now.after(delay);
        // A message that should be gone, but is kept because the clock is not trusted, goes on
        // being tried at the pace of `delay`.
        if expiry > now { due.min(expiry) } else { due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const CUSTOMARY: Lifetime = Lifetime {
        expire_after: Duration::from_secs(5 * 86_400),
        warn_after: Duration::from_secs(4 * 3600),
    };

    #[test]
    fn a_message_grows_late_and_expires() {
        let arrived = Timestamp::from_unix_ms(1_000_000);
        for (hours, expected) in [
            (0, Stage::Young),
            (3, Stage::Young),
            (4, Stage::Late),
            (119, Stage::Late),
            (120, Stage::Expired),
            (9999, Stage::Expired),
        ] {
            let now = arrived.after(HOUR * hours);
            assert_eq!(CUSTOMARY.stage(arrived, now), expected, "{hours} h");
        }
    }

    #[test]
    fn a_message_from_the_future_is_young() {
        let now = Timestamp::from_unix_ms(1_000_000);
        assert_eq!(CUSTOMARY.stage(now.after(HOUR * 1000), now), Stage::Young);
    }

    #[test]
    fn the_last_attempt_comes_when_the_message_expires() {
        let arrived = Timestamp::from_unix_ms(0);
        let next = |hours| CUSTOMARY.next_attempt(arrived, arrived.after(HOUR * hours), HOUR * 4);
        assert_eq!(next(1), arrived.after(HOUR * 5));
        assert_eq!(next(118), arrived.after(HOUR * 120));
        assert_eq!(next(120), arrived.after(HOUR * 124));
    }
}
