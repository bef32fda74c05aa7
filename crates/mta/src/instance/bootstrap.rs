//! How an instance comes into being: what the supervisor hands it over the control channel.
//!
//! [`Bootstrap::receive`] runs before any runtime or thread exists; then [`SupervisorLink`] carries
//! the supervisor's orders for as long as the process lives.
//!
//! # Failure
//! A supervisor that dies shows as [`Order::ParentExited`]: the instance stops in order.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use config::{Listen, Role};
use mail::InstanceName;

use supervisor::channel::{
    AsyncControlChannel, Beginning, ChannelError, ChildCommand, ControlChannel, FromChild, Purpose,
    Setup, take_standard_input,
};

/// Everything that an instance starts with.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    /// Its name.
    pub(crate) name: InstanceName,
    /// What it is there for.
    pub(crate) purpose: Purpose,
    /// Whether it may begin.
    pub(crate) beginning: Beginning,
    /// Counts up with each new process that a reload makes necessary; a crash does not change it.
    pub(crate) generation: u64,
    /// Its part of the configuration, TOML.
    pub(crate) config: String,
    /// The state directory.
    pub(crate) state: PathBuf,
    /// What it listens on: bound and listening.
    pub(crate) listeners: Vec<(Listen, OwnedFd)>,
    /// Edges on which it hands on.
    pub(crate) edges_to: Vec<(InstanceName, OwnedFd)>,
    /// Edges on which it is handed messages, and the role of who is at the other end.
    pub(crate) edges_from: Vec<(InstanceName, Role, OwnedFd)>,
    /// The sending end of its events.
    pub(crate) events: OwnedFd,
    /// Its end of the channel for control's requests.
    pub(crate) requests: OwnedFd,
    /// The state directory's lock: nothing is done with it but to keep it until the process ends,
    /// so that a new supervisor can tell when the last process of an old one is gone.
    pub(crate) lock: OwnedFd,
    /// To the supervisor.
    pub(crate) channel: ControlChannel,
}

