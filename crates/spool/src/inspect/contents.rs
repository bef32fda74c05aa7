//! Contents, wherever they lie, in pieces.

use std::io;

use mail::MessageId;

use super::Inspection;
use crate::content::file_name;
use crate::disk::read_again;
use crate::engine::segment_name;
use crate::format::Crc;
use crate::format::record::{self, RecordHeader};
use crate::{Disk, DiskFile};

/// Octets that are read at once.
const PIECE_LEN: usize = 256 << 10;

/// Where the content of a message lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentPlace {
    /// The message.
    pub id: MessageId,
    /// The file.
    pub file: String,
    /// Where in it the content begins.
    pub start: u64,
    /// How long it is, in octets.
    pub len: u64,
    /// Whether it has a file of its own, which holds nothing else.
    pub is_own_file: bool,
    pub(super) crc: u32,
}

/// What a content turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentState {
    /// Of the right length, but not what was written.
    Damaged,
    /// Its file is gone.
    Missing,
    /// This many octets, and not as many as were written.
    WrongLength(u64),
    /// What was written.
    Whole,
}

impl ContentPlace {
    /// Where a segment's record at `offset` has its content.
    pub(super) fn of(header: &RecordHeader, segment: u32, offset: u32) -> Self {
        let start = offset + record::HEADER_LEN + header.meta_len;
        Self::within(header, segment_name(segment), start.into())
    }

    /// The same, where the inline content begins at `start` of `file`.
    pub(super) fn within(header: &RecordHeader, file: String, start: u64) -> Self {
        let is_own_file = header.file != 0;
        Self {
            id: header.id,
            file: if is_own_file {
                file_name(header.file)
            } else {
                file
            },
            start: if is_own_file { 0 } else { start },
            len: header.content_len,
            is_own_file,
            crc: header.content_crc,
        }
    }

    /// What the content is that has this length and checksum.
    pub(super) const fn state(&self, (len, crc): (u64, u32)) -> ContentState {
        if len != self.len {
            ContentState::WrongLength(len)
        } else if crc == self.crc {
            ContentState::Whole
        } else {
            ContentState::Damaged
        }
    }
}

impl Inspection {
    /// Gives a content to `take`, piece by piece, also when it is damaged; says what it was.
    ///
    /// # Errors
    /// Those of the disk, and those of `take`.
    pub fn copy_content(
        &self,
        place: &ContentPlace,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<ContentState> {
        copy(&*self.disk, place, take)
    }
}

/// Checks a content.
pub(super) fn check(disk: &dyn Disk, place: &ContentPlace) -> io::Result<ContentState> {
    copy(disk, place, &mut |_| Ok(()))
}

fn copy(
    disk: &dyn Disk,
    place: &ContentPlace,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<ContentState> {
    let file = match disk.open(&place.file) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ContentState::Missing),
        Err(error) => return Err(error),
    };
    let read = read(&*file, place.start, place.len, take)?;
    if place.is_own_file {
        let len = file.file_len()?;
        if len != place.len {
            return Ok(ContentState::WrongLength(len));
        }
    }
    Ok(place.state(read))
}

/// Reads up to `len` octets; how many there were, and their checksum.
pub(super) fn read(
    file: &dyn DiskFile,
    start: u64,
    len: u64,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(u64, u32)> {
    let piece_len = usize::try_from(len).unwrap_or(PIECE_LEN).min(PIECE_LEN);
    let mut piece = vec![0; piece_len];
    let mut crc = Crc::new();
    let mut at = 0;
    while at < len {
        let wanted = usize::try_from(len - at)
            .unwrap_or(PIECE_LEN)
            .min(PIECE_LEN);
        let n = read_again(file, start + at, &mut piece[..wanted])?;
        if n == 0 {
            break;
        }
        crc.update(&piece[..n]);
        take(&piece[..n])?;
        at += n as u64;
    }
    Ok((at, crc.value()))
}
