//! The child's end: what arrives is collected until it is complete, pings are answered here.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use config::{Listen, Role};
use mail::InstanceName;

use super::BUNDLE_LEN_MAX;
use super::down::{Down, Purpose, Told};
use super::socket::{End, LeashError, receive_blocking, send_blocking};
use super::up::Up;

/// Everything that was told before a `Go` or `Prepare`.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    /// Its own name; `None` for control.
    pub(crate) name: Option<InstanceName>,
    /// What it is there for.
    pub(crate) purpose: Purpose,
    /// Counts up with each new process that a reload makes necessary.
    pub(crate) generation: u64,
    /// The state directory.
    pub(crate) state: PathBuf,
    /// TOML.
    pub(crate) config: String,
    /// Bound sockets.
    pub(crate) listeners: Vec<(Listen, OwnedFd)>,
    /// Towards next instances.
    pub(crate) edges_to: Vec<(InstanceName, OwnedFd)>,
    /// From fronts.
    pub(crate) edges_from: Vec<(InstanceName, Role, OwnedFd)>,
    /// Channels for events.
    pub(crate) events: Vec<(InstanceName, OwnedFd)>,
    /// Channels for requests.
    pub(crate) requests: Vec<(InstanceName, Role, OwnedFd)>,
    /// Instances that are no longer.
    pub(crate) gone: Vec<InstanceName>,
    /// Kept for as long as the process lives.
    pub(crate) lock: Option<OwnedFd>,
}

/// What remains of a frame when the bundle has taken what belongs to it.
#[derive(Debug)]
pub(crate) enum Rest {
    Abandon,
    Answer(Box<str>),
    Commit,
    Forget(InstanceName),
    Go(Bundle),
    Leave,
    Ping(u64),
    Prepare(Bundle),
    Retire(Duration, OwnedFd),
    Stop(Duration),
    Tell(Told),
}

/// When a process that has everything begins to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Now.
    AtOnce,
    /// When the reload that made it necessary is in force: it says first that it can, and then
    /// waits for the word.
    OnCommit,
}

/// Puts bundles together.
#[derive(Debug, Default)]
pub(crate) struct Collector(Bundle);

impl Collector {
    /// Takes a frame in; `None` where more has to come.
    ///
    /// # Errors
    /// When the bundle grows over all bounds or its configuration cannot be read.
    pub(crate) fn take(&mut self, down: Down) -> Result<Option<Rest>, LeashError> {
        let bundle = &mut self.0;
        match down {
            Down::Config {
                name,
                purpose,
                generation,
                state,
                document,
            } => {
                bundle.name = name;
                bundle.purpose = purpose;
                bundle.generation = generation;
                bundle.state = state;
                bundle.config = document.read().map_err(LeashError::Socket)?;
            }
            Down::EdgeFrom { front, role, fd } => bundle.edges_from.push((front, role, fd)),
            Down::EdgeTo { next, fd } => bundle.edges_to.push((next, fd)),
            Down::Events { name, fd } => bundle.events.push((name, fd)),
            Down::Gone(name) => bundle.gone.push(name),
            Down::Listener { listen, fd } => bundle.listeners.push((listen, fd)),
            Down::Lock(fd) => bundle.lock = Some(fd),
            Down::Requests { name, role, fd } => bundle.requests.push((name, role, fd)),
            Down::Abandon => return Ok(Some(Rest::Abandon)),
            Down::Answer(json) => return Ok(Some(Rest::Answer(json))),
            Down::Commit => return Ok(Some(Rest::Commit)),
            Down::Forget(name) => return Ok(Some(Rest::Forget(name))),
            Down::Leave => return Ok(Some(Rest::Leave)),
            Down::Go => return Ok(Some(Rest::Go(std::mem::take(bundle)))),
            Down::Ping(number) => return Ok(Some(Rest::Ping(number))),
            Down::Prepare => return Ok(Some(Rest::Prepare(std::mem::take(bundle)))),
            Down::Retire { limit, heir } => return Ok(Some(Rest::Retire(limit, heir))),
            Down::Stop(limit) => return Ok(Some(Rest::Stop(limit))),
            Down::Tell(told) => return Ok(Some(Rest::Tell(told))),
        }
        let largest = bundle
            .edges_from
            .len()
            .max(bundle.edges_to.len())
            .max(bundle.events.len());
        let largest = largest
            .max(bundle.listeners.len())
            .max(bundle.requests.len());
        if largest.max(bundle.gone.len()) > BUNDLE_LEN_MAX {
            return Err(LeashError::Garbled("a bundle without end"));
        }
        Ok(None)
    }
}

