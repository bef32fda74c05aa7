//! Giving a message to the submission instance: a blocking driver around the client machine.
//!
//! # Failure
//! Nobody there, a connection that breaks or a server that is silent is temporary: the caller
//! tries again. What the server refuses is told for each recipient.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::{Config, ListenAddress, ListenSecurity, Role};
use events::escape;
use mail::{BodyType, Mailbox, Moment, Notify, Reply, ReversePath, Security, TraceId};
use net::Clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smtp::client::{
    Client, ClientRecipient, Dialect, Event, Finished, Settings, Timeouts, TlsWish, Transaction,
};

use super::exit::Failure;
use super::system::System;

/// How long nobody may say anything, whatever the machine would wait: somebody looks on.
const SILENCE_TIME: Duration = Duration::from_secs(330);

/// After which a greeting is late: somebody who looks on should know what is waited for.
const GREETING_TIME: Duration = Duration::from_secs(3);

/// Where a submission instance listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// A port of this machine.
    Tcp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// The envelope sender.
    pub(crate) sender: ReversePath,
    /// For whom.
    pub(crate) recipients: Vec<Mailbox>,
    /// The content, its lines ended by CR LF.
    pub(crate) content: Vec<u8>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Submitted {
    /// One reply for each recipient, in their order.
    pub(crate) replies: Vec<Reply>,
    /// Its journey, where it was accepted.
    pub(crate) trace: Option<TraceId>,
}