/// Why an instance did not come into being.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootstrapError {
    /// The supervisor left something out.
    #[error("the supervisor did not pass {0}")]
    Missing(&'static str),
    /// Standard input is not the supervisor.
    #[error("this command is for the supervisor alone; use `postern run`")]
    NotAChild(#[source] io::Error),
    /// What came could not be read.
    #[error(transparent)]
    ControlChannel(#[from] ChannelError),
}

impl Bootstrap {
    /// Receives everything over standard input. Blocks. `None`: the supervisor is gone or has
    /// thought better of it; exit quietly.
    ///
    /// # Errors
    /// When the process was not started by the supervisor, or what it sent cannot be read.
    pub(crate) fn receive() -> Result<Option<Self>, BootstrapError> {
        let channel = take_standard_input().map_err(BootstrapError::NotAChild)?;
        match channel.receive_setup()? {
            Some((setup, beginning)) => Self::new(setup, beginning, channel).map(Some),
            None => Ok(None),
        }
    }

    /// To be kept aside for the case that what follows fails.
    pub(crate) fn last_words(&self) -> FinalReport {
        FinalReport(self.channel.try_clone().ok())
    }

    fn new(
        mut setup: Setup,
        beginning: Beginning,
        channel: ControlChannel,
    ) -> Result<Self, BootstrapError> {
        let (_, events) = setup
            .events
            .pop()
            .ok_or(BootstrapError::Missing("events"))?;
        let (_, _, requests) = setup
            .requests
            .pop()
            .ok_or(BootstrapError::Missing("requests"))?;
        Ok(Self {
            name: setup.name.ok_or(BootstrapError::Missing("a name"))?,
            purpose: setup.purpose,
            beginning,
            generation: setup.generation,
            config: setup.config,
            state: setup.state,
            listeners: setup.listeners,
            edges_to: setup.edges_to,
            edges_from: setup.edges_from,
            events,
            requests,
            lock: setup.lock.ok_or(BootstrapError::Missing("the lock"))?,
            channel,
        })
    }
}

/// Tells the supervisor why the process is about to end, so that the reason stands in the log.
#[derive(Debug)]
pub(crate) struct FinalReport(Option<ControlChannel>);

impl FinalReport {
    /// That it cannot start or go on.
    pub(crate) fn fail(&self, why: &str) {
        if let Some(channel) = &self.0 {
            // A supervisor that is gone does not want to know.
            let _ = channel.say(&FromChild::Failed(why.into()));
        }
    }
}

/// What a reload brings.
#[derive(Debug)]
pub(crate) struct Reload {
    /// What the instance is there for.
    pub(crate) purpose: Purpose,
    /// Its part of the new configuration, TOML.
    pub(crate) config: String,
    /// All that it is to listen on, what it listens on already among it.
    pub(crate) listeners: Vec<(Listen, OwnedFd)>,
    /// The edge on which it is to hand on.
    pub(crate) edges_to: Vec<(InstanceName, OwnedFd)>,
    /// Edges from fronts that are new.
    pub(crate) edges_from: Vec<(InstanceName, Role, OwnedFd)>,
}

/// An order of the supervisor's.
#[derive(Debug)]
pub(crate) enum Order {
    /// Forget what was prepared: another instance refused.
    Abandon,
    /// Take what was prepared into use; answer [`SupervisorLink::committed`].
    Commit,
    /// End, where nothing is left to do and the instance is there to empty its queue.
    Leave,
    /// Read and check this; answer [`SupervisorLink::prepared`] or [`SupervisorLink::refused`].
    Prepare(Reload),
    /// Give up the spool, which the next generation waits for, finish what clients have begun
    /// within this time, exit.
    Retire(Duration, OwnedFd),
    /// Stop accepting, finish what is in flight within this time, exit. Edges are served until
    /// their fronts have closed them: they are stopped first.
    Stop(Duration),
    /// As [`Self::Stop`], with a limit of one's own.
    ParentExited,
}

/// The control channel within a runtime. Pings are answered while [`Self::next`] is awaited.
#[derive(Debug)]
pub(crate) struct SupervisorLink(AsyncControlChannel);

impl SupervisorLink {
    /// Must be called within a runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the descriptor.
    pub(crate) fn new(channel: ControlChannel) -> io::Result<Self> {
        channel.into_async().map(Self)
    }

    /// The next order. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Order {
        loop {
            return match self.0.next().await {
                Ok(Some(ChildCommand::Abandon)) => Order::Abandon,
                Ok(Some(ChildCommand::Commit)) => Order::Commit,
                Ok(Some(ChildCommand::Leave)) => Order::Leave,
                Ok(Some(ChildCommand::Prepare(setup))) => Order::Prepare(Reload {
                    purpose: setup.purpose,
                    config: setup.config,
                    listeners: setup.listeners,
                    edges_to: setup.edges_to,
                    edges_from: setup.edges_from,
                }),
                Ok(Some(ChildCommand::Retire(limit, successor))) => Order::Retire(limit, successor),
                Ok(Some(ChildCommand::Stop(limit))) => Order::Stop(limit),
                // For control only.
                Ok(Some(
                    ChildCommand::Answer(_)
                    | ChildCommand::Forget(_)
                    | ChildCommand::Go(_)
                    | ChildCommand::Ping(_)
                    | ChildCommand::Tell(_),
                )) => continue,
                Ok(None) | Err(_) => Order::ParentExited,
            };
        }
    }

    /// It accepts.
    pub(crate) async fn ready(&self) {
        self.say(FromChild::Ready).await;
    }

    /// The reload can be taken: committing it cannot fail any more.
    pub(crate) async fn prepared(&self) {
        self.say(FromChild::Prepared).await;
    }

    /// The reload cannot be taken.
    pub(crate) async fn refused(&self, why: &str) {
        self.say(FromChild::Refused(why.into())).await;
    }

    /// Nothing is left to do.
    pub(crate) async fn drained(&self) {
        self.say(FromChild::Drained).await;
    }

    /// The reload is in force.
    pub(crate) async fn committed(&self) {
        self.say(FromChild::Committed).await;
    }

    async fn say(&self, up: FromChild) {
        // A supervisor that is gone shows in `next`.
        let _ = self.0.say(&up).await;
    }
}
