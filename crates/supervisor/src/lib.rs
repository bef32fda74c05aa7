//! The supervisor: `postern run`. Binds, opens, starts, watches, restarts, stops; touches no mail
//! and reads nothing that comes from outside.
//!
//! # Guarantees
//! Control starts first and stops last; an instance starts after the one it hands to and stops
//! before it. What dies is started again, later each time, and said so; what hangs is reported,
//! never killed. A stop is bounded. A reload is taken by all processes or by none.
//!
//! # Limits
//! [`limits`](self::limits) names the times.
//!
//! # Failure
//! If the supervisor itself dies, its children see their control channels break and stop in order;
//! a new one waits for them. An instance that cannot start does not keep the others from it.

mod answers;
mod backoff;
mod bind;
mod certificates;
pub mod channel;
mod child;
mod heartbeat;
mod inherited;
mod leaving;
mod lifecycle;
mod limits;
mod member;
mod refuse;
mod reload;
mod sequence;
mod settings;
mod state;
mod stopping;
mod successor;
mod takeover;
mod watch;
mod wiring;

use std::io;
use std::path::PathBuf;

use config::{Config, Listen, Problems, Severity};
use net::Clock;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub use bind::BindError;
pub use state::{SPOOL_IDS, StateError, all_gone, make_layout, running};
pub use wiring::WiringError;

use crate::channel::LogLine;
use state::StateDirectory;
use watch::Watch;
use wiring::Wiring;

/// Where the configuration comes from, at the start and at each reload.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file; `None`: the embedded configuration.
    pub file: Option<PathBuf>,
    /// The state directory in place of the configuration's.
    pub state: Option<PathBuf>,
}

impl Source {
    /// Reads the configuration, and leaves it unchecked. Blocks.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn load(&self) -> Result<Config, Problems> {
        let state = self.state.as_deref();
        match &self.file {
            Some(file) => Config::load(file, state),
            None => Config::embedded(state),
        }
    }

    /// Reads and checks the whole configuration. Blocks. Warnings do not refuse it.
    ///
    /// # Errors
    /// Everything that is wrong with it, a finding a line.
    pub fn read(&self) -> Result<Config, String> {
        let config = self.load().map_err(|problems| problems.to_string())?;
        let findings = config.check().into_iter().chain(config.check_files());
        let errors: Vec<String> = findings
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| finding.to_string())
            .collect();
        if errors.is_empty() {
            Ok(config)
        } else {
            Err(errors.join("\n"))
        }
    }
}

/// What whoever started the supervisor may want to show.
#[derive(Debug)]
pub enum Progress<'a> {
    /// It listens there for that instance; at the start, before anything accepts.
    Listening {
        /// The instance.
        name: &'a mail::InstanceName,
        /// As bound: a port 0 of the configuration is the one that was given.
        listen: &'a Listen,
    },
    /// Every process has started once.
    Started,
    /// All processes are gone.
    Stopped,
    /// A stop began.
    Stopping,
    /// Something was given to the log.
    LogLine(&'a LogLine),
    /// Processes of an earlier supervisor are waited for.
    WaitingForOrphans,
}

/// Why the supervisor did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration, a finding a line.
    #[error("{0}")]
    Config(String),
    /// The runtime or the signals.
    #[error("cannot set up the process: {0}")]
    Process(#[source] io::Error),
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// A listener or channel.
    #[error(transparent)]
    Wiring(#[from] WiringError),
}

/// Runs the system that `source` describes until it is told to stop. Must not be called within a
/// runtime, nor while the process has files open of its own: all but the standard streams are
/// closed.
///
/// # Errors
/// When it did not start; nothing is left running then.
pub fn run(source: Source, show: &mut dyn FnMut(&Progress<'_>)) -> Result<(), StartError> {
    inherited::close().map_err(StartError::Process)?;
    let config = source.read().map_err(StartError::Config)?;
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(StartError::Process)?
        .block_on(start(source, config, show))
}

/// Every connection is a descriptor; the usual limit is there for programs that could not handle
/// more. Children inherit what is set here.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Not more than the system allows; with less than that, instances run out a little earlier.
    let _ = setrlimit(Resource::Nofile, raised);
}

async fn start(
    source: Source,
    mut config: Config,
    show: &mut dyn FnMut(&Progress<'_>),
) -> Result<(), StartError> {
    let waiting = || show(&Progress::WaitingForOrphans);
    let state = StateDirectory::take(&config.state, waiting).await?;
    for instance in &config.instances {
        // Where that fails, the instance says why whenever it is started, and the others run.
        let _ = state.make_spool(&instance.name);
    }
    let stranded = settings::take_in_left(&mut config, state.path());
    let stranded = stranded.map_err(|cause| StateError::Unusable {
        path: state.path().join("spool"),
        cause,
    })?;
    let mut wiring = Wiring::default();
    wiring.add(wiring.missing(&config, state.path())?);
    for instance in &config.instances {
        for (listen, _) in wiring.listeners_of(instance) {
            show(&Progress::Listening {
                name: &instance.name,
                listen: &listen,
            });
        }
    }
    let mut watch = Watch::new(source, config, state, wiring, Clock::start(), show)
        .map_err(StartError::Process)?;
    watch.stranded = stranded;
    watch.run().await;
    Ok(())
}
