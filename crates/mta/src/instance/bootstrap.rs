//! How an instance comes into being: what the supervisor hands it over the leash.
//!
//! [`Bootstrap::receive`] runs before any runtime or thread exists; then [`Reins`] carries the
//! supervisor's orders for as long as the process lives.
//!
//! # Failure
//! A supervisor that dies shows as [`Order::SupervisorGone`]: the instance stops in order.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use config::{Listen, Role};
use mail::InstanceName;

use crate::leash::{
    AsyncLeash, Beginning, Bundle, Leash, LeashError, Purpose, Rest, Up, take_standard_input,
};

/// The directory in the state directory in which instances keep which spool was theirs.
pub(crate) const SPOOL_IDS: &str = "spool-ids";

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
    pub(crate) leash: Leash,
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
    Leash(#[from] LeashError),
}

impl Bootstrap {
    /// Receives everything over standard input. Blocks. `None`: the supervisor is gone or has
    /// thought better of it; exit quietly.
    ///
    /// # Errors
    /// When the process was not started by the supervisor, or what it sent cannot be read.
    pub(crate) fn receive() -> Result<Option<Self>, BootstrapError> {
        let leash = take_standard_input().map_err(BootstrapError::NotAChild)?;
        match leash.receive_bundle()? {
            Some((bundle, beginning)) => Self::new(bundle, beginning, leash).map(Some),
            None => Ok(None),
        }
    }

    /// To be kept aside for the case that what follows fails.
    pub(crate) fn last_words(&self) -> LastWords {
        LastWords(self.leash.try_clone().ok())
    }

    fn new(mut bundle: Bundle, beginning: Beginning, leash: Leash) -> Result<Self, BootstrapError> {
        let (_, events) = bundle
            .events
            .pop()
            .ok_or(BootstrapError::Missing("events"))?;
        let (_, _, requests) = bundle
            .requests
            .pop()
            .ok_or(BootstrapError::Missing("requests"))?;
        Ok(Self {
            name: bundle.name.ok_or(BootstrapError::Missing("a name"))?,
            purpose: bundle.purpose,
            beginning,
            generation: bundle.generation,
            config: bundle.config,
            state: bundle.state,
            listeners: bundle.listeners,
            edges_to: bundle.edges_to,
            edges_from: bundle.edges_from,
            events,
            requests,
            lock: bundle.lock.ok_or(BootstrapError::Missing("the lock"))?,
            leash,
        })
    }
}

/// Tells the supervisor why the process is about to end, so that the reason stands in the log.
#[derive(Debug)]
pub(crate) struct LastWords(Option<Leash>);

impl LastWords {
    /// That it cannot start or go on.
    pub(crate) fn fail(&self, why: &str) {
        if let Some(leash) = &self.0 {
            // A supervisor that is gone does not want to know.
            let _ = leash.say(&Up::Failed(why.into()));
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
    /// Take what was prepared into use; answer [`Reins::committed`].
    Commit,
    /// End, where nothing is left to do and the instance is there to empty its queue.
    Leave,
    /// Read and check this; answer [`Reins::prepared`] or [`Reins::refused`].
    Prepare(Reload),
    /// Give up the spool, which the next generation waits for, finish what clients have begun
    /// within this time, exit.
    Retire(Duration, OwnedFd),
    /// Stop accepting, finish what is in flight within this time, exit. Edges are served until
    /// their fronts have closed them: they are stopped first.
    Stop(Duration),
    /// As [`Self::Stop`], with a limit of one's own.
    SupervisorGone,
}

/// The leash within a runtime. Pings are answered while [`Self::next`] is awaited.
#[derive(Debug)]
pub(crate) struct Reins(AsyncLeash);

impl Reins {
    /// Must be called within a runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the descriptor.
    pub(crate) fn new(leash: Leash) -> io::Result<Self> {
        leash.into_async().map(Self)
    }

    /// The next order. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Order {
        loop {
            return match self.0.next().await {
                Ok(Some(Rest::Abandon)) => Order::Abandon,
                Ok(Some(Rest::Commit)) => Order::Commit,
                Ok(Some(Rest::Leave)) => Order::Leave,
                Ok(Some(Rest::Prepare(bundle))) => Order::Prepare(Reload {
                    purpose: bundle.purpose,
                    config: bundle.config,
                    listeners: bundle.listeners,
                    edges_to: bundle.edges_to,
                    edges_from: bundle.edges_from,
                }),
                Ok(Some(Rest::Retire(limit, heir))) => Order::Retire(limit, heir),
                Ok(Some(Rest::Stop(limit))) => Order::Stop(limit),
                // For control only.
                Ok(Some(
                    Rest::Answer(_) | Rest::Forget(_) | Rest::Go(_) | Rest::Ping(_) | Rest::Tell(_),
                )) => continue,
                Ok(None) | Err(_) => Order::SupervisorGone,
            };
        }
    }

    /// It accepts.
    pub(crate) async fn ready(&self) {
        self.say(Up::Ready).await;
    }

    /// The reload can be taken: committing it cannot fail any more.
    pub(crate) async fn prepared(&self) {
        self.say(Up::Prepared).await;
    }

    /// The reload cannot be taken.
    pub(crate) async fn refused(&self, why: &str) {
        self.say(Up::Refused(why.into())).await;
    }

    /// Nothing is left to do.
    pub(crate) async fn drained(&self) {
        self.say(Up::Drained).await;
    }

    /// The reload is in force.
    pub(crate) async fn committed(&self) {
        self.say(Up::Committed).await;
    }

    async fn say(&self, up: Up) {
        // A supervisor that is gone shows in `next`.
        let _ = self.0.say(&up).await;
    }
}