/// Why it could not be given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubmitError {
    /// Nobody takes the connection.
    #[error("cannot reach submission at {0}: {1}")]
    Away(String, #[source] io::Error),
    /// It does not greet, and is not waited for.
    #[error("submission at {0} does not answer")]
    Late(String),
    /// The connection broke.
    #[error("the connection to submission at {0} ended: {1}")]
    Lost(String, #[source] io::Error),
    /// No submission instance has the name that was given.
    #[error("there is no submission instance `{0}`")]
    Unknown(String),
    /// No submission instance listens where this program can reach it.
    #[error("no submission instance of this configuration listens on this machine without TLS")]
    NoDoor,
}

impl SubmitError {
    /// In words for who waits for that system.
    pub(crate) fn failure(&self, at: &System) -> Failure {
        match self {
            Self::Away(door, error) => at.away(&format!("submission at {door}"), error),
            Self::Late(_) | Self::Lost(..) | Self::NoDoor | Self::Unknown(_) => {
                Failure::error(self.to_string())
            }
        }
    }
}

impl Door {
    /// Where the submission instance listens: its socket file rather than a port, because there
    /// the kernel says who submits. `name` chooses among several.
    ///
    /// # Errors
    /// When there is no such place.
    pub(crate) fn of(config: &Config, name: Option<&str>) -> Result<Self, SubmitError> {
        let submission = config.instances.iter().filter(|instance| {
            instance.role == Role::Submission && name.is_none_or(|n| n == instance.name.as_str())
        });
        if let (Some(name), None) = (name, submission.clone().next()) {
            return Err(SubmitError::Unknown(name.to_owned()));
        }
        let plain = submission
            .flat_map(|instance| &instance.listen)
            .filter(|listen| listen.security == ListenSecurity::Plain);
        let mut tcp = None;
        for listen in plain {
            match &listen.address {
                ListenAddress::Unix(path) => return Ok(Self::Unix(path.clone())),
                ListenAddress::Tcp(address) => tcp = tcp.or_else(|| Some(reachable(*address))),
            }
        }
        tcp.map(Self::Tcp).ok_or(SubmitError::NoDoor)
    }

    fn connect(&self) -> io::Result<Box<dyn Wire>> {
        Ok(match self {
            Self::Tcp(address) => Box::new(TcpStream::connect(address)?),
            Self::Unix(path) => Box::new(UnixStream::connect(path)?),
        })
    }
}

impl std::fmt::Display for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// What a connection must do, whatever it runs over.
pub(crate) trait Wire: Read + Write + AsFd {
    /// Neither reading nor writing waits longer.
    fn wait_at_most(&self, time: Duration) -> io::Result<()>;
}

impl Wire for TcpStream {
    fn wait_at_most(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

impl Wire for UnixStream {
    fn wait_at_most(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

/// What to do about a greeting that is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// Give up.
    GiveUp,
    /// Wait on.
    Wait,
}

/// Connects, and waits for a greeting. `on_late` is asked where none comes for a while: the
/// supervisor holds the listener, so a connection comes about also while the instance cannot start.
///
/// # Errors
/// When submission cannot be reached.
pub(crate) fn connect(
    door: &Door,
    on_late: impl FnOnce() -> Late,
) -> Result<Box<dyn Wire>, SubmitError> {
    let away = |error| SubmitError::Away(door.to_string(), error);
    let lost = |error| SubmitError::Lost(door.to_string(), error);
    let wire = door.connect().map_err(away)?;
    if !is_heard(&*wire, GREETING_TIME).map_err(lost)? && on_late() == Late::GiveUp {
        return Err(SubmitError::Late(door.to_string()));
    }
    Ok(wire)
}

/// Gives a message to submission; blocks until it is accepted or refused. `on_late` is asked where
/// it is not greeted for a while.
///
/// # Errors
/// When submission cannot be reached or goes away before it has said anything about it.
pub(crate) fn submit(
    door: &Door,
    hostname: &str,
    letter: &Letter,
    on_late: impl FnOnce() -> Late,
) -> Result<Submitted, SubmitError> {
    let lost = |error| SubmitError::Lost(door.to_string(), error);
    let wire = connect(door, on_late)?;
    let clock = Clock::start();
    let settings = Settings {
        dialect: Dialect::Smtp,
        hello_name: hostname.into(),
        timeouts: Timeouts::LEAST,
        tls: TlsWish::Never,
    };
    let client = Client::new(Arc::new(settings), Security::Plain, clock.now());
    let finished = Conversation {
        wire,
        client,
        clock,
    }
    .hold(letter)
    .map_err(lost)?;
    let of = finished.recipients.into_iter();
    let replies: Vec<_> = of.map(|of| of.reply).collect();
    let accepted = replies.iter().find(|reply| reply.is_positive());
    let trace = accepted.and_then(trace_in);
    Ok(Submitted { replies, trace })
}

/// Whether something can be read, or the end was reached, within this time.
fn is_heard(wire: &dyn Wire, time: Duration) -> io::Result<bool> {
    let time = Timespec::try_from(time).map_err(io::Error::other)?;
    let fd = wire.as_fd();
    let mut ready = [PollFd::new(&fd, PollFlags::IN)];
    Ok(rustix::io::retry_on_intr(|| poll(&mut ready, Some(&time)))? > 0)
}

/// The trace id in `accepted as 01K…`.
fn trace_in(reply: &Reply) -> Option<TraceId> {
    reply
        .text()
        .split_whitespace()
        .find_map(|word| word.parse().ok())
}

/// A machine and what it speaks over.
struct Conversation {
    wire: Box<dyn Wire>,
    client: Client,
    clock: Clock,
}

impl Conversation {
    fn hold(mut self, letter: &Letter) -> io::Result<Finished> {
        let mut answer = None;
        loop {
            while let Some(event) = self.client.poll_event() {
                let now = self.clock.now();
                match event {
                    Event::Ready => self.client.begin(now, transaction(letter)),
                    Event::SendContent => {
                        self.client.content(now, &letter.content);
                        self.client.end_content(now);
                    }
                    Event::Finished(finished) => {
                        answer = Some(finished);
                        self.client.quit(now);
                    }
                    Event::Closed(closed) => {
                        let reason = closed.reason.reply();
                        return answer
                            .or(closed.unfinished)
                            .ok_or_else(|| io::Error::other(escape(&reason.to_string())));
                    }
                    // Neither was asked for.
                    Event::StartTls | Event::Verified(_) => self.client.abandon(),
                }
            }
            self.exchange()?;
        }
    }

    /// Writes what is to be written, then waits for input, the end of it, or a timeout.
    fn exchange(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        self.client.poll_transmit(&mut out);
        self.wire.wait_at_most(self.patience())?;
        self.wire.write_all(&out)?;
        if !self.client.wants_input() {
            return Ok(());
        }
        let mut buffer = [0; 4096];
        match self.wire.read(&mut buffer) {
            Ok(0) => self.client.handle_eof(self.clock.now()),
            Ok(len) => self.client.handle_input(self.clock.now(), &buffer[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                let due = self
                    .client
                    .poll_timeout()
                    .unwrap_or_else(|| self.clock.now());
                self.client.handle_timeout(due.max(self.clock.now()));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn patience(&self) -> Duration {
        let left = |due: Moment| due.since(self.clock.now()).max(Duration::from_millis(1));
        self.client
            .poll_timeout()
            .map_or(SILENCE_TIME, left)
            .min(SILENCE_TIME)
    }
}

fn transaction(letter: &Letter) -> Transaction {
    let body = if letter.content.is_ascii() {
        BodyType::SevenBit
    } else {
        BodyType::EightBitMime
    };
    let mailboxes = letter
        .sender
        .mailbox()
        .into_iter()
        .chain(&letter.recipients);
    let smtputf8 = mailboxes.into_iter().any(|mailbox| !mailbox.is_ascii());
    let recipient = |address: &Mailbox| ClientRecipient {
        address: address.clone(),
        notify: Notify::UNSPECIFIED,
        orcpt: None,
    };
    Transaction {
        body,
        edge: None,
        envid: None,
        recipients: letter.recipients.iter().map(recipient).collect(),
        ret: None,
        sender: letter.sender.clone(),
        size: letter.content.len() as u64,
        smtputf8,
        xforward: None,
    }
}

#[cfg(test)]
mod tests;
