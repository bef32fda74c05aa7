//! What is on disk, octet by octet, as `docs/spool-format.md` has it.
//!
//! Nothing here does I/O. Every decoder takes hostile octets: it returns `None` for what is not
//! exactly what an encoder wrote, and allocates no more than its input is long.

pub(crate) mod batch;
pub(crate) mod codec;
pub(crate) mod keys;
pub(crate) mod message;
pub(crate) mod record;
pub(crate) mod segment;
pub(crate) mod state;
pub(crate) mod summary;
pub(crate) mod superblock;

use mail::SpoolId;

/// The newest version of the format that this program knows.
pub(crate) const VERSION: u32 = 1;

/// Batches, header slots and the writes of new segments begin at multiples of this.
pub(crate) const BLOCK: u32 = 4096;

/// Which spool this is, and what seeds its checksums.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: SpoolId,
    /// Never leaves the superblock: who does not know it cannot put a record into a content.
    pub(crate) secret: [u8; 16],
}

/// Where in which life of a segment something lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    pub(crate) generation: u64,
    pub(crate) offset: u32,
}

impl Identity {
    /// The checksum of a batch or record header: holds only at this position of this spool.
    fn crc_at<const N: usize>(&self, position: Position, header: &[u8; N]) -> u32 {
        let mut crc = Crc::new();
        crc.update(&self.secret);
        crc.update(&self.id.to_bytes());
        crc.update(&position.generation.to_le_bytes());
        crc.update(&u64::from(position.offset).to_le_bytes());
        crc.update(header);
        crc.value()
    }

    /// The checksum of a file that belongs to this spool.
    fn crc_of(&self, bytes: &[u8]) -> u32 {
        let mut crc = Crc::new();
        crc.update(&self.secret);
        crc.update(bytes);
        crc.value()
    }
}

/// CRC-32C over what is given piece by piece.
#[derive(Clone)]
pub(crate) struct Crc(crc_fast::Digest);

impl Crc {
    pub(crate) fn new() -> Self {
        Self(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    #[expect(clippy::cast_possible_truncation, reason = "a CRC of 32 bits in a u64")]
    pub(crate) fn value(&self) -> u32 {
        self.0.finalize() as u32
    }
}

/// CRC-32C of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.value()
}

/// The next multiple of `to`, which is a power of two.
pub(crate) const fn align(n: u64, to: u64) -> u64 {
    (n + to - 1) & !(to - 1)
}

#[cfg(test)]
mod tests;
