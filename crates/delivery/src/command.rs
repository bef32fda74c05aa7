//! What operators can do with queued messages: hold, release, retry, drop.
//!
//! # Guarantees
//! What an operator changes is committed before it is reported as done, and what one command
//! changes of a message is one record: no attempt begins between its recipients. A recipient whose
//! attempt is under way is left alone: its outcome decides first.

mod aside;
mod change;

use std::collections::BTreeSet;
use std::sync::Arc;

use mail::{Disposition, HandoffKey, MessageId};
use queue::Which;
use spool::{IndexSet, Progress, RecipientState, Stored};

use crate::delivery::Delivery;
use change::{Command, changes, key_of, n_open, pending, splits_a_key};

/// What an operator's command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Recipients that it changed.
    pub n_recipients: u32,
}

impl Delivery {
    /// Keeps recipients until they are released.
    ///
    /// # Errors
    /// In words for the operator.
    pub async fn hold(
        self: &Arc<Self>,
        id: MessageId,
        recipients: Option<&[u32]>,
        by: &str,
    ) -> Result<Touched, String> {
        self.command(Command::Hold, id, recipients, by).await
    }

    /// Lets held recipients go, due now.
    ///
    /// # Errors
    /// In words for the operator.
    pub async fn release(
        self: &Arc<Self>,
        id: MessageId,
        recipients: Option<&[u32]>,
        by: &str,
    ) -> Result<Touched, String> {
        self.command(Command::Release, id, recipients, by).await
    }

    /// Makes waiting recipients due now. With those that are named, others of the same message that
    /// have the same destinations are tried; the answer counts them.
    ///
    /// # Errors
    /// In words for the operator.
    pub async fn retry(
        self: &Arc<Self>,
        id: MessageId,
        recipients: Option<&[u32]>,
        by: &str,
    ) -> Result<Touched, String> {
        self.command(Command::Retry, id, recipients, by).await
    }

    /// Takes recipients out for good. Nobody is notified; the log says who did it.
    ///
    /// # Errors
    /// In words for the operator.
    pub async fn discard(
        self: &Arc<Self>,
        id: MessageId,
        recipients: Option<&[u32]>,
        by: &str,
    ) -> Result<Touched, String> {
        self.command(Command::Drop, id, recipients, by).await
    }

    async fn command(
        self: &Arc<Self>,
        command: Command,
        id: MessageId,
        recipients: Option<&[u32]>,
        by: &str,
    ) -> Result<Touched, String> {
        if command == Command::Retry {
            return self.retry_now(id, recipients).await;
        }
        let (read, mut aside) = self.set_aside(id).await?;
        let stored = match read {
            Err(_) if command == Command::Drop && recipients.is_none() => {
                return self.drop_unreadable(id, by).await;
            }
            read => read.map_err(|e| e.to_string())?,
        };
        if command != Command::Drop {
            self.refuse_unread(&stored)?;
        }
        let changes = changes(&stored, command, recipients, by);
        if changes.is_empty() {
            return Ok(Touched { n_recipients: 0 });
        }
        let n_recipients = u32::try_from(changes.len()).unwrap_or(u32::MAX);
        let partial = u64::from(n_recipients) < n_open(&stored);
        if splits_a_key(&stored, &changes) {
            return Err(
                "the next instance may have taken these recipients together with others, so they \
                 cannot be changed apart; name the message without a recipient"
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

    async fn retry_now(
        self: &Arc<Self>,
        id: MessageId,
        recipients: Option<&[u32]>,
    ) -> Result<Touched, String> {
        let stored = self.read(id).await.map_err(|e| e.to_string())?;
        self.refuse_unread(&stored)?;
        let now = self.clock.now();
        let n_recipients = {
            let mut state = self.state();
            let settings = Arc::clone(&state.settings);
            let destination_of = |index| settings.destination(&stored, index);
            let pending: Vec<u32> = pending(&stored).collect();
            match recipients {
                None => {
                    state.queue.retry_now(now, Which::Message(id));
                    pending.len()
                }
                Some(wanted) => {
                    let wanted: IndexSet = wanted.iter().copied().collect();
                    let named = pending.iter().filter(|index| wanted.contains(**index));
                    let of = |index: &u32| destination_of(*index).name;
                    let names: BTreeSet<_> = named.map(of).collect();
                    for name in &names {
                        let destination = state.queue.destination(now, name);
                        state.queue.retry_now(now, Which::Job(id, destination));
                    }
                    let is_there = |index: &&u32| names.contains(&of(index));
                    pending.iter().filter(is_there).count()
                }
            }
        };
        self.start_due();
        Ok(Touched {
            n_recipients: u32::try_from(n_recipients).unwrap_or(u32::MAX),
        })
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
        let keys = dropped
            .iter()
            .filter_map(|(index, _)| key_of(stored, *index));
        self.settle_all(keys);
    }

    pub(crate) fn settle_all(&self, keys: impl IntoIterator<Item = HandoffKey>) {
        let settings = Arc::clone(&self.state().settings);
        if let Some(next) = settings.routes.handoff().and_then(|t| t.handoff()) {
            keys.into_iter().for_each(|key| next.settle(&key));
        }
    }

    /// Gives released recipients a job for their destination.
    fn requeue(&self, stored: &Stored) {
        let settings = Arc::clone(&self.state().settings);
        for (index, state) in (0..).zip(&stored.recipients) {
            if state.disposition == Disposition::Held {
                self.insert_at(stored, &settings.destination(stored, index), self.at_once());
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
