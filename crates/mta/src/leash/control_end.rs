//! Control's end of the leash: the same frames as an instance's, and the channels of all.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use config::{Listen, Role};
use mail::InstanceName;

use super::down::Told;
use super::end::{AsyncLeash, Bundle, Leash, Rest, take_standard_input};
use super::socket::LeashError;
use super::up::Up;

/// The ends of an instance's channels that are control's.
#[derive(Debug)]
pub(crate) struct InstanceChannels {
    /// Whose they are.
    pub(crate) name: InstanceName,
    /// Its role.
    pub(crate) role: Role,
    /// The receiving end of its events.
    pub(crate) events: OwnedFd,
    /// For asking it.
    pub(crate) requests: OwnedFd,
}

/// Everything that control starts with.
#[derive(Debug)]
pub(crate) struct ControlBootstrap {
    /// The whole configuration, TOML.
    pub(crate) config: String,
    /// The state directory.
    pub(crate) state: PathBuf,
    /// What it listens on: `control.sock`, bound and listening.
    pub(crate) listeners: Vec<(Listen, OwnedFd)>,
    /// One an instance, in the order of the configuration.
    pub(crate) instances: Vec<InstanceChannels>,
    /// The state directory's lock: kept until the process ends, and nothing else.
    pub(crate) lock: Option<OwnedFd>,
    /// To the supervisor.
    pub(crate) leash: Leash,
}

impl ControlBootstrap {
    /// Receives everything over standard input. Blocks. `None`: the supervisor is gone or has
    /// thought better of it; exit quietly.
    ///
    /// # Errors
    /// When the process was not started by the supervisor, or what it sent cannot be read.
    pub(crate) fn receive() -> Result<Option<Self>, LeashError> {
        let leash = take_standard_input().map_err(LeashError::Socket)?;
        let Some((mut bundle, _)) = leash.receive_bundle()? else {
            return Ok(None);
        };
        let instances = channels(&mut bundle);
        let Bundle {
            config,
            state,
            listeners,
            lock,
            ..
        } = bundle;
        Ok(Some(Self {
            config,
            state,
            listeners,
            instances,
            lock,
            leash,
        }))
    }
}

/// What a reload brings.
#[derive(Debug)]
pub(crate) struct ControlReload {
    /// The whole new configuration, TOML.
    pub(crate) config: String,
    /// Instances that are new.
    pub(crate) added: Vec<InstanceChannels>,
    /// Instances that are no longer; they may still send events until they have stopped.
    pub(crate) gone: Vec<InstanceName>,
}

/// An order of the supervisor's to control.
#[derive(Debug)]
pub(crate) enum ControlOrder {
    /// Forget what was prepared: an instance refused.
    Abandon,
    /// The answer to a request, as JSON.
    Answer(Box<str>),
    /// Take what was prepared into use; answer [`Up::Committed`].
    Commit,
    /// An instance has ended and is no longer part of the system.
    Forget(InstanceName),
    /// Read and check this; answer [`Up::Prepared`] or [`Up::Refused`].
    Prepare(ControlReload),
    /// Write what is left of the log and exit: all instances are gone.
    Stop,
    /// The supervisor died: write the log until the instances have closed their channels.
    SupervisorGone,
    /// Log this.
    Tell(Told),
}

/// The leash within a runtime. Pings are answered while [`Self::next`] is awaited.
#[derive(Debug)]
pub(crate) struct ControlLeash(AsyncLeash);

impl ControlLeash {
    /// Must be called within a runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the descriptor.
    pub(crate) fn new(leash: Leash) -> io::Result<Self> {
        leash.into_async().map(Self)
    }

    /// The next order. Cancel-safe.
    pub(crate) async fn next(&mut self) -> ControlOrder {
        loop {
            return match self.0.next().await {
                Ok(Some(Rest::Abandon)) => ControlOrder::Abandon,
                Ok(Some(Rest::Answer(json))) => ControlOrder::Answer(json),
                Ok(Some(Rest::Commit)) => ControlOrder::Commit,
                Ok(Some(Rest::Forget(name))) => ControlOrder::Forget(name),
                Ok(Some(Rest::Prepare(mut bundle))) => ControlOrder::Prepare(ControlReload {
                    added: channels(&mut bundle),
                    config: bundle.config,
                    gone: bundle.gone,
                }),
                Ok(Some(Rest::Retire(..) | Rest::Stop(_))) => ControlOrder::Stop,
                Ok(Some(Rest::Tell(told))) => ControlOrder::Tell(told),
                Ok(Some(Rest::Go(_) | Rest::Leave | Rest::Ping(_))) => continue,
                Ok(None) | Err(_) => ControlOrder::SupervisorGone,
            };
        }
    }

    /// Says something. A supervisor that is gone shows in [`Self::next`].
    pub(crate) async fn say(&self, up: Up) {
        let _ = self.0.say(&up).await;
    }
}

/// Joins the two channels of each instance.
fn channels(bundle: &mut Bundle) -> Vec<InstanceChannels> {
    let mut joined = Vec::new();
    for (name, role, requests) in std::mem::take(&mut bundle.requests) {
        if let Some(at) = bundle.events.iter().position(|(of, _)| *of == name) {
            let (_, events) = bundle.events.swap_remove(at);
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
