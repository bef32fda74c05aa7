//! The octets of a file, without the holes: a spool is mostly zeros.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The unit in which they are kept.
const BLOCK: usize = 4096;

/// What a file holds; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Octets {
    len: u64,
    /// Those that are not all zeros, and some that are, by their number.
    blocks: BTreeMap<u64, Arc<Block>>,
}

#[derive(Debug)]
struct Block {
    octets: [u8; BLOCK],
    /// Kept, as most blocks are the same in thousands of images.
    digest: OnceLock<u64>,
}

impl Block {
    const fn zeros() -> Self {
        Self {
            octets: [0; BLOCK],
            digest: OnceLock::new(),
        }
    }

    fn is_zero(&self) -> bool {
        self.octets == [0; BLOCK]
    }

    fn digest(&self) -> u64 {
        *self.digest.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            self.octets.hash(&mut hasher);
            hasher.finish()
        })
    }
}

impl Clone for Block {
    fn clone(&self) -> Self {
        let mut block = Self::zeros();
        block.octets = self.octets;
        block
    }
}

impl Octets {
    /// Cuts off what is beyond `len`, or adds zeros up to it.
    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.fill(len, self.len - len);
        }
        self.len = len;
    }

    /// Puts `data` at `offset`.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        self.each_part(offset, data.len() as u64, |block, at, from, n| {
            block[at..at + n].copy_from_slice(&data[from..from + n]);
        });
    }

    /// Puts `n` zeros at `offset`.
    pub(super) fn fill(&mut self, offset: u64, n: u64) {
        let size = BLOCK as u64;
        let (first, last) = (offset.div_ceil(size), (offset + n) / size);
        if first < last {
            // Whole blocks need not be made in order to hold nothing.
            let mut rest = self.blocks.split_off(&first);
            self.blocks.append(&mut rest.split_off(&last));
            self.len = self.len.max(last * size);
            self.each_part(offset, first * size - offset, |block, at, _, n| {
                block[at..at + n].fill(0);
            });
            self.each_part(last * size, offset + n - last * size, |block, at, _, n| {
                block[at..at + n].fill(0);
            });
        } else {
            self.each_part(offset, n, |block, at, _, n| block[at..at + n].fill(0));
        }
    }

    /// Calls `change` with each block that the `n` octets at `offset` touch: where in the block,
    /// where among the octets, and how many.
    fn each_part(
        &mut self,
        offset: u64,
        n: u64,
        mut change: impl FnMut(&mut [u8; BLOCK], usize, usize, usize),
    ) {
        let size = BLOCK as u64;
        let mut done = 0;
        while done < n {
            let position = offset + done;
            let at = usize::try_from(position % size).expect("less than a block");
            let part = (size - position % size).min(n - done);
            let len = usize::try_from(part).expect("at most a block");
            let from = usize::try_from(done).expect("a write fits into memory");
            let block = self.blocks.entry(position / size);
            let block = block.or_insert_with(|| Arc::new(Block::zeros()));
            let block = Arc::make_mut(block);
            block.digest = OnceLock::new();
            change(&mut block.octets, at, from, len);
            done += part;
        }
        if n > 0 {
            self.len = self.len.max(offset + n);
        }
    }

    /// Makes a file of them.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.len)?;
        // Blocks that follow each other are written at once.
        let mut run = (0, Vec::new());
        for (number, block) in &self.blocks {
            let offset = number * BLOCK as u64;
            if run.0 + run.1.len() as u64 != offset {
                file.write_all_at(&run.1, run.0)?;
                run = (offset, Vec::new());
            }
            let n = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(BLOCK);
            run.1.extend_from_slice(&block.octets[..n.min(BLOCK)]);
        }
        file.write_all_at(&run.1, run.0)?;
        Ok(())
    }

    /// How many there are.
    pub(super) const fn n_octets(&self) -> u64 {
        self.len
    }

    /// All of them.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut all = vec![0; usize::try_from(self.len).expect("it fits into memory")];
        for (number, block) in &self.blocks {
            let number = usize::try_from(*number).expect("it fits into memory");
            let chunk = all.chunks_mut(BLOCK).nth(number);
            if let Some(chunk) = chunk {
                chunk.copy_from_slice(&block.octets[..chunk.len()]);
            }
        }
        all
    }

    /// Two files with the same are the same.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.len.hash(&mut hasher);
        let blocks = self.blocks.iter().filter(|(_, block)| !block.is_zero());
        for (number, block) in blocks {
            (number, block.digest()).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Whether `bytes` are the same.
    pub(super) fn equal(&self, bytes: &[u8]) -> bool {
        let mut other = Self::default();
        other.write(0, bytes);
        let nonzero = |octets: &Self| {
            let blocks = octets.blocks.iter().filter(|(_, block)| !block.is_zero());
            blocks
                .map(|(number, block)| (*number, block.octets))
                .collect::<Vec<_>>()
        };
        self.len == other.len && nonzero(self) == nonzero(&other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_a_plain_vector_would_hold() {
        let random = crate::random::Random::new(7);
        let (mut octets, mut plain) = (Octets::default(), Vec::new());
        for _ in 0..2000 {
            let [offset, n] =
                [20_000, 9_000].map(|max| usize::try_from(random.below(max)).unwrap());
            let octet = u8::try_from(random.below(256)).unwrap();
            let is_length = random.below(4) == 0;
            if is_length {
                octets.set_len(offset as u64);
                plain.resize(offset, 0);
            } else if n > 0 {
                if octet.is_multiple_of(2) {
                    octets.fill(offset as u64, n as u64);
                } else {
                    octets.write(offset as u64, &vec![octet; n]);
                }
                plain.resize(plain.len().max(offset + n), 0);
                plain[offset..offset + n].fill(octet * (octet % 2));
            }
            assert!(octets.equal(&plain));
            assert_eq!(octets.to_vec(), plain);
            let mut again = Octets::default();
            again.write(0, &plain);
            assert_eq!(octets.digest(), again.digest());
            if !plain.is_empty() {
                again.write(0, &[plain[0] ^ 1]);
                assert_ne!(octets.digest(), again.digest());
            }
        }
    }
}
