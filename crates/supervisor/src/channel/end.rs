//! The child's end: what arrives is collected until it is complete, pings are answered here.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use config::{Listen, Role};
use mail::InstanceName;

use super::SETUP_LEN_MAX;
use super::from_child::FromChild;
use super::socket::{ChannelError, End, receive_blocking, send_blocking};
use super::to_child::{LogLine, Purpose, ToChild};

/// Everything that was sent before a `Go` or `Prepare`.
#[derive(Debug, Default)]
pub struct Setup {
    /// Its own name; `None` for control.
    pub name: Option<InstanceName>,
    /// What it is there for.
    pub purpose: Purpose,
    /// Counts up with each new process that a reload makes necessary.
    pub generation: u64,
    /// The state directory.
    pub state: PathBuf,
    /// TOML.
    pub config: String,
    /// Bound sockets.
    pub listeners: Vec<(Listen, OwnedFd)>,
    /// Towards next instances.
    pub edges_to: Vec<(InstanceName, OwnedFd)>,
    /// From fronts.
    pub edges_from: Vec<(InstanceName, Role, OwnedFd)>,
    /// Channels for events.
    pub events: Vec<(InstanceName, OwnedFd)>,
    /// Channels for requests.
    pub requests: Vec<(InstanceName, Role, OwnedFd)>,
    /// Instances that are no longer.
    pub gone: Vec<InstanceName>,
    /// Kept for as long as the process lives.
    pub lock: Option<OwnedFd>,
}

/// What remains of a frame when the setup has taken what belongs to it.
#[derive(Debug)]
pub enum ChildCommand {
    /// Forget what was prepared: another process refused.
    Abandon,
    /// To control: the answer to one of its requests, as JSON.
    Answer(Box<str>),
    /// What was prepared is in force.
    Commit,
    /// To control: an instance has ended and is no longer part of the system.
    Forget(InstanceName),
    /// Start with this.
    Go(Setup),
    /// End, where the queue is empty.
    Leave,
    /// Answer with this number.
    Ping(u64),
    /// Prepare a reload with this.
    Prepare(Setup),
    /// End within this time, and send what comes to the process at the other end.
    Retire(Duration, OwnedFd),
    /// End within this time.
    Stop(Duration),
    /// Log this.
    Tell(LogLine),
}

/// When a process that has everything begins to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// Now.
    AtOnce,
    /// When the reload that made it necessary is in force: it says first that it can, and then
    /// waits for the word.
    OnCommit,
}

/// Puts setups together.
#[derive(Debug, Default)]
pub(crate) struct Collector(Setup);

impl Collector {
    /// Takes a frame in; `None` where more has to come.
    ///
    /// # Errors
    /// When the setup grows over all bounds or its configuration cannot be read.
    pub(crate) fn take(&mut self, down: ToChild) -> Result<Option<ChildCommand>, ChannelError> {
        let setup = &mut self.0;
        match down {
            ToChild::Config {
                name,
                purpose,
                generation,
                state,
                document,
            } => {
                setup.name = name;
                setup.purpose = purpose;
                setup.generation = generation;
                setup.state = state;
                setup.config = document.read().map_err(ChannelError::Socket)?;
            }
            ToChild::EdgeFrom { front, role, fd } => setup.edges_from.push((front, role, fd)),
            ToChild::EdgeTo { next, fd } => setup.edges_to.push((next, fd)),
            ToChild::Events { name, fd } => setup.events.push((name, fd)),
            ToChild::Gone(name) => setup.gone.push(name),
            ToChild::Listener { listen, fd } => setup.listeners.push((listen, fd)),
            ToChild::Lock(fd) => setup.lock = Some(fd),
            ToChild::Requests { name, role, fd } => setup.requests.push((name, role, fd)),
            ToChild::Abandon => return Ok(Some(ChildCommand::Abandon)),
            ToChild::Answer(json) => return Ok(Some(ChildCommand::Answer(json))),
            ToChild::Commit => return Ok(Some(ChildCommand::Commit)),
            ToChild::Forget(name) => return Ok(Some(ChildCommand::Forget(name))),
            ToChild::Leave => return Ok(Some(ChildCommand::Leave)),
            ToChild::Go => return Ok(Some(ChildCommand::Go(std::mem::take(setup)))),
            ToChild::Ping(number) => return Ok(Some(ChildCommand::Ping(number))),
            ToChild::Prepare => return Ok(Some(ChildCommand::Prepare(std::mem::take(setup)))),
            ToChild::Retire { limit, successor } => {
                return Ok(Some(ChildCommand::Retire(limit, successor)));
            }
            ToChild::Stop(limit) => return Ok(Some(ChildCommand::Stop(limit))),
            ToChild::Tell(told) => return Ok(Some(ChildCommand::Tell(told))),
        }
        let largest = setup
            .edges_from
            .len()
            .max(setup.edges_to.len())
            .max(setup.events.len());
        let largest = largest.max(setup.listeners.len()).max(setup.requests.len());
        if largest.max(setup.gone.len()) > SETUP_LEN_MAX {
            return Err(ChannelError::Garbled("a setup without end"));
        }
        Ok(None)
    }
}

