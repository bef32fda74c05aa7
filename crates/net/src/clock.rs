//! The two clocks of the system, read in one place.
//!
//! # Guarantees
//! [`Clock::now`] never goes back. [`Clock::timestamp`] may jump with the system's clock.
//! [`Clock::now`] is the time of tokio's timers: a test that pauses them pauses it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mail::{Moment, Timestamp};
use tokio::time::Instant;

/// Reads the clocks; cheap to copy. All copies of one clock count from the same start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
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
}
