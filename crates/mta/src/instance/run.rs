//! The life of an instance's process, from what the supervisor hands it to its orderly end.
//!
//! # Guarantees
//! The spool is open and its messages are queued before anything is accepted.
//!
//! # Failure
//! What keeps it from starting is written to standard error in words, and the process ends with
//! status 1; the supervisor tries again with growing pauses.

mod parting;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use delivery::{Delivery, Parts, Settings};
use handoff::{Change, EdgeReceiver, EdgeSender, Ledger, Next};
use intake::{Admission, Capacity, EdgePeer, Gate, Intake, Leave, Onward, Queued, Tenure};
use mail::InstanceName;
use mail::event::{Event, Sink, What};
use net::{Clock, Entropy};
use smtp::server::Offer;
use spool::{Fresh, Options, RealDisk, Spool};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use parting::{Edges, FAILED_LIMIT, ORPHAN_LIMIT};

use super::bell::Bell;
use super::bootstrap::{Bootstrap, Order, Reins, Reload};
use super::compose::{self, Answering};
use super::doors::{Door, Doors, Hall, Sessions};
use super::requests;
use super::view::View;
use crate::config::{self, Config, InstanceConfig, Listen, Next as NextConfig, Role};
use crate::errors::with_causes;
use crate::leash::Beginning;
use crate::observe::EventSink;
use crate::role::Composition;

/// How long a new process waits for an earlier one to give up the spool.
const SPOOL_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often it looks: clients wait meanwhile.
const SPOOL_WAIT_INTERVAL: Duration = Duration::from_millis(5);
/// How often it is looked whether the spool still takes records.
const SPOOL_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the instance that the supervisor describes over standard input.
pub(crate) fn main() -> ExitCode {
    let bootstrap = match Bootstrap::receive() {
        Ok(Some(bootstrap)) => bootstrap,
        Ok(None) => return ExitCode::SUCCESS,
        Err(e) => return fail("instance", &e.to_string()),
    };
    let (name, last_words) = (bootstrap.name.clone(), bootstrap.last_words());
    match start(bootstrap) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            last_words.fail(&e);
            fail(name.as_str(), &e)
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "before there is an event channel, and for its failure"
)]
fn fail(name: &str, why: &str) -> ExitCode {
    eprintln!("postern: {name}: {why}");
    ExitCode::FAILURE
}

