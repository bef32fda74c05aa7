//! How old a message may become.
//!
//! # Standards
//! RFC 5321 §4.5.4.1: the give-up time is at least four to five days.

use std::time::Duration;

use mail::Timestamp;

/// How long delivery is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// After this age nothing is tried again: what is left has failed. By custom 5 days.
    pub expire_after: Duration,
}

impl Lifetime {
    /// Whether a message that entered the system at `arrived` is to be given up at `now`.
    ///
    /// To be asked after an attempt failed, not before one: whatever kept a message (a stopped
    /// machine, a clock that was wrong), it is tried once more before it is given up. While
    /// [`ClockWatch::is_trusted`](crate::ClockWatch::is_trusted) says no, it is not to be asked.
    #[must_use]
    pub fn is_over(&self, arrived: Timestamp, now: Timestamp) -> bool {
        now.since(arrived) >= self.expire_after
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
    };

    #[test]
    fn a_message_expires_at_its_age() {
        let arrived = Timestamp::from_unix_ms(1_000_000);
        for (hours, expected) in [(0, false), (119, false), (120, true), (9999, true)] {
            let now = arrived.after(HOUR * hours);
            assert_eq!(CUSTOMARY.is_over(arrived, now), expected, "{hours} h");
        }
    }

    #[test]
    fn a_message_from_the_future_does_not_expire() {
        let now = Timestamp::from_unix_ms(1_000_000);
        assert!(!CUSTOMARY.is_over(now.after(HOUR * 1000), now));
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
