//! What an attempt came to, made durable and told.
//!
//! # Guarantees
//! The outcomes of one attempt are one record. Permanent failures and the notification about them
//! are one record as well. A handoff key is settled only after the record of its outcome is
//! committed.

use std::sync::Arc;

use mail::event::What;
use mail::reply::table;
use mail::{Disposition, MessageId, Moment, Outcome, Reply, Timestamp};
use queue::Stage;
use spool::{Commit, Ending, Progress, RecipientState, Stored};

use crate::delivery::{Delivery, Settings};
use crate::transport::Transport;

/// What came of one recipient at one attempt.
pub(crate) struct Tried {
    pub(crate) index: u32,
    pub(crate) outcome: Outcome,
    pub(crate) transport: Arc<Transport>,
}

/// The recipients that an attempt changed.
struct Changes {
    states: Vec<(u32, RecipientState)>,
    failed: Vec<(u32, Reply)>,
    n_closed: u32,
    n_pending: u32,
    n_held: u32,
    /// Of those that are pending, how many had been tried before.
    n_deferred_before: u32,
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
        let next_due =
            settings
                .lifetime
                .next_attempt(stored.message.provenance.arrived, now, delay);
        let changes = self.judge(stored, &tried, expired, next_due);
        let (due, pending) = (self.clock.moment_of(next_due), changes.n_pending > 0);
        let handoff = next_key(stored, &tried, &changes);
        let ended = self.count(stored.id, &changes);
        let progress = Progress {
            recipients: changes.states,
            next_due,
            handoff,
        };
        let commit = if changes.failed.is_empty() {
            Committing::Outcome(match ended {
                true => self.spool.done(stored.id),
                false => self.spool.progress(stored.id, progress),
            })
        } else {
            let ending = if ended {
                Ending::Done
            } else {
                Ending::Progress(progress)
            };
            self.notify(stored, ending, &changes.failed, settings).await
        };
        if ended {
            self.forget(stored.id);
        } else {
            self.drop_fresh(stored.id);
        }
        self.settle_later(commit, &tried, stored, handoff);
        pending.then_some(due)
    }

    fn has_expired(&self, stored: &Stored, settings: &Settings, now: Timestamp) -> bool {
        let mut state = self.state();
        let moment = self.clock.now();
        let jumped = state.clock_watch.observe(moment, now).is_some();
        let trusted = state.clock_watch.is_trusted(moment);
        drop(state);
        if jumped {
            self.alarm("the clock jumped: nothing expires until it has been steady for a while");
        }
        let arrived = stored.message.provenance.arrived;
        trusted && settings.lifetime.stage(arrived, now) == Stage::Expired
    }

    /// What each outcome means for its recipient, told as an event.
    fn judge(
        &self,
        stored: &Stored,
        tried: &[Tried],
        expired: bool,
        next_due: Timestamp,
    ) -> Changes {
        let mut changes = Changes {
            states: Vec::with_capacity(tried.len()),
            failed: Vec::new(),
            n_closed: 0,
            n_pending: 0,
            n_held: 0,
            n_deferred_before: 0,
        };
        for t in tried {
            let attempts = attempts(stored, t.index) + 1;
            changes.n_deferred_before += u32::from(attempts > 1);
            let reply = t.outcome.reply().clone();
            let (disposition, last) = match &t.outcome {
                Outcome::Deferred(_) if expired => (Disposition::Failed, expiry_reply(&reply)),
                Outcome::Deferred(_) => (Disposition::Pending, reply),
                Outcome::Delivered(_) => (Disposition::Delivered, reply),
                Outcome::Failed(_) => (Disposition::Failed, reply),
                Outcome::Held(_) => (Disposition::Held, reply),
            };
            changes.n_closed += u32::from(disposition.is_final());
            changes.n_pending += u32::from(disposition == Disposition::Pending);
            changes.n_held += u32::from(disposition == Disposition::Held);
            if disposition == Disposition::Failed {
                changes.failed.push((t.index, last.clone()));
            }
            self.tell(stored, t, attempts, disposition, &last, next_due);
            let state = RecipientState {
                disposition,
                attempts,
                reply: Some(last),
            };
            changes.states.push((t.index, state));
        }
        changes
    }

    fn tell(
        &self,
        stored: &Stored,
        tried: &Tried,
        attempts: u32,
        disposition: Disposition,
        reply: &Reply,
        next_due: Timestamp,
    ) {
        if let (Transport::Handoff(next), Disposition::Delivered) = (&*tried.transport, disposition)
        {
            self.tell_handed_off(stored, next.name());
            return;
        }
        let transport = tried.transport.to_string();
        let Some(about) = self.about(stored, tried.index, &transport, attempts, disposition) else {
            return;
        };
        let reply = reply.clone();
        let what = match disposition {
            Disposition::Delivered => What::Delivered { about, reply },
            Disposition::Failed => What::Failed { about, reply },
            Disposition::Held => What::Held {
                about,
                reason: reply.text().into(),
            },
            Disposition::Pending => What::Deferred {
                about,
                reply,
                next_due,
            },
            Disposition::Dropped => return,
        };
        self.emit(Some(stored.message.provenance.trace), what);
    }

    fn tell_handed_off(&self, stored: &Stored, next: &str) {
        let what = What::HandedOff {
            next: next.into(),
            from: stored.message.envelope.sender.clone(),
            n_recipients: 1,
            size_bytes: stored.content_len,
            spooled: true,
            message_id: None,
            via: "spool".into(),
        };
        self.emit(Some(stored.message.provenance.trace), what);
    }

    /// Counts recipients where they stand now; true when none is left.
    fn count(&self, id: MessageId, changes: &Changes) -> bool {
        let mut state = self.state();
        state.messages.get_mut(&id).is_none_or(|entry| {
            entry.in_doubt = false;
            entry.n_open = entry.n_open.saturating_sub(changes.n_closed);
            entry.n_held += changes.n_held;
            entry.n_deferred += changes.n_pending;
            entry.n_deferred = entry.n_deferred.saturating_sub(changes.n_deferred_before);
            entry.n_open == 0
        })
    }

    /// Settles the key of a handoff once its outcome is committed, without holding up the site.
    fn settle_later(
        self: &Arc<Self>,
        commit: Committing,
        tried: &[Tried],
        stored: &Stored,
        kept: Option<mail::HandoffKey>,
    ) {
        let key = stored.message.handoff.filter(|key| kept != Some(*key));
        let next = tried.iter().find_map(|t| match &*t.transport {
            Transport::Handoff(next) => Some(next.clone()),
            _ => None,
        });
        let (Some(key), Some(next)) = (key, next) else {
            // Nobody waits for the record. Should it fail, so does everything after it, loudly;
            // after a crash the recipients are tried again.
            return;
        };
        let (delivery, id) = (Arc::clone(self), stored.id);
        tokio::spawn(async move {
            let outcome = match commit {
                Committing::Notification(outcome) => outcome,
                Committing::Outcome(commit) => commit.await.map_err(|e| e.to_string()),
            };
            match outcome {
                Ok(()) => next.settle(&key),
                Err(e) => delivery.alarm(&format!("the handoff of message {id} is in doubt: {e}")),
            }
        });
    }

    /// A crash cut an attempt short whose outcome nobody knows.
    pub(crate) fn note_doubt(&self, stored: &Stored) {
        let in_doubt = {
            let mut state = self.state();
            let entry = state.messages.get_mut(&stored.id);
            entry.is_some_and(|entry| std::mem::take(&mut entry.in_doubt))
        };
        // The key of a handoff makes its repetition harmless.
        if !in_doubt || stored.message.handoff.is_some() {
            return;
        }
        for (index, state) in stored.recipients.iter().enumerate() {
            if !is_in_doubt(stored, state) {
                continue;
            }
            let Ok(index) = u32::try_from(index) else {
                break;
            };
            let about = self.about(stored, index, "", state.attempts, state.disposition);
            if let Some(about) = about {
                let trace = Some(stored.message.provenance.trace);
                self.emit(trace, What::PossibleDuplicate { about });
            }
        }
    }
}

