//! How long to wait before the next attempt.

use std::time::Duration;

/// A schedule of growing delays; the last one repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    steps: [Duration; STEPS_MAX],
    n_steps: usize,
}

/// The most steps of a schedule.
const STEPS_MAX: usize = 16;

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

impl Backoff {
    /// For a recipient that another host deferred. RFC 5321 §4.5.4.1 asks for 30 minutes at least
    /// once the first attempts are through; the short first steps meet greylisting.
    pub const WORLD: Self = Self::new(&[
        minutes(1),
        minutes(3),
        minutes(10),
        minutes(30),
        minutes(60),
        minutes(120),
        minutes(240),
    ]);

    /// For the probes of a host that cannot be reached: never rarer than every half hour, so that
    /// its mail flows soon after it is back, and cheap, since one attempt stands for all its jobs.
    pub const SITE: Self = Self::new(&[minutes(1), minutes(3), minutes(10), minutes(30)]);

    /// For the next instance of this system: it is back within seconds, or an operator is at work.
    pub const EDGE: Self =
        Self::new(&[seconds(1), seconds(2), seconds(5), seconds(10), seconds(30)]);

    /// A schedule of `steps`.
    ///
    /// # Panics
    /// Without a step, with more than 16, or when one is over a day.
    #[must_use]
    pub const fn new(steps: &[Duration]) -> Self {
        assert!(!steps.is_empty() && steps.len() <= STEPS_MAX);
        let mut copied = [Duration::ZERO; STEPS_MAX];
        let mut i = 0;
        while i < steps.len() {
            assert!(steps[i].as_secs() <= 86_400);
            copied[i] = steps[i];
            i += 1;
        }
        Self {
            steps: copied,
            n_steps: steps.len(),
        }
    }

    /// The first of `steps`, and from the last of them on the double of the one before, up to
    /// `longest`. Whatever is given, the schedule has a step and none over a day.
    #[must_use]
    pub fn doubling(steps: &[Duration], longest: Duration) -> Self {
        let longest = longest.clamp(Duration::from_secs(1), Duration::from_secs(86_400));
        let mut all: Vec<Duration> = steps
            .iter()
            .take(STEPS_MAX)
            .map(|step| (*step).clamp(Duration::from_secs(1), longest))
            .collect();
        let mut last = all.last().copied().unwrap_or(Duration::from_secs(30));
        while last < longest && all.len() < STEPS_MAX {
            last = (last * 2).min(longest);
            all.push(last);
        }
        if all.is_empty() {
            all.push(longest);
        }
        Self::new(&all)
    }

    /// No delay is longer.
    #[must_use]
    pub fn longest(self) -> Duration {
        let step = self.steps[..self.n_steps].iter().max().copied();
        let step = step.unwrap_or_default();
        step + step / 8
    }

    /// The delay after `attempts` attempts (the first is 1), with jitter of up to an eighth to
    /// either side, so that what failed together is not tried again together.
    ///
    /// `entropy` is any 64 bits; the same bits give the same delay.
    #[must_use]
    pub fn delay(self, attempts: u32, entropy: u64) -> Duration {
        let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let step = self.steps[index.min(self.n_steps - 1)];
        let eighth = u64::try_from(step.as_millis() / 8).unwrap_or(0);
        step - Duration::from_millis(eighth) + Duration::from_millis(entropy % (2 * eighth + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_stay_within_an_eighth_of_their_step() {
        for (attempts, minutes) in [
            (0, 1),
            (1, 1),
            (2, 3),
            (3, 10),
            (4, 30),
            (7, 240),
            (99, 240),
        ] {
            for entropy in [0, 1, 12_345_678_901, u64::MAX] {
                let delay = Backoff::WORLD.delay(attempts, entropy).as_millis();
                let step = minutes * 60_000;
                assert!(
                    delay >= step * 7 / 8 && delay <= step * 9 / 8,
                    "{attempts}: {delay}"
                );
            }
        }
    }

    #[test]
    fn a_configured_schedule_doubles_up_to_its_longest_pause() {
        let schedule = |steps: &[u64], longest: u64| {
            let steps: Vec<_> = steps.iter().map(|s| seconds(*s)).collect();
            let made = Backoff::doubling(&steps, seconds(longest));
            made.steps[..made.n_steps]
                .iter()
                .map(Duration::as_secs)
                .collect::<Vec<_>>()
        };
        assert_eq!(schedule(&[60, 180], 1000), [60, 180, 360, 720, 1000]);
        assert_eq!(schedule(&[60, 180], 100), [60, 100]);
        assert_eq!(schedule(&[], 10), [10]);
        assert_eq!(schedule(&[1; 40], 86_400).len(), STEPS_MAX);
    }

    #[test]
    fn no_delay_is_longer_than_the_longest() {
        for schedule in [Backoff::WORLD, Backoff::SITE, Backoff::EDGE] {
            let delays = (0..20).map(|n| schedule.delay(n, 2 * (240 * 60_000 / 8)));
            assert!(delays.max().unwrap() <= schedule.longest());
        }
        let widest = Backoff::EDGE.delay(5, 7500);
        assert_eq!(widest, Backoff::EDGE.longest());
    }

    #[test]
    fn jitter_uses_the_whole_width() {
        assert_eq!(Backoff::EDGE.delay(1, 0), Duration::from_millis(875));
        assert_eq!(Backoff::EDGE.delay(1, 250), Duration::from_millis(1125));
        assert_eq!(Backoff::EDGE.delay(1, 251), Duration::from_millis(875));
    }
}
