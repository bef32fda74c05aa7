//! Puts one message into the Maildirs of its recipients, durably. Everything here blocks.
//!
//! All files of a message are written, then all are synced, then all are renamed, then their
//! directories are synced: what a message needs of the disk is asked for together.

use std::fs::File;
use std::io::Write as _;

use mail::reply::table;
use mail::{Outcome, Timestamp};
use rustix::fs::{self, AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

use super::super::{Octets, PIECE_LEN};
use super::busy::HANGS_AFTER;
use super::directories::{Directories, Mailbox};
use super::template::Place;
use super::trouble::{Trouble, Why, Within};

/// What one recipient is to get.
#[derive(Debug)]
pub(super) struct Letter {
    /// When the message entered the system: no trace of it can be older.
    pub(super) arrived: Timestamp,
    /// Fields that stand before the content.
    pub(super) header: String,
    /// The name of the file.
    pub(super) name: String,
    /// Where; `None` when there can be no such mailbox.
    pub(super) place: Option<Place>,
    /// A delivery to that mailbox hangs: it gets no other.
    pub(super) hangs: bool,
    /// What becomes of line ends.
    pub(super) line_ends: LineEnds,
}

/// What becomes of the line ends of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineEnds {
    /// Nothing: in binary content CR LF need not be one.
    Kept,
    /// Those of the system.
    Unix,
}

/// Stores the letters of one message.
#[derive(Debug)]
pub(super) struct Store<'a, C> {
    directories: &'a Directories,
    content: C,
    /// It could not be read to its end, or is damaged. That shows only once: nobody gets it.
    unreadable: bool,
}

/// Why a letter could not be stored.
#[derive(Debug)]
pub(super) enum Failure {
    Content,
    Mailbox(Trouble),
    NoSuchUser,
}

/// How far a letter has come.
enum Stored {
    /// Found where it belongs: an earlier attempt came this far.
    Before(Mailbox),
    /// Written in `tmp`.
    Written(Mailbox, File),
    /// Renamed into `new`.
    Renamed(Mailbox),
}

impl<'a, C: Octets> Store<'a, C> {
    pub(super) const fn new(directories: &'a Directories, content: C) -> Self {
        Self {
            directories,
            content,
            unreadable: false,
        }
    }

    /// What came of each letter.
    pub(super) fn store(mut self, letters: &[Letter]) -> Vec<Result<(), Failure>> {
        let directories = self.directories;
        let written: Vec<_> = letters.iter().map(|letter| self.write(letter)).collect();
        let synced: Vec<_> = written
            .into_iter()
            .zip(letters)
            .map(|(stored, letter)| stored.and_then(|stored| stored.sync(letter)))
            .collect();
        let renamed: Vec<_> = synced
            .into_iter()
            .zip(letters)
            .map(|(stored, letter)| stored.and_then(|stored| stored.rename(letter)))
            .collect();
        renamed
            .into_iter()
            .map(|stored| stored.and_then(|stored| stored.commit(directories)))
            .collect()
    }

    fn write(&mut self, letter: &Letter) -> Result<Stored, Failure> {
        let place = letter.place.as_ref().ok_or(Failure::NoSuchUser)?;
        if letter.hangs {
            return Err(Failure::Mailbox(Trouble {
                path: place.path(),
                why: Why::Slow(HANGS_AFTER),
                place: Within::Mailbox,
            }));
        }
        let mailbox = self.directories.open(place)?.ok_or(Failure::NoSuchUser)?;
        if mailbox.has(letter)? {
            return Ok(Stored::Before(mailbox));
        }
        if self.unreadable {
            return Err(Failure::Content);
        }
        let file = mailbox.create(&letter.name)?;
        match self.copy(letter, &mailbox, &file) {
            Ok(()) => Ok(Stored::Written(mailbox, file)),
            Err(failure) => {
                mailbox.discard(&letter.name);
                Err(failure)
            }
        }
    }

    /// Writes header and content.
    fn copy(&mut self, letter: &Letter, mailbox: &Mailbox, file: &File) -> Result<(), Failure> {
        let header = &letter.header;
        let write = |out: &[u8]| -> Result<(), Failure> {
            let mut file = file;
            let written = file.write_all(out);
            written
                .map_err(|e| mailbox.failed("write", Errno::from_io_error(&e).unwrap_or(Errno::IO)))
        };
        let len = self.content.content_len();
        let piece_len = usize::try_from(len)
            .unwrap_or(usize::MAX)
            .clamp(1, PIECE_LEN);
        let mut piece = vec![0; piece_len];
        let mut out = Vec::with_capacity(header.len() + piece_len + 1);
        out.extend_from_slice(header.as_bytes());
        let mut lines = Unix::default();
        let mut offset = 0;
        while offset < len {
            let read = self.content.read_at(offset, &mut piece);
            let Some(n) = read.ok().filter(|&n| n > 0) else {
                self.unreadable = true;
                return Err(Failure::Content);
            };
            offset += n as u64;
            match letter.line_ends {
                LineEnds::Kept => out.extend_from_slice(&piece[..n]),
                LineEnds::Unix => lines.convert(&piece[..n], &mut out),
            }
            write(&out)?;
            out.clear();
        }
        lines.end(&mut out);
        write(&out)
    }
}

impl Stored {
    /// The file's octets become durable.
    fn sync(self, letter: &Letter) -> Result<Self, Failure> {
        if let Self::Written(mailbox, file) = &self
            && let Err(e) = fs::fdatasync(file)
        {
            mailbox.discard(&letter.name);
            return Err(mailbox.failed("sync a file in", e));
        }
        Ok(self)
    }

