//! What operators see of the queue: its messages, read from the spool page by page.

use std::ops::Bound;
use std::sync::Arc;

use mail::{Disposition, Mailbox, MessageId, Origin, Reply, ReversePath, Timestamp, TraceId};
use spool::{Browser, ReadError, RecipientState, Stored};

use crate::census::Brief;
use crate::delivery::{Delivery, site_name};

/// One queued message, as a page has it.
#[derive(Clone, Debug)]
pub enum PageRow {
    /// It cannot be read: an alarm says why. This is what memory has of it.
    Unreadable(Brief),
    /// It was read.
    Whole(QueueRow),
}

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
    ) -> (Vec<PageRow>, Option<MessageId>) {
        let ids: Vec<_> = {
            let state = self.state();
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let range = (from, Bound::Unbounded);
            state
                .messages
                .range(range)
                .take(limit)
                .map(|(id, _)| *id)
                .collect()
        };
        let last = ids.last().filter(|_| ids.len() == limit).copied();
        let rows = ids.into_iter().filter_map(|id| match browser.message(id) {
            Ok(stored) => self.row_of(&stored).map(PageRow::Whole),
            Err(ReadError::Unknown(_)) => None,
            Err(error) => {
                self.note_unreadable(id, &error);
                self.brief(id).map(PageRow::Unreadable)
            }
        });
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
}
