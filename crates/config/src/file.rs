//! Reading a configuration file, whatever stands in its place.
//!
//! # Guarantees
//! Nothing but a regular file is read. A byte order mark at the beginning is skipped; places count
//! from after it.
//!
//! # Limits
//! [`FILE_LEN_MAX`] bytes.

use std::io::{self, Read};
use std::path::Path;

use super::problem::{Problems, Text};
use crate::regular_file;

/// The longest file that is read, in bytes: a list of a million users fits.
const FILE_LEN_MAX: u64 = 16 << 20;

const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// The text of a file, which is called `name` in messages; blocks as long as the disk does.
///
/// # Errors
/// Why it cannot be read, with the place of the first byte that is no text.
pub(super) fn read(file: &Path, name: &str) -> Result<String, Problems> {
    let nowhere = |error: &dyn std::fmt::Display| {
        let text = Text::new(name, "");
        Problems::new(vec![text.problem(None, format!("cannot be read: {error}"))])
    };
    let mut bytes = read_bytes(file).map_err(|error| nowhere(&error))?;
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let (before, rest) = bytes.split_at(at);
        let before = String::from_utf8_lossy(before);
        let text = Text::new(name, &before);
        Problems::new(vec![
            text.problem(Some(text.position(at)), not_text(at, rest)),
        ])
    })
}

fn not_text(at: usize, rest: &[u8]) -> String {
    match rest {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] if at == 0 => {
            "this is UTF-16; save the file as UTF-8".to_owned()
        }
        [byte, ..] => format!("not UTF-8: the byte 0x{byte:02X}; save the file as UTF-8"),
        [] => "not UTF-8; save the file as UTF-8".to_owned(),
    }
}

fn read_bytes(file: &Path) -> io::Result<Vec<u8>> {
    let file = regular_file::open(file)?;
    let mut bytes = Vec::new();
    // One more than allowed tells a file of the greatest length from one that is longer.
    file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(io::Error::other(format!(
            "longer than {FILE_LEN_MAX} bytes"
        )));
    }
    Ok(bytes)
}
