//! What operators see of the queue, and what they can do with it.
//!
//! # Guarantees
//! What an operator changes is committed before it is reported as done. A recipient whose attempt
//! is under way is left alone: its outcome decides first.

use std::collections::BTreeSet;
use std::sync::Arc;

use mail::event::{About, What};
use mail::reply::table;
use mail::{
    Disposition, HandoffKey, Mailbox, MessageId, Moment, Origin, Reply, ReversePath, Timestamp,
    TraceId,
};
use queue::{Job, JobState, Which};
use spool::{Browser, IndexSet, Progress, RecipientState, Stored};

use crate::delivery::{Delivery, fairness_key, site_name};

/// One queued message.
#[derive(Clone, Debug)]
pub struct QueueRow {
    /// Its id in this instance's spool.
    pub id: MessageId,
    /// Its journey.
    pub trace: TraceId,
    /// The envelope sender.
    pub from: ReversePath,
    /// When it entered the system.
    pub arrived: Timestamp,
    /// Octets of content.
    pub size_bytes: u64,
    /// Where it entered.
    pub origin: Origin,
    /// The recipients for whom something is left to do.
    pub recipients: Vec<RecipientRow>,
}

/// One recipient of a queued message.
#[derive(Clone, Debug)]
pub struct RecipientRow {
    /// Its index in the envelope.
    pub index: u32,
    /// Its address.
    pub address: Mailbox,
    /// Where it stands.
    pub disposition: Disposition,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is due, unless it is held.
    pub next_due: Option<Timestamp>,
    /// The last reply, or why it is held.
    pub reply: Option<Reply>,
    /// Where its route leads now.
    pub destination: Box<str>,
}

/// What an operator's command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Recipients that it changed.
    pub n_recipients: u32,
}

/// An operator's command about recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Drop,
    Hold,
    Release,
    Retry,
}

impl Delivery {
    /// For [`Self::page`], from page to page.
    #[must_use]
    pub fn browser(&self) -> Browser {
        self.spool.browser()
    }

    /// The next `limit` messages with ids after `after`, in the order of ids, but for those that
    /// leave meanwhile; and the last id that was looked at, none at the end of the queue. Reads the
    /// spool, so it may block for as long as the disk needs for that many.
    #[must_use]
    pub fn page(
        &self,
        browser: &mut Browser,
        after: Option<MessageId>,
        limit: usize,
    ) -> (Vec<QueueRow>, Option<MessageId>) {
        let ids: Vec<_> = {
            let state = self.state();
            let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
            let range = (from, std::ops::Bound::Unbounded);
            state
                .messages
                .range(range)
                .take(limit)
                .map(|(id, _)| *id)
                .collect()
        };
        let last = ids.last().filter(|_| ids.len() == limit).copied();
        let rows = ids
            .into_iter()
            .filter_map(|id| self.row_of(&browser.message(id).ok()?));
        (rows.collect(), last)
    }

    /// One message; `None` when it is not queued.
    #[must_use]
    pub fn row(&self, id: MessageId) -> Option<QueueRow> {
        self.row_of(&self.spool.message(id).ok()?)
    }

    fn row_of(&self, stored: &Stored) -> Option<QueueRow> {
        let id = stored.id;
        let settings = Arc::clone(&self.state().settings);
        let message = &stored.message;
        let mut recipients = Vec::new();
        for (index, (state, recipient)) in
            (0..).zip(stored.recipients.iter().zip(&message.envelope.recipients))
        {
            if state.disposition.is_final() {
                continue;
            }
            let found = settings.transport(stored, index);
            let destination = found
                .clone()
                .map_or_else(|r| r.to_string(), |t| t.to_string());
            recipients.push(RecipientRow {
                index,
                address: recipient.address.clone(),
                disposition: state.disposition,
                attempts: state.attempts,
                next_due: self.next_due(id, state, &site_name(found)),
                reply: state.reply.clone(),
                destination: destination.into(),
            });
        }
        Some(QueueRow {
            id,
            trace: message.provenance.trace,
            from: message.envelope.sender.clone(),
            arrived: message.provenance.arrived,
            size_bytes: stored.content_len,
            origin: message.provenance.origin.clone(),
            recipients,
        })
    }

