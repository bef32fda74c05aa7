//! Superblocks, directories and names.

use std::io::{self, IoSlice};

use crate::disk::{Unread, read_again, read_around};
use crate::format::segment::SegmentHeader;
use crate::format::superblock::{self, Read, Superblock};
use crate::format::{BLOCK, Identity, VERSION};
use crate::limits::EPOCH_FLOOR_MAX;
use crate::{Disk, DiskFile, OpenError, Options, content};

use super::{new_identity, quarantine};

pub(crate) const MAIN: &str = "superblock";
pub(crate) const COPY: &str = "superblock.copy";

/// Says where an error came from.
pub(crate) trait NamedError<T> {
    fn named(self, action: &'static str, name: &str) -> Result<T, OpenError>;
}

impl<T> NamedError<T> for io::Result<T> {
    fn named(self, action: &'static str, name: &str) -> Result<T, OpenError> {
        self.map_err(|error| OpenError::io(action, name, error))
    }
}

/// What the superblocks say.
pub(crate) enum Superblocks {
    /// There is no spool yet.
    None,
    Found {
        superblock: Superblock,
        /// The other one is damaged or gone, and may have been one epoch ahead.
        one_lost: bool,
        /// The one that is damaged, gone or of an earlier epoch, and the other.
        order: [&'static str; 2],
        /// The one that is there and is damaged or cannot be read.
        damaged: Option<&'static str>,
    },
}

pub(crate) fn read_superblocks(
    disk: &dyn Disk,
    names: &[String],
) -> Result<Superblocks, OpenError> {
    let main = read_superblock(disk, names, MAIN);
    let copy = read_superblock(disk, names, COPY);
    let (main, copy) = match (main, copy) {
        // One that cannot be read is damaged; where the other says nothing, nobody knows.
        (Ok(Some(main)), Err(error)) if error.is_unreadable() => (Some(main), None),
        (Err(error), Ok(Some(copy))) if error.is_unreadable() => (None, Some(copy)),
        (main, copy) => (main?, copy?),
    };
    let is_there = |name: &str| names.iter().any(|n| n == name);
    let damaged = match (&main, &copy) {
        (None, Some(_)) if is_there(MAIN) => Some(MAIN),
        (Some(_), None) if is_there(COPY) => Some(COPY),
        _ => None,
    };
    let one_lost = main.is_none() || copy.is_none();
    // Each says no more than is there.
    let n_segments = main.iter().chain(&copy).map(|of| of.n_segments).min();
    let (superblock, order) = match (main, copy) {
        (Some(main), None) => (main, [COPY, MAIN]),
        (Some(main), Some(copy)) if main.epoch > copy.epoch => (main, [COPY, MAIN]),
        (Some(main), Some(copy)) if main.epoch == copy.epoch => (main, [MAIN, COPY]),
        (_, Some(copy)) => (copy, [MAIN, COPY]),
        (None, None) => {
            // Segments without a superblock are a spool whose identity is lost; none is made over
            // it.
            let used = names.iter().any(|name| segment_number(name).is_some());
            return if used {
                Err(OpenError::NoSuperblock)
            } else {
                Ok(Superblocks::None)
            };
        }
    };
    Ok(Superblocks::Found {
        superblock: Superblock {
            n_segments: n_segments.unwrap_or(0),
            ..superblock
        },
        one_lost,
        order,
        damaged,
    })
}

/// One of the two; `None` when it is not there or damaged.
pub(crate) fn read_superblock(
    disk: &dyn Disk,
    names: &[String],
    name: &str,
) -> Result<Option<Superblock>, OpenError> {
    if !names.iter().any(|n| n == name) {
        return Ok(None);
    }
    let mut bytes = [0; superblock::LEN];
    let file = disk.open(name).named("open", name)?;
    let n = read_again(&*file, 0, &mut bytes).named("read", name)?;
    match Superblock::decode(&bytes[..n]) {
        Read::Bad => Ok(None),
        Read::Good(superblock) => Ok(Some(superblock)),
        Read::Newer(found) => Err(OpenError::NewerFormat {
            found,
            known: VERSION,
        }),
    }
}

impl Superblocks {
    /// The superblock of this opening.
    pub(super) fn current(&self, options: &Options) -> Superblock {
        let floor = options.epoch_floor.min(EPOCH_FLOOR_MAX);
        match self {
            Self::None => Superblock {
                identity: new_identity(&options.entropy),
                epoch: floor.max(1),
                first_id: 1,
                n_segments: 0,
            },
            Self::Found {
                superblock,
                one_lost,
                ..
            } => Superblock {
                epoch: floor.max(superblock.epoch + 1 + u64::from(*one_lost)),
                ..*superblock
            },
        }
    }

    /// The one that is there and is damaged or cannot be read.
    pub(super) const fn damaged(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Found { damaged, .. } => *damaged,
        }
    }

