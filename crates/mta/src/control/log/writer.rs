//! The thread that writes the log: the only one that waits for its disk or its reader.
//!
//! # Guarantees
//! Lines are whole and in the order of the events. A batch counts as written when its last octet
//! is; what could not be written is tried again until it is, also to another file that a reload
//! names. Lines that were written to a file that somebody had removed are written again.
//!
//! # Limits
//! One batch, and [`OWN_LEN_MAX`] octets of lines of control itself.
//!
//! # Failure
//! A line that was cut off by the end of a whole machine, or by a file that was changed under it,
//! is ended, and the next one says so.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use config::LogFormat;
use events::Format;
use events::encoding::Decoded;
use events::render::Renderer;
use mail::event::{Event, What};
use mail::{InstanceName, Timestamp};
use net::Clock;
use tokio::sync::oneshot;

use super::board::Board;
use super::file::{Found, OpenFile, n_written, rotate, tail};
use super::stream::{Mirror, Stream};

/// How many octets of lines of control itself wait while the log cannot be written.
const OWN_LEN_MAX: usize = 256 * 1024;

/// How long until what could not be written is tried again.
const RETRY_TIME: Duration = Duration::from_millis(100);

/// As often a removed file is replaced for the same lines.
const N_REMOVED_MAX: u32 = 3;

/// What the thread is asked for.
pub(super) enum Job {
    /// Takes a line of control itself; it is written with what comes next.
    Own(InstanceName, Event),
    /// Writes a batch; answered when it is written.
    Batch(InstanceName, Decoded, oneshot::Sender<()>),
    /// Completes the batch that an earlier control was writing when it was killed, if it is one
    /// of these; answered with its place among them.
    Complete(Vec<(InstanceName, Decoded)>, oneshot::Sender<Option<usize>>),
    /// Writes what waits, and looks after the file where that is asked for. Tried once.
    Flush(Care, oneshot::Sender<()>),
    /// Takes other settings into use.
    Set(config::Log),
}

/// Whether the file is looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Care {
    /// It is: moved away, removed, or grown to its size.
    File,
    /// It is not.
    None,
}

/// Who waits for what is being written.
enum Waiting {
    Batch(oneshot::Sender<()>),
    Complete(oneshot::Sender<Option<usize>>, usize),
}

/// Writes events where the configuration says.
pub(super) struct Writer {
    name: InstanceName,
    settings: config::Log,
    clock: Clock,
    board: Arc<Board>,
    renderer: Renderer,
    file: Option<OpenFile>,
    /// For the log where no file is set.
    stream: Option<Stream>,
    mirror: Option<Mirror>,
    mirrors: Mirrors,
    /// What is being written.
    text: String,
    n_written: usize,
    /// Whether the file ends with what was written of the text.
    continues: bool,
    own: String,
    n_own_lost: u64,
    waiting: Option<Waiting>,
    /// Why and since when the log cannot be written; logged once.
    trouble: Option<(ErrorKind, String, Timestamp)>,
}

/// Whether lines also go to the standard error stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mirrors {
    /// Only what concerns the log itself.
    Trouble,
    /// All of them.
    Lines,
}

impl Writer {
    /// A log as `settings` says. `name` stands in the lines that are about the log itself.
    ///
    /// What cannot be opened now is tried again at each flush.
    pub(super) fn new(
        name: InstanceName,
        settings: config::Log,
        clock: Clock,
        board: Arc<Board>,
        streams: Option<(Stream, Stream)>,
    ) -> Self {
        let has_reader = streams.as_ref().is_some_and(|(s, _)| s.has_reader());
        let (stream, mirror) = streams.unzip();
        Self {
            name,
            settings,
            clock,
            board,
            renderer: Renderer::default(),
            file: None,
            stream,
            mirror: mirror.and_then(Mirror::new),
            mirrors: if has_reader {
                Mirrors::Lines
            } else {
                Mirrors::Trouble
            },
            text: String::new(),
            n_written: 0,
            continues: false,
            own: String::new(),
            n_own_lost: 0,
            waiting: None,
            trouble: None,
        }
    }

