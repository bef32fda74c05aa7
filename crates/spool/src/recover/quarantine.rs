//! Copies of what could not be read as what it was.

use std::io::{self, IoSlice};

use super::scan::Range;
use crate::format::segment::SegmentHeader;
use crate::{Disk, DiskFile, Note};

/// The directory of the copies.
pub(super) const DIR: &str = "quarantine";

/// Octets that are copied at once.
const CHUNK: usize = 256 << 10;

/// Copies a part of a segment, durably; the name of the copy, unless that failed.
///
/// The name follows from what is copied, so that damage that is met at every opening is copied
/// once.
pub(super) fn copy(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    header: &SegmentHeader,
    range: Range,
) -> Option<String> {
    let name = format!(
        "{:08x}-{:x}-{:08x}",
        header.number, header.generation, range.start
    );
    let names = disk.list(DIR).ok()?;
    let path = format!("{DIR}/{name}");
    if names.contains(&name) {
        return Some(path);
    }
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

fn copy_range(disk: &dyn Disk, file: &dyn DiskFile, range: Range, to: &str) -> io::Result<()> {
    let copy = disk.create(to)?;
    let mut buffer = vec![0; CHUNK];
    let (start, end) = (u64::from(range.start), u64::from(range.end));
    let mut at = start;
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
        let n = file.read_at(at, &mut buffer[..want])?;
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
    let free = |n: &u32| !taken.contains(&numbered(name, *n));
    let n = (1..).find(free).unwrap_or(u32::MAX);
    let path = format!("{DIR}/{}", numbered(name, n));
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