    /// In which order they are written: what is older is written first, so that openings that are
    /// cut again and again leave neither more than one opening behind.
    pub(super) const fn order(&self) -> [&'static str; 2] {
        match self {
            Self::None => [MAIN, COPY],
            Self::Found { order, .. } => *order,
        }
    }
}

/// Commits both superblocks, one after the other; returns the one for which that failed, if it is
/// only one.
///
/// One that is there is written in place, which a full disk allows: it is far shorter than a
/// sector, and of the two at most one is being written. One that cannot be written in place is made
/// anew. Where the first cannot be committed at all, the other is only replaced by a whole one: a
/// writing that fails half way must not leave none.
pub(super) fn commit_superblocks(
    disk: &dyn Disk,
    names: &[String],
    order: [&'static str; 2],
    superblock: &Superblock,
) -> Result<Option<&'static str>, OpenError> {
    let [first, second] = order;
    let is_there = |name: &str| names.iter().any(|n| n == name);
    let written = |name: &'static str| match is_there(name) {
        true => write_in_place(disk, name, superblock).or_else(|_| replace(disk, name, superblock)),
        false => replace(disk, name, superblock),
    };
    let is_new = !is_there(first) && !is_there(second);
    match (written(first), is_new) {
        // A new spool has both from the beginning.
        (first, true) => first.and_then(|()| written(second)).map(|()| None),
        (Ok(()), false) => Ok(written(second).err().map(|_| second)),
        (Err(_), false) => replace(disk, second, superblock).map(|()| Some(first)),
    }
}

fn write_in_place(disk: &dyn Disk, name: &str, superblock: &Superblock) -> Result<(), OpenError> {
    let file = disk.open(name).named("open", name)?;
    write_superblock(&*file, name, superblock)
}

fn replace(disk: &dyn Disk, name: &str, superblock: &Superblock) -> Result<(), OpenError> {
    let new = format!("{name}.new");
    let file = disk.create(&new).named("create", &new)?;
    write_superblock(&*file, &new, superblock)?;
    disk.rename(&new, name).named("rename", &new)?;
    disk.sync_dir("").named("sync", ".")
}

fn write_superblock(
    file: &dyn DiskFile,
    name: &str,
    superblock: &Superblock,
) -> Result<(), OpenError> {
    overwrite(file, superblock).named("write", name)
}

fn overwrite(file: &dyn DiskFile, superblock: &Superblock) -> io::Result<()> {
    file.write_at(0, &[IoSlice::new(&superblock.encode())])?;
    file.sync()
}

/// Commits both superblocks in place. Where one fails, the other is not touched.
pub(crate) fn overwrite_superblocks(disk: &dyn Disk, superblock: &Superblock) -> io::Result<()> {
    for name in [MAIN, COPY] {
        overwrite(&*disk.open(name)?, superblock)?;
    }
    Ok(())
}

/// How many segments fewer are there than a superblock says.
pub(crate) fn n_missing(names: &[String], n_segments: u32) -> u32 {
    let found = names.iter().filter(|name| segment_number(name).is_some());
    n_segments.saturating_sub(u32::try_from(found.count()).unwrap_or(u32::MAX))
}

pub(super) fn make_directories(disk: &dyn Disk) -> Result<(), OpenError> {
    for dir in [content::DIR, quarantine::DIR] {
        disk.create_dir(dir).named("create", dir)?;
    }
    disk.sync_dir("").named("sync", ".")
}

/// The number of a segment, if this is the name of one.
pub(crate) fn segment_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("seg-").filter(|d| d.len() == 8)?;
    u32::from_str_radix(digits, 16).ok()
}

/// The two headers of a segment.
pub(crate) struct Headers {
    /// Octets of the file.
    pub(crate) len: u64,
    pub(crate) slots: [Option<SegmentHeader>; 2],
    /// Whether the disk cannot read the block of one, or of both.
    pub(crate) unread: [bool; 2],
}

impl Headers {
    /// The header that counts, unless it is not of a file of this length.
    pub(crate) fn current(&self) -> Option<SegmentHeader> {
        SegmentHeader::newer(self.slots).filter(|header| u64::from(header.len) == self.len)
    }

    /// Whether the header that counts may be one that the disk cannot read.
    pub(super) fn is_unread(&self) -> bool {
        self.unread.contains(&true)
    }
}

/// Reads the headers of a segment.
pub(crate) fn read_headers(identity: &Identity, file: &dyn DiskFile) -> io::Result<Headers> {
    let mut blocks = vec![0; 2 * BLOCK as usize];
    let mut unread = Unread::default();
    let n = read_around(file, 0, &mut blocks, &mut unread)?;
    let block = u64::from(BLOCK);
    let is_unread = |slot: u64| {
        let mut ranges = unread.below(2 * block);
        ranges.any(|range| range.start < (slot + 1) * block && range.end > slot * block)
    };
    Ok(Headers {
        len: file.file_len()?,
        slots: SegmentHeader::decode_slots(identity, &blocks[..n]),
        unread: [is_unread(0), is_unread(1)],
    })
}

/// All of a file, if it can be read.
pub(crate) fn read_all(disk: &dyn Disk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(name).ok()?;
    let len = usize::try_from(file.file_len().ok()?).ok()?;
    if len > crate::limits::SEGMENT_LEN_MAX as usize {
        return None;
    }
    let mut bytes = vec![0; len];
    (read_again(&*file, 0, &mut bytes).ok()? == len).then_some(bytes)
}
