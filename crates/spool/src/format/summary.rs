//! The summary of a sealed segment: everything in it but contents, in one piece.

use super::codec::Decoder;
use super::record::{self, RecordHeader};
use super::{Identity, crc32c};

const MAGIC: &[u8; 8] = b"PSTNSUM1";
const HEAD_LEN: usize = 32;

/// Builds a summary record by record.
pub(crate) struct SummaryWriter {
    bytes: Vec<u8>,
    n_records: u32,
}

impl SummaryWriter {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; HEAD_LEN],
            n_records: 0,
        }
    }

    pub(crate) fn add(&mut self, offset: u32, header: &[u8; record::LEN], meta: &[u8]) {
        self.bytes.extend_from_slice(&offset.to_le_bytes());
        self.bytes.extend_from_slice(header);
        self.bytes.extend_from_slice(meta);
        self.n_records += 1;
    }

    /// How long it is so far, in octets.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The finished summary of the segment that has this generation and ends there.
    pub(crate) fn finish(
        mut self,
        identity: &Identity,
        generation: u64,
        end: u32,
        last_sequence: u64,
    ) -> Vec<u8> {
        self.bytes[..8].copy_from_slice(MAGIC);
        self.bytes[8..16].copy_from_slice(&generation.to_le_bytes());
        self.bytes[16..20].copy_from_slice(&end.to_le_bytes());
        self.bytes[20..24].copy_from_slice(&self.n_records.to_le_bytes());
        self.bytes[24..32].copy_from_slice(&last_sequence.to_le_bytes());
        let crc = identity.crc_of(&self.bytes);
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        self.bytes
    }
}

/// The records of a summary, in the order of their offsets.
pub(crate) struct Summary<'a> {
    rest: Decoder<'a>,
    body_len: usize,
    last_sequence: u64,
}

/// One record of a summary.
pub(crate) struct Summarised<'a> {
    pub(crate) offset: u32,
    pub(crate) header: RecordHeader,
    pub(crate) meta: &'a [u8],
    /// Where in the summary the meta begins.
    pub(crate) at: usize,
}

impl<'a> Summary<'a> {
    /// `None` when it is damaged, or not that of this life of the segment.
    pub(crate) fn open(
        identity: &Identity,
        generation: u64,
        end: u32,
        bytes: &'a [u8],
    ) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        if identity.crc_of(body).to_le_bytes() != *crc {
            return None;
        }
        let mut d = Decoder(body);
        let fits = d.bytes(8)? == MAGIC && d.u64()? == generation && d.u32()? == end;
        d.u32()?;
        let last_sequence = d.u64()?;
        fits.then_some(Self {
            rest: d,
            body_len: body.len(),
            last_sequence,
        })
    }

    /// The sequence of the last batch of the segment.
    pub(crate) const fn last_sequence(&self) -> u64 {
        self.last_sequence
    }
}

impl<'a> Iterator for Summary<'a> {
    type Item = Summarised<'a>;

    fn next(&mut self) -> Option<Summarised<'a>> {
        let d = &mut self.rest;
        let offset = d.u32()?;
        let header = RecordHeader::decode_fields(d.bytes(record::LEN)?)?;
        let at = self.body_len - d.0.len();
        let meta = d.bytes(header.meta_len as usize)?;
        debug_assert_eq!(crc32c(meta), header.meta_crc);
        Some(Summarised {
            offset,
            header,
            meta,
            at,
        })
    }
}
