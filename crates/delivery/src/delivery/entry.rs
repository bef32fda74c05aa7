//! What is kept in memory of a queued message, and how many there are.
//!
//! # Limits
//! A message is kept whole only for its first attempt, envelopes of no more than [`FRESH_MAX`]
//! messages and contents of no more than [`FRESH_LEN_MAX`] octets; all others are read from the
//! spool when they are due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mail::{Disposition, MessageId, Origin, Timestamp};
use spool::{Outline, Stored};

use super::{Delivery, State};

/// The most messages whose envelope is kept in memory until their first attempt is over.
pub const FRESH_MAX: usize = 2_000;
/// The most octets of content that are kept in memory until a first attempt is over; of all other
/// messages the content is read back.
pub const FRESH_LEN_MAX: usize = 16 * 1024 * 1024;

/// What is kept in memory of a queued message.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Recipients for whom something is left to do, held ones among them.
    pub(crate) n_open: u32,
    /// Recipients that are held.
    pub(crate) n_held: u32,
    /// Recipients that were tried and are to be tried again.
    pub(crate) n_deferred: u32,
    /// Octets of content.
    pub(crate) size_bytes: u64,
    /// When it entered the system.
    pub(crate) arrived: Timestamp,
    /// Whole message, until its first attempt is over.
    pub(crate) fresh: Option<Arc<Stored>>,
    /// Its content, likewise, where there was room for it.
    pub(crate) content: Option<Arc<Vec<u8>>>,
    /// An attempt ended without an outcome, with its process or in a panic: recipients may have a
    /// copy of which nobody knows.
    pub(crate) in_doubt: bool,
    /// It is mail of our own, which is counted apart.
    is_ours: bool,
}

// There may be millions.
const _: () = assert!(size_of::<(MessageId, Entry)>() <= 56);

/// A message on its way into the queue that memory still has.
pub(super) struct Kept<'a> {
    pub(super) stored: &'a Arc<Stored>,
    pub(super) content: Option<Arc<Vec<u8>>>,
}

impl Entry {
    pub(crate) fn new(stored: &Stored, in_doubt: bool) -> Self {
        let mut entry = Self {
            n_open: 0,
            n_held: 0,
            n_deferred: 0,
            size_bytes: stored.content_len,
            arrived: stored.message.provenance.arrived,
            fresh: None,
            content: None,
            in_doubt,
            is_ours: stored.message.provenance.origin.is_ours(),
        };
        for recipient in &stored.recipients {
            let is_pending = recipient.disposition == Disposition::Pending;
            entry.n_open += u32::from(!recipient.disposition.is_final());
            entry.n_held += u32::from(recipient.disposition == Disposition::Held);
            entry.n_deferred += u32::from(is_pending && recipient.attempts > 0);
        }
        entry
    }

    /// Of a message that cannot be read, taken in `now`: for all its recipients it is held.
    pub(crate) const fn unreadable(outline: &Outline, now: Timestamp) -> Self {
        Self {
            n_open: outline.n_recipients,
            n_held: outline.n_recipients,
            n_deferred: 0,
            size_bytes: outline.content_len,
            arrived: now,
            fresh: None,
            content: None,
            in_doubt: false,
            is_ours: false,
        }
    }
}

impl State {
    /// What there is room for.
    pub(super) fn keep(
        &mut self,
        kept: Option<Kept<'_>>,
    ) -> (Option<Arc<Stored>>, Option<Arc<Vec<u8>>>) {
        let Some(Kept { stored, content }) = kept.filter(|_| self.n_fresh < FRESH_MAX) else {
            return (None, None);
        };
        self.n_fresh += 1;
        let left = FRESH_LEN_MAX - self.fresh_len;
        let content = content.filter(|content| content.len() <= left);
        self.fresh_len += content.as_ref().map_or(0, |content| content.len());
        (Some(Arc::clone(stored)), content)
    }

    pub(super) fn let_go(&mut self, fresh: Option<Arc<Stored>>, content: Option<Arc<Vec<u8>>>) {
        self.n_fresh -= usize::from(fresh.is_some());
        self.fresh_len -= content.map_or(0, |content| content.len());
    }
}

impl Delivery {
    /// The envelope need not stay in memory any longer.
    pub(crate) fn drop_fresh(&self, id: MessageId) {
        let mut state = self.state();
        if let Some(entry) = state.messages.get_mut(&id) {
            let (fresh, content) = (entry.fresh.take(), entry.content.take());
            state.let_go(fresh, content);
        }
    }

    /// How many messages of our own, or how many from outside, are queued. Waits for nothing.
    #[must_use]
    pub fn n_messages(&self, origin: &Origin) -> u64 {
        self.counter(origin.is_ours()).load(Ordering::Relaxed)
    }

    const fn counter(&self, is_ours: bool) -> &AtomicU64 {
        match is_ours {
            true => &self.n_ours,
            false => &self.n_outside,
        }
    }

    /// A message came into the queue.
    pub(crate) fn count_in(&self, entry: &Entry) {
        self.counter(entry.is_ours).fetch_add(1, Ordering::Relaxed);
    }

    /// A message left it.
    pub(super) fn count_out(&self, entry: &Entry) {
        self.counter(entry.is_ours).fetch_sub(1, Ordering::Relaxed);
    }
}
