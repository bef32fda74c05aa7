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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use handoff::{Answer, Content, Handoff, Load, Mode, Next, Parameters, Source, mode_for};
use mail::event::{Event, Sink, What};

use mail::reply::table::{self, Row};
use mail::{HandoffKey, InstanceName, MessageId, Origin, Reply, ReplyClass};
use net::{Clock, Entropy};
use policy::Checks;
use spool::{AcceptedKey, CommitError, ContentFile, DurableContent, Fresh, Message, Spool};

use crate::body::{CONTENT_IN_MEMORY_MAX, RECEIVED_MAX};
use crate::gate::Gate;
use crate::memory::{ContentMemory, Share};
use crate::pressure::{Capacity, delay};
use crate::recipients::{Recipients, question};
use crate::tenure::Tenure;
use crate::transaction::Transaction;

/// How long a message may take to be stored by the process that has the spool now.
const BEQUEST_LIMIT: Duration = Duration::from_secs(30);
/// How long to wait before it is offered again.
const BEQUEST_PAUSE: Duration = Duration::from_millis(200);

/// Who carries a recipient's copy on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
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
    /// What is asked about each recipient.
    pub checks: Checks,
    /// Where events go.
    pub events: Arc<dyn Sink>,
    /// Who delivers what entered the spool.
    pub queued: Arc<dyn Queued>,
    /// How many messages may wait.
    pub capacity: Capacity,
    /// Memory for contents of middle size; survives a reload.
    pub content_memory: Arc<ContentMemory>,
    /// Whether the spool is still this process's; survives a reload.
    pub tenure: Arc<Tenure>,
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
        via: Box<str>,
    ) -> Reply {
        let intake = Arc::clone(self);
        let mut accepting = Box::pin(async move { intake.accept(*transaction, via).await });
        match tokio::time::timeout(self.answer_timeout, &mut accepting).await {
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
    async fn accept(self: &Arc<Self>, transaction: Transaction, via: Box<str>) -> Reply {
        let _stay = match self.tenure.enter() {
            Ok(stay) => stay,
            Err(heir) => return self.bequeath(&heir, transaction, &via).await,
        };
        match &self.onward {
            Onward::Next { next, .. } if !transaction.takes_own_route => {
                self.hand_off_or_keep(next, transaction, &via).await
            }
            Onward::Here(_) | Onward::Next { .. } => self.keep(transaction, None, &via).await,
        }
    }

    async fn hand_off_or_keep(
        &self,
        next: &Arc<Next>,
        mut transaction: Transaction,
        via: &str,
    ) -> Reply {
        let (content, message_id) = match self.gather(&mut transaction).await {
            Ok(gathered) => gathered,
            Err(reply) => return reply,
        };
        let key = next.draw_key();
        let mut provenance = transaction.provenance.clone();
        provenance.visited.push(self.name.clone());
        let mode = mode_for(&provenance.origin);
        let size_bytes = content.len();
        let parameters = Parameters {
            provenance,
            key: Some(key),
            lowest_unsettled: next.lowest_unsettled(&key),
            mode,
        };
        let answer = offer(next, &parameters, &transaction, &content).await;
        let what = match &answer {
            Answer::NotTried | Answer::Unknown => Then::Keep,
            Answer::Replies(replies) => then(mode, replies),
        };
        let in_doubt = match (what, &answer) {
            (Then::Acknowledge, _) => {
                // It never entered this spool, so nothing will ask for this key again.
                next.settle(&key);
                self.note_handed_off(next, &transaction, size_bytes, message_id, via);
                return accepted(&transaction);
            }
            (Then::ComeAgain, _) => {
                next.settle(&key);
                return table::QUEUE_FULL.reply();
            }
            (Then::Refuse, Answer::Replies(replies)) => {
                next.settle(&key);
                return self.refuse_all(next, &transaction, replies);
            }
            // Who is left is another set, which the next instance has not heard of.
            (Then::KeepRest, Answer::Replies(replies)) => {
                transaction.keep_refused(replies);
                None
            }
            (_, Answer::NotTried) => None,
            (Then::Keep | Then::KeepRest | Then::Refuse, _) => Some(key),
        };
        let reply = self
            .keep_content(transaction, content, in_doubt, message_id, via)
            .await;
        // Where its client keeps it, whatever the next instance has is RFC 1047's duplicate.
        if in_doubt.is_none() || !reply.is_positive() {
            next.settle(&key);
        }
        reply
    }

    /// Gives a client's message to the process that has the spool now. It is stored there or, when
    /// that cannot be said, left to its client.
    async fn bequeath(&self, heir: &Arc<Next>, mut transaction: Transaction, via: &str) -> Reply {
        let (content, message_id) = match self.gather(&mut transaction).await {
            Ok(gathered) => gathered,
            Err(reply) => return reply,
        };
        let key = heir.draw_key();
        let parameters = Parameters {
            // The instance is the same: it has not been visited yet.
            provenance: transaction.provenance.clone(),
            key: Some(key),
            lowest_unsettled: heir.lowest_unsettled(&key),
            // There is nowhere to keep a rest.
            mode: Mode::All,
        };
        // It may die and be started again: what it then says about this key is true.
        let asking = async {
            loop {
                match offer(heir, &parameters, &transaction, &content).await {
                    Answer::NotTried | Answer::Unknown => tokio::time::sleep(BEQUEST_PAUSE).await,
                    Answer::Replies(replies) => return Answer::Replies(replies),
                }
            }
        };
        let answer = tokio::time::timeout(BEQUEST_LIMIT, asking).await;
        heir.settle(&key);
        match answer.unwrap_or(Answer::Unknown) {
            Answer::Replies(replies) => match then(Mode::All, &replies) {
                Then::Acknowledge => {
                    self.note_handed_off(heir, &transaction, content.len(), message_id, via);
                    accepted(&transaction)
                }
                Then::ComeAgain => table::QUEUE_FULL.reply(),
                Then::Keep => table::TRY_AGAIN.reply(),
                Then::KeepRest | Then::Refuse => self.refuse_all(heir, &transaction, &replies),
            },
            // Should it be stored all the same, the client's next try is RFC 1047's duplicate.
            Answer::NotTried | Answer::Unknown => table::TRY_AGAIN.reply(),
        }
    }

    /// Mail from outside was refused in part after its data: its client learns at its next try,
    /// at RCPT. What is refused for every recipient and for good, it can learn at once.
    fn refuse_all(&self, next: &Next, transaction: &Transaction, replies: &[Reply]) -> Reply {
        let origin = &transaction.provenance.origin;
        for (recipient, reply) in transaction.envelope.recipients.iter().zip(replies) {
            if !reply.is_positive() {
                next.forget_answer(&question(&recipient.address, origin));
            }
        }
        let for_good = replies.iter().all(|r| r.class() == ReplyClass::Permanent);
        match replies.first() {
            Some(first) if for_good => first.clone(),
            _ => table::NEXT_REFUSED_SOME.reply(),
        }
    }

    /// Keeps a message in the own spool.
    pub(crate) async fn keep(
        &self,
        mut transaction: Transaction,
        handoff: Option<HandoffKey>,
        via: &str,
    ) -> Reply {
        match self.gather(&mut transaction).await {
            Ok((content, message_id)) => {
                self.keep_content(transaction, content, handoff, message_id, via)
                    .await
            }
            Err(reply) => reply,
        }
    }

    /// Takes the whole content out of a transaction, and the Message-ID that it shows.
    async fn gather(
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

    async fn keep_content(
        &self,
        transaction: Transaction,
        content: Gathered,
        handoff: Option<HandoffKey>,
        message_id: Option<Box<str>>,
        via: &str,
    ) -> Reply {
        let reply = accepted(&transaction);
        let content_len = content.len();
        let in_memory = content.in_memory();
        let content = match content.commit(&self.spool).await {
            Ok(content) => content,
            Err(e) => return self.storage_failed(&e),
        };
        let message = Message {
            key: transaction.accepted_key(),
            provenance: transaction.provenance,
            envelope: transaction.envelope,
            handoff,
            next_due: self.clock.timestamp(),
        };
        match self.spool.accept(&message, content).await {
            Ok(id) => {
                self.note_accepted(id, &message, content_len, message_id, via);
                self.queued.queued(Fresh {
                    id,
                    message,
                    content_len,
                    content: in_memory,
                });
                reply
            }
            Err(e) => self.not_committed(&e),
        }
    }

    fn not_committed(&self, error: &CommitError) -> Reply {
        match error {
            CommitError::Full => table::STORAGE_FULL.reply(),
            // The next try, under the same key, is answered from the record.
            CommitError::KeyKnown | CommitError::KeysFull => table::TRY_AGAIN.reply(),
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
        via: &str,
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
                via: via.into(),
            },
        );
    }

    fn note_handed_off(
        &self,
        next: &Next,
        transaction: &Transaction,
        size_bytes: u64,
        message_id: Option<Box<str>>,
        via: &str,
    ) {
        let envelope = &transaction.envelope;
        self.emit(
            Some(transaction.provenance.trace),
            What::HandedOff {
                next: next.name().as_str().into(),
                from: envelope.sender.clone(),
                n_recipients: u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX),
                size_bytes,
                spooled: false,
                message_id,
                via: via.into(),
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

    fn emit(&self, trace: Option<mail::TraceId>, what: What) {
        self.events.emit(Event {
            at: self.clock.timestamp(),
            trace,
            what,
        });
    }
}

/// Offers a whole message to another process.
async fn offer(
    to: &Arc<Next>,
    parameters: &Parameters,
    transaction: &Transaction,
    content: &Gathered,
) -> Answer {
    let n = u32::try_from(transaction.envelope.recipients.len()).unwrap_or(u32::MAX);
    let handoff = Handoff {
        parameters,
        envelope: &transaction.envelope,
        recipients: &Vec::from_iter(0..n),
        content: content.to_hand_off(),
    };
    to.hand_off(&handoff).await
}

/// What a front does with a message once the next instance has spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The next instance has all of it.
    Acknowledge,
    /// The next instance has nothing and takes no more from outside: nor is it kept here, or the
    /// queue would only grow in another place.
    ComeAgain,
    /// Whether the next instance has it is not known, or it could not store it: the same set of
    /// recipients is tried again under the same key.
    Keep,
    /// The next instance has a part of it: the rest is another set.
    KeepRest,
    /// The next instance has nothing, and will not have it as it is.
    Refuse,
}

fn then(mode: Mode, replies: &[Reply]) -> Then {
    let n_taken = replies.iter().filter(|reply| reply.is_positive()).count();
    // Said after the data by an instance that cannot store: its state, and no word on recipients.
    let cannot_store = [
        table::SHUTTING_DOWN_LATE.reply(),
        table::STORAGE_FAILED.reply(),
        table::STORAGE_FULL.reply(),
        table::TRY_AGAIN.reply(),
    ];
    let full = table::QUEUE_FULL.reply();
    match mode {
        _ if n_taken == replies.len() => Then::Acknowledge,
        Mode::All if replies.iter().all(|reply| *reply == full) => Then::ComeAgain,
        Mode::Each if n_taken > 0 => Then::KeepRest,
        Mode::Each => Then::Keep,
        Mode::All if replies.iter().all(|reply| cannot_store.contains(reply)) => Then::Keep,
        Mode::All => Then::Refuse,
    }
}

fn accepted(transaction: &Transaction) -> Reply {
    table::ACCEPTED.with_text(&format!("accepted as {}", transaction.provenance.trace))
}

/// A complete content that is not yet on stable storage.
pub(crate) enum Gathered {
    /// In memory, with its share of what there is of that for contents that are not small.
    Bytes(Arc<Vec<u8>>, Option<Share>),
    /// Large.
    File(Arc<FileSource>),
}

impl Gathered {
    fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes, _) => bytes.len() as u64,
            Self::File(file) => file.len(),
        }
    }

    fn to_hand_off(&self) -> Content<'_> {
        match self {
            Self::Bytes(bytes, _) => Content::Bytes(bytes),
            Self::File(file) => Content::Source(Arc::clone(file) as Arc<dyn Source>),
        }
    }

    fn in_memory(&self) -> Option<Arc<Vec<u8>>> {
        match self {
            Self::Bytes(bytes, _) => Some(Arc::clone(bytes)),
            Self::File(_) => None,
        }
    }

    /// Makes a large content durable; a small one becomes so with its record.
    async fn commit(self, spool: &Spool) -> io::Result<spool::Content> {
        let spool = spool.clone();
        let committing = match self {
            Self::Bytes(bytes, _) if bytes.len() <= CONTENT_IN_MEMORY_MAX => {
                return Ok(spool::Content::Bytes(bytes));
            }
            Self::Bytes(bytes, share) => tokio::task::spawn_blocking(move || {
                let _share = share;
                let mut file = spool.content_file()?;
                file.write(&bytes)?;
                file.commit()
            }),
            Self::File(source) => tokio::task::spawn_blocking(move || source.commit()),
        };
        let committed = committing.await.map_err(io::Error::other)??;
        Ok(spool::Content::File(committed))
    }
}

