//! The header of a segment, in two slots, of which the newer good one counts.

use super::codec::Decoder;
use super::{BLOCK, Identity, VERSION};

const MAGIC: &[u8; 8] = b"PSTNSEG1";

/// Where the first batch begins, behind the two slots.
pub(crate) const FIRST_BATCH: u32 = 2 * BLOCK;

/// Octets of an encoded header.
pub(crate) const LEN: usize = 84;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentState {
    /// No batch in it counts.
    Free,
    /// May hold a batch that is not durable, at its end.
    Active,
    /// Its durable batches end here; nothing is written to it any more.
    Sealed(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u32,
    pub(crate) generation: u64,
    /// How many times the header was written; says which slot is the newer one.
    pub(crate) counter: u64,
    pub(crate) len: u32,
    pub(crate) state: SegmentState,
    pub(crate) next_id: u64,
    pub(crate) first_sequence: u64,
}

impl SegmentHeader {
    /// Where this header goes, in this order. The first is not where the one before it went
    /// first, so that of two slots that differ the older one is overwritten.
    pub(crate) fn slot_offsets(&self) -> [u64; 2] {
        let block = u64::from(BLOCK);
        if self.counter.is_multiple_of(2) {
            [0, block]
        } else {
            [block, 0]
        }
    }

    pub(crate) fn encode(&self, identity: &Identity) -> [u8; LEN] {
        let (state, end) = match self.state {
            SegmentState::Free => (0u32, 0),
            SegmentState::Active => (1, 0),
            SegmentState::Sealed(end) => (2, end),
        };
        let mut out = [0; LEN];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.number.to_le_bytes());
        out[16..32].copy_from_slice(&identity.id.to_bytes());
        out[32..40].copy_from_slice(&self.generation.to_le_bytes());
        out[40..48].copy_from_slice(&self.counter.to_le_bytes());
        out[48..52].copy_from_slice(&self.len.to_le_bytes());
        out[52..56].copy_from_slice(&state.to_le_bytes());
        out[56..60].copy_from_slice(&end.to_le_bytes());
        out[64..72].copy_from_slice(&self.next_id.to_le_bytes());
        out[72..80].copy_from_slice(&self.first_sequence.to_le_bytes());
        let crc = identity.crc_of(&out[..80]);
        out[80..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the header that counts from the first two blocks of a segment.
    #[cfg(test)]
    pub(crate) fn decode(identity: &Identity, blocks: &[u8]) -> Option<Self> {
        Self::newer(Self::decode_slots(identity, blocks))
    }

    /// Reads both slots from the first two blocks of a segment.
    pub(crate) fn decode_slots(identity: &Identity, blocks: &[u8]) -> [Option<Self>; 2] {
        [0, BLOCK as usize].map(|at| Self::decode_slot(identity, blocks.get(at..at + LEN)?))
    }

    /// Of two slots the one that counts.
    pub(crate) fn newer(slots: [Option<Self>; 2]) -> Option<Self> {
        match slots {
            [Some(a), Some(b)] => Some(if a.counter > b.counter { a } else { b }),
            [a, b] => a.or(b),
        }
    }

    fn decode_slot(identity: &Identity, bytes: &[u8]) -> Option<Self> {
        let mut d = Decoder(bytes);
        if d.bytes(8)? != MAGIC || identity.crc_of(&bytes[..80]).to_le_bytes() != bytes[80..] {
            return None;
        }
        d.u32()?;
        let number = d.u32()?;
        d.bytes(16)?;
        let (generation, counter, len) = (d.u64()?, d.u64()?, d.u32()?);
        let state = match (d.u32()?, d.u32()?) {
            (0, _) => SegmentState::Free,
            (1, _) => SegmentState::Active,
            (2, end) if end <= len && end >= FIRST_BATCH => SegmentState::Sealed(end),
            _ => return None,
        };
        d.u32()?;
        Some(Self {
            number,
            generation,
            counter,
            len,
            state,
            next_id: d.u64()?,
            first_sequence: d.u64()?,
        })
    }
}
