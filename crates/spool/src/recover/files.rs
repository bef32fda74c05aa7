//! Superblocks, directories and names.

use std::io::{self, IoSlice};

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
    },
}

pub(crate) fn read_superblocks(
    disk: &dyn Disk,
    names: &[String],
) -> Result<Superblocks, OpenError> {
    let main = read_superblock(disk, names, MAIN)?;
    let copy = read_superblock(disk, names, COPY)?;
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
    let n = file.read_at(0, &mut bytes).named("read", name)?;
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

    /// In which order they are written: what is older is written first, so that openings that are
    /// cut again and again leave neither more than one opening behind.
    pub(super) const fn order(&self) -> [&'static str; 2] {
        match self {
            Self::None => [MAIN, COPY],
            Self::Found { order, .. } => *order,
        }
    }
}

/// Commits both superblocks, one after the other.
///
/// One that is there is written in place, which a full disk allows: it is far shorter than a
/// sector, and of the two at most one is being written.
pub(super) fn commit_superblocks(
    disk: &dyn Disk,
    names: &[String],
    order: [&'static str; 2],
    superblock: &Superblock,
) -> Result<(), OpenError> {
    for name in order {
        if names.iter().any(|n| n == name) {
            let file = disk.open(name).named("open", name)?;
            write_superblock(&*file, name, superblock)?;
        } else {
            let new = format!("{name}.new");
            let file = disk.create(&new).named("create", &new)?;
            write_superblock(&*file, &new, superblock)?;
            disk.rename(&new, name).named("rename", &new)?;
            disk.sync_dir("").named("sync", ".")?;
        }
    }
    Ok(())
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

/// The header of a segment, if it has a good one and is as long as that says.
pub(super) fn read_header(
    identity: &Identity,
    file: &dyn DiskFile,
) -> io::Result<Option<SegmentHeader>> {
    let mut blocks = vec![0; 2 * BLOCK as usize];
    let n = file.read_at(0, &mut blocks)?;
    let len = file.file_len()?;
    let header = SegmentHeader::decode(identity, &blocks[..n]);
    Ok(header.filter(|header| u64::from(header.len) == len))
}

/// All of a file, if it can be read.
pub(crate) fn read_all(disk: &dyn Disk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(name).ok()?;
    let len = usize::try_from(file.file_len().ok()?).ok()?;
    if len > crate::limits::SEGMENT_LEN_MAX as usize {
        return None;
    }
    let mut bytes = vec![0; len];
    (file.read_at(0, &mut bytes).ok()? == len).then_some(bytes)
}
