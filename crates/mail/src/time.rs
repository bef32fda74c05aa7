//! Time as a value: monotonic for timers, wall clock for what a person reads.
//!
//! Pure crates never ask what time it is; they are told. The two clocks are two types, so that a
//! timer cannot be armed with the time of day (a jump of the clock must not fire it).
//!
//! # Standards
//! RFC 5322 §3.3 (date-time).

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A point on the monotonic clock, counted from an arbitrary start of the process.
///
/// Never stored and never sent to another process: it means nothing there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    /// The start of the clock; where virtual time begins in tests.
    pub const START: Self = Self(Duration::ZERO);

    /// The moment `elapsed` after the start of the clock.
    #[must_use]
    pub const fn from_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after the start of the clock this is.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this moment; zero where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(rhs))
    }
}

/// A point on the wall clock: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The time from `earlier` to this; zero where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This time and `delay`, saturating at the end of time.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// The date and time as a header field wants it: `Mon, 23 Nov 2026 23:50:00 +0000`.
    ///
    /// Always in UTC: an instance must not need the zone files of the system.
    #[must_use]
    pub fn rfc5322(self) -> Rfc5322 {
        Rfc5322(self)
    }

    /// The date and time as logs want it: `2026-11-23T23:50:00.123Z`.
    #[must_use]
    pub fn rfc3339(self) -> Rfc3339 {
        Rfc3339(self)
    }

    fn civil(self) -> Civil {
        Civil::from_unix_seconds(self.unix_seconds())
    }
}

/// Displays a [`Timestamp`] as RFC 5322 §3.3 date-time.
#[derive(Clone, Copy, Debug)]
pub struct Rfc5322(Timestamp);

/// Displays a [`Timestamp`] as RFC 3339 with milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Rfc3339(Timestamp);

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

impl fmt::Display for Rfc5322 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.0.civil();
        write!(
            f,
            "{}, {} {} {:04} {:02}:{:02}:{:02} +0000",
            DAYS[c.weekday], c.day, MONTHS[c.month0], c.year, c.hour, c.minute, c.second
        )
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = self.0.civil();
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            c.year,
            c.month0 + 1,
            c.day,
            c.hour,
            c.minute,
            c.second,
            self.0.unix_ms() % 1000
        )
    }
}

struct Civil {
    year: u64,
    month0: usize,
    day: u64,
    /// Days after Thursday, the day of the week of 1970-01-01.
    weekday: usize,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Civil {
    /// Counts in 400-year cycles that begin on 1 March, so that the leap day comes last.
    fn from_unix_seconds(seconds: u64) -> Self {
        const DAYS_TO_1970_FROM_0000_03_01: u64 = 719_468;
        let days = seconds / 86_400;
        let z = days + DAYS_TO_1970_FROM_0000_03_01;
        let day_of_cycle = z % 146_097;
        let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524
            - day_of_cycle / 146_096)
            / 365;
        let day_of_year =
            day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month0 = (march_month + 2) % 12;
        let year = z / 146_097 * 400 + year_of_cycle + u64::from(month0 < 2);
        let of_day = seconds % 86_400;
        Self {
            year,
            month0: usize::try_from(month0).unwrap_or(0),
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
            weekday: usize::try_from(days % 7).unwrap_or(0),
            hour: of_day / 3_600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, rfc5322, rfc3339) in [
            (
                0,
                "Thu, 1 Jan 1970 00:00:00 +0000",
                "1970-01-01T00:00:00.000Z",
            ),
            (
                951_782_399,
                "Mon, 28 Feb 2000 23:59:59 +0000",
                "2000-02-28T23:59:59.000Z",
            ),
            (
                951_782_400,
                "Tue, 29 Feb 2000 00:00:00 +0000",
                "2000-02-29T00:00:00.000Z",
            ),
            (
                1_795_477_800,
                "Mon, 23 Nov 2026 23:50:00 +0000",
                "2026-11-23T23:50:00.000Z",
            ),
            (
                4_107_542_400,
                "Mon, 1 Mar 2100 00:00:00 +0000",
                "2100-03-01T00:00:00.000Z",
            ),
        ] {
            let t = Timestamp::from_unix_ms(seconds * 1000);
            assert_eq!(t.rfc5322().to_string(), rfc5322);
            assert_eq!(t.rfc3339().to_string(), rfc3339);
        }
    }

    #[test]
    fn a_clock_that_went_back_shows_no_time_passed() {
        let t = Timestamp::from_unix_ms(5);
        assert_eq!(t.since(Timestamp::from_unix_ms(9)), Duration::ZERO);
        assert_eq!(
            Moment::START.since(Moment::START + Duration::from_secs(1)),
            Duration::ZERO
        );
    }
}
