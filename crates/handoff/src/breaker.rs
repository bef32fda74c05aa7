//! The circuit breaker towards the next instance.
//!
//! One time-out opens it: from then on messages go to the own spool at once, without a wait, and no
//! recipient is asked about. A probe at a time finds out whether the next instance answers again;
//! any answer closes the breaker, and questions are asked again at once. Messages are more careful,
//! since an instance with a slow disk answers questions and stores nothing: one at a time is let
//! through, until one got through in time.
//!
//! # Limits
//! Probes are [`PROBE_INTERVAL`] apart. Where one message after the other gets no answer, they are
//! tried ever more seldom, at least every [`TRIAL_PAUSE_MAX`].

use std::time::Duration;

use mail::Moment;

/// How long after a failure the next probe is sent.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// The longest pause between two messages that are let through to an instance which answers
/// questions, and messages not in time.
pub const TRIAL_PAUSE_MAX: Duration = Duration::from_secs(16);

/// Whether handoffs are tried. Pure: time comes in.
#[derive(Debug)]
pub struct Breaker {
    state: State,
    /// Since a failure, until a message got through in time.
    trial: Option<Trial>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { since: Moment },
    Open { probe_at: Moment },
}

/// Which message may be tried, while none got through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trial {
    /// Since when one is tried.
    trying: Option<Moment>,
    /// When the next may be.
    next_at: Moment,
    /// How many were tried in vain.
    n_failed: u32,
}

/// What changed, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The next instance answers again.
    Closed,
    /// Mail goes to the own spool.
    Opened,
}

impl Breaker {
    /// Closed: handoffs are tried.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Closed {
                since: Moment::START,
            },
            trial: None,
        }
    }

    /// Whether a message may be handed off now. Since a failure, one at a time; one that was let
    /// through and never reported back does not block the way for longer than `patience`.
    pub fn admits(&mut self, now: Moment, patience: Duration) -> bool {
        if self.is_open() {
            return false;
        }
        let Some(trial) = &mut self.trial else {
            return true;
        };
        let is_free = trial.trying.is_none_or(|since| now.since(since) > patience);
        let is_due = is_free && now >= trial.next_at;
        if is_due {
            trial.trying = Some(now);
        }
        is_due
    }

    /// Whether a question may be asked now.
    #[must_use]
    pub const fn admits_questions(&self) -> bool {
        !self.is_open()
    }

    /// The next instance answered a probe or a question.
    pub const fn answered(&mut self, now: Moment) -> Option<Change> {
        if !self.is_open() {
            return None;
        }
        self.state = State::Closed { since: now };
        Some(Change::Closed)
    }

    /// A message that was let through came to nothing, and shows nothing of the next instance.
    pub const fn came_to_nothing(&mut self) {
        if let Some(trial) = &mut self.trial {
            trial.trying = None;
        }
    }

    /// A message got its answer in time.
    pub const fn succeeded(&mut self, now: Moment) -> Option<Change> {
        self.trial = None;
        self.answered(now)
    }

    /// A message or question that was begun at `begun` got no answer in time, or no connection.
    /// One that was begun before the last answer shows nothing new.
    pub fn failed(&mut self, begun: Moment, now: Moment) -> Option<Change> {
        let was_closed = match self.state {
            State::Closed { since } if begun < since => return None,
            State::Closed { .. } => true,
            State::Open { .. } => false,
        };
        let trial = self.trial.get_or_insert(Trial {
            trying: None,
            next_at: now,
            n_failed: 0,
        });
        if trial.trying == Some(begun) {
            trial.trying = None;
            trial.n_failed = trial.n_failed.saturating_add(1);
            trial.next_at = now + trial_pause(trial.n_failed);
        }
        self.state = State::Open {
            probe_at: now + PROBE_INTERVAL,
        };
        was_closed.then_some(Change::Opened)
    }

    /// A probe was not answered in time. A message that got through meanwhile knows better.
    pub fn probe_failed(&mut self, now: Moment) {
        if self.is_open() {
            self.state = State::Open {
                probe_at: now + PROBE_INTERVAL,
            };
        }
    }

    /// When the next probe is due, while open.
    #[must_use]
    pub const fn probe_at(&self) -> Option<Moment> {
        match self.state {
            State::Open { probe_at } => Some(probe_at),
            State::Closed { .. } => None,
        }
    }

    /// Whether mail goes to the own spool, because nothing is answered.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }
}

