//! Reading a segment batch by batch, where there is no summary.

use std::io;

use crate::DiskFile;
use crate::disk::{Unread, read_around};
use crate::format::batch::{self, BatchHeader};
use crate::format::record::{self, ALIGN, RecordHeader};
use crate::format::segment::{FIRST_BATCH, SegmentHeader, SegmentState};
use crate::format::{BLOCK, Crc, Identity, Position, align, crc32c};
use crate::planted::{Mistake, planted};

/// Octets that are read at once: contents are mostly shorter, so that reading on is quicker than
/// seeking.
const WINDOW: usize = 256 << 10;

/// Octets from `start` up to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Range {
    pub(crate) fn new(start: u32, len: u64) -> Self {
        let end = start.saturating_add(narrow(len));
        Self { start, end }
    }

    /// How long it is, in octets.
    pub(crate) fn len(self) -> u64 {
        u64::from(self.end - self.start)
    }
}

/// What a segment turned out to hold, besides its records.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Where what is durable ends.
    pub(crate) durable: u32,
    /// Damaged octets below that.
    pub(crate) damage: Vec<Range>,
    /// What had not been written whole, above.
    pub(crate) torn: Vec<Range>,
    /// What the disk cannot read, wherever it is.
    pub(crate) unread: Vec<Range>,
    pub(crate) sequence: u64,
    pub(crate) next_id: u64,
}

/// A record as it was found.
pub(crate) struct FoundRecord<'a> {
    pub(crate) offset: u32,
    pub(crate) raw: [u8; record::LEN],
    pub(crate) header: RecordHeader,
    pub(crate) meta: &'a [u8],
    /// It lies in a batch that is not known to be durable.
    pub(crate) in_tail: bool,
}

/// Who is told what a segment holds, in the order of offsets.
pub(crate) trait Sink {
    /// A batch begins here; its records follow.
    fn batch(&mut self, _offset: u32, _batch: &BatchHeader) {}

    /// A record whose header and meta are good; whether it made sense.
    fn record(&mut self, record: FoundRecord<'_>) -> bool;
}

impl<F: FnMut(FoundRecord<'_>) -> bool> Sink for F {
    fn record(&mut self, record: FoundRecord<'_>) -> bool {
        self(record)
    }
}

/// A part of a segment that holds records.
struct Extent {
    range: Range,
    /// `None` where the header is lost.
    batch: Option<BatchHeader>,
}

impl Extent {
    const fn gap(start: u32, end: u32) -> Self {
        let range = Range { start, end };
        Self { range, batch: None }
    }
}

pub(crate) struct Scan<'a> {
    identity: &'a Identity,
    header: SegmentHeader,
    window: Window<'a>,
    found: Found,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(
        identity: &'a Identity,
        file: &'a dyn DiskFile,
        header: SegmentHeader,
    ) -> Self {
        Self {
            identity,
            header,
            window: Window::new(file),
            found: Found::default(),
        }
    }

    /// Gives every record to `sink`, in order.
    pub(crate) fn run(mut self, sink: &mut dyn Sink) -> io::Result<Found> {
        let extents = self.extents()?;
        let durable = match self.header.state {
            SegmentState::Sealed(end) => end,
            SegmentState::Active | SegmentState::Free => extents
                .iter()
                .filter_map(|extent| Some(extent.batch?.durable))
                .fold(FIRST_BATCH, u32::max),
        };
        self.found.durable = durable;
        for Extent { range, batch } in extents {
            if let Some(batch) = &batch {
                sink.batch(range.start - batch::HEADER_LEN, batch);
                self.found.sequence = self.found.sequence.max(batch.sequence);
                self.found.next_id = self.found.next_id.max(batch.next_id);
            }
            if range.end <= durable {
                self.durable_records(range, batch.is_none(), sink)?;
            } else if batch.is_none() {
                self.found.torn.push(range);
            } else if !self.tail_records(range, sink)? {
                break;
            }
        }
        let unread = self.window.unread.below(self.end().into());
        self.found.unread = unread
            .map(|of| Range::new(narrow(of.start), of.end - of.start))
            .collect();
        Ok(self.found)
    }

