//! How many attempts one site may have under way.
//!
//! The limit grows by one for each limit's worth of successes, and halves on a failure. A failure
//! also closes the site: while it is down a single attempt, the probe, stands for all its jobs,
//! and the delay between probes grows. The first answer of any kind opens it again. So a dead site
//! costs one probe at a time, and a lost connection to a busy one costs almost nothing, because the
//! next of its other attempts opens it.

use crate::due::Due;
use crate::job::SiteState;

#[derive(Debug)]
pub(crate) struct Concurrency {
    limit: u32,
    /// Successes since the limit last changed.
    credit: u32,
    /// Failures in a row; zero while the site is up.
    failures: u32,
    /// While the site is down: when the next probe may begin.
    probe: Due,
    /// When it failed last.
    failed_at: Due,
    has_answered: bool,
}

impl Concurrency {
    pub(crate) fn new(initial: u32) -> Self {
        Self {
            limit: initial.max(1),
            credit: 0,
            failures: 0,
            probe: Due::MIN,
            failed_at: Due::MIN,
            has_answered: false,
        }
    }

    /// Whether one more attempt may begin beside `n_under_way` others, once
    /// [`not_before`](Self::not_before) has come.
    pub(crate) const fn has_room(&self, n_under_way: u32) -> bool {
        if self.failures > 0 {
            n_under_way == 0
        } else {
            n_under_way < self.limit
        }
    }

    /// When an attempt may begin at the earliest.
    pub(crate) const fn not_before(&self) -> Due {
        if self.failures > 0 {
            self.probe
        } else {
            Due::MIN
        }
    }

    pub(crate) const fn limit(&self) -> u32 {
        self.limit
    }

    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// An attempt succeeded.
    pub(crate) const fn succeeded(&mut self, limit_max: u32) {
        self.answered();
        self.credit += 1;
        if self.credit >= self.limit && self.limit < limit_max {
            self.limit += 1;
            self.credit = 0;
        }
    }

    /// The site answered, if only to defer.
    pub(crate) const fn answered(&mut self) {
        self.failures = 0;
        self.has_answered = true;
    }

    pub(crate) const fn state(&self) -> SiteState {
        match (self.failures, self.has_answered) {
            (0, true) => SiteState::Up,
            (0, false) => SiteState::New,
            (1.., _) => SiteState::Down,
        }
    }

    /// When it failed last, while it is down.
    pub(crate) fn failed_at(&self) -> Option<Due> {
        (self.failures > 0).then_some(self.failed_at)
    }

    /// The site failed `now` an attempt that began when it had failed `failures_seen` times.
    /// Returns whether this is news: of the attempts that were under way together, the first tells
    /// all.
    pub(crate) fn failed(&mut self, now: Due, failures_seen: u32) -> bool {
        self.failed_at = now;
        if failures_seen != self.failures {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        self.limit = (self.limit / 2).max(1);
        self.credit = 0;
        true
    }

    /// The next probe of a site that is down may begin at `due`.
    pub(crate) const fn probe_at(&mut self, due: Due) {
        self.probe = due;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_grows_by_one_for_each_full_round_of_successes() {
        let mut site = Concurrency::new(2);
        for expected in [2, 3, 3, 3, 4] {
            site.succeeded(4);
            assert_eq!(site.limit(), expected);
        }
        for _ in 0..10 {
            site.succeeded(4);
        }
        assert_eq!(site.limit(), 4);
    }

    #[test]
    fn failures_of_attempts_that_began_together_count_once() {
        let mut site = Concurrency::new(8);
        assert!(site.failed(Due::MIN, 0));
        assert!(!site.failed(Due::MIN, 0));
        assert_eq!((site.limit(), site.failures()), (4, 1));
        assert!(!site.has_room(1) && site.has_room(0));
        assert!(site.failed(Due::MIN, 1));
        assert_eq!((site.limit(), site.failures()), (2, 2));
        site.answered();
        assert!(site.has_room(1) && !site.has_room(2));
    }
}