/// How long after the `n`th message in a row that was tried in vain the next may be tried.
fn trial_pause(n_failed: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(n_failed.saturating_sub(1));
    PROBE_INTERVAL.saturating_mul(doubled).min(TRIAL_PAUSE_MAX)
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);
    const START: Moment = Moment::START;

    fn at(milliseconds: u64) -> Moment {
        START + Duration::from_millis(milliseconds)
    }

    #[test]
    fn one_failure_opens_it_and_a_message_that_got_through_closes_it() {
        let mut breaker = Breaker::new();
        assert!(breaker.admits(START, PATIENCE));
        assert_eq!(breaker.failed(START, START), Some(Change::Opened));
        assert_eq!(breaker.failed(START, START), None);
        assert!(!breaker.admits(START, PATIENCE));
        assert_eq!(breaker.probe_at(), Some(START + PROBE_INTERVAL));
        assert_eq!(breaker.succeeded(at(1)), Some(Change::Closed));
        assert!(breaker.admits(at(1), PATIENCE) && breaker.admits(at(1), PATIENCE));
    }

    #[test]
    fn any_answer_closes_it_and_then_messages_go_one_at_a_time() {
        let mut breaker = Breaker::new();
        breaker.failed(START, START);
        assert!(!breaker.admits_questions());
        assert_eq!(breaker.answered(at(1)), Some(Change::Closed));
        assert_eq!(breaker.answered(at(1)), None, "once");
        assert!(breaker.admits_questions() && !breaker.is_open());
        assert_eq!(breaker.probe_at(), None);
        assert!(breaker.admits(at(1), PATIENCE));
        assert!(!breaker.admits(at(1), PATIENCE), "one message at a time");
        assert_eq!(breaker.succeeded(at(2)), None, "it was closed");
        assert!(breaker.admits(at(2), PATIENCE) && breaker.admits(at(2), PATIENCE));
    }

    #[test]
    fn the_next_probe_is_due_one_interval_after_the_last_one_failed() {
        let mut breaker = Breaker::new();
        breaker.failed(START, START);
        assert_eq!(breaker.probe_at(), Some(at(500)));
        breaker.probe_failed(at(2_500));
        assert_eq!(breaker.probe_at(), Some(at(3_000)));
        breaker.probe_failed(at(5_000));
        assert_eq!(breaker.probe_at(), Some(at(5_500)));
        breaker.failed(at(4_000), at(6_000));
        assert_eq!(breaker.probe_at(), Some(at(6_500)));
    }

    #[test]
    fn a_probe_that_fails_late_does_not_open_what_a_message_closed() {
        let mut breaker = Breaker::new();
        breaker.failed(START, START);
        breaker.succeeded(START);
        breaker.probe_failed(START);
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_failure_of_what_was_begun_before_the_last_answer_shows_nothing() {
        let mut breaker = Breaker::new();
        breaker.failed(START, at(2_000));
        breaker.answered(at(2_500));
        assert_eq!(breaker.failed(at(1_000), at(3_000)), None);
        assert!(!breaker.is_open());
        assert_eq!(breaker.failed(at(2_500), at(4_500)), Some(Change::Opened));
    }

    #[test]
    fn a_message_that_never_reports_back_does_not_block_the_way() {
        let mut breaker = Breaker::new();
        breaker.failed(START, START);
        breaker.answered(START);
        assert!(breaker.admits(START, PATIENCE));
        assert!(breaker.admits(START + PATIENCE * 2, PATIENCE));
    }

    #[test]
    fn a_message_that_could_not_be_read_makes_room_for_the_next() {
        let mut breaker = Breaker::new();
        breaker.failed(START, START);
        breaker.answered(START);
        assert!(breaker.admits(START, PATIENCE));
        breaker.came_to_nothing();
        assert!(breaker.admits(START, PATIENCE));
    }

    #[test]
    fn messages_that_get_no_answer_are_tried_ever_more_seldom_and_never_not_at_all() {
        let mut breaker = Breaker::new();
        let mut now = START;
        breaker.failed(START, START);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            breaker.answered(now);
            let asked_at = now;
            while !breaker.admits(now, PATIENCE) {
                now = now + Duration::from_millis(100);
            }
            pauses.push(now.since(asked_at).as_millis());
            let begun = now;
            now = now + PATIENCE;
            breaker.failed(begun, now);
        }
        let expected = [0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 16_000];
        assert_eq!(pauses, expected);
        breaker.answered(now);
        assert!(breaker.admits_questions(), "recipients are asked about");
        breaker.succeeded(now);
        assert!(breaker.admits(now, PATIENCE) && breaker.admits(now, PATIENCE));
    }
}
