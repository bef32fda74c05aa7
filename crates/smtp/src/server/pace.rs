//! Deadlines: how long a client may take.
//!
//! Content has a credit of time. It is full at the start, each octet adds to it what it may take
//! at the least rate, and it never grows beyond its first size. So a client that stops is found
//! out after the credit, and one that sends too slowly when the credit is used up, however it
//! spreads its octets.

use std::time::Duration;

use mail::Moment;
use mail::reply::table::{self, Row};

use crate::limits::Limits;

/// The deadline of content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    deadline: Moment,
    last: Moment,
}

impl Pace {
    /// Content begins.
    pub(super) fn start(now: Moment, limits: &Limits) -> Self {
        Self {
            deadline: now + limits.data_timeout,
            last: now,
        }
    }

    /// `n` octets came.
    pub(super) fn received(&mut self, now: Moment, n: usize, limits: &Limits) {
        let micros = (n as u64).saturating_mul(1_000_000) / u64::from(limits.data_rate_min.max(1));
        let earned = self.deadline + Duration::from_micros(micros);
        self.deadline = earned.min(now + limits.data_timeout);
        self.last = now;
    }

    pub(super) const fn deadline(&self) -> Moment {
        self.deadline
    }

    /// What to say to a client that passed the deadline.
    pub(super) fn verdict(&self, limits: &Limits) -> &'static Row {
        if self.deadline == self.last + limits.data_timeout {
            &table::TIMED_OUT
        } else {
            &table::TOO_SLOW
        }
    }
}
