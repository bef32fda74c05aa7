//! One attempt: a message's recipients with one destination, handed to their transports.

mod load;
mod twins;
mod ways;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mail::reply::table;
use mail::{Author, Moment, Outcome, Reply};
use queue::{Finish, Job, Which};
use spool::{CommitError, IndexSet, Progress, ReadError, RecipientState, Stored};

use crate::delivery::{Delivery, Settings, State};
use crate::record::Tried;
use crate::takeover::LateOutcome;
use crate::transport::{self, Carried, SiteSeen, Transport, Work};
use ways::{Elsewhere, Way, ways};

impl Delivery {
    /// Carries out an attempt that the queue gave out, and gives it back, also when it panics.
    pub(crate) async fn attempt(self: Arc<Self>, begun: Begun, errand: Errand) {
        let Begun {
            attempt,
            destination,
            resolved,
        } = begun;
        let mut under_way = UnderWay {
            delivery: self,
            attempt: Some(attempt),
        };
        let delivery = &under_way.delivery;
        if let Some(attempt) = &under_way.attempt {
            let to = (&*destination, resolved.as_ref());
            let ended = delivery.try_job(attempt, to, errand).await;
            if let (Some(site), Some(seen)) = (attempt.site, &ended.site) {
                delivery.note_attempt(site, seen);
            }
            under_way.end(ended);
        }
        under_way.delivery.start_due();
    }

    async fn try_job(
        self: &Arc<Self>,
        attempt: &queue::Attempt,
        (destination, resolved): (&str, Option<&Arc<Transport>>),
        errand: Errand,
    ) -> Ended {
        let after = |pause| Ended::put_off(self.clock.now() + pause);
        let stored = match self.load(attempt.id).await {
            Ok(stored) => stored,
            Err(ReadError::Unknown(id)) => {
                self.forget(id);
                return Ended::nothing_left(Elsewhere::default());
            }
            Err(error) => {
                self.note_unreadable(attempt.id, &error);
                return after(UNREADABLE_PAUSE);
            }
        };
        let (settings, away) = {
            let mut state = self.state();
            state.unreadable.remove(&attempt.id);
            let away = state.away.get(&attempt.id).cloned();
            (Arc::clone(&state.settings), away.unwrap_or_default())
        };
        let (mut ways, elsewhere) = ways(&stored, destination, resolved, &settings, &away);
        let delivered = twins::already_delivered(&stored, &mut ways);
        if !delivered.is_empty() {
            self.record(&stored, delivered, &settings).await;
            return Ended {
                due: (!ways.is_empty()).then(|| self.at_once()),
                site: None,
                elsewhere,
            };
        }
        if ways.is_empty() {
            return Ended::nothing_left(elsewhere);
        }
        if errand == Errand::GiveUp {
            return self.give_up(&stored, ways, &settings, elsewhere).await;
        }
        let alone = is_suspected(&stored).then(|| self.suspected.try_lock());
        // Who waits for another suspect takes no place at the site.
        let Ok(_alone) = alone.transpose() else {
            return after(SUSPECT_PAUSE);
        };
        let recipients: IndexSet = ways.iter().flat_map(|w| &w.recipients).copied().collect();
        let is_cut_short = self.note_doubt(&stored, &recipients, &settings);
        if is_cut_short && stored.cut_short >= CUT_SHORT_MAX {
            return self.hold_culprit(&stored, ways, &settings, elsewhere).await;
        }
        if let Err(e) = self
            .begin(&stored, &mut ways, recipients, is_cut_short)
            .await
        {
            self.alarm(&format!(
                "an attempt could not be recorded and did not begin: {e}"
            ));
            return after(UNREADABLE_PAUSE);
        }
        let (tried, seen) = self.carry_all(attempt, &stored, ways).await;
        let Some(due) = self.conclude(attempt, &stored, tried, &settings).await else {
            return after(std::time::Duration::ZERO);
        };
        Ended {
            due,
            site: seen,
            elsewhere,
        }
    }

    /// Records what came of an attempt, and returns when its recipients are due again. `None` where
    /// the process is about to end, and the next one sees to them.
    async fn conclude(
        self: &Arc<Self>,
        attempt: &queue::Attempt,
        stored: &Stored,
        mut tried: Vec<Tried>,
        settings: &Arc<Settings>,
    ) -> Option<Option<Moment>> {
        let of = (attempt.id, attempt.destination);
        let leaving = self.state().carrying.end(of);
        if tried.is_empty() {
            return None;
        }
        if let Some(outcomes) = leaving {
            // Nobody listens only where this process is about to end.
            let _ = outcomes.send(LateOutcome::of(stored.id, tried));
            return None;
        }
        let goes_on = leave_to_next_transaction(&mut tried);
        let due = self.record(stored, tried, settings).await;
        Some(if goes_on { Some(self.at_once()) } else { due })
    }

