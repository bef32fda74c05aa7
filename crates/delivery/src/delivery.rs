//! What an instance has in its queue, and what drives it.
//!
//! # Guarantees
//! Every message that the spool holds is here once: handed over by intake when it is committed, or
//! found by recovery. Routes are asked at every attempt.
//!
//! # Limits
//! A message is kept in memory only for its first attempt, envelopes of no more than [`FRESH_MAX`]
//! messages and contents of no more than [`FRESH_LEN_MAX`] octets; all others are read from the
//! spool when they are due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mail::event::{About, Event, Sink, What};
use mail::reply::table;
use mail::{Disposition, InstanceName, MessageId, Moment, Origin, Reply, Timestamp};
use net::{Clock, Entropy};
use queue::{ClockWatch, Job, Lifetime, Queue, SiteId};
use spool::{Fresh, IndexSet, Outline, ReadError, Reader, RecipientState, Spool, Stored};
use tokio::sync::Notify;

use crate::attempt::Errand;
use crate::route::Routes;
use crate::transport::Transport;

/// The most messages whose envelope is kept in memory until their first attempt is over.
pub const FRESH_MAX: usize = 2_000;
/// The most octets of content that are kept in memory until a first attempt is over; of all other
/// messages the content is read back.
pub const FRESH_LEN_MAX: usize = 16 * 1024 * 1024;

/// The site of everything that happens within this process: held, refused, thrown away.
const HERE: &str = "here";

/// What the configuration says about an instance's deliveries; a reload replaces it.
#[derive(Debug)]
pub struct Settings {
    /// The host, as notifications name it.
    pub hostname: Box<str>,
    /// The routes.
    pub routes: Routes,
    /// After which failures in a row a recipient is tried again when.
    pub backoff: queue::Backoff,
    /// When a message is late, and when it is given up.
    pub lifetime: Lifetime,
}

impl Settings {
    /// What carries this recipient's copy now. Where the next instance may have taken it already,
    /// only the next instance can say, whatever the routes have become.
    pub(crate) fn transport(&self, stored: &Stored, index: u32) -> Result<&Arc<Transport>, Reply> {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let bound = stored.recipients.get(place).and_then(|r| r.handoff);
        if bound.is_some()
            && let Some(handoff) = self.routes.handoff()
        {
            return Ok(handoff);
        }
        let message = &stored.message;
        let recipient = message.envelope.recipients.get(place);
        let recipient = recipient.ok_or_else(|| table::NO_SUCH_USER.reply())?;
        self.routes
            .transport(&recipient.address, &message.provenance.origin)
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
    /// Messages that could not be read when that was tried last.
    pub(crate) unreadable: BTreeSet<MessageId>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) clock_watch: ClockWatch,
    n_fresh: usize,
    fresh_len: usize,
    armed_for: Option<Moment>,
    /// Whether an alarm was raised about what is in doubt for long.
    pub(crate) doubts_told: bool,
    pub(crate) stopping: bool,
}

/// What is kept in memory of a queued message.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Recipients for whom something is left to do, held ones among them.
    pub(crate) n_open: u32,
    /// Recipients that are held.
    pub(crate) n_held: u32,
    /// Recipients that were tried and are to be tried again.
    pub(crate) n_deferred: u32,
    /// Octets of content.
    pub(crate) size_bytes: u64,
    /// When it entered the system.
    pub(crate) arrived: Timestamp,
    /// Whole message, until its first attempt is over.
    pub(crate) fresh: Option<Arc<Stored>>,
    /// Its content, likewise, where there was room for it.
    content: Option<Arc<Vec<u8>>>,
    /// An attempt ended without an outcome, with its process or in a panic: recipients may have a
    /// copy of which nobody knows.
    pub(crate) in_doubt: bool,
    /// It is mail of our own, which is counted apart.
    is_ours: bool,
}