    fn next_due(&self, id: MessageId, state: &RecipientState, site: &str) -> Option<Timestamp> {
        if state.disposition != Disposition::Pending {
            return None;
        }
        let mut queue = self.state();
        let site = queue.queue.site(self.clock.now(), site);
        let job = queue.queue.job(id, site)?;
        Some(self.clock.timestamp_of(job.due))
    }

    /// Keeps recipients until they are released.
    ///
    /// # Errors
    /// In words for the operator.
    pub async fn hold(
        self: &Arc<Self>,
        id: MessageId,
        recipient: Option<u32>,
        by: &str,
    ) -> Result<Touched, String> {
        self.command(Command::Hold, id, recipient, by).await
    }

    /// Lets held recipients go, due now.
    ///
    /// # Errors
    /// In words for the operator.
    pub async fn release(
        self: &Arc<Self>,
        id: MessageId,
        recipient: Option<u32>,
        by: &str,
    ) -> Result<Touched, String> {
        self.command(Command::Release, id, recipient, by).await
    }

    /// Makes waiting recipients due now. With one, those of the same message that go to the same
    /// site are tried with it; the answer counts them.
    ///
    /// # Errors
    /// In words for the operator.
    pub async fn retry(
        self: &Arc<Self>,
        id: MessageId,
        recipient: Option<u32>,
        by: &str,
    ) -> Result<Touched, String> {
        self.command(Command::Retry, id, recipient, by).await
    }

    /// Takes recipients out for good. Nobody is notified; the log says who did it.
    ///
    /// # Errors
    /// In words for the operator.
    pub async fn discard(
        self: &Arc<Self>,
        id: MessageId,
        recipient: Option<u32>,
        by: &str,
    ) -> Result<Touched, String> {
        self.command(Command::Drop, id, recipient, by).await
    }

    async fn command(
        self: &Arc<Self>,
        command: Command,
        id: MessageId,
        recipient: Option<u32>,
        by: &str,
    ) -> Result<Touched, String> {
        if command == Command::Retry {
            return self.retry_now(id, recipient);
        }
        let (stored, mut aside) = self.set_aside(id)?;
        let changes = changes(&stored, command, recipient, by);
        if changes.is_empty() {
            return Ok(Touched { n_recipients: 0 });
        }
        let n_recipients = u32::try_from(changes.len()).unwrap_or(u32::MAX);
        let partial = u64::from(n_recipients) < n_open(&stored);
        if splits_a_key(&stored, &changes) {
            return Err(
                "the next instance may have taken this recipient together with others, so they \
                 cannot be changed one by one; name the message without a recipient"
                    .into(),
            );
        }
        let indexes: Vec<u32> = changes.iter().map(|(index, _)| *index).collect();
        self.commit_command(command, &stored, changes, partial)
            .await?;
        if command == Command::Hold && !partial {
            aside.jobs.clear();
        }
        for index in indexes {
            self.tell_command(command, &stored, index, by);
        }
        if command == Command::Release {
            self.requeue(&stored);
        }
        drop(aside);
        self.start_due();
        Ok(Touched { n_recipients })
    }

    fn retry_now(
        self: &Arc<Self>,
        id: MessageId,
        recipient: Option<u32>,
    ) -> Result<Touched, String> {
        let stored = self.spool.message(id).map_err(|e| e.to_string())?;
        let now = self.clock.now();
        let n_recipients = {
            let mut state = self.state();
            let settings = Arc::clone(&state.settings);
            let site_of = |index| site_name(settings.transport(&stored, index));
            let pending: Vec<u32> = pending(&stored).collect();
            match recipient {
                None => {
                    state.queue.retry_now(now, Which::Message(id));
                    pending.len()
                }
                Some(wanted) if pending.contains(&wanted) => {
                    let name = site_of(wanted);
                    let site = state.queue.site(now, &name);
                    state.queue.retry_now(now, Which::Job(id, site));
                    pending.iter().filter(|&&i| site_of(i) == name).count()
                }
                Some(_) => 0,
            }
        };
        self.start_due();
        Ok(Touched {
            n_recipients: u32::try_from(n_recipients).unwrap_or(u32::MAX),
        })
    }

