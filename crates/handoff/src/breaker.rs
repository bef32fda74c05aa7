//! The circuit breaker towards the next instance.
//!
//! One time-out opens it: from then on messages go to the own spool at once, without a wait. A
//! probe at a time finds out whether the next instance answers again; then one message at a time
//! is let through, until one got through in time.

use std::time::Duration;

use mail::Moment;

/// How long after a failure the next probe is sent.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// Whether handoffs are tried. Pure: time comes in.
#[derive(Debug)]
pub struct Breaker {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    /// A probe got through; one message may try.
    HalfOpen {
        trying: Option<Moment>,
    },
    Open {
        probe_at: Moment,
    },
}

/// What changed, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Handoffs work again.
    Closed,
    /// Mail goes to the own spool.
    Opened,
}

impl Breaker {
    /// Closed: handoffs are tried.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Closed,
        }
    }

    /// Whether a message may be handed off now. While half open, one at a time; one that was let
    /// through and never reported back does not block the way for longer than `patience`.
    pub fn admits(&mut self, now: Moment, patience: Duration) -> bool {
        match &mut self.state {
            State::Closed => true,
            State::Open { .. } => false,
            State::HalfOpen { trying } => {
                let free = trying.is_none_or(|since| now.since(since) > patience);
                if free {
                    *trying = Some(now);
                }
                free
            }
        }
    }

    /// A handoff got its answer in time.
    pub const fn succeeded(&mut self) -> Option<Change> {
        match self.state {
            State::Closed => None,
            State::HalfOpen { .. } | State::Open { .. } => {
                self.state = State::Closed;
                Some(Change::Closed)
            }
        }
    }

    /// A handoff or question got no answer in time, or no connection.
    pub fn failed(&mut self, now: Moment) -> Option<Change> {
        let was_closed = self.state == State::Closed;
        self.state = State::Open {
            probe_at: now + PROBE_INTERVAL,
        };
        was_closed.then_some(Change::Opened)
    }

    /// A probe was answered.
    pub fn probe_succeeded(&mut self) {
        if matches!(self.state, State::Open { .. }) {
            self.state = State::HalfOpen { trying: None };
        }
    }

    /// A probe was not answered in time. A message that got through meanwhile knows better.
    pub fn probe_failed(&mut self, now: Moment) {
        if matches!(self.state, State::Open { .. }) {
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
            State::Closed | State::HalfOpen { .. } => None,
        }
    }

    /// Whether mail goes to the own spool.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }
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

    #[test]
    fn one_failure_opens_it_and_a_message_that_got_through_closes_it() {
        let now = Moment::START;
        let mut breaker = Breaker::new();
        assert!(breaker.admits(now, PATIENCE));
        assert_eq!(breaker.failed(now), Some(Change::Opened));
        assert_eq!(breaker.failed(now), None);
        assert!(!breaker.admits(now, PATIENCE));
        assert_eq!(breaker.probe_at(), Some(now + PROBE_INTERVAL));
        breaker.probe_succeeded();
        assert!(breaker.admits(now, PATIENCE));
        assert!(!breaker.admits(now, PATIENCE), "one message at a time");
        assert_eq!(breaker.succeeded(), Some(Change::Closed));
        assert!(breaker.admits(now, PATIENCE) && breaker.admits(now, PATIENCE));
    }

    #[test]
    fn a_probe_that_fails_late_does_not_open_what_a_message_closed() {
        let mut breaker = Breaker::new();
        breaker.failed(Moment::START);
        breaker.succeeded();
        breaker.probe_failed(Moment::START);
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_message_that_never_reports_back_does_not_block_the_way() {
        let mut breaker = Breaker::new();
        breaker.failed(Moment::START);
        breaker.probe_succeeded();
        assert!(breaker.admits(Moment::START, PATIENCE));
        assert!(breaker.admits(Moment::START + PATIENCE * 2, PATIENCE));
    }
}
