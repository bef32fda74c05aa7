//! Control's end of the control channel: the same frames as an instance's, and the channels of all.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use config::{Listen, Role};
use mail::InstanceName;

use super::end::{AsyncControlChannel, ChildCommand, ControlChannel, Setup, take_standard_input};
use super::from_child::FromChild;
use super::socket::ChannelError;
use super::to_child::LogLine;

/// The ends of an instance's channels that are control's.
#[derive(Debug)]
pub struct InstanceChannels {
    /// Whose they are.
    pub name: InstanceName,
    /// Its role.
    pub role: Role,
    /// The receiving end of its events.
    pub events: OwnedFd,
    /// For asking it.
    pub requests: OwnedFd,
}

/// Everything that control starts with.
#[derive(Debug)]
pub struct ControlBootstrap {
    /// The whole configuration, TOML.
    pub config: String,
    /// The state directory.
    pub state: PathBuf,
    /// What it listens on: `control.sock`, bound and listening.
    pub listeners: Vec<(Listen, OwnedFd)>,
    /// One an instance, in the order of the configuration.
    pub instances: Vec<InstanceChannels>,
    /// The state directory's lock: kept until the process ends, and nothing else.
    pub lock: Option<OwnedFd>,
    /// To the supervisor.
    pub channel: ControlChannel,
}

impl ControlBootstrap {
    /// Receives everything over standard input. Blocks. `None`: the supervisor is gone or has
    /// thought better of it; exit quietly.
    ///
    /// # Errors
    /// When the process was not started by the supervisor, or what it sent cannot be read.
    pub fn receive() -> Result<Option<Self>, ChannelError> {
        let channel = take_standard_input().map_err(ChannelError::Socket)?;
        let Some((mut setup, _)) = channel.receive_setup()? else {
            return Ok(None);
        };
        let instances = channels(&mut setup);
        let Setup {
            config,
            state,
            listeners,
            lock,
            ..
        } = setup;
        Ok(Some(Self {
            config,
            state,
            listeners,
            instances,
            lock,
            channel,
        }))
    }
}

/// What a reload brings.
#[derive(Debug)]
pub struct ControlReload {
    /// The whole new configuration, TOML.
    pub config: String,
    /// Instances that are new.
    pub added: Vec<InstanceChannels>,
    /// Instances that are no longer; they may still send events until they have stopped.
    pub gone: Vec<InstanceName>,
}

/// An order of the supervisor's to control.
#[derive(Debug)]
pub enum ControlOrder {
    /// Forget what was prepared: an instance refused.
    Abandon,
    /// The answer to a request, as JSON.
    Answer(Box<str>),
    /// Take what was prepared into use; answer [`FromChild::Committed`].
    Commit,
    /// An instance has ended and is no longer part of the system.
    Forget(InstanceName),
    /// Read and check this; answer [`FromChild::Prepared`] or [`FromChild::Refused`].
    Prepare(ControlReload),
    /// Write what is left of the log and exit: all instances are gone.
    Stop,
    /// The supervisor died: write the log until the instances have closed their channels.
    ParentExited,
    /// Log this.
    Tell(LogLine),
}

/// The control channel within a runtime. Pings are answered while [`Self::next`] is awaited.
#[derive(Debug)]
pub struct ControlProcessChannel(AsyncControlChannel);

impl ControlProcessChannel {
    /// Must be called within a runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the descriptor.
    pub fn new(channel: ControlChannel) -> io::Result<Self> {
        channel.into_async().map(Self)
    }

    /// The next order. Cancel-safe.
    pub async fn next(&mut self) -> ControlOrder {
        loop {
            return match self.0.next().await {
                Ok(Some(ChildCommand::Abandon)) => ControlOrder::Abandon,
                Ok(Some(ChildCommand::Answer(json))) => ControlOrder::Answer(json),
                Ok(Some(ChildCommand::Commit)) => ControlOrder::Commit,
                Ok(Some(ChildCommand::Forget(name))) => ControlOrder::Forget(name),
                Ok(Some(ChildCommand::Prepare(mut setup))) => {
                    ControlOrder::Prepare(ControlReload {
                        added: channels(&mut setup),
                        config: setup.config,
                        gone: setup.gone,
                    })
                }
                Ok(Some(ChildCommand::Retire(..) | ChildCommand::Stop(_))) => ControlOrder::Stop,
                Ok(Some(ChildCommand::Tell(told))) => ControlOrder::Tell(told),
                Ok(Some(ChildCommand::Go(_) | ChildCommand::Leave | ChildCommand::Ping(_))) => {
                    continue;
                }
                Ok(None) | Err(_) => ControlOrder::ParentExited,
            };
        }
    }

    /// Says something. A supervisor that is gone shows in [`Self::next`].
    pub async fn say(&self, up: FromChild) {
        let _ = self.0.say(&up).await;
    }
}

/// Joins the two channels of each instance.
fn channels(setup: &mut Setup) -> Vec<InstanceChannels> {
    let mut joined = Vec::new();
    for (name, role, requests) in std::mem::take(&mut setup.requests) {
        if let Some(at) = setup.events.iter().position(|(of, _)| *of == name) {
            let (_, events) = setup.events.swap_remove(at);
            joined.push(InstanceChannels {
                name,
                role,
                events,
                requests,
            });
        }
    }
    joined
}
