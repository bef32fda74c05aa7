//! Where an accepted message is made durable: at the next instance, or here.
//!
//! # Guarantees
//! [`Intake::accept`] answers with a positive reply only after a commit, in the spool of the next
//! instance or in this one's. A handoff in doubt is kept here under its key, so that its repetition
//! makes no duplicate.
//!
//! # Failure
//! What cannot be kept is refused with `452` or `451`; the client still has it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use handoff::{Load, Next};
use mail::event::{Event, Sink, Source, What};

use mail::reply::table::{self, Row};
use mail::{Disposition, HandoffKey, InstanceName, MessageId, Origin, Reply};
use net::{Clock, Entropy, Peer};
use spool::{AcceptedKey, CommitError, Fresh, Message, Progress, RecipientState, Spool};

use crate::body::RECEIVED_MAX;
use crate::checking::EntryChecks;
use crate::gate::Gate;
use crate::gathered::Gathered;
use crate::handed_limits::HandoffLimits;
use crate::memory::ContentMemory;
use crate::pressure::{Capacity, delay};
use crate::recipients::Recipients;
use crate::spool_lease::SpoolLease;
use crate::transaction::Transaction;

/// What carries a recipient's copy on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextHop {
    /// The next instance.
    Next,
    /// A route of this instance.
    Own,
}

/// Gives what is in force now: a transaction is judged by the configuration at its MAIL, so that a
/// reload reaches connections that are kept for hours.
pub type Current = Arc<dyn Fn() -> Arc<Intake> + Send + Sync>;

/// Told of each message that entered the spool, so that it is delivered.
pub trait Queued: Send + Sync {
    /// It is committed. Must not block.
    fn queued(&self, fresh: Fresh);

    /// It is committed, and all its recipients are held. Must not block.
    fn held(&self, fresh: Fresh, reply: &Reply);

    /// How many messages wait that are of our own, as `origin` is, or how many that are from
    /// outside. Asked for each message: must be quick.
    fn n_waiting(&self, origin: &Origin) -> u64;
}

/// Where the recipients of an instance's messages are known, and its messages go.
#[derive(Clone)]
pub enum Onward {
    /// This instance delivers.
    Here(Arc<dyn Recipients>),
    /// Another instance of ours.
    Next {
        /// The next instance.
        next: Arc<Next>,
        /// Recipients that do not go there, because a route of this instance takes them.
        own: Option<Arc<dyn Recipients>>,
    },
}

/// What the sessions of an instance share; made anew by a reload.
#[derive(Clone)]
pub struct Intake {
    /// The instance.
    pub name: InstanceName,
    /// The host, as trace fields name it.
    pub hostname: Box<str>,
    /// The clock.
    pub clock: Clock,
    /// How long a client may wait for the answer to its message.
    pub answer_timeout: Duration,
    /// Randomness for trace ids.
    pub entropy: Arc<Entropy>,
    /// The own spool.
    pub spool: Spool,
    /// Where messages go.
    pub onward: Onward,
    /// What is checked, by entry.
    pub checks: EntryChecks,
    /// Where events go.
    pub events: Arc<dyn Sink>,
    /// Who delivers what entered the spool.
    pub queued: Arc<dyn Queued>,
    /// How many messages may wait.
    pub capacity: Capacity,
    /// What it accepts from other instances in one handoff.
    pub handoff_limits: HandoffLimits,
    /// Memory for contents of middle size; survives a reload.
    pub content_memory: Arc<ContentMemory>,
    /// Whether the spool is still this process's; survives a reload.
    pub spool_lease: Arc<SpoolLease>,
    /// Late handoffs; survives a reload.
    pub gate: Arc<Gate>,
    /// What the sessions refused by themselves, by reply; survives a reload.
    pub refused: Arc<Mutex<HashMap<&'static str, u64>>>,
}

