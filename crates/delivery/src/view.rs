//! What operators see of the queue: its messages, read from the spool page by page.

use std::ops::Bound;
use std::sync::Arc;

use mail::{
    Disposition, Mailbox, MessageId, Moment, Origin, Reply, ReversePath, Timestamp, TraceId,
};
use queue::JobState;
use spool::{Browser, ReadError, RecipientState, Stored};

use crate::census::Brief;
use crate::delivery::Delivery;
use crate::outage::Outage;
use crate::resolver::{Destination, Via};

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
    /// What it waits for, where it was not tried yet.
    pub waits_for: Option<Box<str>>,
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

    /// One message; `None` when it is not queued or cannot be read.
    pub async fn row(&self, id: MessageId) -> Option<QueueRow> {
        self.row_of(&self.read(id).await.ok()?)
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
            let of = settings.destination(stored, index);
            let destination = match settings.via(stored, index) {
                Ok(Via::Transport(transport)) => transport.to_string(),
                Ok(Via::Resolver(_)) => of.name.to_string(),
                Err(reply) => reply.to_string(),
            };
            let job = self.job(id, state, &of);
            recipients.push(RecipientRow {
                index,
                address: recipient.address.clone(),
                disposition: state.disposition,
                attempts: state.attempts,
                next_due: job.as_ref().map(|job| self.clock.timestamp_of(job.due)),
                reply: state.reply.clone(),
                waits_for: self.waits_for(id, index, state, job.as_ref()),
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

    fn job(&self, id: MessageId, state: &RecipientState, of: &Destination) -> Option<Waiting> {
        if state.disposition != Disposition::Pending {
            return None;
        }
        let now = self.clock.now();
        let mut state = self.state();
        let destination = state.destination(now, of);
        let job = state.queue.job(id, destination)?;
        let view = state.queue.destination_view(destination)?;
        let site = view.site.and_then(|site| state.queue.site_view(site));
        Some(Waiting {
            due: job.due,
            state: job.state,
            n_under_way: site.map_or(0, |site| site.counts.n_under_way),
            outage: state.outage(site.map_or(view.name, |site| site.name)),
        })
    }

    /// Why a recipient waits of whom no attempt tells it.
    fn waits_for(
        &self,
        id: MessageId,
        index: u32,
        state: &RecipientState,
        job: Option<&Waiting>,
    ) -> Option<Box<str>> {
        if state.disposition != Disposition::Pending || state.reply.is_some() {
            return None;
        }
        let Some(job) = job else {
            let text = if self.state().is_away(id, index) {
                "the process before this one still makes an attempt"
            } else {
                "a command of an operator is being carried out"
            };
            return Some(text.into());
        };
        Some(job.text(self.clock.now()).into())
    }
}

/// A job that is not over, and what is known of its site.
struct Waiting {
    due: Moment,
    state: JobState,
    n_under_way: u32,
    outage: Option<Outage>,
}

impl Waiting {
    fn text(&self, now: Moment) -> String {
        if self.state == JobState::UnderWay {
            return "an attempt is under way".to_owned();
        }
        if let Some(outage) = &self.outage {
            return format!(
                "not tried yet: {} takes no mail since {}: {}",
                outage.destination,
                outage.since.rfc3339(),
                outage.cause
            );
        }
        match self.n_under_way {
            _ if self.due > now => "not due yet".to_owned(),
            0 => "waits for its turn among all attempts".to_owned(),
            1 => "waits for its turn: another attempt is under way there".to_owned(),
            n => format!("waits for its turn: {n} other attempts are under way there"),
        }
    }
}
