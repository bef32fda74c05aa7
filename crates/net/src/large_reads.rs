//! How much may be read at once.
//!
//! Content is read in large pieces. What follows its end in the same piece must be kept until the
//! message has its reply, and a piece that finds no room in memory until it is in a file. Clients
//! send little there and disks are fast; so that many clients on a slow one cannot fill the memory,
//! what all keep beyond the usual is counted, and while it is too much, all pieces are small.

use std::sync::atomic::{AtomicUsize, Ordering};

use smtp::limits::INPUT_LEN_MAX;

/// The most that is kept in the whole process beyond [`INPUT_LEN_MAX`] for each connection, before
/// no more is read at once than that.
pub const EXCESS_MAX: usize = 1024 * 1024;

static EXCESS: AtomicUsize = AtomicUsize::new(0);

/// What one connection keeps beyond the usual; nothing any more when it is dropped.
#[derive(Debug)]
pub struct Excess(usize);

impl Excess {
    /// No more than usual.
    pub const NONE: Self = Self(0);

    /// So much waits on this connection now.
    pub fn set(&mut self, n_waiting: usize) {
        let excess = n_waiting.saturating_sub(INPUT_LEN_MAX);
        if excess != self.0 {
            EXCESS.fetch_add(excess, Ordering::Relaxed);
            EXCESS.fetch_sub(self.0, Ordering::Relaxed);
            self.0 = excess;
        }
    }
}

impl Drop for Excess {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// How much of `room` may be read at once.
pub(crate) fn readable(room: usize) -> usize {
    readable_beside(EXCESS.load(Ordering::Relaxed), room)
}

fn readable_beside(excess: usize, room: usize) -> usize {
    if excess < EXCESS_MAX {
        room
    } else {
        room.min(INPUT_LEN_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_pieces_are_read_while_little_waits_beyond_the_usual() {
        assert_eq!(readable_beside(EXCESS_MAX - 1, 64 * 1024), 64 * 1024);
        assert_eq!(readable_beside(EXCESS_MAX, 64 * 1024), INPUT_LEN_MAX);
        assert_eq!(readable_beside(EXCESS_MAX, 10), 10);
    }

    #[test]
    fn what_waits_beyond_the_usual_is_counted_while_it_waits() {
        let before = EXCESS.load(Ordering::Relaxed);
        let mut one = Excess::NONE;
        one.set(INPUT_LEN_MAX);
        assert_eq!(EXCESS.load(Ordering::Relaxed), before);
        one.set(INPUT_LEN_MAX + 7);
        one.set(INPUT_LEN_MAX + 5);
        assert_eq!(EXCESS.load(Ordering::Relaxed), before + 5);
        drop(one);
        assert_eq!(EXCESS.load(Ordering::Relaxed), before);
    }
}
