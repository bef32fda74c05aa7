//! What an instance has in its queue.
//!
//! # Guarantees
//! Every message that the spool holds is here once: handed over by intake when it is committed, or
//! found by recovery. Routes are asked at every attempt.

mod driver;
mod entry;
mod fairness;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mail::event::{About, Event, Sink, What};
use mail::reply::table;
use mail::{Disposition, InstanceName, MessageId, Moment, Reply, Timestamp};
use net::{Clock, Entropy};
use queue::{ClockWatch, DestinationId, Job, Lifetime, Queue};
use spool::{Fresh, IndexSet, RecipientState, Spool, Stored};
use tokio::sync::Notify;

use crate::outage::Outages;
use crate::resolver::{Destination, Lookup, Via};
use crate::route::Routes;
use crate::takeover::Carrying;
use crate::transport::News;

pub(crate) use entry::Entry;
pub use entry::{FRESH_LEN_MAX, FRESH_MAX};
pub(crate) use fairness::fairness_key;

use entry::Kept;

/// The site of everything that happens within this process: held, refused, thrown away.
pub(crate) const HERE: &str = "here";

/// What the configuration says about an instance's deliveries; a reload replaces it.
#[derive(Debug)]
pub struct Settings {
    /// The host, as notifications name it.
    pub hostname: Box<str>,
    /// The routes.
    pub routes: Routes,
    /// After which failures in a row a recipient is tried again when.
    pub backoff: queue::Backoff,
    /// When a message is given up.
    pub lifetime: Lifetime,
}

impl Settings {
    /// What carries this recipient's copy now. Where the next instance may have taken it already,
    /// only the next instance can say, whatever the routes have become.
    pub(crate) fn via(&self, stored: &Stored, index: u32) -> Result<Via, Reply> {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let bound = stored.recipients.get(place).and_then(|r| r.handoff);
        if bound.is_some()
            && let Some(handoff) = self.routes.handoff()
        {
            return Ok(Via::Transport(Arc::clone(handoff)));
        }
        let message = &stored.message;
        let recipient = message.envelope.recipients.get(place);
        let recipient = recipient.ok_or_else(|| table::NO_SUCH_USER.reply())?;
        let origin = &message.provenance.origin;
        self.routes.via(&recipient.address, origin).cloned()
    }

    /// What this recipient's copy is queued under now.
    pub(crate) fn destination(&self, stored: &Stored, index: u32) -> Destination {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let recipient = stored.message.envelope.recipients.get(place);
        Destination::of(&self.via(stored, index), recipient.map(|r| &r.address))
    }
}

/// The deliveries of one instance.
pub struct Delivery {
    /// By which name operators know the instance.
    pub(crate) name: InstanceName,
    pub(crate) spool: Spool,
    pub(crate) clock: Clock,
    pub(crate) entropy: Arc<Entropy>,
    pub(crate) events: Arc<dyn Sink>,
    sweep_interval: Duration,
    /// Held by the attempt of a message that is suspected to end the process.
    pub(crate) suspected: tokio::sync::Mutex<()>,
    /// How many messages are in `state`, of our own and from outside, for who asks at each message.
    n_ours: AtomicU64,
    n_outside: AtomicU64,
    state: Mutex<State>,
    /// Told when something is due earlier than the driver knows, and when the last attempt ends.
    pub(crate) changed: Notify,
}

pub(crate) struct State {
    pub(crate) queue: Queue,
    pub(crate) messages: BTreeMap<MessageId, Entry>,
    /// Messages that an operator's command is changing; they have no jobs meanwhile.
    pub(crate) aside: BTreeSet<MessageId>,
    /// What of the attempts under way matters to a process that takes the spool.
    pub(crate) carrying: Carrying,
    /// Recipients for whom an earlier process still makes an attempt.
    pub(crate) away: BTreeMap<MessageId, IndexSet>,
    /// Messages that could not be read when that was tried last.
    pub(crate) unreadable: BTreeSet<MessageId>,
    /// Sites that could not be reached when they were tried last.
    pub(crate) outages: Outages,
    /// Destinations that are resolved.
    pub(crate) lookups: HashMap<DestinationId, Lookup>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock_watch: ClockWatch,
    n_fresh: usize,
    fresh_len: usize,
    armed_for: Option<Moment>,
    /// Whether an alarm was raised about what is in doubt for long.
    pub(crate) doubts_told: bool,
    pub(crate) stopping: bool,
}

