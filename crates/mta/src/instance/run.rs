//! The life of an instance's process, from what the supervisor hands it to its orderly end.
//!
//! # Guarantees
//! The spool is open and its messages are queued before anything is accepted.
//!
//! # Failure
//! What keeps it from starting is written to standard error in words, and the process ends with
//! status 1; the supervisor tries again with growing pauses.

mod known;
mod opening;
mod parting;
mod parts;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use config::{Config, InstanceConfig};
use delivery::{Delivery, Parts, Settings};
use events::EventSink;
use handoff::{EdgeReceiver, Ledger};
use intake::{Admission, ContentMemory, EdgePeer, Leave};
use mail::InstanceName;
use mail::event::{Sink, What};
use maildrop::Maildrop;
use net::{Clock, Entropy};
use spool::Spool;
use supervisor::channel::{Beginning, Purpose};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use opening::{SPOOL_WAIT_MAX, open_spool, spool_dir, try_to_begin};
use parting::{Edges, FAILED_LIMIT, ORPHAN_LIMIT};
use parts::{Instance, Onwards, delivery_settings, make_doors, make_edges, make_next};

use super::bell::Bell;
use super::bootstrap::{Bootstrap, Order, Reload, SupervisorLink};
use super::compose;
use super::doors::{Door, Doors, Hall, Sessions};
use super::draining::Draining;
use super::expiry::Expiry;
use super::fullness::{Fullness, Kind, LogLine};
use super::memory;
use super::pickup::Pickup;
use super::shortage::Shortage;
use super::turned_away::TurnedAwayReport;
use super::view::View;
use crate::role::Composition;

/// How often it is looked whether the spool still takes records, whether the queue is full, and
/// whether the certificate ends soon.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

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
            .channel
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
    let known = known::compare(&bootstrap.state, &bootstrap.name, spool.id());
    let another = known::alarm(known, recovery.is_new);
    let opened = (spool.clone(), recovery, another);
    let ended = runtime.block_on(run(bootstrap, config, opened));
    // Threads that still read or write for an attempt that was given up must not delay the end.
    runtime.shutdown_background();
    spool.close();
    ended
}

async fn run(
    mut bootstrap: Bootstrap,
    config: Config,
    (spool, recovery, another): (Spool, spool::Recovery, Option<String>),
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
        name: own.name.clone(),
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
        spool_lease: Arc::default(),
        content_memory: Arc::new(ContentMemory::new(memory::for_contents())),
        gate: Arc::default(),
        refused: Arc::default(),
    };
    let spool_dir = spool_dir(&bootstrap.state, &bootstrap.name);
    let inboxes = instance.find_unfinished(&spool_dir);
    instance.recover(&recovery, another);
    drop(recovery);
    let next = instance.next.as_ref();
    let sessions = instance.sessions(&config, &own, next, bootstrap.purpose)?;
    let doors = make_doors(bootstrap.listeners)?;
    let edges = make_edges(bootstrap.edges_from)?;
    let mut running = Running::new(instance, sessions, bootstrap.generation, bootstrap.requests);
    running.spool_dir = spool_dir;
    running.receive_outcomes(inboxes);
    let mut link = SupervisorLink::new(bootstrap.channel).map_err(|e| e.to_string())?;
    running.open_edges(edges);
    running.doors.set_listeners(doors);
    running.pick_up(&bootstrap.state);
    link.ready().await;
    let ended = running.run(&mut link).await;
    sink.finish().await;
    drop(bootstrap.lock);
    ended
}

