//! Whether a process still answers.
//!
//! A stopped or busy process is reported, never killed: it may hold what only it knows.

use std::time::Duration;

use mail::Moment;

/// How often a process is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// An answer that takes longer is missed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The heartbeat of one process. At most one ping is on its way, so that a process that stopped
/// does not find a thousand of them when it goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heartbeat {
    number: u64,
    asked: Option<Moment>,
    due: Moment,
    reported: bool,
}

/// What the heartbeat wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Report that it does not answer.
    Missed,
    /// Send this ping.
    Ping(u64),
}

impl Heartbeat {
    /// The first ping is due at `now`.
    pub(super) const fn new(now: Moment) -> Self {
        Self {
            number: 0,
            asked: None,
            due: now,
            reported: false,
        }
    }

    /// What is due at `now`; to be called until there is nothing more.
    pub(super) fn beat(&mut self, now: Moment) -> Option<Beat> {
        match self.asked {
            None if self.due <= now => {
                self.number += 1;
                self.asked = Some(now);
                Some(Beat::Ping(self.number))
            }
            Some(asked) if !self.reported && now.since(asked) >= PATIENCE => {
                self.reported = true;
                Some(Beat::Missed)
            }
            None | Some(_) => None,
        }
    }

    /// An answer came; true where its lack had been reported. A number that was not asked, from
    /// a process that is not to be trusted, counts for nothing.
    pub(super) fn answered(&mut self, number: u64, now: Moment) -> bool {
        if self.asked.is_none() || number != self.number {
            return false;
        }
        self.asked = None;
        self.due = now + INTERVAL;
        std::mem::take(&mut self.reported)
    }

    /// How long an answer has been missing, once that is worth a report.
    pub(super) fn silent_for(&self, now: Moment) -> Option<Duration> {
        let silent = now.since(self.asked?);
        (silent >= PATIENCE).then_some(silent)
    }

    /// When [`Self::beat`] has something to do next.
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        match self.asked {
            None => Some(self.due),
            Some(asked) if !self.reported => Some(asked + PATIENCE),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::START + Duration::from_millis(ms)
    }

    #[test]
    fn a_process_that_answers_is_asked_each_second() {
        let mut heart = Heartbeat::new(at(0));
        for n in 1..5 {
            let now = at((n - 1) * 1000);
            assert_eq!(heart.poll_timeout(), Some(now));
            assert_eq!(heart.beat(now), Some(Beat::Ping(n)));
            assert_eq!(heart.beat(now), None);
            assert!(!heart.answered(n, now));
        }
        assert_eq!(heart.silent_for(at(60_000)), None);
    }

    #[test]
    fn a_missing_answer_is_reported_once_and_its_return_too() {
        let mut heart = Heartbeat::new(at(0));
        assert_eq!(heart.beat(at(0)), Some(Beat::Ping(1)));
        assert_eq!(heart.beat(at(4999)), None);
        assert_eq!(heart.poll_timeout(), Some(at(5000)));
        assert_eq!(heart.beat(at(5000)), Some(Beat::Missed));
        assert_eq!(heart.beat(at(9000)), None);
        assert_eq!(heart.poll_timeout(), None);
        assert_eq!(heart.silent_for(at(9000)), Some(Duration::from_secs(9)));
        assert!(heart.answered(1, at(9500)));
        assert_eq!(heart.silent_for(at(9500)), None);
        assert_eq!(heart.beat(at(10_500)), Some(Beat::Ping(2)));
    }

    #[test]
    fn answers_nobody_asked_for_do_not_hide_a_silence() {
        let mut heart = Heartbeat::new(at(0));
        assert_eq!(heart.beat(at(0)), Some(Beat::Ping(1)));
        assert!(!heart.answered(2, at(1)));
        assert_eq!(heart.beat(at(5000)), Some(Beat::Missed));
    }
}
