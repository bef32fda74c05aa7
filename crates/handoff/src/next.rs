//! The next instance, as an instance in front of it sees it.
//!
//! Owns a bounded pool of kept connections over one edge, the breaker, the book of numbers and the
//! remembered answers about recipients.
//!
//! # Guarantees
//! [`Next::hand_off`] answers with what the next instance said, or that nothing is known; in the
//! latter case the same key must be used for the same recipients until something is.
//! Dropping a future of this module leaves the outcome of its handoff unknown and harms nothing
//! else.
//!
//! # Limits
//! Connections, patience and lifetimes of answers come from the configuration ([`Settings`]).

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mail::{Envelope, HandoffKey, InstanceName, Moment, Reply, Security};
use net::{ClientConnection, Clock, Connection};
use smtp::client::{self, Client};
use tokio::sync::Semaphore;

use crate::content::Content;
use crate::exchange::{Work, is_lost, is_unreadable, lost, verify};
use crate::{
    Breaker, Change, EdgeSender, Ledger, Lifetimes, Load, Mode, Parameters, Questions, Refusal,
};

/// For each of these many octets of content, a handoff gets another second of patience: a large
/// message must not look like a slow instance.
const OCTETS_PER_SECOND_MIN: u64 = 4 * 1024 * 1024;

/// How long a next instance that is full is not asked again on behalf of mail from outside.
pub const FULL_FOR: Duration = Duration::from_secs(1);

/// Why the breaker opens where nothing comes back.
const NO_ANSWER: &str = "no answer in time";

/// New connections that one handoff or question makes at most, where each is lost at once.
const NEW_CONNECTIONS_MAX: u32 = 3;

/// What the configuration says about an edge.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How this instance calls itself.
    pub own_name: InstanceName,
    /// How the next instance is called.
    pub next_name: InstanceName,
    /// How long the next instance may take before it counts as slow.
    pub patience: Duration,
    /// The most connections at once.
    pub connections_max: usize,
    /// How long answers about recipients serve.
    pub lifetimes: Lifetimes,
    /// Limits and time-outs of the client machine.
    pub client: Arc<client::Settings>,
}

/// One message for the next instance.
#[derive(Debug)]
pub struct Handoff<'a> {
    /// Key, mode and provenance; the visited list already names this instance.
    pub parameters: &'a Parameters,
    /// The whole envelope.
    pub envelope: &'a Envelope,
    /// Indexes of the recipients to hand off, in rising order. A key is bound to this set.
    pub recipients: &'a [u32],
    /// The content.
    pub content: Content<'a>,
}

/// What came of a handoff.
#[derive(Debug)]
pub enum Answer {
    /// It was not tried: the breaker is open, or all connections are busy.
    NotTried,
    /// One reply for each recipient, in order.
    Replies(Vec<Reply>),
    /// It was tried, and nothing is known.
    Unknown,
    /// The content could not be read to its end: the next instance has not stored it at this try.
    Unreadable,
}

/// Told of every change of the breaker, for the log.
pub type OnChange = Box<dyn Fn(Change, &str) + Send + Sync>;

/// The next instance.
pub struct Next {
    edge: EdgeSender,
    settings: Settings,
    clock: Clock,
    state: Mutex<State>,
    connections: Semaphore,
    on_change: OnChange,
    ledger: Arc<Mutex<Ledger>>,
}

#[derive(Debug)]
struct State {
    idle: Vec<ClientConnection>,
    breaker: Breaker,
    /// Whether a task asks for signs of life.
    probing: bool,
    /// A reload has named another next instance: what is under way ends here.
    released: bool,
    questions: Questions,
    load: Load,
    full_until: Option<Moment>,
}

impl Next {
    /// The instance at the other end of `edge`. `ledger` already holds the keys that the spool
    /// gave back; it is shared with whatever was the next instance before, since numbers are of
    /// the spool.
    #[must_use]
    pub fn new(
        edge: EdgeSender,
        settings: Settings,
        ledger: Arc<Mutex<Ledger>>,
        clock: Clock,
        on_change: OnChange,
    ) -> Arc<Self> {
        let state = State {
            idle: Vec::new(),
            breaker: Breaker::new(),
            probing: false,
            released: false,
            questions: Questions::new(settings.lifetimes),
            load: Load::NONE,
            full_until: None,
        };
        let connections = Semaphore::new(settings.connections_max);
        Arc::new(Self {
            edge,
            settings,
            clock,
            state: Mutex::new(state),
            connections,
            on_change,
            ledger,
        })
    }

    /// How the next instance is called.
    #[must_use]
    pub const fn name(&self) -> &InstanceName {
        &self.settings.next_name
    }

    /// Draws a number for one set of recipients.
    pub fn draw_key(&self) -> HandoffKey {
        self.ledger().draw()
    }

