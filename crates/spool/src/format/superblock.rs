//! The superblock: identity, secret, epoch, number of segments.

use mail::SpoolId;

use super::codec::Decoder;
use super::{Identity, VERSION, crc32c};

const MAGIC: &[u8; 8] = b"PSTNSPL1";

/// Octets of an encoded superblock.
pub(crate) const LEN: usize = 68;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) identity: Identity,
    pub(crate) epoch: u64,
    pub(crate) first_id: u64,
    /// At least so many segments are there.
    pub(crate) n_segments: u32,
}

/// What a file that should be a superblock is.
#[derive(PartialEq, Eq)]
pub(crate) enum Read {
    Bad,
    Good(Superblock),
    Newer(u32),
}

impl Superblock {
    pub(crate) fn encode(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&self.n_segments.to_le_bytes());
        out[16..32].copy_from_slice(&self.identity.id.to_bytes());
        out[32..48].copy_from_slice(&self.identity.secret);
        out[48..56].copy_from_slice(&self.epoch.to_le_bytes());
        out[56..64].copy_from_slice(&self.first_id.to_le_bytes());
        let crc = crc32c(&out[..64]);
        out[64..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Read {
        Self::decode_any(bytes).unwrap_or(Read::Bad)
    }

    fn decode_any(bytes: &[u8]) -> Option<Read> {
        let mut d = Decoder(bytes);
        if d.bytes(8)? != MAGIC {
            return None;
        }
        let version = d.u32()?;
        // A newer version may be longer: the checksum of its first part is the same, so that a
        // flipped bit is not taken for a newer version.
        if bytes.len() < LEN || crc32c(&bytes[..64]).to_le_bytes() != bytes[64..LEN] {
            return None;
        }
        if version > VERSION {
            return Some(Read::Newer(version));
        }
        let n_segments = d.u32()?;
        let identity = Identity {
            id: SpoolId::from_bytes(d.array()?),
            secret: d.array()?,
        };
        Some(Read::Good(Self {
            identity,
            epoch: d.u64()?,
            first_id: d.u64()?,
            n_segments,
        }))
    }
}
