//! Going through the segments in the order of the log.

use std::io;

use crate::Disk;
use crate::engine::{segment_name, summary_name};
use crate::format::Identity;
use crate::format::record::RecordHeader;
use crate::format::segment::{SegmentHeader, SegmentState};
use crate::format::summary::Summary;
use crate::recover::files::{Headers, read_all, read_headers, segment_number};
use crate::recover::scan::{FoundRecord, Scan};

/// A segment as its file looks.
pub(super) struct Look {
    pub(super) number: u32,
    /// Octets of the file.
    pub(super) len: u64,
    pub(super) slots: [Option<SegmentHeader>; 2],
    /// Of which of them the disk cannot read the block.
    pub(super) unread: [bool; 2],
}

impl Look {
    /// Reads the header slots; `None` when the file is gone by now.
    pub(super) fn at(
        disk: &dyn Disk,
        identity: &Identity,
        number: u32,
    ) -> io::Result<Option<Self>> {
        let file = match disk.open(&segment_name(number)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Headers { len, slots, unread } = read_headers(identity, &*file)?;
        Ok(Some(Self {
            number,
            len,
            slots,
            unread,
        }))
    }

    /// The header that counts, unless it belongs to another file than this.
    pub(super) fn header(&self) -> Option<SegmentHeader> {
        SegmentHeader::newer(self.slots)
            .filter(|header| header.number == self.number && u64::from(header.len) == self.len)
    }
}

/// The numbers of the segments that have a file.
pub(super) fn numbers(names: &[String]) -> impl Iterator<Item = u32> {
    names.iter().filter_map(|name| segment_number(name))
}

/// Puts the headers of segments in the order of the log, without the free ones.
pub(super) fn in_order(headers: impl Iterator<Item = SegmentHeader>) -> Vec<SegmentHeader> {
    let is_used = |header: &SegmentHeader| header.state != SegmentState::Free;
    let mut used: Vec<_> = headers.filter(is_used).collect();
    used.sort_unstable_by_key(|header| header.first_sequence);
    used
}

/// The octets of the summary of a sealed segment, if it has a file.
pub(super) fn read_summary(disk: &dyn Disk, header: &SegmentHeader) -> Option<Vec<u8>> {
    let SegmentState::Sealed(_) = header.state else {
        return None;
    };
    read_all(disk, &summary_name(header.number))
}

/// What a summary says, if it is that of this life of the segment.
pub(super) fn open_summary<'a>(
    identity: &Identity,
    header: &SegmentHeader,
    bytes: &'a [u8],
) -> Option<Summary<'a>> {
    let SegmentState::Sealed(end) = header.state else {
        return None;
    };
    Summary::open(identity, header.generation, end, bytes)
}

/// Gives every record of a segment to `take`, from the summary where there is a good one.
pub(super) fn each_record(
    disk: &dyn Disk,
    identity: &Identity,
    header: SegmentHeader,
    take: &mut dyn FnMut(&RecordHeader, &[u8]),
) -> io::Result<()> {
    let summary = read_summary(disk, &header);
    let summary = summary.as_deref();
    if let Some(summary) = summary.and_then(|bytes| open_summary(identity, &header, bytes)) {
        summary.for_each(|record| take(&record.header, record.meta));
        return Ok(());
    }
    let file = match disk.open(&segment_name(header.number)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut sink = |record: FoundRecord<'_>| {
        take(&record.header, record.meta);
        true
    };
    Scan::new(identity, &*file, header).run(&mut sink)?;
    Ok(())
}
