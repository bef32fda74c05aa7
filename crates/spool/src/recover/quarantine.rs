//! Copies of what could not be read as what it was.

use std::io::{self, IoSlice};

use super::scan::Range;
use crate::disk::{Unread, read_around};
use crate::engine::segment_name;
use crate::format::segment::SegmentHeader;
use crate::{Disk, DiskFile, Note, content};

/// The directory of the copies.
pub(crate) const DIR: &str = "quarantine";

/// Octets that are copied at once.
const CHUNK: usize = 256 << 10;

/// What a copy of a part of a segment is a copy of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyOf {
    /// What had been durable, or stood for it.
    Damage,
    /// The end of the last batch, which had not been acknowledged.
    Torn,
}

/// Where the octets of a file in quarantine lay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lay {
    /// In a file of its own: a content that no message that could be read has.
    Content {
        /// The number of the file.
        number: u64,
    },
    /// In a segment that could be read: its name carries all that its checksums need.
    Part {
        /// The number of the segment.
        number: u32,
        /// Which life of it.
        generation: u64,
        /// Where in it the copy begins.
        start: u32,
        /// Why it was copied.
        of: CopyOf,
    },
    /// It is a whole segment, whose header is lost.
    Whole {
        /// The number that its name had.
        number: u32,
    },
}

impl Lay {
    /// The name of the copy, which follows from what is copied.
    fn name(self) -> String {
        match self {
            Self::Content { number } => format!("content-{number:016x}"),
            Self::Part {
                number,
                generation,
                start,
                of,
            } => {
                let torn = if of == CopyOf::Torn { "torn-" } else { "" };
                format!("{torn}{number:08x}-{generation:x}-{start:08x}")
            }
            Self::Whole { number } => segment_name(number),
        }
    }

    /// What a name in the directory says. It may end in the number of the copy.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (of, name) = match name.strip_prefix("torn-") {
            None => (CopyOf::Damage, name),
            Some(rest) => (CopyOf::Torn, rest),
        };
        let parts: Vec<&str> = name.split('-').collect();
        let hex = |digits: &str| u32::from_str_radix(digits, 16).ok();
        let is_n = |rest: &[&str]| matches!(rest, [] | [_]) && rest.iter().all(is_number);
        Some(match &parts[..] {
            ["content", number] => Self::Content {
                number: u64::from_str_radix(number, 16).ok()?,
            },
            ["seg", number, n @ ..] if is_n(n) => Self::Whole {
                number: hex(number)?,
            },
            [number, generation, start, n @ ..] if is_n(n) => Self::Part {
                number: hex(number)?,
                generation: u64::from_str_radix(generation, 16).ok()?,
                start: hex(start)?,
                of,
            },
            _ => return None,
        })
    }
}

/// Where a content file lies when it is in quarantine.
pub(crate) fn content_path(number: u64) -> String {
    format!("{DIR}/{}", Lay::Content { number }.name())
}

/// Moves a content file there; the name that it has then, unless that failed.
pub(super) fn move_content(disk: &dyn Disk, number: u64) -> Option<String> {
    let path = content_path(number);
    disk.rename(&content::file_name(number), &path).ok()?;
    disk.sync_dir(DIR).ok()?;
    disk.sync_dir(content::DIR).ok()?;
    Some(path)
}

/// Moves a content file back that was moved here while no record named it; whether there was one.
pub(super) fn take_back_content(disk: &dyn Disk, number: u64) -> bool {
    let moved = disk.rename(&content_path(number), &content::file_name(number));
    moved
        .and_then(|()| disk.sync_dir(content::DIR))
        .and_then(|()| disk.sync_dir(DIR))
        .is_ok()
}

/// Copies a part of a segment, durably; the name of the copy, unless that failed. In place of what
/// the disk cannot read stand octets of which all bits are set.
pub(super) fn copy(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    header: &SegmentHeader,
    range: Range,
    of: CopyOf,
) -> Option<String> {
    let lay = Lay::Part {
        number: header.number,
        generation: header.generation,
        start: range.start,
        of,
    };
    copy_as(disk, file, lay, range)
}

/// Copies a segment of which neither header can be read.
pub(super) fn copy_whole(disk: &dyn Disk, file: &dyn DiskFile, number: u32) -> Option<String> {
    let range = Range::new(0, file.file_len().ok()?);
    copy_as(disk, file, Lay::Whole { number }, range)
}

fn copy_as(disk: &dyn Disk, file: &dyn DiskFile, lay: Lay, range: Range) -> Option<String> {
    let taken = disk.list(DIR).ok()?;
    let mut n = 1;
    let path = loop {
        let name = numbered(&lay.name(), n);
        let path = format!("{DIR}/{name}");
        if !taken.contains(&name) {
            break path;
        }
        // Damage that is met at every opening is copied once, and again when it has grown.
        if len_of(disk, &path).ok()? == u64::from(range.end - range.start) {
            return Some(path);
        }
        n += 1;
    };
    // Under another name until it is whole.
    let new = format!("{path}.new");
    let copied = copy_range(disk, file, range, &new).and_then(|()| {
        disk.rename(&new, &path)?;
        disk.sync_dir(DIR)
    });
    if copied.is_err() {
        let _ = disk.remove(&new);
    }
    copied.is_ok().then_some(path)
}

fn len_of(disk: &dyn Disk, path: &str) -> io::Result<u64> {
    disk.open(path)?.file_len()
}

fn copy_range(disk: &dyn Disk, file: &dyn DiskFile, range: Range, to: &str) -> io::Result<()> {
    let copy = disk.create(to)?;
    let mut buffer = vec![0; CHUNK];
    let mut unread = Unread::default();
    let (start, end) = (u64::from(range.start), u64::from(range.end));
    let mut at = start;
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
        let n = read_around(file, at, &mut buffer[..want], &mut unread)?;
        if n == 0 {
            break;
        }
        copy.write_at(at - start, &[IoSlice::new(&buffer[..n])])?;
        at += n as u64;
    }
    copy.sync()
}

/// Moves a whole file that cannot be what its name says out of the way, and over nothing that
/// was moved there before.
pub(super) fn move_file(disk: &dyn Disk, name: &str) -> Note {
    let taken = disk.list(DIR).unwrap_or_default();
    let mut names = (1..).map(|n| numbered(name, n));
    let free = names.find(|name| !taken.contains(name));
    let path = format!("{DIR}/{}", free.as_deref().unwrap_or(name));
    let moved = disk
        .rename(name, &path)
        .and_then(|()| disk.sync_dir(DIR))
        .and_then(|()| disk.sync_dir(""));
    Note::Damage {
        file: name.to_owned(),
        offset: 0,
        quarantine: moved.is_ok().then_some(path),
    }
}

/// The name of the `n`th file that had this name.
fn numbered(name: &str, n: u32) -> String {
    if n == 1 {
        name.to_owned()
    } else {
        format!("{name}-{n}")
    }
}

fn is_number(text: &&str) -> bool {
    text.parse::<u32>().is_ok()
}
