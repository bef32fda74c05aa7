//! Randomness from the kernel, drawn in blocks so that a message does not cost a system call.

use std::sync::Mutex;

use mail::{Timestamp, TraceId};
use rustix::rand::{GetRandomFlags, getrandom};

/// A source of random numbers; shared by reference.
#[derive(Debug)]
pub struct Entropy {
    block: Mutex<Block>,
}

const BLOCK_LEN: usize = 512;

#[derive(Debug)]
struct Block {
    bytes: [u8; BLOCK_LEN],
    used: usize,
}

impl Entropy {
    /// A source that draws its first block when it is first asked.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            block: Mutex::new(Block {
                bytes: [0; BLOCK_LEN],
                used: BLOCK_LEN,
            }),
        }
    }

    /// 128 random bits.
    pub fn u128(&self) -> u128 {
        let mut block = self
            .block
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if block.used + 16 > BLOCK_LEN {
            block.refill();
        }
        let from = block.used;
        block.used += 16;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&block.bytes[from..from + 16]);
        u128::from_ne_bytes(bytes)
    }

    /// 64 random bits.
    pub fn u64(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "half of the bits are asked for"
        )]
        let half = self.u128() as u64;
        half
    }

    /// A new trace id for a message that arrived at `now`.
    pub fn trace_id(&self, now: Timestamp) -> TraceId {
        TraceId::new(now, self.u128())
    }
}

impl Default for Entropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Block {
    fn refill(&mut self) {
        let mut filled = 0;
        while filled < BLOCK_LEN {
            // Fails only for a signal (tried again) or on a kernel without the call, where
            // nothing of this program can work.
            filled += getrandom(&mut self.bytes[filled..], GetRandomFlags::empty()).unwrap_or(0);
        }
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_repeat_across_blocks() {
        let entropy = Entropy::new();
        let drawn: std::collections::HashSet<_> = (0..100).map(|_| entropy.u128()).collect();
        assert_eq!(drawn.len(), 100);
    }
}
