//! Memory for contents that are too large to be kept without asking, and too small to be worth a
//! file on their way to the next instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most that such contents take together, in octets.
pub const CONTENTS_IN_MEMORY_MAX: usize = 32 * 1024 * 1024;

/// What the sessions of an instance share; survives a reload.
#[derive(Debug, Default)]
pub struct ContentMemory {
    n_taken: AtomicUsize,
}

/// A part of it, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<ContentMemory>,
    len: usize,
}

impl ContentMemory {
    /// Nothing yet.
    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share {
            of: Arc::clone(self),
            len: 0,
        }
    }
}

impl Share {
    /// Takes more, up to `len` octets; false where there is not as much.
    pub(crate) fn grow(&mut self, len: usize) -> bool {
        let more = len.saturating_sub(self.len);
        let taken = self
            .of
            .n_taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                Some(n + more).filter(|&n| n <= CONTENTS_IN_MEMORY_MAX)
            });
        if taken.is_ok() {
            self.len += more;
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

    #[test]
    fn shares_are_bounded_together_and_given_back() {
        let memory = Arc::new(ContentMemory::default());
        let (mut one, mut other) = (memory.share(), memory.share());
        assert!(one.grow(CONTENTS_IN_MEMORY_MAX - 1));
        assert!(one.grow(1), "it has as much");
        assert!(!other.grow(2));
        assert!(other.grow(1));
        assert!(!one.grow(CONTENTS_IN_MEMORY_MAX));
        drop(one);
        assert!(other.grow(CONTENTS_IN_MEMORY_MAX));
        drop(other);
        assert_eq!(memory.n_taken.load(Ordering::Relaxed), 0);
    }
}