    /// Reads a message of which no attempt is under way, and sees to it that none begins before
    /// the command is over: an attempt that read the message as it was would undo the command.
    fn set_aside(self: &Arc<Self>, id: MessageId) -> Result<(Stored, Aside), String> {
        let jobs = {
            let mut state = self.state();
            if !state.messages.contains_key(&id) {
                return Err(format!("no message {id} is queued here"));
            }
            let jobs: Vec<_> = state.queue.jobs_of(id).collect();
            if jobs.iter().any(|job| job.state == JobState::UnderWay) {
                return Err(format!(
                    "an attempt for message {id} is under way; try again in a moment"
                ));
            }
            if !state.aside.insert(id) {
                return Err(format!("another command about message {id} is under way"));
            }
            let named = jobs.iter().filter_map(|job| {
                let site = state.queue.site_view(job.site)?;
                Some((site.name.into(), job.due))
            });
            let named = named.collect();
            state.queue.remove(self.clock.now(), Which::Message(id));
            named
        };
        self.drop_fresh(id);
        let mut aside = Aside {
            delivery: Arc::clone(self),
            id,
            sender: 0,
            jobs,
        };
        let stored = self.spool.message(id).map_err(|e| e.to_string())?;
        aside.sender = fairness_key(&stored);
        Ok((stored, aside))
    }

    async fn commit_command(
        &self,
        command: Command,
        stored: &Stored,
        recipients: Vec<(u32, RecipientState)>,
        partial: bool,
    ) -> Result<(), String> {
        let id = stored.id;
        let message = &stored.message;
        if command == Command::Drop && !partial {
            self.spool.done(id).await.map_err(|e| e.to_string())?;
            self.forget(id);
            self.settle_dropped(stored, &recipients);
            return Ok(());
        }
        let n_changed = u32::try_from(recipients.len()).unwrap_or(u32::MAX);
        let progress = Progress {
            recipients: recipients.clone(),
            next_due: message.next_due,
        };
        self.spool
            .progress(id, progress)
            .await
            .map_err(|e| e.to_string())?;
        if command == Command::Drop {
            self.settle_dropped(stored, &recipients);
        }
        let mut state = self.state();
        if let Some(entry) = state.messages.get_mut(&id) {
            match command {
                Command::Drop => entry.n_open = entry.n_open.saturating_sub(n_changed),
                Command::Hold => entry.n_held += n_changed,
                Command::Release | Command::Retry => {
                    entry.n_held = entry.n_held.saturating_sub(n_changed);
                }
            }
        }
        Ok(())
    }

    /// Nobody will ask any more what became of those that are dropped for good.
    fn settle_dropped(&self, stored: &Stored, dropped: &[(u32, RecipientState)]) {
        let settings = Arc::clone(&self.state().settings);
        let Some(next) = settings.routes.handoff().and_then(|t| t.handoff()) else {
            return;
        };
        let keys = dropped
            .iter()
            .filter_map(|(index, _)| key_of(stored, *index));
        keys.for_each(|key| next.settle(&key));
    }

    /// Gives released recipients a job at their site.
    fn requeue(&self, stored: &Stored) {
        let settings = Arc::clone(&self.state().settings);
        for (index, state) in (0..).zip(&stored.recipients) {
            if state.disposition == Disposition::Held {
                let site = site_name(settings.transport(stored, index));
                self.insert_at(stored, &site, self.at_once());
            }
        }
    }