    /// Carries recipients, those of one transport after those of the other; what came of them, and
    /// what that showed of the site.
    async fn carry_all(
        &self,
        attempt: &queue::Attempt,
        stored: &Stored,
        ways: Vec<Way>,
    ) -> (Vec<Tried>, Option<Seen>) {
        let (mut tried, mut seen) = (Vec::new(), None::<Seen>);
        for way in ways {
            let of = (attempt.id, attempt.destination);
            let begun = self
                .state()
                .carrying
                .begin(of, &way.recipients, way.handoff);
            let Some(goes_on) = begun else {
                break;
            };
            let content_begun = Arc::clone(&goes_on.content_begun);
            let carrying = pin!(self.carry(stored, way, content_begun));
            let Some((site, of_way)) = goes_on.unless_cut(carrying).await else {
                break;
            };
            if seen.as_ref().is_none_or(|s| s.site == SiteSeen::Down) {
                seen = site.or(seen);
            }
            tried.extend(of_way);
        }
        (tried, seen)
    }

    /// Holds recipients whose attempts have ended with the process too often: whatever it is about
    /// them, the others are to get their mail.
    async fn hold_culprit(
        self: &Arc<Self>,
        stored: &Stored,
        ways: Vec<Way>,
        settings: &Arc<Settings>,
        elsewhere: Elsewhere,
    ) -> Ended {
        let n = stored.cut_short + 1;
        let reply = table::HELD.with_text(&format!(
            "set aside: {n} attempts in a row ended in a panic or with the process that made them"
        ));
        self.alarm(&format!(
            "message {} is set aside, as {n} attempts in a row to hand it on ended in a panic or \
             with the process; report it, then release or drop it",
            stored.id
        ));
        let held = Outcome::held(reply);
        let tried = |way: Way| way.tried(&vec![held.clone(); way.recipients.len()]);
        let tried = ways.into_iter().flat_map(tried).collect();
        Ended {
            due: self.record(stored, tried, settings).await,
            site: None,
            elsewhere,
        }
    }

    /// Makes durable what must be before the attempt begins: that it does, where the acceptance
    /// does not say so, or stands for one that was cut short; and the keys under which
    /// recipients go to the next instance for the first time.
    async fn begin(
        &self,
        stored: &Stored,
        ways: &mut [Way],
        recipients: IndexSet,
        is_cut_short: bool,
    ) -> Result<(), CommitError> {
        let (mut drawn, mut bound) = (Vec::new(), Vec::new());
        for way in ways.iter_mut() {
            let transport = Arc::clone(&way.transport);
            if let (Some(next), None) = (transport.handoff(), way.handoff) {
                let key = next.draw_key();
                way.handoff = Some(key);
                bound.extend(way.states(stored).map(|(index, state)| {
                    let mut state = state.clone();
                    state.handoff = Some(key);
                    (index, state)
                }));
                drawn.push((transport, key));
            }
        }
        let mut begun = stored.under_way.clone();
        begun.extend(&recipients);
        if bound.is_empty() && begun == stored.under_way && !is_cut_short {
            return Ok(());
        }
        let progress = Progress {
            recipients: bound,
            next_due: stored.message.next_due,
        };
        let binding = (!drawn.is_empty()).then(|| self.spool.progress(stored.id, progress));
        // Waits for nothing, and what was asked before goes with it.
        let attempt = self.spool.attempt(stored.id, recipients);
        if let Some(binding) = binding
            && let Err(e) = binding.await
        {
            for (transport, key) in &drawn {
                transport.handoff().iter().for_each(|next| next.settle(key));
            }
            return Err(e);
        }
        attempt.await
    }

