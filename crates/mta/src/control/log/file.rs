//! The file of the log: opened, checked for being the one that the path names, rotated.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// As much of the end of the log is searched for a batch that was being written: more than the
/// lines of any batch take.
const TAIL_LEN_MAX: u64 = 4 * 1024 * 1024;

/// The file that lines go to.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    /// Device and inode: what tells whether the path still leads here.
    identity: (u64, u64),
    len: u64,
}

/// What was found of the file after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It has a name.
    Named,
    /// It was removed: nobody can read what is written to it.
    Removed,
}

impl OpenFile {
    /// Opens the file for appending, and makes it where there is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .append(true)
            .create(true)
            .mode(0o640)
            .open(path)?;
        let found = file.metadata()?;
        Ok(Self {
            file,
            identity: identity(&found),
            len: found.len(),
        })
    }

    /// Writes as much as the file takes at once.
    pub(super) fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.file.write(text)
    }

    /// Looks at the file itself: its length, which others may have changed, and its names.
    pub(super) fn look(&mut self) -> io::Result<Found> {
        let found = self.file.metadata()?;
        self.len = found.len();
        Ok(if found.nlink() == 0 {
            Found::Removed
        } else {
            Found::Named
        })
    }

    /// Whether the path leads to this file.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|found| identity(&found) == self.identity)
    }

    /// Its length in octets when it was last looked at.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Takes the file for a new one, for the next decision about its length.
    pub(super) fn forget_len(&mut self) {
        self.len = 0;
    }

    /// Whether its last line was cut off.
    pub(super) fn ends_within_a_line(&mut self) -> io::Result<bool> {
        if self.len == 0 || !self.file.metadata()?.is_file() {
            return Ok(false);
        }
        let mut last = [b'\n'];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        Ok(last != *b"\n")
    }
}

/// The end of the log as an earlier control left it; empty where there is none.
pub(super) fn tail(path: &Path) -> Vec<u8> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Ok(Vec::new());
        }
        let from = found.len().saturating_sub(TAIL_LEN_MAX);
        file.seek(SeekFrom::Start(from))?;
        let mut tail = Vec::new();
        file.take(TAIL_LEN_MAX).read_to_end(&mut tail)?;
        Ok(tail)
    };
    // What cannot be read now can be no reason not to begin.
    read().unwrap_or_default()
}

/// How many octets of `text`, which is whole lines, are the end of `tail`, beginning with a line.
pub(super) fn n_written(tail: &[u8], text: &[u8]) -> usize {
    let from = tail.len().saturating_sub(text.len());
    let is_beginning = |at: &usize| *at == 0 || tail[*at - 1] == b'\n';
    let found = (from..tail.len())
        .filter(is_beginning)
        .find(|at| text.starts_with(&tail[*at..]));
    found.map_or(0, |at| tail.len() - at)
}

fn identity(found: &std::fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Moves `log` to `log.1`, `log.1` to `log.2` and so on; the one beyond `keep` is removed.
pub(super) fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    if keep == 0 {
        return std::fs::remove_file(path);
    }
    for number in (1..keep).rev() {
        match std::fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    std::fs::rename(path, numbered(path, 1))
}

/// The path of a log that was rotated.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}
