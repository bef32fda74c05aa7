//! Moments in eight octets: milliseconds, which is all that a queue of a million jobs can tell.

use std::time::Duration;

use mail::Moment;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due(u64);

impl Due {
    pub(crate) const MIN: Self = Self(0);
    pub(crate) const MAX: Self = Self(u64::MAX);

    /// Rounded up: nothing is due before its time.
    pub(crate) fn at(moment: Moment) -> Self {
        let since = moment.since_start();
        let up = since.saturating_add(Duration::from_nanos(999_999));
        Self(u64::try_from(up.as_millis()).unwrap_or(u64::MAX))
    }

    /// Rounded down: what is due by then.
    pub(crate) fn by(now: Moment) -> Self {
        Self(u64::try_from(now.since_start().as_millis()).unwrap_or(u64::MAX))
    }

    /// The time after this one.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) const fn moment(self) -> Moment {
        Moment::from_start(Duration::from_millis(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_never_due_early_and_always_due_at_the_moment_told() {
        let moment = Moment::from_start(Duration::from_micros(1_500_300));
        assert!(Due::at(moment) > Due::by(moment));
        assert_eq!(Due::by(Due::at(moment).moment()), Due::at(moment));
    }
}