/// Whether, after a crash, a recipient may already have its copy. Sites are tried at the same time:
/// the outcome of one leaves the other ones' first attempts without a record but the acceptance.
pub(crate) fn is_in_doubt(stored: &Stored, recipient: &RecipientState) -> bool {
    recipient.disposition == Disposition::Pending
        && (stored.unfinished > 0 || recipient.attempts == 0)
}

/// What is awaited before a handoff key is settled.
pub(crate) enum Committing {
    /// A notification was committed, or not, already.
    Notification(Result<(), String>),
    /// A record on its way.
    Outcome(Commit<()>),
}

fn attempts(stored: &Stored, index: u32) -> u32 {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    stored
        .recipients
        .get(index)
        .map_or(0, |state| state.attempts)
}

/// The key for what is left. Where the next instance took a part, the rest is another set of
/// recipients and needs another number; where nothing is settled, the same key is used again.
fn next_key(stored: &Stored, tried: &[Tried], changes: &Changes) -> Option<mail::HandoffKey> {
    let key = stored.message.handoff?;
    let next = tried.iter().find_map(|t| match &*t.transport {
        Transport::Handoff(next) => Some(next),
        _ => None,
    });
    match next {
        // Other recipients were tried: those of the handoff are still in doubt under their key.
        None => Some(key),
        Some(_) if changes.n_pending == 0 => None,
        Some(_) if changes.n_closed == 0 => Some(key),
        Some(next) => Some(next.draw_key()),
    }
}

/// Says that time ran out, and what the last attempt had come to.
fn expiry_reply(last: &Reply) -> Reply {
    table::EXPIRED.with_text(&format!(
        "{}; the last attempt: {last}",
        table::EXPIRED.text
    ))
}
