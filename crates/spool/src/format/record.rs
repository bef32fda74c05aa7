//! The header of a record, and how the three parts of a meta are put together.

use mail::MessageId;

use super::codec::Decoder;
use super::{Identity, Position, align};
use crate::limits::META_LEN_MAX;

const MAGIC: &[u8; 2] = b"PR";

/// Octets of an encoded header.
pub(crate) const LEN: usize = HEADER_LEN as usize;

/// The same, as lengths within a segment are counted.
pub(crate) const HEADER_LEN: u32 = 48;

/// Records begin at multiples of this.
pub(crate) const ALIGN: u64 = 8;

/// The longest record of what became of a message to so many recipients, when every reply is
/// without its text; a record of its end is shorter. This much is set aside for each message.
pub(crate) const fn outcome_len_max(n_recipients: u32) -> u64 {
    const STATE: u64 = 72;
    const RECIPIENT: u64 = 64;
    LEN as u64 + STATE + RECIPIENT * n_recipients as u64
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message begins.
    Accepted = 1,
    /// A message that lies further back, copied forward with its state.
    Moved = 2,
    /// The state of a message.
    State = 3,
    /// A message ends.
    Done = 4,
    /// A message begins, and with it ends another, or has a new state.
    Notified = 5,
    /// All keys that are remembered.
    Keys = 6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: Kind,
    pub(crate) meta_len: u32,
    pub(crate) content_len: u64,
    pub(crate) id: MessageId,
    /// The number of the content file; zero for a content that lies inline.
    pub(crate) file: u64,
    pub(crate) meta_crc: u32,
    pub(crate) content_crc: u32,
}

impl RecordHeader {
    /// Octets of the content that lie in the segment.
    pub(crate) const fn inline_len(&self) -> u64 {
        if self.file == 0 { self.content_len } else { 0 }
    }

    /// Octets of the whole record with its padding.
    pub(crate) const fn record_len(&self) -> u64 {
        align(LEN as u64 + self.meta_len as u64 + self.inline_len(), ALIGN)
    }

    /// Whether it makes a message known.
    pub(crate) const fn has_message(&self) -> bool {
        matches!(self.kind, Kind::Accepted | Kind::Moved | Kind::Notified)
    }

    pub(crate) fn encode(&self, identity: &Identity, position: Position) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..2].copy_from_slice(MAGIC);
        out[2] = self.kind as u8;
        out[4..8].copy_from_slice(&self.meta_len.to_le_bytes());
        out[8..16].copy_from_slice(&self.content_len.to_le_bytes());
        out[16..24].copy_from_slice(&self.id.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.file.to_le_bytes());
        out[32..36].copy_from_slice(&self.meta_crc.to_le_bytes());
        out[36..40].copy_from_slice(&self.content_crc.to_le_bytes());
        let covered: [u8; 44] = std::array::from_fn(|i| out[i]);
        let crc = identity.crc_at(position, &covered);
        out[44..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(identity: &Identity, position: Position, bytes: &[u8]) -> Option<Self> {
        if bytes.get(..2)? != MAGIC {
            return None;
        }
        let mut d = Decoder(bytes.get(..LEN)?);
        let covered: [u8; 44] = d.array()?;
        if d.u32()? != identity.crc_at(position, &covered) {
            return None;
        }
        Self::decode_fields(&covered)
    }

    /// Reads a header that a checksum of its own vouches for, as in a summary.
    pub(crate) fn decode_fields(bytes: &[u8]) -> Option<Self> {
        let mut d = Decoder(bytes);
        if d.bytes(2)? != MAGIC {
            return None;
        }
        let kind = match d.byte()? {
            1 => Kind::Accepted,
            2 => Kind::Moved,
            3 => Kind::State,
            4 => Kind::Done,
            5 => Kind::Notified,
            6 => Kind::Keys,
            _ => return None,
        };
        d.byte()?;
        let header = Self {
            kind,
            meta_len: d.u32()?,
            content_len: d.u64()?,
            id: MessageId(d.u64()?),
            file: d.u64()?,
            meta_crc: d.u32()?,
            content_crc: d.u32()?,
        };
        // Lengths that no writer makes would overflow the arithmetic of whoever trusts them.
        let sane = header.meta_len as usize <= META_LEN_MAX && header.inline_len() <= 1 << 32;
        sane.then_some(header)
    }
}

/// The parts of the meta of a record that has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageMeta<'a> {
    /// Encoded by [`super::message`].
    pub(crate) message: &'a [u8],
    /// Encoded by [`super::state`]; empty where nothing happened yet.
    pub(crate) state: &'a [u8],
    /// What a notification says of its original: its id, and its state unless it is done.
    pub(crate) original: Option<(MessageId, &'a [u8])>,
}

impl<'a> MessageMeta<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let original_len = self.original.map_or(0, |(_, state)| 12 + state.len());
        let mut out = Vec::with_capacity(8 + self.message.len() + self.state.len() + original_len);
        put_sized(&mut out, self.message);
        put_sized(&mut out, self.state);
        if let Some((id, state)) = self.original {
            out.extend_from_slice(&id.0.to_le_bytes());
            put_sized(&mut out, state);
        }
        out
    }

    pub(crate) fn decode(kind: Kind, meta: &'a [u8]) -> Option<Self> {
        let mut d = Decoder(meta);
        let message = take_sized(&mut d)?;
        let state = take_sized(&mut d)?;
        let original = if kind == Kind::Notified {
            Some((MessageId(d.u64()?), take_sized(&mut d)?))
        } else {
            None
        };
        d.end()?;
        Some(Self {
            message,
            state,
            original,
        })
    }
}

fn put_sized(out: &mut Vec<u8>, part: &[u8]) {
    let len = u32::try_from(part.len()).expect("invariant: parts are under META_LEN_MAX");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(part);
}

fn take_sized<'a>(d: &mut Decoder<'a>) -> Option<&'a [u8]> {
    let len = d.u32()?;
    d.bytes(len as usize)
}
