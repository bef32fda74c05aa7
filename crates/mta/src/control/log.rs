//! The one log: lines collected for a moment, then written together; rotated here or by others.
//!
//! # Guarantees
//! Lines are whole and in the order of the events. A file that was moved away is left within a
//! second, and a new one begun. Nothing here waits for a reader of the standard error stream.
//!
//! # Limits
//! [`BUFFER_LEN_MAX`] octets wait while the file cannot be written.
//!
//! # Failure
//! A disk that is full or a file that cannot be opened: lines wait, then are left out, newest
//! first, and counted; the first line after that says how many. Mail knows nothing of it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mail::event::{Event, What};
use mail::{InstanceName, Timestamp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::config::{self, LogFormat};
use crate::observe::Format;
use crate::observe::render::Renderer;

/// How many octets of lines wait while the file cannot be written.
const BUFFER_LEN_MAX: usize = 4 * 1024 * 1024;

/// As much as a pipe that is ready takes without waiting (POSIX's PIPE_BUF on Linux).
const PIPE_WRITE_LEN: usize = 4096;

/// Writes events where the configuration says.
#[derive(Debug)]
pub(super) struct Log {
    name: InstanceName,
    settings: config::Log,
    renderer: Renderer,
    lines: Lines,
    file: Option<OpenFile>,
    mirror: Mirror,
    /// Why the file cannot be written, said once.
    complaint: Option<ErrorKind>,
}

/// What waits to be written.
#[derive(Debug, Default)]
struct Lines {
    text: String,
    n_lost: u64,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    /// Device and inode: what tells whether the path still leads here.
    identity: (u64, u64),
    len: u64,
}

/// Whether lines also go to the standard error stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mirror {
    Off,
    On,
}

impl Log {
    /// A log as `settings` says. `name` stands in the lines that are about the log itself.
    ///
    /// What cannot be opened now is tried again at each flush.
    pub(super) fn new(name: InstanceName, settings: config::Log) -> Self {
        let mirror = if settings.file.is_none() || somebody_reads_stderr() {
            Mirror::On
        } else {
            Mirror::Off
        };
        Self {
            name,
            settings,
            renderer: Renderer::default(),
            lines: Lines::default(),
            file: None,
            mirror,
            complaint: None,
        }
    }

    /// Takes other settings into use; what waits is written by them.
    pub(super) fn set(&mut self, settings: config::Log, now: Timestamp) {
        self.flush(now);
        if settings.file != self.settings.file {
            self.file = None;
        }
        self.settings = settings;
    }

    /// Takes an event. Writes nothing yet.
    pub(super) fn append(&mut self, instance: &InstanceName, event: &Event) {
        if self.lines.text.len() > BUFFER_LEN_MAX {
            self.lines.n_lost += 1;
            return;
        }
        let format = match self.settings.format {
            LogFormat::Json => Format::Json,
            LogFormat::Text => Format::Text,
        };
        self.renderer
            .render(format, instance, event, &mut self.lines.text);
    }

    /// Takes something that control itself has to say.
    pub(super) fn alarm(&mut self, now: Timestamp, text: String) {
        let name = self.name.clone();
        self.append(
            &name,
            &Event {
                at: now,
                trace: None,
                what: What::Alarm { text: text.into() },
            },
        );
    }

    /// Takes something that control itself has to say and nobody needs to act on.
    pub(super) fn note(&mut self, now: Timestamp, text: &str) {
        let name = self.name.clone();
        let what = What::Instance { text: text.into() };
        self.append(
            &name,
            &Event {
                at: now,
                trace: None,
                what,
            },
        );
    }

    /// Writes what waits. What cannot be written waits on.
    pub(super) fn flush(&mut self, now: Timestamp) {
        if self.lines.text.is_empty() {
            return;
        }
        if self.mirror == Mirror::On {
            write_stderr(self.lines.text.as_bytes());
        }
        let Some(path) = self.settings.file.clone() else {
            self.lines.text.clear();
            return;
        };
        match self.write(&path) {
            Ok(()) => self.say_what_was_lost(now),
            Err(error) if self.complaint != Some(error.kind()) => {
                self.complaint = Some(error.kind());
                let text = format!("the log {} cannot be written: {error}", path.display());
                write_stderr(format!("{}\n", crate::observe::neutral(&text)).as_bytes());
            }
            Err(_) => {}
        }
    }

