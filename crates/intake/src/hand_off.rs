//! A client's message is made durable by another process before its client is answered.
//!
//! # Failure
//! Where nothing is known of the other process's answer the message is kept here under its key, or
//! left to its client.

use std::sync::Arc;
use std::time::Duration;

use handoff::{Answer, Handoff, Mode, Next, Parameters, Refusal, mode_for};
use mail::event::{Source, What};
use mail::reply::table;
use mail::{Reply, ReplyClass};

use crate::accept::{Intake, accepted};
use crate::gathered::Gathered;
use crate::recipients::question;
use crate::transaction::Transaction;

/// How long a message may take to be stored by the process that has the spool now.
const FORWARD_LIMIT: Duration = Duration::from_secs(30);
/// How long to wait before it is offered again.
const FORWARD_PAUSE: Duration = Duration::from_millis(200);

impl Intake {
    /// Offers a client's message to the next instance, and keeps here what that does not take and
    /// its client shall not hear of.
    pub(crate) async fn hand_off_or_keep(
        &self,
        next: &Arc<Next>,
        mut transaction: Transaction,
        source: &Source,
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
            Answer::NotTried | Answer::Unknown | Answer::Unreadable => Then::Keep,
            Answer::Replies(replies) => then(mode, replies),
        };
        let in_doubt = match (what, &answer) {
            (Then::Acknowledge, _) => {
                // It never entered this spool, so nothing will ask for this key again.
                next.settle(&key);
                self.note_handed_off(next, &transaction, size_bytes, message_id, source);
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
            .keep_content(transaction, content, in_doubt, message_id, source)
            .await;
        // Where its client keeps it, whatever the next instance has is RFC 1047's duplicate.
        if in_doubt.is_none() || !reply.is_positive() {
            next.settle(&key);
        }
        reply
    }

    /// Gives a client's message to the process that has the spool now. It is stored there or, when
    /// that cannot be said, left to its client.
    pub(crate) async fn forward_to_successor(
        &self,
        successor: &Arc<Next>,
        mut transaction: Transaction,
        source: &Source,
    ) -> Reply {
        let (content, message_id) = match self.gather(&mut transaction).await {
            Ok(gathered) => gathered,
            Err(reply) => return reply,
        };
        let key = successor.draw_key();
        let parameters = Parameters {
            // The instance is the same: it has not been visited yet.
            provenance: transaction.provenance.clone(),
            key: Some(key),
            lowest_unsettled: successor.lowest_unsettled(&key),
            // There is nowhere to keep a rest.
            mode: Mode::All,
        };
        // It may die and be started again: what it then says about this key is true.
        let asking = async {
            loop {
                match offer(successor, &parameters, &transaction, &content).await {
                    Answer::NotTried | Answer::Unknown | Answer::Unreadable => {
                        self.clock.sleep(FORWARD_PAUSE).await;
                    }
                    Answer::Replies(replies) => return Answer::Replies(replies),
                }
            }
        };
        let answer = self.clock.timeout(FORWARD_LIMIT, asking).await;
        successor.settle(&key);
        match answer.unwrap_or(Answer::Unknown) {
            Answer::Replies(replies) => match then(Mode::All, &replies) {
                Then::Acknowledge => {
                    self.note_handed_off(
                        successor,
                        &transaction,
                        content.len(),
                        message_id,
                        source,
                    );
                    accepted(&transaction)
                }
                Then::ComeAgain => table::QUEUE_FULL.reply(),
                Then::Keep => table::TRY_AGAIN.reply(),
                Then::KeepRest | Then::Refuse => self.refuse_all(successor, &transaction, &replies),
            },
            // Should it be stored all the same, the client's next try is RFC 1047's duplicate.
            Answer::NotTried | Answer::Unknown | Answer::Unreadable => table::TRY_AGAIN.reply(),
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

    fn note_handed_off(
        &self,
        next: &Next,
        transaction: &Transaction,
        size_bytes: u64,
        message_id: Option<Box<str>>,
        source: &Source,
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
                source: Box::new(source.clone()),
            },
        );
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

const fn cannot_store(refusal: Refusal) -> bool {
    match refusal {
        Refusal::Stopping | Refusal::StorageFailed | Refusal::StorageFull | Refusal::TryAgain => {
            true
        }
        Refusal::NotInRecord | Refusal::QueueFull => false,
    }
}

fn then(mode: Mode, replies: &[Reply]) -> Then {
    let n_taken = replies.iter().filter(|reply| reply.is_positive()).count();
    let all_are = |wanted: fn(Refusal) -> bool| {
        let mut refusals = replies.iter().map(Refusal::of);
        refusals.all(|refusal| refusal.is_some_and(wanted))
    };
    match mode {
        _ if n_taken == replies.len() => Then::Acknowledge,
        Mode::All if all_are(|refusal| refusal == Refusal::QueueFull) => Then::ComeAgain,
        Mode::Each if n_taken > 0 => Then::KeepRest,
        Mode::Each => Then::Keep,
        // After the data, by an instance that cannot store: this is about it, and no recipient.
        Mode::All if all_are(cannot_store) => Then::Keep,
        Mode::All => Then::Refuse,
    }
}

impl Transaction {
    /// Leaves only the recipients that the next instance did not take.
    fn keep_refused(&mut self, replies: &[Reply]) {
        let mut replies = replies.iter();
        self.envelope
            .recipients
            .retain(|_| replies.next().is_none_or(|r| !r.is_positive()));
    }
}
