//! What an attempt came to, made durable and told.
//!
//! # Guarantees
//! The outcomes of one attempt are one record, and the report about them is in it. Where failures
//! need several reports, each of these is one record with the end of those it reports on. A handoff
//! key is settled only after the record of its outcome is committed.

mod doubt;
mod events;
mod keys;
mod reports;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use mail::dsn::Action;
use mail::reply::table;
use mail::{
    Author, Disposition, HandoffKey, MessageId, Moment, Outcome, OutcomeKind, Reply, Timestamp,
};
use spool::{CommitError, Content, Ending, Fresh, Progress, RecipientState, Stored};

use crate::delivery::{Delivery, Settings, State};
use crate::notification::{Reported, Written, is_wanted};
use crate::transport::{Handoff, Transport};

pub(crate) use doubt::is_in_doubt;
use keys::{in_doubt, is_not_in_record, is_unknown};

/// What came of one recipient at one attempt.
pub(crate) struct Tried {
    pub(crate) index: u32,
    pub(crate) outcome: Outcome,
    pub(crate) by: CarriedBy,
    /// The key under which it was handed to the next instance.
    pub(crate) handoff: Option<HandoffKey>,
    /// What a sender who asks for it is to be told, where it was delivered.
    pub(crate) success: Option<Action>,
}

/// What carried a recipient.
pub(crate) enum CarriedBy {
    /// A transport of this process.
    Here(Arc<Transport>),
    /// One of the process that had the spool before.
    EarlierProcess {
        name: Box<str>,
        host: Option<Box<str>>,
    },
    /// A mail exchanger, found by a transport of this process.
    Exchanger { host: Box<str> },
    /// Nothing: this transport could not find out whether a way leads on. Nobody expires by it.
    Nothing(Arc<Transport>),
}

/// The recipients that an attempt changed.
struct Changes {
    states: Vec<(u32, RecipientState)>,
    /// Those that wait for a record of their own: here they stand as if to be tried again.
    waiting: Vec<(u32, RecipientState)>,
    /// What a sender may want to be told of.
    reported: Vec<Reported>,
    n_closed: u32,
    n_pending: u32,
    n_held: u32,
    /// Of those that are pending, how many had been tried before.
    n_deferred_before: u32,
}

/// An attempt that is over, to be recorded.
struct Record<'a> {
    stored: &'a Stored,
    tried: Vec<Tried>,
    changes: Changes,
    next_due: Timestamp,
    /// The next instance, where there is one.
    next: Option<&'a Handoff>,
}

impl Delivery {
    /// Records the outcomes. Returns when the recipients that are left are due again; `None` when
    /// none of these is.
    pub(crate) async fn record(
        self: &Arc<Self>,
        stored: &Stored,
        tried: Vec<Tried>,
        settings: &Arc<Settings>,
    ) -> Option<Moment> {
        let now = self.now();
        let expired = self.has_expired(stored, settings, now);
        let attempts_max = tried
            .iter()
            .map(|t| attempts(stored, t.index) + 1)
            .max()
            .unwrap_or(1);
        let delay = settings.backoff.delay(attempts_max, self.entropy.u64());
        let arrived = stored.message.provenance.arrived;
        let next_due = settings.lifetime.next_attempt(arrived, now, delay);
        let mut record = Record {
            changes: judge(stored, &tried, expired),
            stored,
            tried,
            next_due,
            next: settings.routes.handoff().and_then(|t| t.handoff()),
        };
        let reports = self
            .reports(stored, &record.changes.reported, settings)
            .await;
        let ended = self.commit_all(&mut record, reports).await;
        if ended {
            self.forget(stored.id);
        } else {
            self.drop_fresh(stored.id);
        }
        (record.changes.n_pending > 0).then(|| self.clock.moment_of(next_due))
    }

