//! A client of SMTP that says what a transcript says, and nothing more.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::wait;

/// How long a reply may take.
const PATIENCE: Duration = wait::LIMIT;

/// As much of what was said is kept, in octets.
const SAID_LEN_MAX: usize = 64 * 1024;

/// One connection.
///
/// ```no_run
/// let mut client = testkit::Dialogue::tcp(2525);
/// client.play(
///     "S: 220
///      C: EHLO client.example
///      S: 250
///      C: MAIL FROM:<a@example.org>
///      S: 250 2.1.0",
/// );
/// ```
pub struct Dialogue {
    reader: BufReader<Box<dyn Read>>,
    writer: Box<dyn Write>,
    said: String,
}

impl Dialogue {
    /// Connects to a port of the loopback.
    ///
    /// # Panics
    /// When nobody listens there.
    pub fn tcp(port: u16) -> Self {
        Self::try_tcp(port).expect("somebody listens")
    }

    /// As [`Self::tcp`]; `None` when nobody listens there.
    pub fn try_tcp(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("the time is not zero");
        let reader = stream.try_clone().expect("there are descriptors");
        Some(Self::over(Box::new(reader), Box::new(stream)))
    }

    /// Connects to a socket in the file system.
    ///
    /// # Panics
    /// When nobody listens there.
    pub fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("somebody listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("the time is not zero");
        let reader = stream.try_clone().expect("there are descriptors");
        Self::over(Box::new(reader), Box::new(stream))
    }

    fn over(reader: Box<dyn Read>, writer: Box<dyn Write>) -> Self {
        Self {
            reader: BufReader::new(reader),
            writer,
            said: String::new(),
        }
    }

    /// Plays a transcript: `C:` lines are sent, each ended by CR LF; for each `S:` line a whole
    /// reply is read, which must begin as the line says. Returns the replies, the lines of each
    /// joined by line feeds.
    ///
    /// # Panics
    /// When a reply is another one, with everything that was said until then.
    #[track_caller]
    pub fn play(&mut self, transcript: &str) -> Vec<String> {
        let mut replies = Vec::new();
        for line in transcript.lines() {
            let line = line.trim_start();
            if let Some(command) = line.strip_prefix("C:") {
                self.say(command.strip_prefix(' ').unwrap_or(command));
            } else if let Some(start) = line.strip_prefix("S:") {
                let reply = self.reply();
                let expected = start.trim();
                assert!(
                    reply.starts_with(expected),
                    "not {expected}:\n{}",
                    self.said
                );
                replies.push(reply);
            } else {
                assert!(line.is_empty(), "neither `C:` nor `S:`: {line}");
            }
        }
        replies
    }

    /// Sends a line.
    ///
    /// # Panics
    /// When the server has gone.
    #[track_caller]
    pub fn say(&mut self, line: &str) {
        self.send(&format!("{line}\r\n"));
    }

    /// Sends octets as they are.
    ///
    /// # Panics
    /// When the server has gone.
    #[track_caller]
    pub fn send(&mut self, octets: &str) {
        self.note('C', octets.trim_end());
        let sent = self.writer.write_all(octets.as_bytes());
        assert!(sent.is_ok(), "the server has gone:\n{}", self.said);
    }

    /// Keeps what was said, for the report of a failure; not the whole of a large message.
    fn note(&mut self, who: char, line: &str) {
        if self.said.len() < SAID_LEN_MAX {
            self.said.push_str(&format!("{who}: {line}\n"));
        }
    }

    /// Reads a whole reply, its lines joined by line feeds.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn reply(&mut self) -> String {
        match self.try_reply() {
            Some(reply) => reply,
            None => panic!("no reply:\n{}", self.said),
        }
    }

    /// As [`Self::reply`]; `None` when the connection ends before it is whole.
    pub fn try_reply(&mut self) -> Option<String> {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            let read = self.reader.read_line(&mut line).ok()?;
            if read == 0 {
                return None;
            }
            let line = line.trim_end();
            self.note('S', line);
            reply.push_str(line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(reply);
            }
            reply.push('\n');
        }
    }

    /// Sends a line; the connection may have ended. Whether it was taken does not say that it was
    /// read.
    pub fn try_say(&mut self, line: &str) -> bool {
        self.writer
            .write_all(format!("{line}\r\n").as_bytes())
            .is_ok()
    }

    /// Everything that was said so far.
    pub fn said(&self) -> &str {
        &self.said
    }
}

/// The trace id in the `250` to a message.
///
/// # Panics
/// When there is none in it.
#[track_caller]
pub fn trace_id(reply: &str) -> String {
    let id = reply.rsplit(' ').next().unwrap_or_default();
    assert_eq!(id.len(), 26, "no trace id in {reply:?}");
    id.to_owned()
}
