//! What the disk cannot read while a spool is opened.
//!
//! # Guarantees
//! A block that cannot be read costs what lies in it, and no more: what can be read around it is
//! used. It is not given up either: its segment stays as it is and is read again at every opening.
//! Until then nothing is given up that what may come back depends on: segments that are there now
//! stay, ends of messages stay, and numbers that may have been used in it are not used again.

use std::sync::Arc;

use super::files::{self, Headers, NamedError as _};
use super::{Recovery, quarantine, scan};
use crate::engine::segment_name;
use crate::{DiskFile, Note, OpenError};

/// More batches than any number of segments have had, and more segments: so many numbers are left
/// out where it is not known which were used.
const SEQUENCES_SKIPPED: u64 = 1 << 32;
const GENERATIONS_SKIPPED: u64 = 1 << 16;

impl Recovery {
    pub(super) fn read_headers(
        &self,
        name: &str,
    ) -> Result<(Arc<dyn DiskFile>, Headers), OpenError> {
        let file = self.disk.open(name).named("open", name)?;
        let headers = files::read_headers(&self.identity, &*file).named("read", name)?;
        Ok((file, headers))
    }

    pub(super) fn note_superblock(&mut self, damaged: Option<&'static str>) {
        let note = damaged.map(|name| Note::Superblock { file: name.into() });
        if let Some(note) = note.filter(|note| !self.notes.contains(note)) {
            self.notes.push(note);
        }
    }

    pub(super) fn note_unread(&mut self, name: &str, ranges: &[scan::Range]) {
        let Some(first) = ranges.first() else {
            return;
        };
        self.notes.push(Note::Unread {
            file: name.to_owned(),
            offset: first.start.into(),
            len: ranges.iter().map(|range| range.len()).sum(),
            quarantine: None,
        });
    }

    /// A segment of which nothing can be read, as its headers cannot be: it is left alone.
    pub(super) fn leave_unread(&mut self, number: u32, file: Option<&dyn DiskFile>) {
        let len = file.and_then(|file| file.file_len().ok()).unwrap_or(0);
        self.unread.push(number);
        self.notes.push(Note::Unread {
            file: segment_name(number),
            offset: 0,
            len,
            quarantine: file.and_then(|file| quarantine::copy_whole(&*self.disk, file, number)),
        });
    }

    /// These parts of a segment cannot be read.
    pub(super) fn keep_unread(&mut self, number: u32, ranges: &[scan::Range]) {
        self.note_unread(&segment_name(number), ranges);
        self.unread.push(number);
    }

    /// Sees to it that what may be read again at the next opening brings nothing back that has
    /// ended, and counts as older than what is written from here on.
    pub(super) fn skip_unread(&mut self, first_id: u64) {
        if self.unread.is_empty() {
            return;
        }
        self.sequence += SEQUENCES_SKIPPED;
        self.generation += GENERATIONS_SKIPPED;
        let ledger = &mut self.replay.ledger;
        ledger.leave_unread(self.unread.clone(), first_id);
    }

    /// The segments that are not sealed and could be read, which can be sealed now: in one that
    /// could not, a batch may lie behind what is known to be durable.
    pub(super) fn read_ends(&self) -> Vec<(u32, u32)> {
        let ends = self.open_ends.iter().copied();
        ends.filter(|(number, _)| !self.unread.contains(number))
            .collect()
    }
}