/// Everything that a [`Delivery`] is made of.
pub struct Parts {
    /// The instance's name.
    pub name: InstanceName,
    /// Its spool.
    pub spool: Spool,
    /// The clock.
    pub clock: Clock,
    /// Randomness for jitter and trace ids.
    pub entropy: Arc<Entropy>,
    /// Where events go.
    pub events: Arc<dyn Sink>,
    /// The settings to begin with.
    pub settings: Arc<Settings>,
    /// The bounds of the queue.
    pub queue: queue::Settings,
    /// How often what waits is looked at: for what has expired, and for what is in doubt for long.
    pub sweep_interval: Duration,
}

impl Delivery {
    /// Nothing queued yet.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        let (clock, settings) = (parts.clock, parts.settings);
        let state = State {
            queue: Queue::new(parts.queue),
            messages: BTreeMap::new(),
            aside: BTreeSet::new(),
            carrying: Carrying::default(),
            away: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            outages: Outages::default(),
            lookups: HashMap::new(),
            settings,
            clock_watch: ClockWatch::new(clock.now(), clock.timestamp(), None),
            n_fresh: 0,
            fresh_len: 0,
            armed_for: None,
            doubts_told: false,
            stopping: false,
        };
        Arc::new(Self {
            name: parts.name,
            spool: parts.spool,
            clock,
            entropy: parts.entropy,
            events: parts.events,
            sweep_interval: parts.sweep_interval,
            suspected: tokio::sync::Mutex::new(()),
            n_ours: AtomicU64::new(0),
            n_outside: AtomicU64::new(0),
            state: Mutex::new(state),
            changed: Notify::new(),
        })
    }

    /// Queues a message that the spool has just committed.
    pub fn queued(self: &Arc<Self>, fresh: Fresh) {
        let n = fresh.message.envelope.recipients.len();
        let as_accepted = RecipientState {
            handoff: fresh.message.handoff,
            ..RecipientState::NEW
        };
        let stored = Arc::new(Stored {
            id: fresh.id,
            message: fresh.message,
            recipients: vec![as_accepted; n],
            under_way: IndexSet::all(u32::try_from(n).unwrap_or(u32::MAX)),
            cut_short: 0,
            content_len: fresh.content_len,
        });
        let kept = Kept {
            stored: &stored,
            content: fresh.content,
        };
        self.insert(&stored, self.at_once(), false, Some(kept));
        self.start_due();
    }

    /// Takes a message that the spool has just committed, with all its recipients held, and `reply`
    /// to say why.
    pub fn held(self: &Arc<Self>, fresh: Fresh, reply: &Reply) {
        let n = fresh.message.envelope.recipients.len();
        let held = RecipientState {
            disposition: Disposition::Held,
            reply: Some(reply.clone()),
            ..RecipientState::NEW
        };
        let stored = Stored {
            id: fresh.id,
            message: fresh.message,
            recipients: vec![held; n],
            under_way: IndexSet::default(),
            cut_short: 0,
            content_len: fresh.content_len,
        };
        self.insert(&stored, self.at_once(), false, None);
        for index in (0..).take(n) {
            if let Some(about) = self.about(&stored, index, "queue", 0, Disposition::Held) {
                let reason = reply.text().into();
                let trace = stored.message.provenance.trace;
                self.emit(Some(trace), What::Held { about, reason });
            }
        }
    }

    /// Puts a message's open recipients into the queue, one job a destination.
    fn insert(
        self: &Arc<Self>,
        stored: &Stored,
        due: Moment,
        in_doubt: bool,
        kept: Option<Kept<'_>>,
    ) {
        let now = self.clock.now();
        let mut state = self.state();
        let mut entry = Entry::new(stored, in_doubt);
        (entry.fresh, entry.content) = state.keep(kept);
        self.count_in(&entry);
        if let Some(before) = state.messages.insert(stored.id, entry) {
            self.count_out(&before);
        }
        for job in state.jobs(now, stored, due) {
            state.queue.insert(now, job);
        }
    }

    /// Queues a job for recipients that are to be tried again.
    pub(crate) fn insert_at(&self, stored: &Stored, destination: &Destination, due: Moment) {
        let now = self.clock.now();
        let mut state = self.state();
        let destination = state.destination(now, destination);
        let job = Job {
            id: stored.id,
            destination,
            sender: fairness_key(stored),
            due,
        };
        state.queue.insert(now, job);
    }

    /// A message leaves the queue.
    pub(crate) fn forget(&self, id: MessageId) {
        let now = self.clock.now();
        let mut state = self.state();
        if let Some(mut entry) = state.messages.remove(&id) {
            state.let_go(entry.fresh.take(), entry.content.take());
            self.count_out(&entry);
        }
        state.unreadable.remove(&id);
        state.queue.remove(now, queue::Which::Message(id));
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // The queue panics on a broken invariant of its own; the process must not go on then.
        match self.state.lock() {
            Ok(state) => state,
            Err(broken) => {
                self.alarm("the queue is in an unknown state");
                let _: PoisonError<_> = broken;
                std::process::abort();
            }
        }
    }

    pub(crate) fn alarm(&self, text: &str) {
        self.emit(None, What::Alarm { text: text.into() });
    }

    pub(crate) fn tell_news(&self, news: impl IntoIterator<Item = News>) {
        for news in news {
            self.emit(None, news.into());
        }
    }

    pub(crate) fn emit(&self, trace: Option<mail::TraceId>, what: What) {
        self.events.emit(Event {
            at: self.clock.timestamp(),
            trace,
            what,
        });
    }

    pub(crate) fn about(
        &self,
        stored: &Stored,
        index: u32,
        transport: &str,
        attempts: u32,
        disposition: Disposition,
    ) -> Option<About> {
        let recipient = stored
            .message
            .envelope
            .recipients
            .get(usize::try_from(index).ok()?)?;
        let age = self.now().since(stored.message.provenance.arrived);
        Some(About {
            id: stored.id,
            from: stored.message.envelope.sender.clone(),
            to: recipient.address.clone(),
            transport: transport.into(),
            attempts,
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            disposition,
        })
    }

    /// A time that a job may have which is to begin now: the queue tells whole milliseconds, and
    /// would wait for the next.
    pub(crate) fn at_once(&self) -> Moment {
        let ms = self.clock.now().since_start().as_millis();
        Moment::from_start(Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX)))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.timestamp()
    }
}

impl State {
    /// The jobs of a message, one a destination or more. A held recipient has none: it gets one
    /// when it is released.
    pub(crate) fn jobs(&mut self, now: Moment, stored: &Stored, due: Moment) -> Vec<Job> {
        let settings = Arc::clone(&self.settings);
        let sender = fairness_key(stored);
        let mut jobs: Vec<Job> = Vec::new();
        for (index, recipient) in (0..).zip(&stored.recipients) {
            if recipient.disposition != Disposition::Pending || self.is_away(stored.id, index) {
                continue;
            }
            let destination = self.destination(now, &settings.destination(stored, index));
            if jobs.last().is_none_or(|job| job.destination != destination) {
                jobs.push(Job {
                    id: stored.id,
                    destination,
                    sender,
                    due,
                });
            }
        }
        jobs
    }

    /// Under which name the queue has a destination that is in use.
    pub(crate) fn name_of(&self, destination: DestinationId) -> Box<str> {
        let view = self.queue.destination_view(destination);
        view.map_or("", |view| view.name).into()
    }
}