    fn tell_command(&self, command: Command, stored: &Stored, index: u32, by: &str) {
        let disposition = match command {
            Command::Drop => Disposition::Dropped,
            Command::Hold => Disposition::Held,
            Command::Release | Command::Retry => Disposition::Pending,
        };
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let attempts = stored
            .recipients
            .get(place)
            .map_or(0, |state| state.attempts);
        let Some(about) = self.about(stored, index, "queue", attempts, disposition) else {
            return;
        };
        let what = command.event(about, by);
        self.emit(Some(stored.message.provenance.trace), what);
    }
}

/// The jobs of a message that a command is changing; back in the queue when this is dropped.
struct Aside {
    delivery: Arc<Delivery>,
    id: MessageId,
    sender: u64,
    jobs: Vec<(Box<str>, Moment)>,
}

impl Drop for Aside {
    fn drop(&mut self) {
        let now = self.delivery.clock.now();
        let mut state = self.delivery.state();
        state.aside.remove(&self.id);
        if !state.messages.contains_key(&self.id) {
            return;
        }
        for (name, due) in self.jobs.drain(..) {
            let site = state.queue.site(now, &name);
            let job = Job {
                id: self.id,
                site,
                sender: self.sender,
                due,
            };
            state.queue.insert(now, job);
        }
        drop(state);
        self.delivery.changed.notify_one();
    }
}

impl Command {
    fn event(self, about: About, by: &str) -> What {
        match self {
            Self::Drop => What::Dropped {
                about,
                by: by.into(),
            },
            Self::Hold => What::Held {
                about,
                reason: format!("held by {by}").into(),
            },
            Self::Release | Self::Retry => What::Released {
                about,
                by: by.into(),
            },
        }
    }

    /// Whether a recipient that stands so is changed.
    fn applies_to(self, disposition: Disposition) -> bool {
        match self {
            Self::Drop => !disposition.is_final(),
            Self::Hold | Self::Retry => disposition == Disposition::Pending,
            Self::Release => disposition == Disposition::Held,
        }
    }
}

fn changes(
    stored: &Stored,
    command: Command,
    recipient: Option<u32>,
    by: &str,
) -> Vec<(u32, RecipientState)> {
    let mut changes = Vec::new();
    for (index, state) in (0..).zip(&stored.recipients) {
        let named = recipient.is_none_or(|wanted| wanted == index);
        if !named || !command.applies_to(state.disposition) {
            continue;
        }
        let mut changed = state.clone();
        match command {
            Command::Drop => {
                changed.disposition = Disposition::Dropped;
                changed.handoff = None;
            }
            Command::Hold => {
                changed.disposition = Disposition::Held;
                changed.reply = Some(table::HELD.with_text(&format!("held by {by}")));
            }
            Command::Release | Command::Retry => changed.disposition = Disposition::Pending,
        }
        changes.push((index, changed));
    }
    changes
}

fn n_open(stored: &Stored) -> u64 {
    stored
        .recipients
        .iter()
        .filter(|state| !state.disposition.is_final())
        .count() as u64
}

fn pending(stored: &Stored) -> impl Iterator<Item = u32> {
    (0..)
        .zip(&stored.recipients)
        .filter(|(_, state)| state.disposition == Disposition::Pending)
        .map(|(index, _)| index)
}

fn key_of(stored: &Stored, index: u32) -> Option<HandoffKey> {
    let place = usize::try_from(index).ok()?;
    stored.recipients.get(place)?.handoff
}

/// Whether the changes are to some of those that are bound to one key, and not to all: what is
/// handed on under it again would be another set.
fn splits_a_key(stored: &Stored, changes: &[(u32, RecipientState)]) -> bool {
    let changed: IndexSet = changes.iter().map(|(index, _)| *index).collect();
    let keys: BTreeSet<_> = changes
        .iter()
        .filter_map(|(index, _)| key_of(stored, *index))
        .collect();
    (0..).zip(&stored.recipients).any(|(index, state)| {
        let bound = state.handoff.is_some_and(|key| keys.contains(&key));
        bound && !changed.contains(index)
    })
}