    /// Makes the outcomes durable. What is left to do is read from the spool at the next attempt,
    /// so that is waited for; nobody waits for the end of a message. True when that is it.
    async fn commit(self: &Arc<Self>, record: &Record<'_>) -> bool {
        let id = record.stored.id;
        let settled = record.settled();
        // One step, so that records are in the order of what they say.
        let (ended, committing) = {
            let mut state = self.state();
            if state.count(id, &record.changes) {
                (true, self.spool.done(id))
            } else {
                (false, self.spool.progress(id, record.progress(&settled)))
            }
        };
        self.tell_all(record);
        if !ended {
            let committed = committing.await;
            self.settle(record.next, &settled, committed, id);
        } else if !settled.is_empty() {
            let (delivery, next) = (Arc::clone(self), record.next.cloned());
            tokio::spawn(async move {
                let committed = committing.await;
                delivery.settle(next.as_ref(), &settled, committed, id);
            });
        }
        ended
    }

    /// Makes the outcomes durable, and with them a report on them.
    async fn commit_with(
        self: &Arc<Self>,
        record: &Record<'_>,
        report: Written,
    ) -> Result<bool, CommitError> {
        let Written {
            message, content, ..
        } = report;
        let id = record.stored.id;
        let content = Arc::new(content);
        let settled = record.settled();
        let (is_last, committing) = {
            let state = self.state();
            let is_last = state.n_open(id) <= record.changes.n_closed;
            let ending = if is_last {
                Ending::Done
            } else {
                Ending::Progress(record.progress(&settled))
            };
            let committing =
                self.spool
                    .notify(id, ending, &message, Content::Bytes(Arc::clone(&content)));
            (is_last, committing)
        };
        let notification = committing.await?;
        self.tell_all(record);
        self.tell_notified(record.stored, &message);
        self.queued(Fresh {
            id: notification,
            message,
            content_len: content.len() as u64,
            content: Some(content),
        });
        let ended = self.state().count(id, &record.changes);
        self.settle(record.next, &settled, Ok(()), id);
        if ended && !is_last {
            // The other recipients ended while this record was on its way.
            drop(self.spool.done(id));
        }
        Ok(ended)
    }

    /// The outcomes under these keys are on stable storage: the next instance may forget them.
    fn settle(
        &self,
        next: Option<&Handoff>,
        keys: &BTreeSet<HandoffKey>,
        committed: Result<(), CommitError>,
        id: MessageId,
    ) {
        match (committed, next) {
            (Ok(()), Some(next)) => keys.iter().for_each(|key| next.settle(key)),
            (Ok(()), None) => {}
            (Err(e), _) => self.alarm(&format!(
                "what an attempt for message {id} came to is not recorded: {e}"
            )),
        }
    }

    fn has_expired(&self, stored: &Stored, settings: &Settings, now: Timestamp) -> bool {
        let arrived = stored.message.provenance.arrived;
        self.trusts_clock() && settings.lifetime.is_over(arrived, now)
    }

    /// Whether the clock on the wall has been steady, so that mail may expire by it.
    pub(crate) fn trusts_clock(&self) -> bool {
        let moment = self.clock.now();
        let (jumped, trusted) = {
            let mut state = self.state();
            let jump = state.clock_watch.observe(moment, self.now());
            (jump.is_some(), state.clock_watch.is_trusted(moment))
        };
        if jumped {
            self.alarm("the clock jumped: nothing expires until it has been steady for a while");
        }
        trusted
    }
}

impl State {
    /// Counts recipients where they stand now; true when none is left.
    fn count(&mut self, id: MessageId, changes: &Changes) -> bool {
        self.messages.get_mut(&id).is_none_or(|entry| {
            entry.n_open = entry.n_open.saturating_sub(changes.n_closed);
            entry.n_held += changes.n_held;
            entry.n_deferred += changes.n_pending;
            entry.n_deferred = entry.n_deferred.saturating_sub(changes.n_deferred_before);
            entry.n_open == 0
        })
    }

    fn n_open(&self, id: MessageId) -> u32 {
        self.messages.get(&id).map_or(0, |entry| entry.n_open)
    }
}