    /// Does what it is asked until nobody can ask any more.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let job = if self.waiting.is_some() {
                jobs.recv_timeout(RETRY_TIME)
            } else {
                jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match job {
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.waiting.is_some() && self.flush() {
                self.answer();
            }
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Own(name, event) => {
                self.board.own_taken();
                self.append(&name, &event);
            }
            Job::Batch(name, batch, done) => {
                self.begin_batch(&name, &batch);
                self.waiting = Some(Waiting::Batch(done));
            }
            Job::Complete(batches, done) => match self.begin_completion(&batches) {
                Some(at) => self.waiting = Some(Waiting::Complete(done, at)),
                // Who asked may be gone.
                None => drop(done.send(None)),
            },
            Job::Flush(care, done) => {
                self.flush();
                if care == Care::File {
                    self.look_after();
                }
                let _ = done.send(());
            }
            Job::Set(settings) => self.set(settings),
        }
    }

    fn answer(&mut self) {
        match self.waiting.take() {
            Some(Waiting::Batch(done)) => drop(done.send(())),
            Some(Waiting::Complete(done, at)) => drop(done.send(Some(at))),
            None => {}
        }
    }

    /// Takes other settings into use; what waits is written by them.
    pub(super) fn set(&mut self, settings: config::Log) {
        if settings.file != self.settings.file {
            self.flush();
            self.leave_file();
        }
        self.board.set_file(settings.file.clone());
        self.settings = settings;
    }

    /// Takes an event of control itself. Writes nothing yet.
    pub(super) fn append(&mut self, instance: &InstanceName, event: &Event) {
        if self.own.len() > OWN_LEN_MAX {
            self.n_own_lost += 1;
            self.board.add_lost(1);
            return;
        }
        self.n_own_lost += self.board.take_own_refused();
        if self.n_own_lost > 0 {
            let n_lost = std::mem::take(&mut self.n_own_lost);
            let text = format!("{n_lost} lines of control are missing before this one");
            let line = self.line(What::Alarm { text: text.into() });
            self.own.push_str(&line);
        }
        let format = self.format();
        self.renderer.render(format, instance, event, &mut self.own);
    }

    /// Begins to write a batch of an instance's events, after whatever waits.
    pub(super) fn begin_batch(&mut self, instance: &InstanceName, batch: &Decoded) {
        self.take_own();
        let lines = self.lines_of(instance, batch);
        self.mirror_lines(&lines);
        self.text.push_str(&lines);
    }

    /// Finds the batch that the log ends with a part of, and begins to write the rest of it.
    pub(super) fn begin_completion(
        &mut self,
        batches: &[(InstanceName, Decoded)],
    ) -> Option<usize> {
        let tail = tail(self.settings.file.as_ref()?);
        let begun = batches.iter().enumerate().map(|(at, (name, batch))| {
            let lines = self.lines_of(name, batch);
            (n_written(&tail, lines.as_bytes()), at, lines)
        });
        // Of a line that was hardly begun nobody can say whose it was: it fits whom it is given to.
        let (n_written, at, lines) = begun.max_by_key(|(n_written, ..)| *n_written)?;
        if n_written == 0 {
            return None;
        }
        (self.text, self.n_written) = (lines, n_written);
        self.continues = true;
        Some(at)
    }

    /// Writes what waits; whether all of it is written.
    pub(super) fn flush(&mut self) -> bool {
        if self.waiting.is_none() {
            self.take_own();
        }
        if self.text.is_empty() {
            return true;
        }
        self.board.begin_write(self.clock.timestamp());
        let result = self.write();
        self.board.end_write();
        match result {
            Ok(()) => {
                self.text.clear();
                self.n_written = 0;
                self.continues = false;
                self.note_recovery();
                true
            }
            Err(error) => {
                self.note_trouble(&error);
                false
            }
        }
    }

    /// Looks whether the file has been moved away or has grown to its size. Once a second.
    pub(super) fn look_after(&mut self) {
        let Some(path) = self.settings.file.clone() else {
            return;
        };
        let Some(open) = &mut self.file else { return };
        if open.is_at(&path)
            && open.len() >= self.settings.rotate_size
            && let Err(error) = rotate(&path, self.settings.rotate_keep)
        {
            // To be tried again when it is opened next.
            open.forget_len();
            let text = format!("the log {} cannot be rotated: {error}", path.display());
            return self.alarm(text);
        }
        if self.file.as_ref().is_some_and(|open| !open.is_at(&path)) {
            // What waits was rendered before the move and may go to either file.
            self.flush();
            self.leave_file();
        }
    }

    /// How it fares.
    #[cfg(test)]
    pub(super) fn board(&self) -> &Board {
        &self.board
    }

    /// As if the file had taken what is to be written up to the middle of `character`, and then
    /// been left.
    #[cfg(test)]
    pub(super) fn tear_within(&mut self, character: &str) {
        self.n_written = self.text.find(character).map_or(0, |at| at + 1);
        self.leave_file();
    }

    fn take_own(&mut self) {
        let own = std::mem::take(&mut self.own);
        self.mirror_lines(&own);
        self.text.push_str(&own);
    }

    fn lines_of(&mut self, instance: &InstanceName, batch: &Decoded) -> String {
        let (mut lines, format) = (String::new(), self.format());
        for event in batch.loss().iter().chain(&batch.events) {
            self.renderer.render(format, instance, event, &mut lines);
        }
        lines
    }

    const fn format(&self) -> Format {
        match self.settings.format {
            LogFormat::Json => Format::Json,
            LogFormat::Text => Format::Text,
        }
    }

    /// A line about the log itself.
    fn line(&mut self, what: What) -> String {
        let (at, trace) = (self.clock.timestamp(), None);
        let (mut line, format) = (String::new(), self.format());
        let event = Event { at, trace, what };
        self.renderer.render(format, &self.name, &event, &mut line);
        line
    }

    fn alarm(&mut self, text: String) {
        let line = self.line(What::Alarm { text: text.into() });
        self.own.push_str(&line);
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(path) = self.settings.file.clone() else {
            return self.write_to_stream();
        };
        for _ in 0..N_REMOVED_MAX {
            let mut open = self.take_file(&path)?;
            let result = self.write_to_file(&mut open);
            let found = result.and_then(|()| open.look());
            match found {
                Ok(Found::Named) => {
                    self.file = Some(open);
                    return Ok(());
                }
                // Where nobody can read them; once more.
                Ok(Found::Removed) => self.n_written = 0,
                Err(error) => {
                    // A full disk leaves the file as it is; else another look at it may help.
                    if is_full(&error) {
                        self.file = Some(open);
                    } else {
                        self.leave_file();
                    }
                    return Err(error);
                }
            }
        }
        Err(io::Error::other("the file is removed again and again"))
    }

    fn write_to_file(&mut self, open: &mut OpenFile) -> io::Result<()> {
        while self.n_written < self.text.len() {
            match open.write(&self.text.as_bytes()[self.n_written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => self.n_written += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_to_stream(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.stream else {
            self.n_written = self.text.len();
            return Ok(());
        };
        while self.n_written < self.text.len() {
            match stream.write(&self.text.as_bytes()[self.n_written..])? {
                0 => return Err(ErrorKind::WriteZero.into()),
                n => self.n_written += n,
            }
            // It goes on: a slow reader is none that hangs.
            self.board.begin_write(self.clock.timestamp());
        }
        Ok(())
    }

    /// The file, opened where it is not.
    fn take_file(&mut self, path: &Path) -> io::Result<OpenFile> {
        if let Some(open) = self.file.take() {
            return Ok(open);
        }
        let mut open = OpenFile::open(path)?;
        if std::mem::take(&mut self.continues) {
            return Ok(open);
        }
        // A line that was begun elsewhere is written whole here.
        self.n_written = begin_of_line(&self.text, self.n_written);
        if open.ends_within_a_line()? {
            // A loss of power leaves that; nobody needs to act on it.
            let text = "previous line truncated".into();
            let line = self.line(What::Instance { text });
            self.text
                .replace_range(..self.n_written, &format!("\n{line}"));
            self.n_written = 0;
        }
        Ok(open)
    }

    fn leave_file(&mut self) {
        self.file = None;
        self.n_written = begin_of_line(&self.text, self.n_written);
    }

    fn note_trouble(&mut self, error: &io::Error) {
        let since = match &self.trouble {
            Some((kind, _, _)) if *kind == error.kind() => return,
            Some((_, _, since)) => *since,
            None => self.clock.timestamp(),
        };
        let text = format!("{} cannot be written: {error}", self.named());
        self.board.set_trouble(Some((text.clone(), since)));
        if self.settings.file.is_some()
            && let Some(mirror) = &self.mirror
        {
            let shown = events::escape(&text);
            mirror.push(&format!("postern: {shown}\n"), |_| String::new());
        }
        self.trouble = Some((error.kind(), text, since));
    }

    fn note_recovery(&mut self) {
        if let Some((_, text, since)) = self.trouble.take() {
            self.board.set_trouble(None);
            let text = format!(
                "written again after a pause since {}: {text}",
                since.rfc3339()
            );
            self.alarm(text);
        }
    }

    /// What the log is, in messages about it.
    fn named(&self) -> String {
        match &self.settings.file {
            Some(path) => format!("the log {}", path.display()),
            None => "the log on the standard error stream".to_owned(),
        }
    }

    /// Copies lines to the standard error stream, where somebody reads it and it is not the log.
    fn mirror_lines(&mut self, lines: &str) {
        if self.mirrors == Mirrors::Trouble || self.settings.file.is_none() || lines.is_empty() {
            return;
        }
        let Some(mirror) = self.mirror.take() else {
            return;
        };
        mirror.push(lines, |n_left_out| {
            let text = format!(
                "{n_left_out} lines are missing here, as nobody read them in time; {} has them",
                self.named()
            );
            self.line(What::Alarm { text: text.into() })
        });
        self.board.set_mirror_waiting(mirror.waiting_len());
        self.mirror = Some(mirror);
    }
}

/// Where the line begins that the octet at `at` belongs to.
fn begin_of_line(text: &str, at: usize) -> usize {
    text.as_bytes()[..at]
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |before| before + 1)
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}