/// A large content that can be read while it is handed off, and kept when that failed.
pub(crate) struct FileSource {
    // A handoff that was given up may still be reading: the commit waits for it.
    file: Mutex<Option<ContentFile>>,
    len: u64,
}

impl FileSource {
    pub(crate) fn new(file: ContentFile) -> Self {
        Self {
            len: file.content_len(),
            file: Mutex::new(Some(file)),
        }
    }

    /// Makes it durable; whoever reads it afterwards fails. Blocks.
    fn commit(&self) -> io::Result<DurableContent> {
        let file = self.lock().take();
        file.ok_or_else(is_kept)?.commit()
    }

    fn lock(&self) -> MutexGuard<'_, Option<ContentFile>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let file = self.lock();
        file.as_ref()
            .ok_or_else(is_kept)?
            .read_exact_at(offset, buffer)
    }
}

fn is_kept() -> io::Error {
    io::Error::other("the content is no longer handed off but kept")
}

impl Transaction {
    /// Leaves only the recipients that the next instance did not take.
    fn keep_refused(&mut self, replies: &[Reply]) {
        let mut replies = replies.iter();
        self.envelope
            .recipients
            .retain(|_| replies.next().is_none_or(|r| !r.is_positive()));
    }

    /// The key to remember with the message, and which recipients of the handoff it stands for.
    fn accepted_key(&self) -> Option<AcceptedKey> {
        let handed = self.handed.as_ref()?;
        let key = handed.parameters.key?;
        Some(AcceptedKey {
            key,
            accepted: handed.indexes.iter().copied().collect(),
        })
    }
}
