//! The standard error stream: the log itself where no file is set, else a mirror of it.
//!
//! # Guarantees
//! Lines are written whole: to a pipe in parts that it takes whole or not at all, so that neither
//! another writer nor a kill can cut one. Also where somebody has set the stream to non-blocking.
//!
//! # Limits
//! A mirror's reader that is slow has [`MIRROR_LEN_MAX`] octets waiting for it. Beyond that whole
//! lines are left out, and a line in their place says how many: the file has them.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};

/// How many octets of lines wait for the reader of a mirror.
const MIRROR_LEN_MAX: usize = 4 * 1024 * 1024;

/// As much as a pipe takes whole or not at all (POSIX's PIPE_BUF on Linux).
const PIPE_WRITE_LEN: usize = 4096;

/// A stream that lines can be written to.
#[derive(Debug)]
pub(super) struct Stream(File);

impl Stream {
    /// Over a descriptor of its own.
    pub(super) fn new(stream: OwnedFd) -> Self {
        Self(stream.into())
    }

    /// The standard error stream of this process.
    pub(super) fn stderr() -> io::Result<Self> {
        Ok(Self::new(rustix::io::dup(rustix::stdio::stderr())?))
    }

    /// Whether it leads to a person or a program rather than to a file.
    pub(super) fn has_reader(&self) -> bool {
        self.0.metadata().is_ok_and(|found| {
            let kind = found.file_type();
            let is_terminal = kind.is_char_device() && self.0.is_terminal();
            kind.is_fifo() || kind.is_socket() || is_terminal
        })
    }

    /// Writes a part of `text`, which begins with a line; waits for the reader. Returns how many
    /// octets were written.
    pub(super) fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(first_part(text)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Somebody else who has this stream set it so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_for_room()?,
                result => return result,
            }
        }
    }

    /// Writes all of it; waits for the reader.
    pub(super) fn write_all(&mut self, text: &[u8]) -> io::Result<()> {
        let mut n_written = 0;
        while n_written < text.len() {
            match self.write(&text[n_written..])? {
                0 => return Err(ErrorKind::WriteZero.into()),
                n => n_written += n,
            }
        }
        Ok(())
    }

    fn wait_for_room(&self) -> io::Result<()> {
        let mut ready = [PollFd::new(&self.0, PollFlags::OUT)];
        match poll(&mut ready, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The first lines, as many as a pipe takes at once; a longer line alone.
fn first_part(text: &[u8]) -> &[u8] {
    let ends_line = |b: &u8| *b == b'\n';
    let len = text.len().min(PIPE_WRITE_LEN);
    let end = text[..len]
        .iter()
        .rposition(ends_line)
        .or_else(|| text.iter().position(ends_line));
    end.map_or(text, |end| &text[..=end])
}

/// Copies lines to a stream in a thread of its own; nobody waits for it.
#[derive(Debug)]
pub(super) struct Mirror {
    lines: Sender<String>,
    waiting_len: Arc<AtomicUsize>,
    n_left_out: Mutex<u64>,
}

impl Mirror {
    /// Begins the thread; `None` where there can be none.
    pub(super) fn new(stream: Stream) -> Option<Self> {
        let (lines, to_write) = channel();
        let waiting_len = Arc::new(AtomicUsize::new(0));
        let waiting = Arc::clone(&waiting_len);
        let thread = thread::Builder::new().name("log mirror".to_owned());
        let started = thread.spawn(move || copy(stream, &to_write, &waiting));
        started.is_ok().then(|| Self {
            lines,
            waiting_len,
            n_left_out: Mutex::new(0),
        })
    }

    /// Gives whole lines to the thread; `left_out` makes the line that says how many are missing.
    pub(super) fn push(&self, text: &str, left_out: impl FnOnce(u64) -> String) {
        let mut n_left_out = self
            .n_left_out
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.waiting_len.load(Ordering::Acquire) + text.len() > MIRROR_LEN_MAX {
            *n_left_out += text.lines().count() as u64;
            return;
        }
        let text = match std::mem::take(&mut *n_left_out) {
            0 => text.to_owned(),
            n => left_out(n) + text,
        };
        self.waiting_len.fetch_add(text.len(), Ordering::AcqRel);
        // A thread that ended, ended with the stream: nobody reads.
        let _ = self.lines.send(text);
    }

    /// How many octets wait for the reader.
    pub(super) fn waiting_len(&self) -> usize {
        self.waiting_len.load(Ordering::Acquire)
    }
}

fn copy(mut stream: Stream, lines: &Receiver<String>, waiting_len: &AtomicUsize) {
    for text in lines {
        // What a reader that went away does not get is in the file.
        let _ = stream.write_all(text.as_bytes());
        waiting_len.fetch_sub(text.len(), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_lines_that_a_pipe_takes_at_once() {
        let long = [&[b'x'; 5000][..], b"\nshort\n"].concat();
        assert_eq!(first_part(b"one\ntwo\n"), b"one\ntwo\n");
        assert_eq!(first_part(&long).len(), 5001);
        let many = b"0123456\n".repeat(1000);
        assert_eq!(first_part(&many).len(), 4096);
        assert_eq!(first_part(b"no end"), b"no end");
    }
}