    /// Gives up recipients who have expired and whose site was found down since, without going
    /// there again: what the last attempt there came to holds for them too.
    async fn give_up(
        self: &Arc<Self>,
        stored: &Stored,
        ways: Vec<Way>,
        settings: &Arc<Settings>,
        elsewhere: Elsewhere,
    ) -> Ended {
        if ways.iter().any(|way| way.transport.says_nothing()) {
            return Ended::put_off(self.clock.now() + UNREADABLE_PAUSE);
        }
        // Whether the next instance has the message, only the next instance can say.
        if ways.iter().any(|way| way.transport.handoff().is_some()) {
            return Ended::put_off(self.clock.now());
        }
        let tried = |way: Way| {
            let unreached = match &*way.transport {
                Transport::Unresolved { reply, .. } => reply.clone(),
                _ => table::NO_CONNECTION.reply(),
            };
            let states = way.states(stored);
            let outcome = |(_, state): (u32, &RecipientState)| {
                let last = state.reply.as_ref().unwrap_or(&unreached);
                // The record does not hold whose words it is: so no host is named as their author.
                Outcome::deferred(last.clone())
            };
            way.tried(&states.map(outcome).collect::<Vec<_>>())
        };
        let tried = ways.into_iter().flat_map(tried).collect();
        Ended {
            due: self.record(stored, tried, settings).await,
            site: None,
            elsewhere,
        }
    }

    async fn carry(
        &self,
        stored: &Stored,
        way: Way,
        content_begun: Arc<AtomicBool>,
    ) -> (Option<Seen>, Vec<Tried>) {
        let content = match self.content(stored.id).await {
            Ok(content) => content,
            Err(e) => {
                self.alarm(&format!(
                    "content of message {} cannot be read: {e}",
                    stored.id
                ));
                let deferred = Outcome::deferred(transport::unreadable(&e));
                return (None, way.tried(&vec![deferred; way.recipients.len()]));
            }
        };
        let twins = way.twins(stored);
        let work = Work {
            spool: self.spool.id(),
            id: stored.id,
            provenance: &stored.message.provenance,
            envelope: &twins.envelope(&stored.message.envelope),
            recipients: twins.recipients(),
            handoff: way.handoff,
            content,
            content_begun,
        };
        let Carried {
            outcomes,
            site,
            success,
            news,
            by,
        } = way.transport.deliver(work).await;
        self.tell_news(news);
        let seen = outcomes.first().map(|outcome| Seen {
            site,
            destination: match site {
                SiteSeen::Answering => Box::default(),
                SiteSeen::Down => way.transport.to_string().into(),
            },
            is_relay: matches!(*way.transport, Transport::Relay(_)),
            reply: outcome.reply.clone(),
        });
        let outcomes = twins.outcomes_of_all(&outcomes);
        (seen, way.tried_with(&outcomes, success, &by))
    }
}

impl State {
    /// What an attempt needs to know, as it is when the queue gives it out.
    pub(crate) fn begun(&self, attempt: queue::Attempt) -> Begun {
        Begun {
            destination: self.name_of(attempt.destination),
            resolved: self.resolved_transport(attempt.destination),
            attempt,
        }
    }

    /// Gives an attempt back to the queue, and queues what it found to have another destination.
    fn finish(&mut self, now: Moment, attempt: queue::Attempt, ended: Ended) {
        let (id, destination) = (attempt.id, attempt.destination);
        let finish = match (ended.due, ended.site.map(|seen| seen.site)) {
            (due, None) => Finish::Untried { due },
            (None, Some(SiteSeen::Answering)) => Finish::Done,
            (None, Some(SiteSeen::Down)) => {
                // What was given up leaves, and the site is down all the same.
                self.queue.remove(now, Which::Job(id, destination));
                Finish::SiteDown { due: now }
            }
            (Some(due), Some(SiteSeen::Answering)) => Finish::Retry { due },
            (Some(due), Some(SiteSeen::Down)) => Finish::SiteDown { due },
        };
        self.queue.finish(now, attempt, finish);
        if !self.messages.contains_key(&id) {
            return;
        }
        let Elsewhere {
            destinations,
            sender,
        } = ended.elsewhere;
        for of in destinations.values() {
            let destination = self.destination(now, of);
            // A job that waits keeps its time.
            if self.queue.job(id, destination).is_none() {
                let job = Job {
                    id,
                    destination,
                    sender,
                    due: now,
                };
                self.queue.insert(now, job);
            }
        }
    }
}

/// An attempt that goes on. Dropped before it ended, by a panic or with its task, it puts its job
/// off: what had begun counts as cut short, as if the process had ended.
struct UnderWay {
    delivery: Arc<Delivery>,
    attempt: Option<queue::Attempt>,
}