fn start(bootstrap: Bootstrap) -> Result<(), String> {
    let config = Config::parse(&bootstrap.config, "part", None).map_err(|e| e.to_string())?;
    let mut opened = None;
    if bootstrap.beginning == Beginning::OnCommit {
        opened = try_to_begin(&bootstrap, &config)?;
        if !bootstrap
            .leash
            .wait_for_commit()
            .map_err(|e| e.to_string())?
        {
            return Ok(());
        }
    }
    let (spool, recovery) = match opened {
        Some(opened) => opened,
        None => open_spool(&bootstrap, SPOOL_WAIT_MAX)?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start the runtime: {e}"))?;
    let ended = runtime.block_on(run(bootstrap, config, spool.clone(), recovery));
    // Threads that still read or write for an attempt that was given up must not delay the end.
    runtime.shutdown_background();
    spool.close();
    ended
}

/// Finds what would keep it from beginning, for as far as that can be seen while an earlier process
/// works; the spool, where there is none.
fn try_to_begin(
    bootstrap: &Bootstrap,
    config: &Config,
) -> Result<Option<(Spool, spool::Recovery)>, String> {
    let own = own_part(config, &bootstrap.name)?;
    if let Some(tls) = &own.tls {
        compose::acceptor(tls, &config.hostname)?;
    }
    match open_spool(bootstrap, Duration::ZERO) {
        Ok(opened) => Ok(Some(opened)),
        Err(SpoolError::InUse(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Why there is no spool.
enum SpoolError {
    /// Another process has it.
    InUse(String),
    /// It cannot be opened.
    Unusable(String),
}

impl From<SpoolError> for String {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::InUse(text) | SpoolError::Unusable(text) => text,
        }
    }
}

/// Opens the spool; waits for an earlier process that is about to give it up.
fn open_spool(
    bootstrap: &Bootstrap,
    patience: Duration,
) -> Result<(Spool, spool::Recovery), SpoolError> {
    let path = bootstrap.state.join("spool").join(bootstrap.name.as_str());
    let place = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let unusable = |e: &dyn std::fmt::Display| SpoolError::Unusable(place(e));
    // Opening says better why it is no directory.
    let _ = std::fs::create_dir_all(&path);
    let entropy = Entropy::new();
    let began = Instant::now();
    loop {
        let disk = RealDisk::open(&path).map_err(|e| unusable(&e))?;
        let mut random = [0; 32];
        random[..16].copy_from_slice(&entropy.u128().to_ne_bytes());
        random[16..].copy_from_slice(&entropy.u128().to_ne_bytes());
        let options = Options {
            epoch_floor: Clock::start().timestamp().unix_ms() / 1000,
            ..Options::new(random)
        };
        match Spool::open(Arc::new(disk), options) {
            Ok(opened) => return Ok(opened),
            Err(spool::OpenError::Locked) if began.elapsed() < patience => {
                std::thread::sleep(SPOOL_WAIT_INTERVAL);
            }
            Err(e @ spool::OpenError::Locked) => {
                return Err(SpoolError::InUse(place(&with_causes(&e))));
            }
            Err(e) => return Err(unusable(&with_causes(&e))),
        }
    }
}

/// What stays the same over reloads.
struct Instance {
    name: InstanceName,
    composition: Composition,
    clock: Clock,
    entropy: Arc<Entropy>,
    events: Arc<dyn Sink>,
    spool: Spool,
    /// The numbers of handoffs: of the spool, whoever is next.
    ledger: Arc<Mutex<Ledger>>,
    next: Option<Onwards>,
    delivery: Arc<Delivery>,
    tenure: Arc<Tenure>,
    gate: Arc<Gate>,
    refused: Arc<Mutex<HashMap<&'static str, u64>>>,
}

/// The next instance, and what it was made of.
#[derive(Clone)]
struct Onwards {
    next: Arc<Next>,
    name: InstanceName,
    handoff: config::HandoffSettings,
}

async fn run(
    mut bootstrap: Bootstrap,
    config: Config,
    spool: Spool,
    recovery: spool::Recovery,
) -> Result<(), String> {
    let own = own_part(&config, &bootstrap.name)?.clone();
    let (clock, entropy) = (Clock::start(), Arc::new(Entropy::new()));
    let sink = EventSink::new(bootstrap.events);
    tokio::spawn(sink.clone().drive());
    let bell = Bell::default();
    tokio::spawn(bell.clone().answer());
    spool.set_waking(move |wakers| bell.ring(wakers));
    let events: Arc<dyn Sink> = Arc::new(sink.clone());
    let ledger = Arc::new(Mutex::new(Ledger::new(spool.id(), spool.epoch())));
    let edges_to = std::mem::take(&mut bootstrap.edges_to);
    let next = make_next(&own, edges_to, &ledger, clock, &events);
    let composition = Composition::of(own.role);
    let settings = delivery_settings(&config, &own, clock, next.as_ref());
    let delivery = Delivery::new(Parts {
        spool: spool.clone(),
        clock,
        entropy: Arc::clone(&entropy),
        events: Arc::clone(&events),
        settings: Arc::new(settings),
        queue: compose::queue(&own, &composition),
        sweep_interval: delivery::SWEEP_INTERVAL,
    });
    let instance = Instance {
        name: own.name.clone(),
        composition,
        clock,
        entropy,
        events,
        spool,
        ledger,
        next,
        delivery,
        tenure: Arc::default(),
        gate: Arc::default(),
        refused: Arc::default(),
    };
    instance.recover(&recovery)?;
    drop(recovery);
    let sessions = instance.sessions(&config, &own, instance.next.as_ref())?;
    let doors = make_doors(bootstrap.listeners)?;
    let edges = make_edges(bootstrap.edges_from)?;
    let mut running = Running::new(instance, sessions, bootstrap.generation, bootstrap.requests);
    let mut reins = Reins::new(bootstrap.leash).map_err(|e| e.to_string())?;
    running.open_edges(edges);
    running.doors.set_listeners(doors);
    reins.ready().await;
    let ended = running.obey(&mut reins).await;
    sink.flush();
    drop(bootstrap.lock);
    ended
}

fn own_part<'a>(config: &'a Config, name: &InstanceName) -> Result<&'a InstanceConfig, String> {
    config
        .instance(name)
        .ok_or_else(|| format!("the configuration has no instance {name}"))
}

/// The listeners that were passed, found to be such.
fn make_doors(listeners: Vec<(Listen, OwnedFd)>) -> Result<Vec<Door>, String> {
    let doors = listeners.into_iter().map(|(listen, fd)| {
        let place = format!("{:?}", listen.address);
        Door::new(listen, fd).map_err(|e| format!("cannot accept on {place}: {e}"))
    });
    doors.collect()
}

/// The receiving ends of edges that were passed, and who is at the other end of each.
fn make_edges(
    edges: Vec<(InstanceName, Role, OwnedFd)>,
) -> Result<Vec<(EdgePeer, EdgeReceiver)>, String> {
    let edges = edges.into_iter().map(|(name, role, fd)| {
        let receiver = EdgeReceiver::new(fd).map_err(|e| format!("the edge from {name}: {e}"))?;
        let claims = Composition::of(role).claims;
        Ok((EdgePeer { name, claims }, receiver))
    });
    edges.collect()
}

fn make_next(
    own: &InstanceConfig,
    edges: Vec<(InstanceName, OwnedFd)>,
    ledger: &Arc<Mutex<Ledger>>,
    clock: Clock,
    events: &Arc<dyn Sink>,
) -> Option<Onwards> {
    let Some(NextConfig::Instance(wanted)) = &own.next else {
        return None;
    };
    let (name, fd) = edges.into_iter().find(|(name, _)| name == wanted)?;
    let (told, events) = (name.clone(), Arc::clone(events));
    let on_change = move |change, reason: &str| {
        let (open, next) = (change == Change::Opened, told.as_str().into());
        let what = What::Breaker {
            next,
            open,
            reason: reason.into(),
        };
        events.emit(Event {
            at: clock.timestamp(),
            trace: None,
            what,
        });
    };
    let settings = compose::next_settings(own, name.clone());
    let (edge, ledger) = (EdgeSender::new(fd), Arc::clone(ledger));
    Some(Onwards {
        next: Next::new(edge, settings, ledger, clock, Box::new(on_change)),
        name,
        handoff: own.handoff.clone(),
    })
}

fn delivery_settings(
    config: &Config,
    own: &InstanceConfig,
    clock: Clock,
    onwards: Option<&Onwards>,
) -> Settings {
    let next = onwards.map(|onwards| &onwards.next);
    let composition = Composition::of(own.role);
    Settings {
        hostname: config.hostname.clone(),
        routes: compose::routes(config, own, clock, next),
        backoff: compose::backoff(own, &composition),
        lifetime: compose::lifetime(own),
    }
}

impl Instance {
    fn recover(&self, recovery: &spool::Recovery) -> Result<(), String> {
        for note in &recovery.notes {
            let look = note
                .quarantine()
                .map(|name| format!("; `postern spool quarantine show {}/{name}`", self.name));
            let text = format!("spool: {note}{}", look.unwrap_or_default()).into();
            // What any crash leaves behind is told; what no crash explains is an alarm.
            self.tell(match note {
                spool::Note::ContentSetAside { .. } | spool::Note::Damage { .. } => {
                    What::Alarm { text }
                }
                spool::Note::StrayContent { .. } | spool::Note::Torn { .. } => {
                    What::Instance { text }
                }
            });
        }
        if recovery.is_new {
            let text = "there was no spool: a new one was made".into();
            self.tell(What::Instance { text });
        }
        let adopt = |key: &mail::HandoffKey| {
            // Nothing that is done under this lock can panic half way through a change.
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.adopt(key);
        };
        let n = self
            .delivery
            .recover(recovery, adopt)
            .map_err(|e| e.to_string())?;
        let text = format!("started with {n} messages in its spool");
        self.tell(What::Instance { text: text.into() });
        Ok(())
    }

    fn sessions(
        &self,
        config: &Config,
        own: &InstanceConfig,
        onwards: Option<&Onwards>,
    ) -> Result<Sessions, String> {
        let own_routes = Arc::new(Answering(Arc::new(compose::own_routes(
            config, own, self.clock,
        ))));
        let onward = match onwards {
            Some(Onwards { next, .. }) => {
                let has_routes = !own.routes.is_empty();
                let own = has_routes.then_some(own_routes as Arc<dyn intake::Recipients>);
                Onward::Next {
                    next: Arc::clone(next),
                    own,
                }
            }
            None => {
                let all = compose::routes(config, own, self.clock, None);
                Onward::Here(Arc::new(Answering(Arc::new(all))))
            }
        };
        let tls = own
            .tls
            .as_ref()
            .map(|tls| compose::acceptor(tls, &config.hostname));
        let tls = tls.transpose()?;
        let intake = Intake {
            name: self.name.clone(),
            hostname: config.hostname.clone(),
            clock: self.clock,
            answer_timeout: own.limits.answer_timeout,
            entropy: Arc::clone(&self.entropy),
            spool: self.spool.clone(),
            onward,
            checks: policy::Checks::default(),
            events: Arc::clone(&self.events),
            queued: Arc::new(Queueing(Arc::clone(&self.delivery))),
            capacity: Capacity {
                messages_max: u64::from(own.queue.messages),
            },
            tenure: Arc::clone(&self.tenure),
            gate: Arc::clone(&self.gate),
            refused: Arc::clone(&self.refused),
        };
        Ok(Sessions {
            intake: Arc::new(intake),
            world: Arc::new(compose::world(config, own, Offer::No)),
            trusted: Arc::new(compose::world(config, own, Offer::Yes)),
            edge: Arc::new(compose::edge(own)),
            entry: compose::entry(&self.composition, tls.clone()),
            peers: own.peers.clone().into(),
            bounds: compose::bounds(own),
            tls,
        })
    }

    /// The next instance as a reload has it: the one that is there, with all that is known of it,
    /// where nothing about it changed.
    fn next_after(
        &self,
        own: &InstanceConfig,
        edges: Vec<(InstanceName, OwnedFd)>,
    ) -> Option<Onwards> {
        let stays = |here: &&Onwards| {
            own.next == Some(NextConfig::Instance(here.name.clone())) && own.handoff == here.handoff
        };
        self.next
            .as_ref()
            .filter(stays)
            .cloned()
            .or_else(|| make_next(own, edges, &self.ledger, self.clock, &self.events))
    }

    fn tell(&self, what: What) {
        self.events.emit(Event {
            at: self.clock.timestamp(),
            trace: None,
            what,
        });
    }
}

/// An instance at work.
struct Running {
    instance: Instance,
    sessions: watch::Sender<Sessions>,
    hall: Hall,
    leave: watch::Sender<Leave>,
    cutting: watch::Sender<bool>,
    doors: Doors,
    /// Answers control.
    requests: JoinHandle<std::io::Result<()>>,
    /// A reload that was found good and waits for the others.
    prepared: Option<Prepared>,
}

/// Everything that a reload replaces: taking it into use cannot fail.
struct Prepared {
    sessions: Sessions,
    settings: Settings,
    next: Option<Onwards>,
    doors: Vec<Door>,
    /// From fronts that are new.
    edges: Vec<(EdgePeer, EdgeReceiver)>,
}

impl Running {
    fn new(instance: Instance, sessions: Sessions, generation: u64, requests: OwnedFd) -> Self {
        let (sessions, watched) = watch::channel(sessions);
        let (leave, leave_seen) = watch::channel(Leave::Freely);
        let (cutting, cutting_seen) = watch::channel(false);
        let hall = Hall {
            sessions: watched,
            clock: instance.clock,
            admission: Arc::new(Admission::default()),
            n_edges: Arc::new(AtomicUsize::new(0)),
            leave: leave_seen,
            cutting: cutting_seen,
        };
        let view = Arc::new(View {
            delivery: Arc::clone(&instance.delivery),
            spool: instance.spool.clone(),
            sessions: hall.sessions.clone(),
            admission: Arc::clone(&hall.admission),
            clock: instance.clock,
            generation,
        });
        let requests = tokio::spawn(requests::serve(view, requests, instance.clock));
        tokio::spawn(Arc::clone(&instance.delivery).run());
        let doors = Doors::new(hall.clone());
        Self {
            instance,
            sessions,
            hall,
            leave,
            cutting,
            doors,
            requests,
            prepared: None,
        }
    }

    fn open_edges(&mut self, edges: Vec<(EdgePeer, EdgeReceiver)>) {
        for (peer, receiver) in edges {
            self.doors.open_edge(peer, receiver);
        }
    }

    /// Carries out the supervisor's orders until the end. An error when the spool failed: then the
    /// process must end, and a new one recover what was acknowledged.
    async fn obey(&mut self, reins: &mut Reins) -> Result<(), String> {
        let mut check = tokio::time::interval(SPOOL_CHECK_INTERVAL);
        loop {
            let order = tokio::select! {
                order = reins.next() => order,
                _ = check.tick() => {
                    if let Some(failure) = self.instance.spool.failure() {
                        let text =
                            format!("the spool cannot be written ({failure}); starting anew");
                        self.instance.tell(What::Alarm { text: text.clone().into() });
                        self.stop(FAILED_LIMIT, Edges::Cut).await;
                        return Err(text);
                    }
                    continue;
                }
            };
            match order {
                Order::Abandon => self.prepared = None,
                Order::Commit => {
                    self.commit();
                    reins.committed().await;
                }
                Order::Prepare(reload) => match self.prepare(reload) {
                    Ok(()) => reins.prepared().await,
                    Err(why) => reins.refused(&why).await,
                },
                Order::Retire(limit, heir) => {
                    self.retire(limit, heir, reins).await;
                    return Ok(());
                }
                Order::Stop(limit) => {
                    self.stop(limit, Edges::UntilClosed).await;
                    return Ok(());
                }
                Order::SupervisorGone => {
                    self.stop(ORPHAN_LIMIT, Edges::UntilClosed).await;
                    return Ok(());
                }
            }
        }
    }

    fn prepare(&mut self, reload: Reload) -> Result<(), String> {
        let config = Config::parse(&reload.config, "part", None).map_err(|e| e.to_string())?;
        let own = own_part(&config, &self.instance.name)?;
        let instance = &self.instance;
        let next = instance.next_after(own, reload.edges_to);
        let sessions = instance.sessions(&config, own, next.as_ref())?;
        let settings = delivery_settings(&config, own, instance.clock, next.as_ref());
        self.prepared = Some(Prepared {
            sessions,
            settings,
            next,
            doors: make_doors(reload.listeners)?,
            edges: make_edges(reload.edges_from)?,
        });
        Ok(())
    }

    fn commit(&mut self) {
        let Some(prepared) = self.prepared.take() else {
            return;
        };
        // By another door nobody comes in under the old settings.
        self.sessions.send_replace(prepared.sessions);
        self.instance
            .delivery
            .reconfigure(Arc::new(prepared.settings));
        let before = std::mem::replace(&mut self.instance.next, prepared.next);
        let after = self.instance.next.as_ref().map(|onwards| &onwards.next);
        if let Some(before) = before
            && after.is_none_or(|after| !Arc::ptr_eq(after, &before.next))
        {
            before.next.release();
        }
        self.open_edges(prepared.edges);
        self.doors.set_listeners(prepared.doors);
    }
}

/// Passes on what intake accepts.
struct Queueing(Arc<Delivery>);

impl Queued for Queueing {
    fn queued(&self, fresh: Fresh) {
        self.0.queued(fresh);
    }

    fn n_waiting(&self) -> u64 {
        self.0.n_messages()
    }
}