// There may be millions.
const _: () = assert!(size_of::<(MessageId, Entry)>() <= 56);

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
            unreadable: BTreeSet::new(),
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

    /// The content of a message: from memory at its first attempt, else from the spool.
    pub(crate) fn reader(&self, id: MessageId) -> Result<Reader, ReadError> {
        let kept = {
            let state = self.state();
            let entry = state.messages.get(&id);
            entry.and_then(|entry| entry.content.clone())
        };
        match kept {
            Some(content) => Ok(Reader::of_memory(id, content)),
            None => self.spool.reader(id),
        }
    }

    /// Replaces routes, host name and times; attempts under way end as they began.
    pub fn reconfigure(self: &Arc<Self>, settings: Arc<Settings>) {
        self.state().settings = settings;
        self.start_due();
    }

    /// Starts attempts when they are due, until [`Self::stop`].
    pub async fn run(self: Arc<Self>) {
        let (mut swept_to, mut sweep_at) = (None, self.clock.now() + self.sweep_interval);
        loop {
            self.start_due();
            if self.clock.now() >= sweep_at {
                swept_to = self.sweep(swept_to);
                self.hurry_doubts();
                sweep_at = self.clock.now() + self.sweep_interval;
            }
            let (due, stopping) = {
                let mut state = self.state();
                state.armed_for = state.next_due();
                (state.armed_for, state.stopping)
            };
            if stopping {
                return;
            }
            // A time that has passed by now is slept for not at all: nothing due is left lying.
            let wake_at = due.map_or(sweep_at, |at| at.min(sweep_at));
            tokio::select! {
                () = self.changed.notified() => {}
                () = self.clock.sleep_until(wake_at) => {}
            }
        }
    }

    /// Begins no further attempt, and waits until those under way are over. What waits stays in the
    /// spool. Cancel-safe: dropped at a time limit, attempts under way go on.
    pub async fn stop(&self) {
        self.state().stopping = true;
        self.changed.notify_one();
        loop {
            let changed = self.changed.notified();
            if self.state().queue.totals().n_under_way == 0 {
                return;
            }
            tokio::select! {
                () = changed => {}
                // The driver waits for the same sign and may have taken it.
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    }

    /// Begins every attempt that may begin.
    pub(crate) fn start_due(self: &Arc<Self>) {
        let now = self.clock.now();
        let mut state = self.state();
        if state.stopping {
            return;
        }
        while let Some(attempt) = state.queue.next(now) {
            let name = state.site_name(attempt.site);
            tokio::spawn(Arc::clone(self).attempt(attempt, name, Errand::Deliver));
        }
        let earlier = match (state.next_due(), state.armed_for) {
            (Some(due), Some(armed)) => due < armed,
            (Some(_), None) => true,
            (None, _) => false,
        };
        drop(state);
        if earlier {
            self.changed.notify_one();
        }
    }

    /// Puts a message's open recipients into the queue, one job a site.
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
    pub(crate) fn insert_at(&self, stored: &Stored, site: &str, due: Moment) {
        let now = self.clock.now();
        let mut state = self.state();
        let site = state.queue.site(now, site);
        let job = Job {
            id: stored.id,
            site,
            sender: fairness_key(stored),
            due,
        };
        state.queue.insert(now, job);
    }

    /// How many messages of our own, or how many from outside, are queued. Waits for nothing.
    #[must_use]
    pub fn n_messages(&self, origin: &Origin) -> u64 {
        self.counter(origin.is_ours()).load(Ordering::Relaxed)
    }

    const fn counter(&self, is_ours: bool) -> &AtomicU64 {
        match is_ours {
            true => &self.n_ours,
            false => &self.n_outside,
        }
    }

    /// A message came into the queue.
    pub(crate) fn count_in(&self, entry: &Entry) {
        self.counter(entry.is_ours).fetch_add(1, Ordering::Relaxed);
    }

    /// A message left it.
    fn count_out(&self, entry: &Entry) {
        self.counter(entry.is_ours).fetch_sub(1, Ordering::Relaxed);
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

    /// The envelope need not stay in memory any longer.
    pub(crate) fn drop_fresh(&self, id: MessageId) {
        let mut state = self.state();
        if let Some(entry) = state.messages.get_mut(&id) {
            let (fresh, content) = (entry.fresh.take(), entry.content.take());
            state.let_go(fresh, content);
        }
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

/// A message on its way into the queue that memory still has.
struct Kept<'a> {
    stored: &'a Arc<Stored>,
    content: Option<Arc<Vec<u8>>>,
}

impl Entry {
    pub(crate) fn new(stored: &Stored, in_doubt: bool) -> Self {
        let mut entry = Self {
            n_open: 0,
            n_held: 0,
            n_deferred: 0,
            size_bytes: stored.content_len,
            arrived: stored.message.provenance.arrived,
            fresh: None,
            content: None,
            in_doubt,
            is_ours: stored.message.provenance.origin.is_ours(),
        };
        for recipient in &stored.recipients {
            let is_pending = recipient.disposition == Disposition::Pending;
            entry.n_open += u32::from(!recipient.disposition.is_final());
            entry.n_held += u32::from(recipient.disposition == Disposition::Held);
            entry.n_deferred += u32::from(is_pending && recipient.attempts > 0);
        }
        entry
    }

    /// Of a message that cannot be read, taken in `now`: for all its recipients it is held.
    pub(crate) const fn unreadable(outline: &Outline, now: Timestamp) -> Self {
        Self {
            n_open: outline.n_recipients,
            n_held: outline.n_recipients,
            n_deferred: 0,
            size_bytes: outline.content_len,
            arrived: now,
            fresh: None,
            content: None,
            in_doubt: false,
            is_ours: false,
        }
    }
}

impl State {
    /// The jobs of a message, one a site or more. A held recipient has none: it gets one when it
    /// is released.
    pub(crate) fn jobs(&mut self, now: Moment, stored: &Stored, due: Moment) -> Vec<Job> {
        let settings = Arc::clone(&self.settings);
        let sender = fairness_key(stored);
        let mut jobs: Vec<Job> = Vec::new();
        for (index, recipient) in (0..).zip(&stored.recipients) {
            if recipient.disposition != Disposition::Pending {
                continue;
            }
            let name = site_name(settings.transport(stored, index));
            let site = self.queue.site(now, &name);
            if jobs.last().is_none_or(|job| job.site != site) {
                jobs.push(Job {
                    id: stored.id,
                    site,
                    sender,
                    due,
                });
            }
        }
        jobs
    }

    /// What there is room for.
    fn keep(&mut self, kept: Option<Kept<'_>>) -> (Option<Arc<Stored>>, Option<Arc<Vec<u8>>>) {
        let Some(Kept { stored, content }) = kept.filter(|_| self.n_fresh < FRESH_MAX) else {
            return (None, None);
        };
        self.n_fresh += 1;
        let left = FRESH_LEN_MAX - self.fresh_len;
        let content = content.filter(|content| content.len() <= left);
        self.fresh_len += content.as_ref().map_or(0, |content| content.len());
        (Some(Arc::clone(stored)), content)
    }

    fn let_go(&mut self, fresh: Option<Arc<Stored>>, content: Option<Arc<Vec<u8>>>) {
        self.n_fresh -= usize::from(fresh.is_some());
        self.fresh_len -= content.map_or(0, |content| content.len());
    }

    /// Under which name the queue knows a site that is in use.
    pub(crate) fn site_name(&self, site: SiteId) -> Box<str> {
        let view = self.queue.site_view(site);
        view.map_or("", |view| view.name).into()
    }

    /// When the driver is needed: the queue's next due time. What could begin at once has begun, as
    /// whoever changes the queue calls [`Delivery::start_due`]; it is no reason to wake up.
    fn next_due(&self) -> Option<Moment> {
        self.queue.poll_timeout().filter(|at| *at > Moment::START)
    }
}

/// Under which name a recipient's site is known to the queue.
pub(crate) fn site_name(transport: Result<&Arc<Transport>, Reply>) -> Box<str> {
    transport
        .ok()
        .and_then(|t| t.site())
        .unwrap_or_else(|| HERE.into())
}

/// Whose turn an attempt for this message counts as.
pub(crate) fn fairness_key(stored: &Stored) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};

    let mut hasher = DefaultHasher::new();
    let provenance = &stored.message.provenance;
    provenance.origin.hash(&mut hasher);
    if !provenance.origin.is_ours() {
        provenance
            .client
            .as_ref()
            .map(|c| c.address)
            .hash(&mut hasher);
    }
    hasher.finish()
}
