//! One message to one server: what is to be sent, and how far it has come.

use mail::reply::table;
use mail::{Author, BodyType, Mailbox, Notify, Reply, Return, ReversePath};

use super::Part;
use super::capabilities::{Capabilities, Capability};
use super::content::{Chunks, Lines};
use super::event::{DataSent, Finished, RecipientReply};
use super::phase::Phase;
use crate::codec::xforward::XforwardAttributes;

/// Everything about a message that the server is told before its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// What octets the content really holds. A content without an octet over 127 can travel as
    /// [`BodyType::SevenBit`], whatever its sender declared.
    pub body: BodyType,
    /// The value of XPOSTERN, not yet encoded; for [`Dialect::Edge`](super::Dialect::Edge).
    pub edge: Option<Box<str>>,
    /// ENVID, not yet encoded. Goes where DSN is offered.
    pub envid: Option<Box<str>>,
    /// For whom.
    pub recipients: Vec<ClientRecipient>,
    /// RET. Goes where DSN is offered.
    pub ret: Option<Return>,
    /// Where failures are reported.
    pub sender: ReversePath,
    /// The exact number of octets that will be given as content.
    pub size: u64,
    /// Whether header fields may need SMTPUTF8. Addresses are looked at in any case.
    pub smtputf8: bool,
    /// Who the client behind us is. Goes where XFORWARD is offered.
    pub xforward: Option<Box<XforwardAttributes>>,
}

/// One recipient of a [`Transaction`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRecipient {
    /// The address.
    pub address: Mailbox,
    /// NOTIFY. Goes where DSN is offered.
    pub notify: Notify,
    /// ORCPT, `type;address`, not yet encoded. Goes where DSN is offered.
    pub orcpt: Option<Box<str>>,
}

impl Transaction {
    /// Whether it cannot travel without SMTPUTF8.
    pub(super) fn needs_smtputf8(&self) -> bool {
        self.smtputf8
            || self
                .sender
                .mailbox()
                .is_some_and(|sender| !sender.is_ascii())
            || self
                .recipients
                .iter()
                .any(|recipient| !recipient.address.is_ascii())
    }

    /// Why this server cannot be given the message as it is. To send it all the same would corrupt
    /// it, or have the server refuse it later and less clearly.
    pub(super) fn obstacle(&self, can: &Capabilities) -> Option<Reply> {
        let binary = can.has(Capability::BinaryMime) && can.has(Capability::Chunking);
        let body_fits = match self.body {
            BodyType::BinaryMime => binary,
            BodyType::EightBitMime => can.has(Capability::EightBitMime),
            BodyType::SevenBit => true,
        };
        if !body_fits {
            return Some(table::PEER_WITHOUT_BODY_TYPE.reply());
        }
        if self.needs_smtputf8() && !can.has(Capability::Smtputf8) {
            return Some(table::PEER_WITHOUT_SMTPUTF8.reply());
        }
        // Another instance may have the message already, so only it can refuse.
        let is_handoff = self.edge.is_some();
        if !is_handoff && can.size_max().is_some_and(|size_max| self.size > size_max) {
            return Some(table::PEER_SIZE_EXCEEDED.reply());
        }
        None
    }
}

/// A transaction under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) transaction: Transaction,
    pub(super) step: Step,
    pub(super) mail: Answer,
    standings: Vec<Standing>,
    /// All octets of the content, and its end, have been handed to the output.
    pub(super) content_given: bool,
    /// The server replied to the whole content.
    pub(super) content_answered: bool,
    /// Some of the content was given out to be written.
    content_begun: bool,
    /// RSET was sent.
    reset: bool,
}

/// What is to be sent next.
#[derive(Debug)]
pub(super) enum Step {
    Mail,
    /// The recipient of this index.
    Rcpt(usize),
    /// Everything about the envelope is sent, the content has not been asked for.
    Envelope,
    /// DATA is sent.
    Data,
    /// The content travels.
    Content(Framing),
    /// Nothing. What remains is to wait for replies.
    Nothing,
}

/// How the content travels.
#[derive(Debug)]
pub(super) enum Framing {
    Chunks(Chunks),
    Lines(Lines),
}

/// What the server said to MAIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    No,
    None,
    Yes,
}

/// Where a recipient stands.
#[derive(Debug)]
enum Standing {
    /// No reply yet.
    Asked,
    /// RCPT was accepted.
    Accepted,
    /// The final reply, whoever gave it.
    Decided(RecipientReply),
}

