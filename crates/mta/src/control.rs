//! Control: the process that writes the one log, and that the commands of an operator talk to.
//!
//! It reads the events of all instances, counts them, writes them down, and passes questions to
//! instances and supervisor. It is no part of a message's way: without it mail goes on, events
//! wait in their channels, and a control started anew finds them there.
//!
//! # Guarantees
//! An instance that does not answer is shown as such within [`asking::SILENCE_TIME`], the others
//! at once. No instance, no operator and no slow disk can make it hold up mail.

mod asking;
mod log;
mod members;
mod operators;
mod supervisor_end;
mod verbs;

use std::io::{self, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use mail::InstanceName;
use mail::event::{Event, What};
use net::Clock;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use log::{Care, Gone, Log};
use members::Shared;
use supervisor::channel::{
    ControlBootstrap, ControlOrder, ControlProcessChannel, ControlReload, FromChild, LogLine,
    Weight,
};
use supervisor_end::SupervisorEnd;

/// How long lines of control itself wait for others.
const FLUSH_TIME: Duration = Duration::from_millis(100);

/// How often the log file is looked after.
const LOOK_AFTER_TIME: Duration = Duration::from_secs(1);

/// How long control at its end waits for the log: less than the supervisor waits for control.
const LAST_LINES_TIME: Duration = Duration::from_secs(2);

/// The name that stands in lines about the system rather than about an instance.
const OWN_NAME: &str = "control";

/// Runs as control until the supervisor says stop, or is gone and all instances with it.
pub(crate) fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is no log yet, or no longer.
            let _ = writeln!(io::stderr(), "postern: control: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let received = ControlBootstrap::receive().map_err(|error| error.to_string())?;
    let Some(bootstrap) = received else {
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let tasks = LocalSet::new();
    tasks
        .block_on(&runtime, serve(bootstrap))
        .map_err(|error| error.to_string())
}

async fn serve(bootstrap: ControlBootstrap) -> io::Result<()> {
    let ControlBootstrap {
        config,
        state,
        listeners,
        instances,
        lock,
        channel,
    } = bootstrap;
    let channel = ControlProcessChannel::new(channel)?;
    let config = match Config::parse(&config, "the configuration", Some(&state)) {
        Ok(config) => config,
        Err(problems) => {
            channel
                .say(FromChild::Failed(problems.to_string().into()))
                .await;
            return Ok(());
        }
    };
    let clock = Clock::start();
    let shared = Shared::new(clock, Log::start(own_name(), config.log, clock)?);
    for channels in instances {
        shared.add(channels)?;
    }
    complete_the_log(&shared).await;
    let (supervisor, to_channel) = SupervisorEnd::new();
    let places = operators::places();
    for (_, socket) in listeners {
        let (shared, places) = (Rc::clone(&shared), Arc::clone(&places));
        let serving = operators::serve(socket, shared, supervisor.clone(), places);
        tokio::task::spawn_local(serving);
    }
    channel.say(FromChild::Ready).await;
    let control = Control {
        shared,
        channel,
        supervisor,
        prepared: None,
        is_orphan: false,
    };
    control.run(to_channel).await;
    operators::last_words(&places).await;
    drop(lock);
    Ok(())
}

fn own_name() -> InstanceName {
    OWN_NAME.parse().expect("invariant: the constant is a name")
}

/// What the supervisor's orders work on.
struct Control {
    shared: Rc<Shared>,
    channel: ControlProcessChannel,
    supervisor: SupervisorEnd,
    prepared: Option<Prepared>,
    is_orphan: bool,
}

/// A reload that can be taken into use.
struct Prepared {
    config: Config,
    reload: ControlReload,
}

impl Control {
    async fn run(mut self, mut to_channel: mpsc::UnboundedReceiver<Box<str>>) {
        let mut looks = tokio::time::interval(FLUSH_TIME);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let shared = Rc::clone(&self.shared);
        let mut keeping = pin!(keep_log(&shared));
        loop {
            tokio::select! {
                order = self.channel.next(), if !self.is_orphan => {
                    if self.take_order(order).await {
                        break;
                    }
                }
                Some(request) = to_channel.recv() => {
                    self.channel.say(FromChild::Request(request)).await;
                }
                _ = looks.tick(), if self.is_orphan => {
                    if self.shared.is_deserted() {
                        break;
                    }
                }
                // Without its thread control is of no use: the supervisor starts another one.
                Gone = &mut keeping => return,
            }
        }
        // What cannot be written by then is lost with this process.
        let _ = tokio::time::timeout(LAST_LINES_TIME, self.end_log()).await;
    }

    async fn end_log(&self) -> Result<(), Gone> {
        self.shared.drain().await?;
        self.shared.log.note(self.shared.now(), "control stops");
        self.shared.log.turn().await.flush(Care::None).await
    }

    /// Whether it was the last.
    async fn take_order(&mut self, order: ControlOrder) -> bool {
        match order {
            ControlOrder::Abandon => self.prepared = None,
            ControlOrder::Answer(json) => self.supervisor.take_answer(&json),
            ControlOrder::Commit => {
                let said = match self.commit() {
                    Ok(()) => FromChild::Committed,
                    Err(error) => FromChild::Failed(error.to_string().into()),
                };
                self.channel.say(said).await;
            }
            ControlOrder::Forget(name) => self.shared.remove(&name),
            ControlOrder::Prepare(reload) => {
                let said = self.prepare(reload);
                self.channel.say(said).await;
            }
            ControlOrder::Stop => return true,
            ControlOrder::ParentExited => {
                self.is_orphan = true;
                let text = "the supervisor is gone; waiting for the instances to stop".to_owned();
                self.shared.log.alarm(self.shared.now(), text);
            }
            ControlOrder::Tell(told) => self.tell(told),
        }
        false
    }

    fn prepare(&mut self, reload: ControlReload) -> FromChild {
        match Config::parse(&reload.config, "the configuration", None) {
            Ok(config) => {
                self.prepared = Some(Prepared { config, reload });
                FromChild::Prepared
            }
            Err(problems) => FromChild::Refused(problems.to_string().into()),
        }
    }

    fn commit(&mut self) -> io::Result<()> {
        let Some(Prepared { config, reload }) = self.prepared.take() else {
            return Ok(());
        };
        self.shared.log.set(config.log);
        for name in &reload.gone {
            self.shared.remove(name);
        }
        for channels in reload.added {
            self.shared.add(channels)?;
        }
        Ok(())
    }

    fn tell(&self, told: LogLine) {
        let LogLine {
            at,
            about,
            weight,
            text,
        } = told;
        let what = match weight {
            Weight::Alarm => What::Alarm { text },
            Weight::Note => What::Instance { text },
        };
        let name = about.unwrap_or_else(own_name);
        let trace = None;
        self.shared.log.append(&name, Event { at, trace, what });
    }
}

/// Completes what an earlier control began to write, while everything else begins.
async fn complete_the_log(shared: &Rc<Shared>) {
    let (has_turn, begun) = oneshot::channel();
    let shared = Rc::clone(shared);
    tokio::task::spawn_local(async move {
        let turn = shared.log.turn().await;
        let _ = has_turn.send(());
        // A log that has ended ends control.
        let _ = shared.complete_the_log(turn).await;
    });
    // Nobody else may have a turn before; but a disk that hangs is not waited for.
    let _ = begun.await;
}

/// Writes the lines of control itself, and looks after the file, for as long as there is a log.
async fn keep_log(shared: &Shared) -> Gone {
    let mut looks = tokio::time::interval(LOOK_AFTER_TIME);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let care = tokio::select! {
            _ = looks.tick() => Care::File,
            () = shared.log.has_own() => Care::None,
        };
        if let Err(gone) = shared.log.turn().await.flush(care).await {
            return gone;
        }
        // Others may have the turn; lines that come now share the next write.
        if care == Care::None {
            tokio::time::sleep(FLUSH_TIME).await;
        }
    }
}

#[cfg(test)]
mod tests;