/// The child's end before a runtime exists.
#[derive(Debug)]
pub struct ControlChannel {
    fd: OwnedFd,
}

/// Takes the control channel out of standard input, which becomes `/dev/null`.
///
/// # Errors
/// When standard input is no such socket: the program was not started by the supervisor.
pub fn take_standard_input() -> io::Result<ControlChannel> {
    let fd = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::net::sockopt::socket_domain(&fd)?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(ControlChannel { fd })
}

impl ControlChannel {
    /// Of a socket that is not standard input.
    #[cfg(test)]
    const fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Waits for everything up to `Go` or `Prepare`; `None` when the supervisor is gone or wants a
    /// stop before it came to that. Pings are answered: a start may take its time.
    ///
    /// # Errors
    /// When a frame cannot be read.
    pub fn receive_setup(&self) -> Result<Option<(Setup, Beginning)>, ChannelError> {
        let mut collector = Collector::default();
        loop {
            return match self.receive(&mut collector)? {
                Some(ChildCommand::Go(setup)) => Ok(Some((setup, Beginning::AtOnce))),
                Some(ChildCommand::Prepare(setup)) => Ok(Some((setup, Beginning::OnCommit))),
                Some(ChildCommand::Retire(..) | ChildCommand::Stop(_)) | None => Ok(None),
                Some(
                    ChildCommand::Abandon
                    | ChildCommand::Answer(_)
                    | ChildCommand::Commit
                    | ChildCommand::Leave,
                ) => Err(ChannelError::Garbled("an order before the start")),
                Some(ChildCommand::Forget(_) | ChildCommand::Ping(_) | ChildCommand::Tell(_)) => {
                    continue;
                }
            };
        }
    }

    /// Says that the start can be made, and waits whether it is to be; false: exit quietly.
    ///
    /// # Errors
    /// When a frame cannot be read.
    pub fn wait_for_commit(&self) -> Result<bool, ChannelError> {
        self.say(&FromChild::Prepared)?;
        let mut collector = Collector::default();
        loop {
            return match self.receive(&mut collector)? {
                Some(ChildCommand::Commit) => Ok(true),
                Some(ChildCommand::Abandon | ChildCommand::Retire(..) | ChildCommand::Stop(_))
                | None => Ok(false),
                Some(
                    ChildCommand::Answer(_)
                    | ChildCommand::Go(_)
                    | ChildCommand::Leave
                    | ChildCommand::Prepare(_),
                ) => Err(ChannelError::Garbled("an order out of its turn")),
                Some(ChildCommand::Forget(_) | ChildCommand::Ping(_) | ChildCommand::Tell(_)) => {
                    continue;
                }
            };
        }
    }

    /// What the supervisor says next, pings answered; `None` when it is gone. Blocks.
    fn receive(&self, collector: &mut Collector) -> Result<Option<ChildCommand>, ChannelError> {
        while let Some(frame) = receive_blocking(self.fd.as_fd())? {
            match collector.take(ToChild::decode(frame)?)? {
                Some(ChildCommand::Ping(number)) => self.say(&FromChild::Pong(number))?,
                Some(rest) => return Ok(Some(rest)),
                None => {}
            }
        }
        Ok(None)
    }

    /// Another handle on the same end.
    ///
    /// # Errors
    /// When descriptors run out.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.fd.try_clone().map(|fd| Self { fd })
    }

    /// Says something, waiting for room; for a start that fails.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub fn say(&self, up: &FromChild) -> Result<(), ChannelError> {
        send_blocking(self.fd.as_fd(), &up.encode())
    }

    /// The same end within a runtime. Must be called within one.
    ///
    /// # Errors
    /// When the runtime cannot watch the descriptor.
    pub fn into_async(self) -> io::Result<AsyncControlChannel> {
        Ok(AsyncControlChannel {
            end: End::new(self.fd)?,
            collector: Collector::default(),
        })
    }
}

/// The child's end within a runtime.
#[derive(Debug)]
pub struct AsyncControlChannel {
    end: End,
    collector: Collector,
}

impl AsyncControlChannel {
    /// What the supervisor says next, pings answered; `None` when it is gone. Cancel-safe but
    /// for the answer to a ping, which is then missing: the next one will be answered.
    ///
    /// # Errors
    /// When the control channel fails: as good as a supervisor that is gone.
    pub async fn next(&mut self) -> Result<Option<ChildCommand>, ChannelError> {
        while let Some(frame) = self.end.receive().await? {
            match self.collector.take(ToChild::decode(frame)?)? {
                Some(ChildCommand::Ping(number)) => self.say(&FromChild::Pong(number)).await?,
                Some(rest) => return Ok(Some(rest)),
                None => {}
            }
        }
        Ok(None)
    }

    /// Sends a frame. Cancel-safe: it is sent whole or not at all.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub async fn say(&self, up: &FromChild) -> Result<(), ChannelError> {
        self.end.send(&up.encode()).await
    }
}

#[cfg(test)]
mod tests;
