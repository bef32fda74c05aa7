//! Messages that are queued and cannot be read: told once, counted, and left as they are.

use mail::event::What;
use mail::{Disposition, MessageId};
use spool::{ReadError, Stored};

use crate::command::Touched;
use crate::delivery::Delivery;

/// So many messages that cannot be read are told one by one, and then that there are more: a disk
/// that fails makes a million of them.
const UNREADABLE_TOLD_MAX: usize = 20;

const MORE_UNREADABLE: &str =
    "more messages cannot be read: `postern status` counts them, `postern spool verify` names them";

impl Delivery {
    /// A queued message cannot be read now. Who finds the same later says nothing of it, until an
    /// attempt can read it again.
    pub(crate) fn note_unreadable(&self, id: MessageId, error: &ReadError) {
        let n = {
            let mut state = self.state();
            let is_news = state.messages.contains_key(&id) && state.unreadable.insert(id);
            is_news.then_some(state.unreadable.len())
        };
        match n {
            Some(..=UNREADABLE_TOLD_MAX) => self.tell_unreadable(id, error, "put off"),
            Some(n) if n == UNREADABLE_TOLD_MAX + 1 => self.alarm(MORE_UNREADABLE),
            Some(_) | None => {}
        }
    }

    /// The messages that recovery could not read.
    pub(crate) fn tell_all_unreadable(&self, unreadable: &[(MessageId, ReadError)]) {
        for (id, error) in unreadable.iter().take(UNREADABLE_TOLD_MAX) {
            self.tell_unreadable(*id, error, "set aside until the next start");
        }
        if unreadable.len() > UNREADABLE_TOLD_MAX {
            self.alarm(MORE_UNREADABLE);
        }
    }

    fn tell_unreadable(&self, id: MessageId, error: &ReadError, fate: &str) {
        let cause = match error {
            ReadError::Io(source) => format!(" ({source})"),
            ReadError::Damaged(_) | ReadError::Unknown(_) => String::new(),
        };
        let name = &self.name;
        self.alarm(&format!(
            "message {id} cannot be read{cause} and is {fate}, as it is; `postern spool verify` \
             says what is damaged, `postern spool dump --id {name}/{id}` shows what is left, \
             `postern queue drop {name}/{id}` gives it up"
        ));
    }

    /// Whether a queued message could not be read when that was tried last.
    #[must_use]
    pub fn is_unreadable(&self, id: MessageId) -> bool {
        self.state().unreadable.contains(&id)
    }

    /// Up to `limit` messages that could not be read when that was tried last, and how many there
    /// are.
    #[must_use]
    pub fn unreadable(&self, limit: usize) -> (Vec<MessageId>, usize) {
        let state = self.state();
        let ids = state.unreadable.iter().take(limit).copied().collect();
        (ids, state.unreadable.len())
    }

    /// A message that recovery could not read counts as held for all, and its keys are not in the
    /// books: it stays so until the next start, also when it can be read again.
    pub(crate) fn refuse_unread(&self, stored: &Stored) -> Result<(), String> {
        let id = stored.id;
        let state = self.state();
        let mut states = stored.recipients.iter();
        let knows_of_held = states.any(|state| state.disposition == Disposition::Held);
        let entry = state.messages.get(&id);
        let counts_as_held = entry.is_some_and(|entry| entry.n_held > 0);
        if state.unreadable.contains(&id) && counts_as_held && !knows_of_held {
            return Err(format!(
                "message {id} could not be read when this instance started, and can be now: the \
                 next start takes it in"
            ));
        }
        Ok(())
    }

    /// Gives up a message of which no more is known than that it is there.
    pub(crate) async fn drop_unreadable(&self, id: MessageId, by: &str) -> Result<Touched, String> {
        let outline = self.spool.outline(id);
        let outline = outline.ok_or_else(|| format!("no message {id} is queued here"))?;
        self.spool.done(id).await.map_err(|e| e.to_string())?;
        self.forget(id);
        self.settle_all(outline.handoffs);
        let text = format!("message {id}, which cannot be read, was dropped by {by}").into();
        self.emit(None, What::Instance { text });
        Ok(Touched {
            n_recipients: outline.n_recipients,
        })
    }
}