    /// Looks whether the file has been moved away or has grown to its size. Once a second.
    pub(super) fn look_after(&mut self, now: Timestamp) {
        let Some(path) = self.settings.file.clone() else {
            return;
        };
        let Some(open) = &mut self.file else { return };
        let identity_of_ours = open.identity;
        if open.len >= self.settings.rotate_size
            && let Err(error) = rotate(&path, self.settings.rotate_keep)
        {
            // To be tried again when as much again has been written.
            open.len = 0;
            self.alarm(
                now,
                format!("the log {} cannot be rotated: {error}", path.display()),
            );
        }
        let is_here =
            std::fs::metadata(&path).is_ok_and(|found| identity(&found) == identity_of_ours);
        if !is_here {
            // What waits was rendered before the move and may go to either file.
            self.flush(now);
            self.file = None;
        }
    }

    fn write(&mut self, path: &Path) -> io::Result<()> {
        let open = match &mut self.file {
            Some(open) => open,
            None => self.file.insert(OpenFile::open(path)?),
        };
        let mut n_written = 0;
        let result = loop {
            match open.file.write(&self.lines.text.as_bytes()[n_written..]) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(n) => n_written += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            if n_written == self.lines.text.len() {
                break Ok(());
            }
        };
        open.len += n_written as u64;
        if result.is_ok() {
            self.lines.text.clear();
        } else {
            // The rest of a torn line goes first when there is room again.
            self.lines.drop_written(n_written);
        }
        result
    }

    fn say_what_was_lost(&mut self, now: Timestamp) {
        self.complaint = None;
        let n_lost = std::mem::take(&mut self.lines.n_lost);
        if n_lost > 0 {
            self.alarm(
                now,
                format!("{n_lost} lines of the log are missing before this one"),
            );
        }
    }
}

impl Lines {
    /// Forgets the first octets, which may end within a character: it is replaced, as lines that
    /// are not UTF-8 could not be read back.
    fn drop_written(&mut self, n_written: usize) {
        let rest = &self.text.as_bytes()[n_written..];
        self.text = String::from_utf8_lossy(rest).into_owned();
    }
}

impl OpenFile {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .append(true)
            .create(true)
            .mode(0o640)
            .open(path)?;
        let found = file.metadata()?;
        let len = found.len();
        if len > 0 && found.is_file() {
            let mut last = [b'\n'];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                // A crash tore the last line: it must not run into the next.
                file.write_all(b"\n")?;
            }
        }
        Ok(Self {
            file,
            identity: identity(&found),
            len,
        })
    }
}

fn identity(found: &std::fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Moves `log` to `log.1`, `log.1` to `log.2` and so on; the one beyond `keep` goes.
fn rotate(path: &Path, keep: u32) -> io::Result<()> {
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

/// The path of a log that was put aside.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Whether the standard error stream leads to a person or a program rather than to a file.
fn somebody_reads_stderr() -> bool {
    let Ok(stream) = rustix::io::dup(rustix::stdio::stderr()) else {
        return false;
    };
    File::from(stream).metadata().is_ok_and(|found| {
        let kind = found.file_type();
        let is_terminal = kind.is_char_device() && io::stderr().is_terminal();
        kind.is_fifo() || kind.is_socket() || is_terminal
    })
}

/// Writes as much as the reader takes without making control wait.
fn write_stderr(text: &[u8]) {
    let mut stderr = io::stderr();
    for part in text.chunks(PIPE_WRITE_LEN) {
        let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let has_room = poll(&mut ready, Some(&at_once)).is_ok_and(|n_ready| n_ready > 0);
        if !has_room || stderr.write_all(part).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