    /// The file appears in the mailbox.
    fn rename(self, letter: &Letter) -> Result<Self, Failure> {
        match self {
            Self::Written(mailbox, _) => {
                let renamed =
                    fs::renameat(&mailbox.tmp, &*letter.name, &mailbox.new, &*letter.name);
                if let Err(e) = renamed {
                    mailbox.discard(&letter.name);
                    return Err(mailbox.failed("move a file within", e));
                }
                Ok(Self::Renamed(mailbox))
            }
            Self::Before(_) | Self::Renamed(_) => Ok(self),
        }
    }

    /// Its name becomes durable.
    fn commit(self, directories: &Directories) -> Result<(), Failure> {
        let sync = |directory, mailbox: &Mailbox, name| {
            directories.sync(directory, &mailbox.path.join(name))
        };
        match &self {
            // The attempt that left it here may have ended before this.
            Self::Before(mailbox) => {
                sync(&mailbox.new, mailbox, "new")?;
                sync(&mailbox.cur, mailbox, "cur")?;
            }
            Self::Renamed(mailbox) | Self::Written(mailbox, _) => {
                sync(&mailbox.new, mailbox, "new")?;
            }
        }
        Ok(())
    }
}

impl Mailbox {
    /// Whether the letter was stored before, whatever its reader did with it since.
    fn has(&self, letter: &Letter) -> Result<bool, Failure> {
        match fs::statat(&self.new, &*letter.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Ok(true),
            Err(Errno::NOENT) => {}
            Err(e) => return Err(self.failed("look into", e)),
        }
        let failed = |e| self.failed("list", e);
        // A directory into which nothing was moved since the message arrived need not be searched.
        // (A clock that was set back in between could hide a repetition here.)
        let changed =
            u64::try_from(fs::fstat(&self.cur).map_err(failed)?.st_mtime).unwrap_or(u64::MAX);
        if changed.saturating_add(CLOCK_COARSENESS_SECONDS) < letter.arrived.unix_seconds() {
            return Ok(false);
        }
        for entry in Dir::read_from(&self.cur).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let rest = entry
                .file_name()
                .to_bytes()
                .strip_prefix(letter.name.as_bytes());
            // After a colon stand the flags; some readers put a comma and sizes before it.
            if rest.is_some_and(|rest| matches!(rest.first(), None | Some(b':' | b','))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// An empty file in `tmp`. What an attempt that was cut short left there goes.
    fn create(&self, name: &str) -> Result<File, Failure> {
        // Links: the mailbox's owner may know the name by now; nothing that stands there is opened.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let create = || fs::openat(&self.tmp, name, flags | OFlags::CLOEXEC, FILE_MODE);
        let file = match create() {
            Err(Errno::EXIST) => {
                fs::unlinkat(&self.tmp, name, AtFlags::empty()).and_then(|()| create())
            }
            created => created,
        };
        let file = file.map_err(|e| self.failed("write", e))?;
        Ok(File::from(file))
    }

    fn failed(&self, doing: &'static str, errno: Errno) -> Failure {
        Failure::Mailbox(Trouble::failed(doing, &self.path, errno, Within::Mailbox))
    }

    fn discard(&self, name: &str) {
        // What cannot be removed now is removed by the next attempt.
        let _ = fs::unlinkat(&self.tmp, name, AtFlags::empty());
    }
}

/// How far behind the clock a file system's times may be, rounding included.
const CLOCK_COARSENESS_SECONDS: u64 = 2;

const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

impl Failure {
    pub(super) fn outcome(&self) -> Outcome {
        let trouble = match self {
            Self::Content => return Outcome::deferred(table::TRY_AGAIN.reply()),
            Self::Mailbox(trouble) => trouble,
            Self::NoSuchUser => return Outcome::failed(table::NO_SUCH_USER.reply()),
        };
        let row = match trouble.why {
            Why::Failed(_, Errno::DQUOT) => &table::MAILBOX_FULL,
            Why::Failed(_, Errno::NOSPC) => &table::STORAGE_FULL,
            _ => &table::MAILBOX_FAILED,
        };
        Outcome::deferred(row.reply().with_cause(&trouble.text()))
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Mailbox(trouble)
    }
}

/// Turns CR LF into LF, over the borders of pieces.
#[derive(Debug, Default)]
struct Unix {
    /// The last piece ended with a CR that is not written yet.
    after_cr: bool,
}

impl Unix {
    fn convert(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let Some(&first) = piece.first() else {
            return;
        };
        if std::mem::take(&mut self.after_cr) && first != b'\n' {
            out.push(b'\r');
        }
        let mut rest = piece;
        while let Some(at) = rest.iter().position(|&b| b == b'\r') {
            out.extend_from_slice(&rest[..at]);
            rest = &rest[at + 1..];
            match rest.first() {
                Some(b'\n') => {}
                Some(_) => out.push(b'\r'),
                None => self.after_cr = true,
            }
        }
        out.extend_from_slice(rest);
    }

    fn end(&self, out: &mut Vec<u8>) {
        if self.after_cr {
            out.push(b'\r');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_those_of_the_system_wherever_the_pieces_end() {
        for (content, expected) in [
            ("a\r\nb\r\n", "a\nb\n"),
            ("a\rb\r\r\n\r", "a\rb\r\n\r"),
            ("\r\n\r\n", "\n\n"),
            ("", ""),
            ("no end", "no end"),
            ("a\nb", "a\nb"),
        ] {
            for cut in 0..=content.len() {
                let (first, second) = content.as_bytes().split_at(cut);
                let (mut lines, mut out) = (Unix::default(), Vec::new());
                lines.convert(first, &mut out);
                lines.convert(second, &mut out);
                lines.end(&mut out);
                assert_eq!(
                    String::from_utf8(out).unwrap(),
                    expected,
                    "{content:?} at {cut}"
                );
            }
        }
    }
}