    /// Behind this no batch counts.
    const fn end(&self) -> u32 {
        match self.header.state {
            SegmentState::Sealed(end) => end,
            SegmentState::Active | SegmentState::Free => self.header.len,
        }
    }

    /// Where records lie: those of all batches, and what lies between two that do not follow each
    /// other, where a batch has lost its header.
    fn extents(&mut self) -> io::Result<Vec<Extent>> {
        let mut extents = Vec::new();
        let end = self.end();
        let mut expected = FIRST_BATCH;
        let mut offset = FIRST_BATCH;
        while offset < end {
            let Some(batch) = self.batch_at(offset, end)? else {
                offset += BLOCK;
                continue;
            };
            if offset != expected {
                extents.push(Extent::gap(expected, offset));
            }
            extents.push(Extent {
                range: Range {
                    start: offset + batch::HEADER_LEN,
                    end: offset + batch.len,
                },
                batch: Some(batch),
            });
            offset += padded(batch.len);
            expected = offset;
        }
        if let SegmentState::Sealed(end) = self.header.state
            && expected < end
        {
            extents.push(Extent::gap(expected, end));
        } else if expected < end {
            self.last_without_header(expected, end, &mut extents)?;
        }
        Ok(extents)
    }

    /// The last batch of a segment that is not sealed, where its header is damaged: what follows is
    /// a record of this life of the segment all the same.
    fn last_without_header(
        &mut self,
        offset: u32,
        end: u32,
        extents: &mut Vec<Extent>,
    ) -> io::Result<()> {
        let start = offset.saturating_add(batch::HEADER_LEN);
        let mut next = start;
        let mut n_records = 0;
        while next < end
            && let Some((_, header)) = self.record_at(next, end)?
        {
            next = Range::new(next, header.record_len()).end;
            n_records += 1;
        }
        if n_records > 0 {
            extents.push(Extent::gap(offset, start));
            let last = extents.iter().rev().find_map(|extent| extent.batch);
            extents.push(Extent {
                range: Range { start, end: next },
                batch: Some(BatchHeader {
                    len: next - offset,
                    sequence: last.map_or(self.header.first_sequence, |last| last.sequence + 1),
                    durable: offset,
                    n_records,
                    next_id: 0,
                }),
            });
        }
        Ok(())
    }

    fn batch_at(&mut self, offset: u32, end: u32) -> io::Result<Option<BatchHeader>> {
        let bytes = self.window.get(offset, batch::LEN)?;
        let batch = BatchHeader::decode(self.identity, at(&self.header, offset), bytes);
        let room = u64::from(end - offset);
        Ok(batch.filter(|batch| align(u64::from(batch.len), u64::from(BLOCK)) <= room))
    }

    /// Records that are durable: what is bad between them is damage, and the rest is read on.
    /// A gap begins with a batch header that is lost, and what pads its batches is no damage.
    fn durable_records(
        &mut self,
        range: Range,
        is_gap: bool,
        sink: &mut dyn Sink,
    ) -> io::Result<()> {
        let end = range.end;
        let mut next = range.start;
        let mut bad: Option<u32> = is_gap.then_some(next);
        while next < end {
            let Some((raw, header)) = self.record_at(next, end)? else {
                if bad.is_none() && !(is_gap && self.is_padding(next)?) {
                    bad = Some(next);
                }
                next += narrow(ALIGN);
                continue;
            };
            if let Some(start) = bad.take() {
                self.found.damage.push(Range { start, end: next });
            }
            let record = Range::new(next, header.record_len());
            if !self.give(next, raw, header, false, sink)? {
                self.found.damage.push(record);
            }
            next = record.end;
        }
        if let Some(start) = bad {
            self.found.damage.push(Range { start, end });
        }
        Ok(())
    }

