//! To the next instance of this system, from the spool.
//!
//! # Guarantees
//! The message goes under the key that its spool record holds; nothing is tried without one.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use handoff::{Answer, Content, Mode, Next, Parameters, Refusal, Source};
use mail::reply::table;
use mail::{HandoffKey, InstanceName, Outcome, Reply};
use spool::Reader;

use super::{By, Carried, SiteSeen, Work};

/// The way to the next instance.
#[derive(Clone, Debug)]
pub struct Handoff {
    next: Arc<Next>,
    own_name: InstanceName,
}

impl Handoff {
    /// To `next`, from the instance `own_name`.
    #[must_use]
    pub const fn new(next: Arc<Next>, own_name: InstanceName) -> Self {
        Self { next, own_name }
    }

    /// How the next instance is called.
    #[must_use]
    pub fn name(&self) -> &str {
        self.next.name().as_str()
    }

    /// Draws a key for one set of recipients.
    pub(crate) fn draw_key(&self) -> HandoffKey {
        self.next.draw_key()
    }

    /// How many handoffs were begun since the oldest one in doubt.
    pub(crate) fn lag(&self) -> u64 {
        self.next.lag()
    }

    /// The outcome under the key is committed here.
    pub(crate) fn settle(&self, key: &HandoffKey) {
        self.next.settle(key);
    }

    /// Hands the recipients on under the message's key.
    pub(super) async fn deliver(&self, work: Work<'_>) -> Carried {
        deliver(&self.next, &self.own_name, work).await
    }
}

async fn deliver(next: &Arc<Next>, own_name: &InstanceName, work: Work<'_>) -> Carried {
    let n = work.recipients.len();
    let Some(key) = work.handoff else {
        return Carried::all(n, &Outcome::deferred(table::TRY_AGAIN.reply()));
    };
    let mut provenance = work.provenance.clone();
    provenance.visited.push(own_name.clone());
    let lowest_unsettled = next.lowest_unsettled(&key);
    // Its client has its 250: each recipient is settled by its own reply.
    let parameters = Parameters {
        provenance,
        key: Some(key),
        lowest_unsettled,
        mode: Mode::Each,
    };
    let reader = work.content;
    let whole = reader.in_memory().cloned();
    let content = match &whole {
        Some(bytes) => Content::Bytes(bytes),
        None => Content::Source(Arc::new(Stored {
            len: reader.content_len(),
            reader: Mutex::new(reader),
        })),
    };
    let handoff = handoff::Handoff {
        parameters: &parameters,
        envelope: work.envelope,
        recipients: work.recipients,
        content,
    };
    match next.hand_off(&handoff).await {
        // It is so for every message, and the others need not be tried to learn it.
        Answer::Replies(replies) if replies.iter().all(is_out_of_order) => {
            let outcomes = replies.into_iter().map(Outcome::from_peer).collect();
            Carried {
                outcomes,
                site: SiteSeen::Down,
                success: None,
                news: Vec::new(),
                by: By::Transport,
            }
        }
        Answer::Replies(replies) => {
            Carried::each(replies.into_iter().map(Outcome::from_peer).collect())
        }
        Answer::NotTried => {
            let cause = format!("not tried: instance {} takes no mail now", next.name());
            Carried::down(n, &away(&cause))
        }
        Answer::Unknown => {
            let cause = format!("no answer from instance {}", next.name());
            Carried::down(n, &away(&cause))
        }
        Answer::Unreadable => Carried::all(n, &Outcome::deferred(table::TRY_AGAIN.reply())),
    }
}

/// Nothing is known of what it did with the message.
fn away(cause: &str) -> Outcome {
    Outcome::deferred(table::NEXT_AWAY.reply().with_cause(cause))
}

/// Whether the next instance replies that it stores nothing now: its queue or disk is full, its
/// disk fails, or it stops.
fn is_out_of_order(reply: &Reply) -> bool {
    Refusal::of(reply).is_some_and(Refusal::is_of_all)
}

/// A stored content, read piece by piece.
struct Stored {
    len: u64,
    reader: Mutex<Reader>,
}

impl Source for Stored {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let read = reader.read_at(offset, buffer).map_err(io::Error::other)?;
        if read == buffer.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}