impl Running {
    pub(super) fn new(transaction: Transaction) -> Self {
        let standings = transaction
            .recipients
            .iter()
            .map(|_| Standing::Asked)
            .collect();
        Self {
            transaction,
            step: Step::Mail,
            mail: Answer::None,
            standings,
            content_given: false,
            content_answered: false,
            content_begun: false,
            reset: false,
        }
    }

    /// Whether the content can still be of use to some recipient.
    pub(super) fn is_hopeful(&self) -> bool {
        self.standings
            .iter()
            .any(|standing| !matches!(standing, Standing::Decided(_)))
    }

    pub(super) fn accept(&mut self, index: usize) {
        if let Some(standing @ Standing::Asked) = self.standings.get_mut(index) {
            *standing = Standing::Accepted;
        }
    }

    pub(super) fn refuse(&mut self, index: usize, reply: Reply) {
        if let Some(standing @ Standing::Asked) = self.standings.get_mut(index) {
            *standing = Standing::Decided(RecipientReply {
                reply,
                by: Author::Peer,
                phase: Phase::Rcpt,
            });
        }
    }

    /// `reply`, with which the server ended `phase`, is final for each recipient without a final
    /// reply.
    pub(super) fn decide_all(&mut self, reply: &Reply, phase: Phase) {
        self.decide_rest(reply, Author::Peer, phase);
    }

    fn decide_rest(&mut self, reply: &Reply, by: Author, phase: Phase) {
        for standing in &mut self.standings {
            if !matches!(standing, Standing::Decided(_)) {
                *standing = Standing::Decided(RecipientReply {
                    reply: reply.clone(),
                    by,
                    phase,
                });
            }
        }
    }

    /// `reply` answers the content, as far as it was given, for everyone who has no final reply.
    pub(super) fn refuse_content(&mut self, reply: &Reply, phase: Phase) {
        self.content_answered = self.content_given;
        self.decide_all(reply, phase);
    }

    /// `reply` is final for the next accepted recipient that has none; whether another remains.
    pub(super) fn decide_next(&mut self, reply: Reply) -> bool {
        let mut accepted = self
            .standings
            .iter_mut()
            .filter(|standing| matches!(standing, Standing::Accepted));
        if let Some(standing) = accepted.next() {
            *standing = Standing::Decided(RecipientReply {
                reply,
                by: Author::Peer,
                phase: Phase::EndOfData,
            });
        }
        accepted.next().is_some()
    }

    /// Whether the server waits for content or RSET, rather than for the next MAIL; true once.
    pub(super) fn take_left_open(&mut self) -> bool {
        let is_left_open = self.mail == Answer::Yes && !self.content_answered && !self.reset;
        self.reset |= is_left_open;
        is_left_open
    }

    /// What there was to be written is on its way, `some` or nothing.
    pub(super) fn note_transmit(&mut self, some: bool) {
        self.content_begun |= some && matches!(self.step, Step::Content(_));
    }

    /// Whether content travels by DATA, and the server has begun to see it.
    pub(super) fn sends_lines(&self) -> bool {
        self.content_begun && matches!(self.step, Step::Content(Framing::Lines(_)))
    }

    /// Whether the server cannot have seen all of what a positive reply to `part` would be about;
    /// `is_newest` says that nothing was sent after it.
    pub(super) fn is_premature(&self, part: Part, is_newest: bool) -> bool {
        match (part, &self.step) {
            (Part::Content, Step::Content(_)) => !self.content_given,
            (Part::Chunk, Step::Content(Framing::Chunks(chunks))) => {
                is_newest && !chunks.is_at_boundary()
            }
            _ => false,
        }
    }

    /// A reply came that answers nothing: those before it may have answered other commands than
    /// those they were taken for.
    pub(super) fn distrust(&mut self) {
        for standing in &mut self.standings {
            *standing = Standing::Asked;
        }
    }

    /// What became of it, where `reply` is for each recipient without a final reply, and it ended
    /// in `phase`.
    pub(super) fn finish(mut self, reply: &Reply, by: Author, phase: Phase) -> Finished {
        let data_sent = if !self.content_given {
            DataSent::No
        } else if self.is_hopeful() {
            DataSent::Unconfirmed
        } else if self.content_answered {
            DataSent::Yes
        } else {
            DataSent::No
        };
        self.decide_rest(reply, by, phase);
        let recipients = self
            .standings
            .into_iter()
            .filter_map(|standing| match standing {
                Standing::Decided(reply) => Some(reply),
                Standing::Accepted | Standing::Asked => None,
            });
        Finished {
            data_sent,
            recipients: recipients.collect(),
        }
    }
}
