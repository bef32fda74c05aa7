//! What the log has of an attempt that is over.

use mail::event::What;
use mail::{Disposition, Timestamp};
use spool::{Message, RecipientState, Stored};

use super::{Record, Tried};
use crate::delivery::Delivery;

impl Delivery {
    pub(super) fn tell_all(&self, record: &Record<'_>) {
        let mut handed_off: Option<(&str, u32)> = None;
        for (tried, (_, state)) in record.tried.iter().zip(&record.changes.states) {
            match (tried.by.next(), state.disposition) {
                (Some(next), Disposition::Delivered) => {
                    handed_off.get_or_insert_with(|| (next.name(), 0)).1 += 1;
                }
                _ => self.tell(record.stored, tried, state, record.next_due),
            }
        }
        if let Some((next, n_recipients)) = handed_off {
            self.tell_handed_off(record.stored, next, n_recipients);
        }
    }

    pub(super) fn tell_notified(&self, stored: &Stored, message: &Message) {
        let Some(to) = stored.message.envelope.sender.mailbox() else {
            return;
        };
        let what = What::Notified {
            notification: message.provenance.trace,
            to: to.clone(),
        };
        self.emit(Some(stored.message.provenance.trace), what);
    }

    fn tell(&self, stored: &Stored, tried: &Tried, state: &RecipientState, next_due: Timestamp) {
        let (attempts, disposition) = (state.attempts, state.disposition);
        let transport = tried.by.name();
        let Some(about) = self.about(stored, tried.index, &transport, attempts, disposition) else {
            return;
        };
        let Some(reply) = state.reply.clone() else {
            return;
        };
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

    fn tell_handed_off(&self, stored: &Stored, next: &str, n_recipients: u32) {
        let what = What::HandedOff {
            next: next.into(),
            from: stored.message.envelope.sender.clone(),
            n_recipients,
            size_bytes: stored.content_len,
            spooled: true,
            message_id: None,
            source: Box::default(),
        };
        self.emit(Some(stored.message.provenance.trace), what);
    }
}