impl Intake {
    /// Answers a client's message within the time that it may wait. Past it the client hears `451`
    /// and keeps the message, while what was begun here goes on: should it still succeed, the
    /// client's next try is a duplicate of the kind of RFC 1047.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        transaction: Box<Transaction>,
        source: Source,
    ) -> Reply {
        let intake = Arc::clone(self);
        let mut accepting = Box::pin(async move { intake.accept(*transaction, source).await });
        match self
            .clock
            .timeout(self.answer_timeout, &mut accepting)
            .await
        {
            Ok(reply) => reply,
            Err(_) => {
                self.alarm("a message could not be made durable in time; its client keeps it");
                tokio::spawn(accepting);
                table::TRY_AGAIN.reply()
            }
        }
    }

    /// Whether there is room for a message of this origin, and how long its client is to wait
    /// before it brings it.
    ///
    /// # Errors
    /// What refuses it.
    pub(crate) fn room_for(&self, origin: &Origin) -> Result<Duration, Reply> {
        let n_waiting = self.queued.n_waiting(origin);
        let ours = origin.is_ours();
        let next = match &self.onward {
            Onward::Here(_) => None,
            Onward::Next { next, .. } => Some(next),
        };
        // Mail of ours is kept here while the next instance is full.
        let is_next_full = !ours && next.is_some_and(|next| next.is_full());
        if is_next_full || !self.capacity.takes(n_waiting) {
            return Err(table::QUEUE_FULL.reply());
        }
        if ours {
            return Ok(Duration::ZERO);
        }
        let load = next.map_or(Load::NONE, |next| next.load());
        Ok(delay(self.load().max(load)))
    }

    /// How full the queue is of mail from outside.
    pub(crate) fn load(&self) -> Load {
        self.capacity.load(self.queued.n_waiting(&Origin::Outside))
    }

    /// Makes a client's message durable, or says why not.
    async fn accept(self: &Arc<Self>, transaction: Transaction, source: Source) -> Reply {
        let _lease = match self.spool_lease.enter() {
            Ok(lease) => lease,
            // Another process would not know that it is to be held.
            Err(_) if transaction.hold.is_some() => return table::TRY_AGAIN.reply(),
            Err(successor) => {
                return self
                    .forward_to_successor(&successor, transaction, &source)
                    .await;
            }
        };
        match &self.onward {
            Onward::Next { next, .. }
                if !transaction.takes_own_route && transaction.hold.is_none() =>
            {
                self.hand_off_or_keep(next, transaction, &source).await
            }
            Onward::Here(_) | Onward::Next { .. } => self.keep(transaction, None, &source).await,
        }
    }

    /// Keeps a message in the own spool.
    pub(crate) async fn keep(
        &self,
        mut transaction: Transaction,
        handoff: Option<HandoffKey>,
        source: &Source,
    ) -> Reply {
        match self.gather(&mut transaction).await {
            Ok((content, message_id)) => {
                self.keep_content(transaction, content, handoff, message_id, source)
                    .await
            }
            Err(reply) => reply,
        }
    }

    /// Takes the whole content out of a transaction, and the Message-ID that it shows.
    pub(crate) async fn gather(
        &self,
        transaction: &mut Transaction,
    ) -> Result<(Gathered, Option<Box<str>>), Reply> {
        let body = transaction
            .body
            .take()
            .ok_or_else(|| table::BAD_SEQUENCE.reply())?;
        let (content, header) = body.finish().await.map_err(|e| self.storage_failed(&e))?;
        if header.n_received > RECEIVED_MAX {
            return Err(table::LOOP.reply());
        }
        Ok((content, header.message_id))
    }

    pub(crate) async fn keep_content(
        &self,
        mut transaction: Transaction,
        content: Gathered,
        handoff: Option<HandoffKey>,
        message_id: Option<Box<str>>,
        source: &Source,
    ) -> Reply {
        let reply = accepted(&transaction);
        let hold = transaction.hold.take();
        let handed = transaction.handed.as_mut();
        let claim = handed.and_then(|handed| handed.claim.take());
        let durable = match content.commit(&self.spool).await {
            Ok(durable) => durable,
            Err(e) => return self.storage_failed(&e),
        };
        let message = Message {
            key: transaction.accepted_key(),
            provenance: transaction.provenance,
            envelope: transaction.envelope,
            handoff,
            next_due: self.clock.timestamp(),
        };
        let accepting = match claim {
            Some(claim) => self.spool.accept_claimed(claim, &message, durable),
            None => self.spool.accept(&message, durable),
        };
        match accepting.await {
            Ok(id) => {
                self.note_accepted(id, &message, content.len(), message_id, source);
                let fresh = Fresh {
                    id,
                    message,
                    content_len: content.len(),
                    content: content.in_memory(),
                };
                match hold {
                    None => self.queued.queued(fresh),
                    Some(why) => {
                        if let Err(e) = self.hold(fresh, &why).await {
                            return self.not_committed(&e);
                        }
                    }
                }
                reply
            }
            Err(e) => self.not_committed(&e),
        }
    }

    /// Holds all recipients of a message that was just accepted, durably, before its client is
    /// answered. Where that fails, or the process ends before, the client keeps the message, and
    /// the copy here is not held.
    async fn hold(&self, fresh: Fresh, why: &str) -> Result<(), CommitError> {
        let reply = table::HELD.with_text(why);
        let recipients = (0..)
            .take(fresh.message.envelope.recipients.len())
            .map(|index| {
                let held = RecipientState {
                    disposition: Disposition::Held,
                    reply: Some(reply.clone()),
                    ..RecipientState::NEW
                };
                (index, held)
            });
        let progress = Progress {
            recipients: recipients.collect(),
            next_due: fresh.message.next_due,
        };
        let holding = self.spool.progress(fresh.id, progress);
        if let Err(e) = holding.await {
            self.queued.queued(fresh);
            return Err(e);
        }
        self.queued.held(fresh, &reply);
        Ok(())
    }

    fn not_committed(&self, error: &CommitError) -> Reply {
        match error {
            CommitError::Full => table::STORAGE_FULL.reply(),
            // The next try, under the same key, is answered from the record.
            CommitError::KeyKnown | CommitError::KeySettled | CommitError::KeysFull => {
                table::TRY_AGAIN.reply()
            }
            CommitError::TooLarge => table::TOO_BIG.reply(),
            CommitError::Closed => table::SHUTTING_DOWN_LATE.reply(),
            CommitError::Failed(_) | CommitError::Unknown => {
                self.alarm(&format!("the message could not be made durable: {error}"));
                table::STORAGE_FAILED.reply()
            }
        }
    }

    fn storage_failed(&self, error: &io::Error) -> Reply {
        if error.kind() == io::ErrorKind::StorageFull {
            self.spool.note_refused();
            return table::STORAGE_FULL.reply();
        }
        self.alarm(&format!("the content could not be written: {error}"));
        table::STORAGE_FAILED.reply()
    }

    fn note_accepted(
        &self,
        id: MessageId,
        message: &Message,
        size_bytes: u64,
        message_id: Option<Box<str>>,
        source: &Source,
    ) {
        let envelope = &message.envelope;
        self.emit(
            Some(message.provenance.trace),
            What::Accepted {
                id,
                from: envelope.sender.clone(),
                n_recipients: u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX),
                size_bytes,
                origin: message.provenance.origin.clone(),
                message_id,
                source: Box::new(source.clone()),
            },
        );
    }

    pub(crate) fn alarm(&self, text: &str) {
        self.emit(None, What::Alarm { text: text.into() });
    }

    pub(crate) fn count_refused(&self, row: &'static Row) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry(row.id).or_default() += 1;
    }

    /// Notes a connection that found no place.
    pub fn note_turned_away(&self, peer: Peer, reply: &Reply) {
        let what = What::Refused {
            phase: "connect",
            from: None,
            to: None,
            reply: reply.clone(),
            source: Box::new(source_of(peer)),
        };
        self.emit(None, what);
    }

    /// Notes a connection on which no TLS session came about.
    pub fn note_no_handshake(&self, peer: Peer, lasted: Duration, reason: &str) {
        let what = What::Disconnected {
            source: Box::new(source_of(peer)),
            reason: reason.into(),
            n_messages: 0,
            n_refused: 0,
            duration_ms: u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
        };
        self.emit(None, what);
    }

    pub(crate) fn emit(&self, trace: Option<mail::TraceId>, what: What) {
        self.events.emit(Event {
            at: self.clock.timestamp(),
            trace,
            what,
        });
    }
}

/// What the kernel says of the other end.
pub(crate) fn source_of(peer: Peer) -> Source {
    match peer {
        Peer::Local { uid, pid } => Source {
            uid: Some(uid),
            pid: pid.and_then(|pid| pid.try_into().ok()),
            ..Source::default()
        },
        Peer::Tcp(address) => Source {
            client: Some(address.ip().to_canonical()),
            ..Source::default()
        },
    }
}

pub(crate) fn accepted(transaction: &Transaction) -> Reply {
    table::ACCEPTED.with_text(&format!("accepted as {}", transaction.provenance.trace))
}

impl Transaction {
    /// The key to remember with the message, and which recipients of the handoff it stands for.
    fn accepted_key(&self) -> Option<AcceptedKey> {
        if let Some(key) = self.left {
            let n = u32::try_from(self.envelope.recipients.len()).unwrap_or(u32::MAX);
            let accepted = (0..n).collect();
            return Some(AcceptedKey { key, accepted });
        }
        let handed = self.handed.as_ref()?;
        let key = handed.parameters.key?;
        Some(AcceptedKey {
            key,
            accepted: handed.indexes.iter().copied().collect(),
        })
    }
}