    /// Whether nothing was written at `offset`, as behind the last record of a batch.
    fn is_padding(&mut self, offset: u32) -> io::Result<bool> {
        let len = usize::try_from(ALIGN).unwrap_or(usize::MAX);
        Ok(self
            .window
            .get(offset, len)?
            .iter()
            .all(|&octet| octet == 0))
    }

    /// Records of a batch that may have been written in part: those up to the first bad one
    /// count. Whether all were good.
    fn tail_records(&mut self, range: Range, sink: &mut dyn Sink) -> io::Result<bool> {
        let end = range.end;
        let mut next = range.start;
        while next < end {
            let mut good = false;
            if let Some((raw, header)) = self.record_at(next, end)? {
                good = self.content_is_good(next, &header)?
                    && self.give(next, raw, header, true, sink)?;
                if good {
                    next += narrow(header.record_len());
                }
            }
            if !good {
                self.found.torn.push(Range { start: next, end });
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn record_at(
        &mut self,
        offset: u32,
        end: u32,
    ) -> io::Result<Option<([u8; record::LEN], RecordHeader)>> {
        if (end - offset) < record::HEADER_LEN {
            return Ok(None);
        }
        let bytes = self.window.get(offset, record::LEN)?;
        let Ok(raw) = bytes.try_into() else {
            return Ok(None);
        };
        let header = RecordHeader::decode(self.identity, at(&self.header, offset), bytes);
        let room = u64::from(end - offset);
        Ok(header
            .filter(|header| header.record_len() <= align(room, ALIGN))
            .map(|header| (raw, header)))
    }

    fn give(
        &mut self,
        offset: u32,
        raw: [u8; record::LEN],
        header: RecordHeader,
        in_tail: bool,
        sink: &mut dyn Sink,
    ) -> io::Result<bool> {
        let at = offset + record::HEADER_LEN;
        let meta = self.window.get(at, header.meta_len as usize)?;
        if meta.len() < header.meta_len as usize || crc32c(meta) != header.meta_crc {
            return Ok(false);
        }
        Ok(sink.record(FoundRecord {
            offset,
            raw,
            header,
            meta,
            in_tail,
        }))
    }

    fn content_is_good(&mut self, offset: u32, header: &RecordHeader) -> io::Result<bool> {
        if header.file != 0 {
            return Ok(true);
        }
        let mut at = offset + record::HEADER_LEN + header.meta_len;
        let end = at + narrow(header.content_len);
        let mut crc = Crc::new();
        while at < end {
            let want = (end - at).min(narrow(WINDOW as u64));
            let bytes = self.window.get(at, want as usize)?;
            if bytes.is_empty() {
                return Ok(false);
            }
            crc.update(bytes);
            at += narrow(bytes.len() as u64);
        }
        Ok(crc.value() == header.content_crc || planted(Mistake::TornContentBelieved))
    }
}

const fn at(header: &SegmentHeader, offset: u32) -> Position {
    Position {
        generation: header.generation,
        offset,
    }
}

fn padded(len: u32) -> u32 {
    narrow(align(u64::from(len), u64::from(BLOCK)))
}

fn narrow(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A part of a file, read ahead. In place of what the disk cannot read stand octets that are never
/// taken for anything.
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    unread: Unread,
    start: u64,
    bytes: Vec<u8>,
    filled: usize,
}

impl<'a> Window<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile) -> Self {
        Self {
            file,
            unread: Unread::default(),
            start: 0,
            bytes: Vec::new(),
            filled: 0,
        }
    }

    /// `len` octets from `offset` on; fewer where the file ends.
    pub(crate) fn get(&mut self, offset: u32, len: usize) -> io::Result<&[u8]> {
        let offset = u64::from(offset);
        let held = self.start..self.start + self.filled as u64;
        if !(held.contains(&offset) && offset + len as u64 <= held.end) {
            if self.bytes.len() < WINDOW.max(len) {
                self.bytes = vec![0; WINDOW.max(len)];
            }
            self.filled = read_around(self.file, offset, &mut self.bytes, &mut self.unread)?;
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let to = (from + len).min(self.filled);
        Ok(self.bytes.get(from..to).unwrap_or_default())
    }
}
