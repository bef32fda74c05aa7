//! Reading where the disk may fail: once more, and block by block around what cannot be read.

use std::io;
use std::ops::Range;

use rustix::io::Errno;

use super::DiskFile;
use crate::format::BLOCK;
use crate::limits::UNREAD_BLOCKS_MAX;

/// What stands in a buffer for octets that the disk cannot read. No magic, no checksum and no
/// padding looks like it.
pub(crate) const UNREAD: u8 = 0xff;

/// The blocks of a file that the disk cannot read.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    /// In order, and apart from each other.
    ranges: Vec<Range<u64>>,
    /// How many blocks were tried in vain.
    n_tried: usize,
}

impl Unread {
    /// The part of them below `end`.
    pub(crate) fn below(&self, end: u64) -> impl Iterator<Item = Range<u64>> {
        let below = self.ranges.iter().filter(move |range| range.start < end);
        below.map(move |range| range.start..range.end.min(end))
    }

    fn contains(&self, at: u64) -> bool {
        self.ranges.iter().any(|range| range.contains(&at))
    }

    fn add(&mut self, new: Range<u64>) {
        let at = self.ranges.partition_point(|range| range.start < new.start);
        self.ranges.insert(at, new);
        self.ranges.dedup_by(|next, range| {
            let meets = next.start <= range.end;
            if meets {
                range.end = range.end.max(next.end);
            }
            meets
        });
    }
}

/// Whether an error says that the disk cannot read what lies there: not that there is nothing, that
/// somebody may not read it, or that the disk is away.
pub(crate) fn is_unreadable(error: &io::Error) -> bool {
    // What file systems and block devices report of media and checksums that are bad.
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::IO
                | Errno::BADMSG
                | Errno::ILSEQ
                | Errno::NODATA
                | Errno::REMOTEIO
                | Errno::UCLEAN
        )
    )
}

/// Reads as [`DiskFile::read_at`] does, and once more where the disk fails: it may succeed then.
///
/// # Errors
/// Those of the operating system.
pub(crate) fn read_again(file: &dyn DiskFile, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    match file.read_at(offset, buffer) {
        Err(error) if is_unreadable(&error) => file.read_at(offset, buffer),
        read => read,
    }
}

/// Reads around what the disk cannot read: such blocks are filled with [`UNREAD`] and added to
/// `unread`. Behind [`UNREAD_BLOCKS_MAX`] of them only what can be read at once is read.
///
/// # Errors
/// Those of the operating system that are not about single blocks.
pub(crate) fn read_around(
    file: &dyn DiskFile,
    offset: u64,
    buffer: &mut [u8],
    unread: &mut Unread,
) -> io::Result<usize> {
    match file.read_at(offset, buffer) {
        Err(error) if is_unreadable(&error) => {}
        read => return read,
    }
    let end = file.file_len()?.min(offset + buffer.len() as u64);
    let block = u64::from(BLOCK);
    let mut at = offset;
    while at < end {
        let next = ((at / block + 1) * block).min(end);
        let part = &mut buffer[index(at - offset)..index(next - offset)];
        if unread.contains(at) || !read_block(file, at, part, unread)? {
            part.fill(UNREAD);
            unread.add(at..next);
        }
        at = next;
    }
    Ok(index(end.saturating_sub(offset)))
}

/// Reads a part of a block; whether the disk could.
fn read_block(
    file: &dyn DiskFile,
    at: u64,
    part: &mut [u8],
    unread: &mut Unread,
) -> io::Result<bool> {
    if unread.n_tried >= UNREAD_BLOCKS_MAX {
        return Ok(false);
    }
    match read_again(file, at, part) {
        Ok(n) => Ok(n == part.len()),
        Err(error) if is_unreadable(&error) => {
            unread.n_tried += 1;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Within a buffer.
fn index(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Disk as _;
    use crate::simulated::SimulatedDisk;

    const LEN: u64 = 8 * BLOCK as u64;

    fn disk(spoilt: &[u64]) -> SimulatedDisk {
        let disk = SimulatedDisk::new();
        let octets = (0..LEN).map(|at| u8::try_from(at / 4096 + 1).expect("small"));
        disk.put("file", octets.collect());
        for &block in spoilt {
            disk.spoil("file", block * 4096..block * 4096 + 1);
        }
        disk
    }

    #[test]
    fn blocks_around_those_that_cannot_be_read_are_read() {
        let file = disk(&[2, 3, 6]).open("file").expect("there");
        let mut unread = Unread::default();
        let mut buffer = vec![0; 6 * 4096];
        let n = read_around(&*file, 4000, &mut buffer, &mut unread).expect("around");
        assert_eq!(n, buffer.len());
        for (at, &octet) in (4000..).zip(&buffer) {
            let block = u8::try_from(at / 4096).expect("small");
            let is_spoilt = [2, 3, 6].contains(&block);
            assert_eq!(octet, if is_spoilt { UNREAD } else { block + 1 }, "{at}");
        }
        let found = |end| {
            let ranges = unread.below(end);
            ranges.map(|r| (r.start, r.end)).collect::<Vec<_>>()
        };
        assert_eq!(found(LEN), [(8192, 16384), (24576, 28576)]);
        assert_eq!(found(24576), [(8192, 16384)]);
        assert_eq!(found(9000), [(8192, 9000)]);
    }

    #[test]
    fn reading_around_ends_where_the_file_ends() {
        let file = disk(&[7]).open("file").expect("there");
        let mut unread = Unread::default();
        let mut buffer = vec![0; 4 * 4096];
        let at = LEN - 2 * 4096;
        let n = read_around(&*file, at, &mut buffer, &mut unread).expect("around");
        assert_eq!(n, 2 * 4096);
        let found: Vec<_> = unread.below(LEN).map(|r| (r.start, r.end)).collect();
        assert_eq!(found, [(LEN - 4096, LEN)]);
    }

    #[test]
    fn an_error_that_is_not_about_a_block_is_no_damage() {
        for errno in [Errno::ACCESS, Errno::STALE, Errno::NOENT, Errno::TIMEDOUT] {
            assert!(!is_unreadable(&errno.into()), "{errno:?}");
        }
        for errno in [Errno::IO, Errno::NODATA, Errno::UCLEAN, Errno::BADMSG] {
            assert!(is_unreadable(&errno.into()), "{errno:?}");
        }
        assert!(!is_unreadable(&io::Error::other("simulated")));
    }
}