    /// Takes in a key that a message recovered from the spool still holds.
    pub fn adopt(&self, key: &HandoffKey) {
        self.ledger().adopt(key);
    }

    /// The lowest number of the key's epoch that is still in doubt.
    #[must_use]
    pub fn lowest_unsettled(&self, key: &HandoffKey) -> u64 {
        self.ledger().lowest_unsettled(key)
    }

    /// How many handoffs were begun since the oldest one in doubt; the next instance remembers all
    /// of them.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.ledger().lag()
    }

    /// What became of the key is known and will not be asked again, not even after a crash.
    pub fn settle(&self, key: &HandoffKey) {
        self.ledger().settle(key);
    }

    /// Another instance is the next one from now on: connections are not kept any more, so that
    /// this one may end. What is under way is not touched.
    pub fn release(&self) {
        let mut state = self.state();
        state.released = true;
        state.idle.clear();
    }

    /// How full the next instance is, by its last reply; full for [`FULL_FOR`] after it said so.
    #[must_use]
    pub fn load(&self) -> Load {
        let state = self.state();
        match state.full_until {
            Some(until) if self.clock.now() < until => Load::MAX,
            Some(_) | None => state.load,
        }
    }

    /// Whether it has said within [`FULL_FOR`] that it takes no more mail from outside.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let until = self.state().full_until;
        until.is_some_and(|until| self.clock.now() < until)
    }

    /// Whether mail goes to the own spool.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.state().breaker.is_open()
    }

    /// Asks whether `question` (`<address>;o=origin`) names a recipient that the next instance
    /// takes. `None` when it does not say and no remembered answer serves.
    pub async fn ask(self: &Arc<Self>, question: &str) -> Option<Reply> {
        let now = self.clock.now();
        if let Some(known) = self.state().questions.fresh(now, question) {
            return Some(known);
        }
        // Boxed, because a session that waits for its client must not hold room for this.
        let answer = Box::pin(self.ask_now(question)).await;
        // "Not now" is no answer: a remembered one serves as well as where none comes.
        let is_answer = |reply: &Reply| reply.class() != mail::ReplyClass::Transient;
        if let Some(reply) = answer.as_ref().filter(|reply| is_answer(reply)) {
            self.state()
                .questions
                .learn(self.clock.now(), question, reply);
            return answer;
        }
        self.state().questions.stale(now, question).or(answer)
    }

    /// Forgets a remembered answer that proved wrong.
    pub fn forget_answer(&self, question: &str) {
        self.state().questions.forget(question);
    }

    /// Hands a message off, or finds that this cannot be done in time.
    pub async fn hand_off(self: &Arc<Self>, handoff: &Handoff<'_>) -> Answer {
        let extra = handoff.content.len() / OCTETS_PER_SECOND_MIN;
        let patience = self.settings.patience + Duration::from_secs(extra);
        let begun = self.clock.now();
        if !self.state().breaker.admits(begun, patience) {
            return Answer::NotTried;
        }
        let Ok(permit) = self
            .clock
            .timeout(patience, self.connections.acquire())
            .await
        else {
            self.state().breaker.came_to_nothing();
            return Answer::NotTried;
        };
        let work = Work::Handoff(handoff);
        let handing = self.over_a_connection(&work);
        let outcome = self.clock.timeout(patience, handing).await;
        drop(permit);
        match outcome {
            Ok(Ok(replies)) => {
                self.succeeded(&replies);
                Answer::Replies(replies)
            }
            // It shows nothing of the next instance.
            Ok(Err(e)) if is_unreadable(&e) => {
                self.state().breaker.came_to_nothing();
                Answer::Unreadable
            }
            Ok(Err(e)) => {
                self.failed(begun, &e.to_string());
                Answer::Unknown
            }
            Err(_) => {
                self.failed(begun, NO_ANSWER);
                Answer::Unknown
            }
        }
    }

    /// Does `work` over a kept connection or, where that has died with an earlier process of the
    /// next instance, over a new one. A process that was about to make way may have taken that as
    /// well: then over another. Keys make the repetition harmless.
    async fn over_a_connection(&self, work: &Work<'_>) -> io::Result<Vec<Reply>> {
        if let Some(mut kept) = self.kept() {
            match work.replies(&mut kept).await {
                Ok(replies) => {
                    self.keep(kept);
                    return Ok(replies);
                }
                Err(e) if is_unreadable(&e) => return Err(e),
                Err(_) => self.state().idle.clear(),
            }
        }
        let mut n_tries = 0;
        loop {
            n_tries += 1;
            let worked = async {
                let mut fresh = self.connect().await?;
                let replies = work.replies(&mut fresh).await?;
                self.keep(fresh);
                Ok(replies)
            };
            match worked.await {
                Err(e) if is_lost(&e) && n_tries < NEW_CONNECTIONS_MAX => {}
                done => return done,
            }
        }
    }

    async fn ask_now(self: &Arc<Self>, question: &str) -> Option<Reply> {
        let patience = self.settings.patience;
        if !self.state().breaker.admits_questions() {
            return None;
        }
        let permit = self
            .clock
            .timeout(patience, self.connections.acquire())
            .await
            .ok()?;
        let begun = self.clock.now();
        let work = Work::Question(question);
        let asking = self.over_a_connection(&work);
        let outcome = self.clock.timeout(patience, asking).await;
        drop(permit);
        match outcome {
            Ok(Ok(mut replies)) => {
                self.answered("a recipient was verified");
                replies.pop()
            }
            Ok(Err(e)) => {
                self.failed(begun, &e.to_string());
                None
            }
            Err(_) => {
                self.failed(begun, NO_ANSWER);
                None
            }
        }
    }

    /// Makes a connection, says hello and names the live epochs.
    async fn connect(&self) -> io::Result<ClientConnection> {
        let stream = self.edge.connect()?;
        let settings = Arc::clone(&self.settings.client);
        let client = Client::new(settings, Security::Plain, self.clock.now());
        let mut connection = Connection::new(stream, client, self.clock);
        loop {
            match connection.next_event().await {
                Some(client::Event::Ready) => break,
                Some(client::Event::Closed(_)) | None => return Err(lost()),
                Some(_) => {}
            }
        }
        let epochs = {
            let ledger = self.ledger();
            let live: Vec<_> = ledger.live_epochs().iter().map(u64::to_string).collect();
            format!("epochs={}:{}", ledger.sender(), live.join(","))
        };
        let reply = verify(&mut connection, &epochs).await?;
        if !reply.is_positive() {
            return Err(io::Error::other(format!(
                "refused the list of epochs: {reply}"
            )));
        }
        Ok(connection)
    }

    /// A kept connection on which nothing has come meanwhile, nor its end.
    fn kept(&self) -> Option<ClientConnection> {
        loop {
            let mut connection = self.state().idle.pop()?;
            if connection.is_reusable() {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: ClientConnection) {
        let mut state = self.state();
        if connection.may_be_kept() && !state.released {
            state.idle.push(connection);
        }
    }

    fn succeeded(&self, replies: &[Reply]) {
        let is_full = |reply: &Reply| Refusal::of(reply) == Some(Refusal::QueueFull);
        let change = {
            let mut state = self.state();
            if let Some(taken) = replies.iter().find(|reply| reply.is_positive()) {
                state.load = Load::told(taken);
                state.full_until = None;
            } else if replies.iter().any(is_full) {
                state.full_until = Some(self.clock.now() + FULL_FOR);
            }
            state.breaker.succeeded(self.clock.now())
        };
        if let Some(change) = change {
            (self.on_change)(change, "answered in time");
        }
    }

    /// It answered a probe or a question.
    fn answered(&self, what: &str) {
        let change = self.state().breaker.answered(self.clock.now());
        if let Some(change) = change {
            (self.on_change)(change, what);
        }
    }

    fn failed(self: &Arc<Self>, begun: Moment, reason: &str) {
        let (change, probe) = {
            let mut state = self.state();
            state.idle.clear();
            let change = state.breaker.failed(begun, self.clock.now());
            let probes = state.breaker.is_open() && !state.probing;
            state.probing |= probes;
            (change, probes)
        };
        if let Some(change) = change {
            (self.on_change)(change, reason);
        }
        if probe {
            tokio::spawn(Arc::clone(self).probe());
        }
    }

    /// Asks for a sign of life, one question at a time, until one comes.
    async fn probe(self: Arc<Self>) {
        while let Some(at) = self.next_probe() {
            self.clock.sleep_until(at).await;
            let connecting = self.clock.timeout(self.settings.patience, self.connect());
            if let Ok(Ok(connection)) = connecting.await {
                self.keep(connection);
                self.answered("a probe was answered");
            } else {
                self.state().breaker.probe_failed(self.clock.now());
            }
        }
    }

    /// When to probe; `None` ends the one task that does.
    fn next_probe(&self) -> Option<Moment> {
        let mut state = self.state();
        let at = state.breaker.probe_at().filter(|_| !state.released);
        state.probing = at.is_some();
        at
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Nothing that is done under this lock can panic half way through a change.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under this lock can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next")
            .field("name", self.name())
            .finish_non_exhaustive()
    }
}

/// The mode that a message is handed off with, by who waits for the answer.
#[must_use]
pub const fn mode_for(origin: &mail::Origin) -> Mode {
    if origin.is_ours() {
        Mode::Each
    } else {
        Mode::All
    }
}
