//! The two clocks of the system, read in one place, and the waits that are measured by them.
//!
//! # Guarantees
//! [`Clock::now`] never goes back. [`Clock::timestamp`] may jump with the system's clock.
//! [`Clock::now`] is the time of tokio's timers: a test that pauses them pauses it, and with it the
//! time of day of a [simulated](Clock::simulated) clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mail::{Moment, Timestamp};
use tokio::time::{Instant, Sleep, Timeout};

/// Reads the clocks; cheap to copy. All copies of one clock count from the same start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    day: Day,
}

/// Where the time of day comes from.
#[derive(Clone, Copy, Debug)]
enum Day {
    /// From the system.
    System,
    /// It was this when the clock started, and goes with [`Clock::now`].
    Since(Timestamp),
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            day: Day::System,
        }
    }

    /// A clock that starts now and shows `at` as the time of day: whole days pass in a test that
    /// pauses tokio's timers.
    #[must_use]
    pub fn simulated(at: Timestamp) -> Self {
        Self {
            day: Day::Since(at),
            ..Self::start()
        }
    }

    /// The monotonic time.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment::from_start(self.start.elapsed())
    }

    /// The time of day. A clock set before 1970 reads as 1970.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        if let Day::Since(at) = self.day {
            return at.after(self.start.elapsed());
        }
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// The moment at which the wall clock is expected to show `at`; now for what is past.
    #[must_use]
    pub fn moment_of(&self, at: Timestamp) -> Moment {
        self.now() + at.since(self.timestamp())
    }

    /// What the wall clock is expected to show at `moment`; now for what is past.
    #[must_use]
    pub fn timestamp_of(&self, moment: Moment) -> Timestamp {
        self.timestamp().after(moment.since(self.now()))
    }

    /// The moment as tokio's timers want it.
    #[must_use]
    pub fn deadline(&self, moment: Moment) -> Instant {
        // Saturates far in the future rather than overflowing: nobody waits a century.
        const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);
        self.start + moment.since_start().min(FAR)
    }

    /// Waits until `moment`. Cancel-safe.
    pub async fn sleep_until(&self, moment: Moment) {
        tokio::time::sleep_until(self.deadline(moment)).await;
    }

    /// Waits for `time`. Cancel-safe.
    pub fn sleep(&self, time: Duration) -> Sleep {
        tokio::time::sleep(time)
    }

    /// What comes of `future` within `limit`; an error where nothing did, and `future` is dropped.
    pub fn timeout<F: IntoFuture>(&self, limit: Duration, future: F) -> Timeout<F::IntoFuture> {
        tokio::time::timeout(limit, future)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[tokio::test(start_paused = true)]
    async fn the_time_of_day_of_a_simulated_clock_goes_with_its_waits() {
        let began = Timestamp::from_unix_ms(1_000_000_000_000);
        let clock = Clock::simulated(began);
        clock.sleep(DAY).await;
        assert_eq!(clock.timestamp(), began.after(DAY));
        let waited = clock.timeout(DAY, std::future::pending::<()>()).await;
        assert!(waited.is_err());
        let due = clock.moment_of(began.after(3 * DAY));
        clock.sleep_until(due).await;
        assert_eq!(clock.timestamp(), began.after(3 * DAY));
        assert_eq!(clock.now(), Moment::START + 3 * DAY);
    }
}
