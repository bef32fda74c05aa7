//! Memory for contents, whatever their size, while they arrive and are handed on, and for envelopes
//! that are not small.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most that all contents of an instance take together, in octets. What finds no room goes to a
/// file.
pub const CONTENTS_IN_MEMORY_MAX: usize = 32 * 1024 * 1024;

/// What the sessions of an instance share; survives a reload.
#[derive(Debug)]
pub struct ContentMemory {
    max: usize,
    n_taken: AtomicUsize,
}

impl Default for ContentMemory {
    fn default() -> Self {
        Self::new(CONTENTS_IN_MEMORY_MAX)
    }
}

/// For whom memory is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A small content, or an envelope: they may have all there is.
    Small,
    /// A large content, or what is gathered for a file: a quarter is left to the small ones.
    Large,
}

/// A part of it, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<ContentMemory>,
    len: usize,
}

impl ContentMemory {
    /// So many octets.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self {
            max,
            n_taken: AtomicUsize::new(0),
        }
    }

    /// Nothing yet.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share {
            of: Arc::clone(self),
            len: 0,
        }
    }

    const fn max_for(&self, purpose: Purpose) -> usize {
        match purpose {
            Purpose::Large => self.max - self.max / 4,
            Purpose::Small => self.max,
        }
    }
}

impl Share {
    /// Takes more, or gives back, so that it is `len` octets; false, and as before, where there is
    /// not as much.
    pub(crate) fn set(&mut self, len: usize, purpose: Purpose) -> bool {
        let Some(more) = len.checked_sub(self.len) else {
            self.of.n_taken.fetch_sub(self.len - len, Ordering::Relaxed);
            self.len = len;
            return true;
        };
        let max = self.of.max_for(purpose);
        let taken = self
            .of
            .n_taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                Some(n + more).filter(|&n| more == 0 || n <= max)
            });
        if taken.is_ok() {
            self.len = len;
        }
        taken.is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.n_taken.fetch_sub(self.len, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1000;

    #[test]
    fn shares_are_bounded_together_and_given_back() {
        use Purpose::Small;
        let memory = Arc::new(ContentMemory::new(MAX));
        let (mut one, mut other) = (memory.share(), memory.share());
        assert!(one.set(MAX - 1, Small));
        assert!(one.set(MAX - 1, Small), "it has as much");
        assert!(!other.set(2, Small));
        assert!(other.set(1, Small));
        assert!(!one.set(MAX, Small));
        assert!(one.set(10, Small) && other.set(MAX - 10, Small));
        drop(one);
        assert!(other.set(MAX, Small));
        drop(other);
        assert_eq!(memory.n_taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn large_contents_leave_a_quarter_to_small_ones() {
        let memory = Arc::new(ContentMemory::new(MAX));
        let (mut large, mut small) = (memory.share(), memory.share());
        assert!(!large.set(MAX / 4 * 3 + 1, Purpose::Large));
        assert!(large.set(MAX / 4 * 3, Purpose::Large));
        assert!(small.set(MAX / 4, Purpose::Small));
        assert!(large.set(MAX / 4 * 3, Purpose::Large), "it has as much");
    }
}
