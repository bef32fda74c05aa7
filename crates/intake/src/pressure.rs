//! What a queue that fills means for who brings more: nothing, a delay, or 452.
//!
//! From half of what may wait on, clients from outside wait before each message, the longer the
//! fuller it is: those who send one after the other are slowed down to what can be delivered. When
//! it is full they are told to come again. Mail of our own is counted apart, with as much room, and
//! is never slowed down: neither flood takes the other's place.
//!
//! Pure: counts come in.

use std::time::Duration;

use handoff::Load;

/// The longest that a client waits before a message. With so long a pause, a hundred connections
/// bring a hundred messages a second at most.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(1);

/// How many messages may wait in an instance's queue: so many from outside, and as many of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Another one is taken while fewer of its kind wait.
    pub messages_max: u64,
}

impl Capacity {
    /// Whether another message is taken while `n_waiting` wait.
    pub(crate) const fn takes(self, n_waiting: u64) -> bool {
        n_waiting < self.messages_max
    }

    /// How far it is from half full to full.
    pub(crate) fn load(self, n_waiting: u64) -> Load {
        let half = self.messages_max / 2;
        let beyond = u128::from(n_waiting.saturating_sub(half)) * u128::from(Load::MAX.0);
        let percent = beyond / u128::from((self.messages_max - half).max(1));
        Load(u8::try_from(percent).unwrap_or(u8::MAX).min(Load::MAX.0))
    }
}

/// How long a client from outside waits before a message.
pub(crate) fn delay(load: Load) -> Duration {
    DELAY_MAX * u32::from(load.0) / u32::from(Load::MAX.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: Capacity = Capacity { messages_max: 1000 };

    #[test]
    fn a_queue_that_is_less_than_half_full_slows_nobody_and_a_full_one_takes_nothing() {
        for (n_waiting, load, takes) in [
            (0, 0, true),
            (500, 0, true),
            (750, 50, true),
            (999, 99, true),
            (1000, 100, false),
            (u64::MAX, 100, false),
        ] {
            assert_eq!(CAPACITY.load(n_waiting), Load(load), "{n_waiting}");
            assert_eq!(CAPACITY.takes(n_waiting), takes, "{n_waiting}");
        }
        let least = Capacity { messages_max: 1 };
        assert!(least.takes(0) && !least.takes(1));
        assert_eq!(least.load(1), Load::MAX);
    }

    #[test]
    fn the_delay_rises_with_the_load_to_its_bound() {
        assert_eq!(delay(Load::NONE), Duration::ZERO);
        assert_eq!(delay(Load(50)), DELAY_MAX / 2);
        assert_eq!(delay(Load::MAX), DELAY_MAX);
    }
}