fn own_part<'a>(config: &'a Config, name: &InstanceName) -> Result<&'a InstanceConfig, String> {
    config
        .instance(name)
        .ok_or_else(|| format!("the configuration has no instance {name}"))
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
    /// Where the spool lies.
    spool_dir: PathBuf,
    /// Takes in what the attempts of earlier processes come to.
    late_outcomes: JoinHandle<()>,
    /// A reload that was found good and waits for the others.
    prepared: Option<Prepared>,
    fullness: Fullness,
    shortage: Shortage,
    expiry: Expiry,
    draining: Draining,
    turned_away: TurnedAwayReport,
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
        let requests = tokio::spawn(operate::serve(view, requests, instance.clock));
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
            spool_dir: PathBuf::new(),
            late_outcomes: tokio::spawn(async {}),
            prepared: None,
            fullness: Fullness::default(),
            shortage: Shortage::default(),
            expiry: Expiry::default(),
            draining: Draining::default(),
            turned_away: TurnedAwayReport::default(),
        }
    }

    /// Whether nothing is left to do for an instance that is there to empty its queue. Where no
    /// other instance hands to it any more nothing can come after that: it has no listener.
    fn is_drained(&self) -> bool {
        self.sessions.borrow().purpose == Purpose::Drain
            && self.instance.delivery.counts().n_messages == 0
            && self.hall.admission.n_open() == 0
            && self.hall.n_edges.load(Ordering::Relaxed) == 0
    }

    /// Reports what is left of a queue that is to be emptied, and that nothing is.
    async fn look_at_draining(&mut self, link: &SupervisorLink) {
        if self.sessions.borrow().purpose != Purpose::Drain {
            self.draining = Draining::default();
            return;
        }
        let n_messages = self.instance.delivery.counts().n_messages;
        let now = self.instance.clock.now();
        if let Some(text) = self.draining.look(&self.instance.name, n_messages, now) {
            self.instance.tell(What::Alarm { text: text.into() });
        }
        if self.is_drained() {
            link.drained().await;
        }
    }

    /// Says when the queue or its disk became full, and when there is room again.
    fn look_at_queue(&mut self) {
        let messages_max = self.sessions.borrow().intake.capacity.messages_max;
        for kind in Kind::ALL {
            let n_waiting = self.instance.delivery.n_messages(&kind.origin());
            let told = self.fullness.look(kind, n_waiting, messages_max);
            self.tell_room(told);
        }
        let n_refused = self.instance.spool.stats().n_refused;
        let told = self
            .shortage
            .look(n_refused, self.instance.clock.now().since_start());
        self.tell_room(told);
    }

    /// Reports connections that found no place.
    fn look_at_turned_away(&mut self) {
        let admission = &self.hall.admission;
        let ((_, n), last) = (admission.totals(), admission.last_turned_away());
        let now = self.instance.clock.now();
        if let Some(text) = self.turned_away.look(n, last, now) {
            self.instance.tell(What::Alarm { text: text.into() });
        }
    }

    fn tell_room(&self, told: Option<LogLine>) {
        match told {
            Some(LogLine::Full(text)) => self.instance.tell(What::Alarm { text: text.into() }),
            Some(LogLine::Room(text)) => self.instance.tell(What::Instance { text: text.into() }),
            None => {}
        }
    }

    /// Says when the certificate is about to end, or has.
    fn look_at_certificate(&mut self) {
        let validity = self.sessions.borrow().validity;
        let now = self.instance.clock.timestamp();
        if let Some(concern) = self.expiry.look(validity, now) {
            let text = format!("the certificate {concern}").into();
            self.instance.tell(What::Alarm { text });
        }
    }

    /// Begins to pick up what local programs left, where the role does.
    fn pick_up(&self, state: &Path) {
        let instance = &self.instance;
        if !instance.composition.picks_up {
            return;
        }
        let (maildrop, spool) = (Maildrop::of(state), &instance.spool);
        let sessions = self.hall.sessions.clone();
        let pickup = Pickup::new(&maildrop, &instance.name, spool, sessions, instance.clock);
        tokio::spawn(pickup.run(self.hall.leave.clone()));
    }

    fn open_edges(&mut self, edges: Vec<(EdgePeer, EdgeReceiver)>) {
        for (peer, receiver) in edges {
            self.doors.open_edge(peer, receiver);
        }
    }

    /// Carries out the supervisor's orders until the end. An error when the spool failed: then the
    /// process must end, and a new one recover what was acknowledged.
    async fn run(&mut self, link: &mut SupervisorLink) -> Result<(), String> {
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        loop {
            let order = tokio::select! {
                order = link.next() => order,
                _ = check.tick() => {
                    self.look_at_queue();
                    self.look_at_certificate();
                    self.look_at_turned_away();
                    self.look_at_draining(link).await;
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
                    link.committed().await;
                    self.look_at_draining(link).await;
                }
                Order::Leave if self.is_drained() => {
                    self.stop(FAILED_LIMIT, Edges::Cut).await;
                    return Ok(());
                }
                Order::Leave => {}
                Order::Prepare(reload) => match self.prepare(reload) {
                    Ok(()) => link.prepared().await,
                    Err(why) => link.refused(&why).await,
                },
                Order::Retire(limit, successor) => {
                    self.retire(limit, successor, link).await;
                    return Ok(());
                }
                Order::Stop(limit) => {
                    self.stop(limit, Edges::UntilClosed).await;
                    return Ok(());
                }
                Order::ParentExited => {
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
        let sessions = instance.sessions(&config, own, next.as_ref(), reload.purpose)?;
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
        // One that is there to empty its queue serves those who are in for one more message.
        self.leave.send_replace(match prepared.sessions.purpose {
            Purpose::Drain => Leave::AfterMessage,
            Purpose::Serve => Leave::Freely,
        });
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