impl UnderWay {
    fn end(&mut self, ended: Ended) {
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        let delivery = &self.delivery;
        let mut state = delivery.state();
        state.finish(delivery.clock.now(), attempt, ended);
        if state.stopping {
            delivery.changed.notify_one();
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let Some(id) = self.attempt.as_ref().map(|attempt| attempt.id) else {
            return;
        };
        let delivery = Arc::clone(&self.delivery);
        delivery.drop_fresh(id);
        if let Some(attempt) = &self.attempt {
            let mut state = delivery.state();
            // Nobody knows what it came to.
            let _ = state.carrying.end((id, attempt.destination));
            if let Some(entry) = state.messages.get_mut(&id) {
                entry.in_doubt = true;
            }
        }
        self.end(Ended::put_off(delivery.clock.now() + PANIC_PAUSE));
        delivery.changed.notify_one();
        if std::thread::panicking() {
            delivery.alarm(&format!(
                "an attempt to hand on message {id} ended in a panic, and is made again in a \
                 minute: this is a mistake in the program; please report what standard error says"
            ));
        }
    }
}

/// An attempt that is begun.
pub(crate) struct Begun {
    attempt: queue::Attempt,
    /// The name of its destination.
    destination: Box<str>,
    /// What carries it, where that was found out.
    resolved: Option<Arc<Transport>>,
}

/// What an attempt is begun for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errand {
    /// To hand the message on.
    Deliver,
    /// To give up who has expired.
    GiveUp,
}

/// What an attempt showed of its site, and by what.
pub(crate) struct Seen {
    pub(crate) site: SiteSeen,
    /// What led there, `relay smtp.example:25`, where it is down; else nothing is reported of it.
    pub(crate) destination: Box<str>,
    pub(crate) is_relay: bool,
    /// What came of the first recipient.
    pub(crate) reply: Reply,
}

/// How an attempt ended.
struct Ended {
    /// When the recipients of this destination are due again, if any are.
    due: Option<Moment>,
    /// What it showed of the site; `None` where nobody went there.
    site: Option<Seen>,
    elsewhere: Elsewhere,
}

impl Ended {
    fn put_off(due: Moment) -> Self {
        Self {
            due: Some(due),
            site: None,
            elsewhere: Elsewhere::default(),
        }
    }

    const fn nothing_left(elsewhere: Elsewhere) -> Self {
        Self {
            due: None,
            site: None,
            elsewhere,
        }
    }
}

/// A host that took the message for some recipients, and has no room for others in one transaction,
/// is brought those in another one at once: only what is settled is left in `tried`. True where
/// somebody is left. Who was deferred beside them comes along, as if he had not been asked.
///
/// Ends by itself, as each transaction settles somebody (RFC 5321 §4.5.3.1.10).
fn leave_to_next_transaction(tried: &mut Vec<Tried>) -> bool {
    let any = |wanted: fn(&Tried) -> bool| tried.iter().any(wanted);
    let goes_on = any(|t| t.outcome.is_delivered()) && any(is_one_too_many);
    if goes_on {
        tried.retain(|t| !t.outcome.is_deferred());
    }
    goes_on
}

/// Whether a host said that it takes no more recipients in this transaction. One of our own
/// instances has a key for exactly these, and is asked about all of them again.
fn is_one_too_many(tried: &Tried) -> bool {
    let Outcome { reply, by, .. } = &tried.outcome;
    if !tried.outcome.is_deferred() || *by != Author::Peer {
        return false;
    }
    let too_many = table::TOO_MANY_RECIPIENTS.reply();
    let says_so = reply.enhanced.is_none_or(|e| Some(e) == too_many.enhanced);
    says_so && reply.code == too_many.code && tried.handoff.is_none()
}

/// Whether attempts to hand this message on ended with the process that made them so often that
/// it may be the cause: more than once in a row that is certain, as the first may not have begun.
///
/// Suspects are tried one at a time, and not at once after a start: so the next crash accuses one
/// of them, none that was merely under way while somebody killed processes, and until then the
/// others get their mail.
pub(crate) const fn is_suspected(stored: &Stored) -> bool {
    stored.cut_short >= CUT_SHORT_SUSPECTED
}

/// From so many attempts in a row on that were cut short and tried again, a message is suspected.
const CUT_SHORT_SUSPECTED: u32 = 2;

/// After so many of them it is set aside: few enough that the others do not wait for long, as the
/// supervisor starts the process again after seconds.
const CUT_SHORT_MAX: u32 = 4;

/// How long a suspect waits after a start, and for another suspect.
pub(crate) const SUSPECT_PAUSE: std::time::Duration = std::time::Duration::from_secs(2);

/// How long a message waits that the spool cannot read or record now.
const UNREADABLE_PAUSE: std::time::Duration = std::time::Duration::from_secs(60);

/// How long a message waits whose attempt panicked.
const PANIC_PAUSE: std::time::Duration = std::time::Duration::from_secs(60);
