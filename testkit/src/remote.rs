//! The remote side: a server of SMTP in a thread, which takes everything except what it is asked
//! to refuse.
//!
//! # Limits
//! Speaks what a client needs to deliver and no more; what it is sent is a test's own.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::wait;

/// A message as it came, with its envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The reverse-path, without brackets.
    pub from: String,
    /// The recipients that were accepted, without brackets.
    pub to: Vec<String>,
    /// The content; lines end with line feeds, dots are as they were before the transfer.
    pub content: String,
}

/// A server on the loopback, until it goes out of scope.
///
/// The local part of a recipient says what becomes of it: `refuse-550` or `refuse-451`, with
/// anything after it, is refused so; everybody else is accepted. After the data of a message for
/// one whose local part begins with `slow`, it keeps silent until [`Remote::reply_to_slow`].
#[derive(Debug)]
pub struct Remote {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    received: Mutex<Vec<Received>>,
    /// How many messages wait for their reply, and how many of them may have it.
    n_waiting: AtomicUsize,
    n_replies: AtomicUsize,
}

impl Remote {
    /// One on a port of its own.
    #[expect(clippy::new_without_default, reason = "it opens a socket")]
    pub fn new() -> Self {
        Self::on(crate::port::listener())
    }

    /// One on that port.
    ///
    /// # Panics
    /// When the port is in use for long.
    #[track_caller]
    pub fn at(port: u16) -> Self {
        // A child that was just forked has a copy of every descriptor until it runs its program.
        let listener = wait::until(&format!("port {port} is free"), || {
            TcpListener::bind(("127.0.0.1", port)).ok()
        });
        Self::on(listener)
    }

    fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared::default());
        let remote = Self {
            port: address.port(),
            shared: Arc::clone(&shared),
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.is_over.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&shared);
                // A client that goes away ends its connection and nothing else.
                thread::spawn(move || serve(&stream, &shared));
            }
        });
        remote
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many messages have come whose reply is kept back.
    pub fn n_waiting(&self) -> usize {
        self.shared.n_waiting.load(Ordering::SeqCst)
    }

    /// Lets one message have its reply that waits for it, or will.
    pub fn reply_to_slow(&self) {
        self.shared.n_replies.fetch_add(1, Ordering::SeqCst);
    }

    /// What came so far, in the order of the acknowledgements, which number it from 1 on.
    pub fn messages(&self) -> Vec<Received> {
        let received = self.shared.received.lock();
        received.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a message that contains `mark`.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn received(&self, mark: &str) -> Received {
        wait::until(
            &format!("a message with {mark:?} at the remote side"),
            || {
                let mut messages = self.messages().into_iter();
                messages.find(|message| message.content.contains(mark))
            },
        )
    }
}

impl Shared {
    fn wait_for_a_reply(&self) {
        self.n_waiting.fetch_add(1, Ordering::SeqCst);
        let take = |n: usize| n.checked_sub(1);
        wait::until_true("a message may have its reply", || {
            let (set, fetch) = (Ordering::SeqCst, Ordering::SeqCst);
            self.is_over.load(Ordering::SeqCst)
                || self.n_replies.fetch_update(set, fetch, take).is_ok()
        });
        self.n_waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> Option<()> {
    // Replies to a pipelined group go one by one: none of them is to wait for an acknowledgement.
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream);
    let mut message = Received::default();
    let say = |text: &str| {
        let mut stream = stream;
        stream.write_all(format!("{text}\r\n").as_bytes()).ok()
    };
    say("220 remote.example ESMTP")?;
    loop {
        let line = read_line(&mut reader)?;
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => say("250-remote.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 DSN")?,
            "MAIL" => {
                message = Received {
                    from: path_of(&line),
                    ..Received::default()
                };
                say("250 2.1.0 OK")?;
            }
            "RCPT" => match refusal_of(&path_of(&line)) {
                Some(reply) => say(reply)?,
                None => {
                    message.to.push(path_of(&line));
                    say("250 2.1.5 OK")?;
                }
            },
            "DATA" if message.to.is_empty() => say("554 5.5.1 no recipients")?,
            "DATA" => {
                say("354 go on")?;
                message.content = read_content(&mut reader)?;
                let received = std::mem::take(&mut message);
                if received.to.iter().any(|to| to.starts_with("slow")) {
                    shared.wait_for_a_reply();
                }
                let mut list = shared
                    .received
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                list.push(received);
                let number = list.len();
                drop(list);
                say(&format!("250 2.0.0 taken as {number}."))?;
            }
            "QUIT" => return say("221 2.0.0 bye"),
            "HELO" | "NOOP" | "RSET" => say("250 2.0.0 OK")?,
            _ => say("502 5.5.1 not here")?,
        }
    }
}

fn refusal_of(recipient: &str) -> Option<&'static str> {
    if recipient.starts_with("refuse-550") {
        return Some("550 5.1.1 no such user at the remote side");
    }
    (recipient.starts_with("refuse-451")).then_some("451 4.2.1 not now, says the remote side")
}

fn path_of(line: &str) -> String {
    let inner = line.split(['<', '>']).nth(1);
    inner.unwrap_or_default().to_owned()
}

fn read_content(reader: &mut impl BufRead) -> Option<String> {
    let mut content = String::new();
    loop {
        let line = read_line(reader)?;
        if line == "." {
            return Some(content);
        }
        content.push_str(line.strip_prefix('.').unwrap_or(&line));
        content.push('\n');
    }
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    let read = reader.read_until(b'\n', &mut line).ok()?;
    let text = String::from_utf8_lossy(&line);
    (read > 0).then(|| text.trim_end_matches(['\r', '\n']).to_owned())
}
