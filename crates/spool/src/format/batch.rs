//! The header of a batch.

use super::codec::Decoder;
use super::{Identity, Position};

const MAGIC: &[u8; 4] = b"PBAT";

/// Octets of an encoded header.
pub(crate) const LEN: usize = HEADER_LEN as usize;

/// The same, as lengths within a segment are counted.
pub(crate) const HEADER_LEN: u32 = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// Octets of header and records.
    pub(crate) len: u32,
    pub(crate) sequence: u64,
    /// Where the durable batches of the segment ended when this one was written.
    pub(crate) durable: u32,
    pub(crate) n_records: u32,
    pub(crate) next_id: u64,
}

impl BatchHeader {
    pub(crate) fn encode(&self, identity: &Identity, position: Position) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..4].copy_from_slice(MAGIC);
        out[4..8].copy_from_slice(&self.len.to_le_bytes());
        out[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        out[16..20].copy_from_slice(&self.durable.to_le_bytes());
        out[20..24].copy_from_slice(&self.n_records.to_le_bytes());
        out[24..32].copy_from_slice(&self.next_id.to_le_bytes());
        let covered: [u8; 36] = std::array::from_fn(|i| out[i]);
        let crc = identity.crc_at(position, &covered);
        out[36..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(identity: &Identity, position: Position, bytes: &[u8]) -> Option<Self> {
        if bytes.get(..4)? != MAGIC {
            return None;
        }
        let mut d = Decoder(bytes.get(..LEN)?);
        let covered: [u8; 36] = d.array()?;
        if d.u32()? != identity.crc_at(position, &covered) {
            return None;
        }
        let mut d = Decoder(&covered[4..]);
        let header = Self {
            len: d.u32()?,
            sequence: d.u64()?,
            durable: d.u32()?,
            n_records: d.u32()?,
            next_id: d.u64()?,
        };
        (header.len as usize >= LEN && header.durable <= position.offset).then_some(header)
    }
}
