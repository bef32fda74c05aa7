//! How long a process that died stays down.

use std::time::Duration;

use mail::Moment;

/// The delay after the first death.
const FIRST: Duration = Duration::from_millis(50);

/// The longest delay.
const LONGEST: Duration = Duration::from_secs(10);

/// A process that served this long is forgiven its earlier deaths. The back-off is there to bound
/// what starting costs; one start a second costs little, and whoever was served deserves an
/// instance that is back at once.
const QUIET: Duration = Duration::from_secs(1);

/// The delay before the next restart of one process: doubles with each death that follows a
/// short life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// No death yet.
    pub(super) const fn new() -> Self {
        Self { next: FIRST }
    }

    /// The process died at `now`, having accepted since `ready`; `None`: it never did. How long
    /// it stays down.
    pub(super) fn died(&mut self, ready: Option<Moment>, now: Moment) -> Duration {
        if ready.is_some_and(|since| now.since(since) >= QUIET) {
            *self = Self::new();
        }
        let delay = self.next;
        self.next = (delay * 2).min(LONGEST);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_its_bound() {
        let mut backoff = Backoff::new();
        let delays: Vec<u128> = (0..10)
            .map(|_| backoff.died(None, Moment::START).as_millis())
            .collect();
        assert_eq!(
            delays,
            [50, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
    }

    #[test]
    fn a_quiet_time_forgives_and_a_short_life_does_not() {
        let ready = Moment::START + Duration::from_secs(100);
        for (lived, expected) in [
            (QUIET, FIRST),
            (QUIET - Duration::from_millis(1), FIRST * 4),
        ] {
            let mut backoff = Backoff::new();
            backoff.died(None, Moment::START);
            backoff.died(None, Moment::START);
            assert_eq!(
                backoff.died(Some(ready), ready + lived),
                expected,
                "lived {lived:?}"
            );
        }
    }
}
