//! Opening files that an administrator names, never what could be waited for; and replacing small
//! files of our own.
//!
//! # Guarantees
//! What was replaced survives a power cut, and is whole at any time.
//!
//! A pipe or a device in the place of a file is refused at once. To open a pipe is to wait for a
//! writer, and the supervisor waits for nobody.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Opening waits for nobody, and no terminal becomes this process's.
const NON_BLOCKING: i32 = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits().cast_signed();

/// Opens a regular file for reading.
///
/// # Errors
/// When it cannot be opened, or is something else.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(NON_BLOCKING).open(path)?;
    let kind = file.metadata()?.file_type();
    let what = if kind.is_file() {
        return Ok(file);
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else {
        "a device"
    };
    Err(io::Error::other(format!("it is {what}, not a file")))
}

/// Commits `content` as the whole of a file that only its owner may read. A file that has it
/// already is left alone. Blocks.
///
/// # Errors
/// Those of the operating system; the file is then as before.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|before| before == content) {
        return Ok(());
    }
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}
