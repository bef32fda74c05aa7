//! Clients that send without end over many connections, and note what they were told.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::oracle::{FIELD, Fate, LINE, LINES_FIELD, Oracle};
use crate::random::Random;

/// How long a reply may take: more than a server of ours needs for its last word.
const REPLY_TIME: Duration = Duration::from_secs(90);

/// How long a client waits that was not let in.
const RETRY: Duration = Duration::from_millis(10);

/// Where a client connects.
#[derive(Clone, Debug)]
pub enum Door {
    /// A port of the loopback.
    Tcp(u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Letters {
    /// The reverse-path.
    pub from: &'static str,
    /// Each message is for one of these sets of recipients.
    pub to: &'static [&'static [&'static str]],
    /// Each content has one of these lengths, in octets; repeat one to make it more frequent.
    pub sizes: &'static [usize],
    /// The longest pause of a client between two messages.
    pub pause_max: Duration,
}

/// Clients at work, until they are stopped.
#[derive(Debug)]
pub struct Load {
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts a client for each of `doors`.
    pub fn start(oracle: &Arc<Oracle>, doors: &[Door], letters: &Letters, seed: u64) -> Self {
        // Several may send for one oracle, one after the other.
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let load = STARTED.fetch_add(1, Ordering::SeqCst);
        let is_over = Arc::new(AtomicBool::new(false));
        let clients = doors.iter().enumerate().map(|(number, door)| {
            let mut client = Client {
                name: format!("c{load}-{number}"),
                door: door.clone(),
                letters: letters.clone(),
                random: Random::new(seed ^ ((number as u64 + 1) << 32)),
                oracle: Arc::clone(oracle),
                is_over: Arc::clone(&is_over),
                n_attempts: 0,
            };
            thread::spawn(move || client.run())
        });
        Self {
            clients: clients.collect(),
            is_over,
        }
    }

    /// Lets every client finish its message, and waits for them.
    ///
    /// # Panics
    /// When a client did.
    #[track_caller]
    pub fn stop(self) {
        self.is_over.store(true, Ordering::SeqCst);
        for client in self.clients {
            assert!(client.join().is_ok(), "a client failed");
        }
    }
}

/// Whether somebody greets clients there.
pub fn is_served(door: &Door) -> bool {
    Wire::open(door).is_ok_and(|mut wire| wire.expect_success().is_ok())
}

/// Sends one message over a connection of its own, and notes what became of it; `None` when the
/// client was not let in, and nothing was tried.
pub fn send_one(
    oracle: &Oracle,
    door: &Door,
    attempt: &str,
    from: &str,
    to: &[&str],
    size: usize,
) -> Option<Fate> {
    let mut wire = Wire::open(door).ok()?;
    wire.expect_success().ok()?;
    wire.say(b"EHLO client.example\r\n").ok()?;
    wire.expect_success().ok()?;
    let (fate, ended) = wire.transact(attempt, from, to, size);
    oracle.note(attempt, to, fate, &wire.last_line);
    if ended.is_ok() {
        // The message is safe, or is not: how the connection ends changes nothing.
        let _ = wire.say(b"QUIT\r\n");
    }
    Some(fate)
}

struct Client {
    name: String,
    door: Door,
    letters: Letters,
    random: Random,
    oracle: Arc<Oracle>,
    is_over: Arc<AtomicBool>,
    n_attempts: u64,
}

impl Client {
    fn run(&mut self) {
        while !self.is_over.load(Ordering::SeqCst) {
            // However a connection ends, what happened on it has been noted.
            let _ = self.connection();
            thread::sleep(RETRY);
        }
    }

    fn connection(&mut self) -> io::Result<()> {
        let mut wire = Wire::open(&self.door)?;
        wire.expect_success()?;
        wire.say(b"EHLO client.example\r\n")?;
        wire.expect_success()?;
        while !self.is_over.load(Ordering::SeqCst) {
            self.n_attempts += 1;
            let attempt = format!("{}-{}", self.name, self.n_attempts);
            let to = self.pick(self.letters.to);
            let size = self.pick(self.letters.sizes);
            let (fate, ended) = wire.transact(&attempt, self.letters.from, to, size);
            self.oracle.note(&attempt, to, fate, &wire.last_line);
            ended?;
            if !self.letters.pause_max.is_zero() {
                thread::sleep(self.random.between(Duration::ZERO, self.letters.pause_max));
            }
        }
        wire.say(b"QUIT\r\n")
    }

    fn pick<T: Copy>(&self, among: &[T]) -> T {
        let index = self.random.below(among.len() as u64);
        among[usize::try_from(index).expect("below the length")]
    }
}

/// A connection of SMTP whose end is no failure.
struct Wire {
    reader: BufReader<Box<dyn Read>>,
    writer: Box<dyn Write>,
    /// The last whole line that the server said, without its end.
    last_line: String,
}

impl Wire {
    fn open(door: &Door) -> io::Result<Self> {
        let (reader, writer): (Box<dyn Read>, Box<dyn Write>) = match door {
            Door::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))?;
                stream.set_read_timeout(Some(REPLY_TIME))?;
                stream.set_nodelay(true)?;
                (Box::new(stream.try_clone()?), Box::new(stream))
            }
            Door::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(REPLY_TIME))?;
                (Box::new(stream.try_clone()?), Box::new(stream))
            }
        };
        Ok(Self {
            reader: BufReader::new(reader),
            writer,
            last_line: String::new(),
        })
    }

    fn say(&mut self, octets: &[u8]) -> io::Result<()> {
        self.writer.write_all(octets)
    }

    /// The code of the next reply.
    fn code(&mut self) -> io::Result<u16> {
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            // A line that was cut off is no reply.
            if !line.ends_with('\n') {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code = code.ok_or(io::ErrorKind::InvalidData)?;
            if code == 421 {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            line.truncate(line.trim_end().len());
            self.last_line = line;
            if is_last {
                return Ok(code);
            }
        }
    }

    fn expect_success(&mut self) -> io::Result<()> {
        match self.code()? {
            200..=299 => Ok(()),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    /// One message; also whether the connection can be used again.
    fn transact(
        &mut self,
        id: &str,
        from: &str,
        to: &[&str],
        size: usize,
    ) -> (Fate, io::Result<()>) {
        match self.envelope(from, to) {
            Ok(true) => {}
            Ok(false) => return (Fate::Refused, Ok(())),
            Err(error) => return (Fate::Refused, Err(error)),
        }
        match self.content(id, size) {
            Ok(200..=299) => (Fate::Acknowledged, Ok(())),
            Ok(500..=599) => (Fate::Refused, Ok(())),
            Ok(_) => (Fate::Unknown, Ok(())),
            Err(error) => (Fate::Unknown, Err(error)),
        }
    }

    /// Whether everything up to the content was accepted; if not, the transaction is over.
    fn envelope(&mut self, from: &str, to: &[&str]) -> io::Result<bool> {
        let mut commands = format!("MAIL FROM:<{from}>\r\n");
        for recipient in to {
            commands.push_str(&format!("RCPT TO:<{recipient}>\r\n"));
        }
        self.say(commands.as_bytes())?;
        let mut accepted = true;
        for _ in 0..=to.len() {
            accepted &= self.code()? < 300;
        }
        if accepted {
            self.say(b"DATA\r\n")?;
            accepted = self.code()? == 354;
        }
        if !accepted {
            self.say(b"RSET\r\n")?;
            self.expect_success()?;
        }
        Ok(accepted)
    }

    fn content(&mut self, id: &str, size: usize) -> io::Result<u16> {
        let line = format!("{LINE}\r\n");
        let mut left = size.div_ceil(line.len());
        self.say(format!("{FIELD}: {id}\r\n{LINES_FIELD}: {left}\r\n").as_bytes())?;
        self.say(format!("Message-ID: <{id}@client.example>\r\n\r\n").as_bytes())?;
        let block = line.repeat(128);
        while left > 0 {
            let n_lines = left.min(128);
            self.say(&block.as_bytes()[..n_lines * line.len()])?;
            left -= n_lines;
        }
        self.say(b".\r\n")?;
        self.code()
    }
}