/// The child's end before a runtime exists.
#[derive(Debug)]
pub(crate) struct Leash {
    fd: OwnedFd,
}

/// Takes the leash out of standard input, which becomes `/dev/null`.
///
/// # Errors
/// When standard input is no such socket: the program was not started by the supervisor.
pub(crate) fn take_standard_input() -> io::Result<Leash> {
    let fd = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::net::sockopt::socket_domain(&fd)?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    Ok(Leash { fd })
}

impl Leash {
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
    pub(crate) fn receive_bundle(&self) -> Result<Option<(Bundle, Beginning)>, LeashError> {
        let mut collector = Collector::default();
        loop {
            return match self.receive(&mut collector)? {
                Some(Rest::Go(bundle)) => Ok(Some((bundle, Beginning::AtOnce))),
                Some(Rest::Prepare(bundle)) => Ok(Some((bundle, Beginning::OnCommit))),
                Some(Rest::Retire(..) | Rest::Stop(_)) | None => Ok(None),
                Some(Rest::Abandon | Rest::Answer(_) | Rest::Commit | Rest::Leave) => {
                    Err(LeashError::Garbled("an order before the start"))
                }
                Some(Rest::Forget(_) | Rest::Ping(_) | Rest::Tell(_)) => continue,
            };
        }
    }

    /// Says that the start can be made, and waits whether it is to be; false: exit quietly.
    ///
    /// # Errors
    /// When a frame cannot be read.
    pub(crate) fn wait_for_commit(&self) -> Result<bool, LeashError> {
        self.say(&Up::Prepared)?;
        let mut collector = Collector::default();
        loop {
            return match self.receive(&mut collector)? {
                Some(Rest::Commit) => Ok(true),
                Some(Rest::Abandon | Rest::Retire(..) | Rest::Stop(_)) | None => Ok(false),
                Some(Rest::Answer(_) | Rest::Go(_) | Rest::Leave | Rest::Prepare(_)) => {
                    Err(LeashError::Garbled("an order out of its turn"))
                }
                Some(Rest::Forget(_) | Rest::Ping(_) | Rest::Tell(_)) => continue,
            };
        }
    }

    /// What the supervisor says next, pings answered; `None` when it is gone. Blocks.
    fn receive(&self, collector: &mut Collector) -> Result<Option<Rest>, LeashError> {
        while let Some(frame) = receive_blocking(self.fd.as_fd())? {
            match collector.take(Down::decode(frame)?)? {
                Some(Rest::Ping(number)) => self.say(&Up::Pong(number))?,
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
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.fd.try_clone().map(|fd| Self { fd })
    }

    /// Says something, waiting for room; for a start that fails.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub(crate) fn say(&self, up: &Up) -> Result<(), LeashError> {
        send_blocking(self.fd.as_fd(), &up.encode())
    }

    /// The same end within a runtime. Must be called within one.
    ///
    /// # Errors
    /// When the runtime cannot watch the descriptor.
    pub(crate) fn into_async(self) -> io::Result<AsyncLeash> {
        Ok(AsyncLeash {
            end: End::new(self.fd)?,
            collector: Collector::default(),
        })
    }
}

/// The child's end within a runtime.
#[derive(Debug)]
pub(crate) struct AsyncLeash {
    end: End,
    collector: Collector,
}

impl AsyncLeash {
    /// What the supervisor says next, pings answered; `None` when it is gone. Cancel-safe but
    /// for the answer to a ping, which is then missing: the next one will be answered.
    ///
    /// # Errors
    /// When the leash fails: as good as a supervisor that is gone.
    pub(crate) async fn next(&mut self) -> Result<Option<Rest>, LeashError> {
        while let Some(frame) = self.end.receive().await? {
            match self.collector.take(Down::decode(frame)?)? {
                Some(Rest::Ping(number)) => self.say(&Up::Pong(number)).await?,
                Some(rest) => return Ok(Some(rest)),
                None => {}
            }
        }
        Ok(None)
    }

    /// Says something. Cancel-safe: it is said whole or not at all.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub(crate) async fn say(&self, up: &Up) -> Result<(), LeashError> {
        self.end.send(&up.encode()).await
    }
}

#[cfg(test)]
mod tests;
