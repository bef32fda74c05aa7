//! The one log: a batch of events is one write; rotated here or by others.
//!
//! # Guarantees
//! Lines are whole and in the order of the events. A batch is written before it is taken out of its
//! channel: a control that is killed in between leaves it in both, and the next one writes what is
//! missing of it, and nothing twice ([`Log::rest_of`]). A file that was moved away is left within a
//! second, and a new one begun. Nothing here waits for a reader of the standard error stream.
//!
//! # Limits
//! [`BUFFER_LEN_MAX`] octets wait while the file cannot be written.
//!
//! # Failure
//! A disk that is full or a file that cannot be opened: lines wait, then are left out, newest
//! first, and counted; the first line after that says how many. Mail knows nothing of it. A control
//! that is killed while lines wait takes them with it. A line that was cut off by the end of a
//! whole machine, or while the file was moved, is ended, and the next one says so.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mail::event::{Event, What};
use mail::{InstanceName, Timestamp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::config::{self, LogFormat};
use crate::observe::Format;
use crate::observe::encoding::Decoded;
use crate::observe::render::Renderer;

/// How many octets of lines wait while the file cannot be written.
const BUFFER_LEN_MAX: usize = 4 * 1024 * 1024;

/// As much as a pipe that is ready takes without waiting (POSIX's PIPE_BUF on Linux).
const PIPE_WRITE_LEN: usize = 4096;

/// As much of the end of the log is searched for a batch that was being written: more than the
/// lines of any batch take.
const TAIL_LEN_MAX: u64 = 4 * 1024 * 1024;

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

    /// Takes a batch of an instance's events, and writes it with whatever waits, unless writing
    /// has failed: then it waits as well.
    pub(super) fn write_batch(&mut self, instance: &InstanceName, batch: &Decoded, now: Timestamp) {
        self.append_batch(instance, batch);
        if self.complaint.is_none() {
            self.flush(now);
        }
    }

    /// The end of the log as an earlier control left it; empty where there is none.
    pub(super) fn tail(&self) -> Vec<u8> {
        let read = |path: &PathBuf| -> io::Result<Vec<u8>> {
            let mut file = File::open(path)?;
            let len = file.metadata()?.len();
            file.seek(SeekFrom::Start(len.saturating_sub(TAIL_LEN_MAX)))?;
            let mut tail = Vec::new();
            file.take(TAIL_LEN_MAX).read_to_end(&mut tail)?;
            Ok(tail)
        };
        // What cannot be read now can be no reason not to begin.
        self.settings
            .file
            .as_ref()
            .and_then(|path| read(path).ok())
            .unwrap_or_default()
    }

    /// How much of a batch's lines is the end of the log, written by a control that was killed
    /// then, and what is missing.
    pub(super) fn rest_of(
        &mut self,
        tail: &[u8],
        instance: &InstanceName,
        batch: &Decoded,
    ) -> (usize, Vec<u8>) {
        let waiting = std::mem::take(&mut self.lines.text);
        self.append_batch(instance, batch);
        let mut text = std::mem::replace(&mut self.lines.text, waiting).into_bytes();
        let n_written = n_written(tail, &text);
        (n_written, text.split_off(n_written))
    }

    /// Writes what is missing of a batch, octet by octet as it was begun: it may have been cut off
    /// within a character.
    pub(super) fn complete(&mut self, rest: &[u8]) {
        let Some(path) = &self.settings.file else {
            return;
        };
        let appended = OpenFile::open(path).and_then(|mut open| {
            open.file.write_all(rest)?;
            open.len += rest.len() as u64;
            Ok(open)
        });
        match appended {
            Ok(open) => self.file = Some(open),
            Err(_) => self
                .lines
                .text
                .insert_str(0, &String::from_utf8_lossy(rest)),
        }
    }

    fn append_batch(&mut self, instance: &InstanceName, batch: &Decoded) {
        for event in lost_before(batch).iter().chain(&batch.events) {
            self.append(instance, event);
        }
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
        match self.write(&path, now) {
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
        let is_here = |open: &OpenFile| {
            std::fs::metadata(&path).is_ok_and(|found| identity(&found) == open.identity)
        };
        if is_here(open)
            && open.len >= self.settings.rotate_size
            && let Err(error) = rotate(&path, self.settings.rotate_keep)
        {
            // To be tried again when as much again has been written.
            open.len = 0;
            let text = format!("the log {} cannot be rotated: {error}", path.display());
            return self.alarm(now, text);
        }
        if !is_here(open) {
            // What waits was rendered before the move and may go to either file.
            self.flush(now);
            self.file = None;
        }
    }

    fn write(&mut self, path: &Path, now: Timestamp) -> io::Result<()> {
        let open = match &mut self.file {
            Some(open) => open,
            None => {
                let mut open = OpenFile::open(path)?;
                if open.ends_within_a_line()? {
                    let waiting = std::mem::replace(&mut self.lines.text, "\n".to_owned());
                    // A loss of power leaves that; nobody needs to act on it.
                    self.note(now, "the line before this one was cut off");
                    self.lines.text.push_str(&waiting);
                }
                self.file.insert(open)
            }
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

    /// Whether its last line was cut off.
    fn ends_within_a_line(&mut self) -> io::Result<bool> {
        if self.len == 0 || !self.file.metadata()?.is_file() {
            return Ok(false);
        }
        let mut last = [b'\n'];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        Ok(last != *b"\n")
    }
}

/// That events of an instance are missing: told with its next batch, at the time of that.
fn lost_before(batch: &Decoded) -> Option<Event> {
    let first = batch.events.first().filter(|_| batch.n_lost > 0)?;
    let text = format!("{} events were lost before these", batch.n_lost);
    Some(Event {
        at: first.at,
        trace: None,
        what: What::Alarm { text: text.into() },
    })
}

/// How many octets of `text`, which is whole lines, are the end of `tail`, beginning with a line.
fn n_written(tail: &[u8], text: &[u8]) -> usize {
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
