//! Numbers that follow from a seed, so that a test that failed can be replayed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A stream of numbers (splitmix64); may be shared by threads.
#[derive(Debug)]
pub struct Random {
    state: AtomicU64,
}

impl Random {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
        }
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self
            .state
            .fetch_add(STEP, Ordering::Relaxed)
            .wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// A time from `from` on and before `to`, in whole microseconds.
    ///
    /// # Panics
    /// When `to` is not later than `from`.
    pub fn between(&self, from: Duration, to: Duration) -> Duration {
        let span = u64::try_from((to - from).as_micros()).expect("a test is shorter than that");
        from + Duration::from_micros(self.below(span))
    }
}