impl Record<'_> {
    /// The keys under which nothing is in doubt any more: the next instance took or refused a part
    /// of their recipients, or says that the others are not in its record.
    fn settled(&self) -> BTreeSet<HandoffKey> {
        let states = self.changes.states.iter().map(|(_, state)| state);
        let told = |(tried, state): (&Tried, &RecipientState)| {
            let is_told = state.disposition.is_final() || is_not_in_record(&tried.outcome);
            tried.handoff.filter(|_| is_told)
        };
        self.tried.iter().zip(states).filter_map(told).collect()
    }

    /// Who is left after a part of a key's recipients is another set: those get a key when they are
    /// tried again, and hold none while they wait.
    fn progress(&self, settled: &BTreeSet<HandoffKey>) -> Progress {
        let mut recipients = self.changes.states.clone();
        recipients.extend(self.changes.waiting.iter().cloned());
        for (_, state) in &mut recipients {
            state.handoff = state.handoff.filter(|key| !settled.contains(key));
        }
        Progress {
            recipients,
            next_due: self.next_due,
        }
    }
}

/// What each outcome means for its recipient.
fn judge(stored: &Stored, tried: &[Tried], expired: bool) -> Changes {
    // Who is refused beside others in doubt is tried with them once more: without it, they would be
    // another set than the next instance has under their key.
    let mut doubted = in_doubt(tried);
    if expired {
        // A notification about what the next instance delivers would be false. Whatever else it
        // answered, it has stored nothing.
        let unknown = tried.iter().filter(|t| is_unknown(stored, t));
        let unknown: BTreeSet<_> = unknown.filter_map(|t| t.handoff).collect();
        doubted.retain(|key| unknown.contains(key));
    }
    let is_doubted = |tried: &Tried| tried.handoff.is_some_and(|key| doubted.contains(&key));
    let mut changes = Changes {
        states: Vec::with_capacity(tried.len()),
        waiting: Vec::new(),
        reported: Vec::new(),
        n_closed: 0,
        n_pending: 0,
        n_held: 0,
        n_deferred_before: 0,
    };
    for t in tried {
        let attempts = attempts(stored, t.index) + 1;
        changes.n_deferred_before += u32::from(attempts > 1);
        let reply = t.outcome.reply.clone();
        let (disposition, last) = match t.outcome.kind {
            OutcomeKind::Deferred if expired && !is_doubted(t) && t.by.may_expire() => {
                (Disposition::Failed, expiry_reply(&reply))
            }
            OutcomeKind::Deferred => (Disposition::Pending, reply),
            OutcomeKind::Delivered => (Disposition::Delivered, reply),
            OutcomeKind::Failed if is_doubted(t) => (Disposition::Pending, reply),
            OutcomeKind::Failed => (Disposition::Failed, reply),
            OutcomeKind::Held => (Disposition::Held, reply),
        };
        changes.n_closed += u32::from(disposition.is_final());
        changes.n_pending += u32::from(disposition == Disposition::Pending);
        changes.n_held += u32::from(disposition == Disposition::Held);
        let action = match disposition {
            Disposition::Delivered => t.success,
            Disposition::Failed => Some(Action::Failed),
            Disposition::Dropped | Disposition::Held | Disposition::Pending => None,
        };
        let wanted = action.filter(|action| is_wanted(stored, t.index, *action));
        changes.reported.extend(wanted.map(|action| Reported {
            index: t.index,
            action,
            verdict: last.clone(),
            remote: remote(t),
        }));
        let state = RecipientState {
            disposition,
            attempts,
            reply: Some(last),
            handoff: t.handoff,
        };
        changes.states.push((t.index, state));
    }
    changes
}

/// The other host and its reply, where the last reply came from one.
fn remote(tried: &Tried) -> Option<(Box<str>, Reply)> {
    let host = tried.by.host()?;
    let Outcome { reply, by, .. } = &tried.outcome;
    (*by == Author::Peer).then(|| (host.into(), reply.clone()))
}

fn attempts(stored: &Stored, index: u32) -> u32 {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    stored
        .recipients
        .get(index)
        .map_or(0, |state| state.attempts)
}

/// Says that time ran out, and what the last attempt had come to.
fn expiry_reply(last: &Reply) -> Reply {
    let text =
        |last: &dyn fmt::Display| format!("{}; the last attempt: {last}", table::EXPIRED.text);
    let reply = table::EXPIRED.with_text(&text(last));
    match last.cause() {
        Some(_) => reply.with_cause(&text(&last.for_operators())),
        None => reply,
    }
}
