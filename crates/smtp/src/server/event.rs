//! What a session tells its driver, and what it asks.
//!
//! # Guarantees
//! Each question is a type of its own that cannot be copied, so an answer to another question
//! does not compile. An answer that comes after the session moved on (it timed out, the client
//! left) changes nothing.

use mail::reply::table::Row;
use mail::{BodyType, ForwardPath, Notify, Reply, Return, ReversePath};

use crate::codec::xforward::XforwardAttributes;

/// What happened, or what is asked. A question stops the session until it is answered.
#[derive(Debug)]
#[must_use]
pub enum Event {
    /// [`take_body`](super::Session::take_body) has octets to give. Comes while content is still
    /// arriving; what is left at the end is announced by [`Event::Commit`] alone.
    Body,
    /// The session is over: write what is left to write, and close. Nothing comes after it. An
    /// open transaction ended without having been accepted.
    Closed(CloseReason),
    /// The content is complete: take the rest of the body, make the message durable, and answer.
    Commit(CommitQuestion),
    /// May the client have service? Its greeting waits for the answer. Only in a session
    /// [`with_connect_question`](super::Session::with_connect_question).
    Connect(ConnectQuestion),
    /// DATA, or the first BDAT: may the content come?
    Data(DataQuestion),
    /// The client sent something while its greeting waits; comes once.
    EarlyTalk,
    /// HELO or EHLO: may the client go on under this name? Where it may, an open transaction ends,
    /// which [`Event::Reset`] reports.
    Hello(HelloQuestion, Hello),
    /// May a message come from this sender?
    Mail(MailQuestion, MailCommand),
    /// May it go to this recipient?
    Rcpt(RcptQuestion, RcptCommand),
    /// The machine refused something by itself; for the log and the counters.
    Refused(&'static Row),
    /// The transaction is over without a message: forget what was gathered for it.
    Reset(ResetCause),
    /// The client will speak TLS next: write what is left to write, make the handshake, and call
    /// [`handle_tls`](super::Session::handle_tls).
    StartTls,
    /// VRFY, in the dialect of the edge.
    Verify(VerifyQuestion, VerifyCommand),
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client closed the connection, or half of it in the middle of something.
    ClientLeft,
    /// We said this `421` (or would have, had a TLS handshake not been under way).
    Ended(&'static Row),
    /// Plaintext followed STARTTLS: somebody is trying to slip commands into the TLS session.
    Injection,
    /// The client said QUIT.
    Quit,
    /// The caller refused with `421`.
    Refused,
}

/// Why a transaction ended without a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetCause {
    /// The content, or its first chunk, was refused by the machine with this reply. What remains
    /// of it is read over.
    Content(&'static Row),
    /// HELO or EHLO in the middle of a transaction.
    Hello,
    /// RSET.
    Rset,
    /// A second MAIL, in the dialect of the edge.
    Sequence,
}

/// HELO or EHLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Whether it was EHLO.
    pub extended: bool,
    /// The name given, as it can stand in a Received field: printable ASCII without space, quotes,
    /// angle brackets or parentheses. Nothing about it has been verified.
    pub name: Box<str>,
}

/// MAIL with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailCommand {
    /// BODY.
    pub body: BodyType,
    /// The decoded value of XPOSTERN, in the dialect of the edge.
    pub edge: Option<EdgeParameters>,
    /// ENVID, decoded.
    pub envid: Option<Box<str>>,
    /// RET.
    pub ret: Option<Return>,
    /// Where failures are reported.
    pub sender: ReversePath,
    /// SIZE, in octets; not over the limit.
    pub size: Option<u64>,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// What XFORWARD said for this transaction.
    pub xforward: Option<Box<XforwardAttributes>>,
}

/// What another instance says about a message, decoded from xtext and otherwise as it came: the
/// handoff's own to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeParameters(pub Box<str>);

/// RCPT with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptCommand {
    /// NOTIFY.
    pub notify: Notify,
    /// ORCPT: `type;address`, decoded.
    pub orcpt: Option<Box<str>>,
    /// For whom.
    pub recipient: ForwardPath,
}

/// VRFY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyCommand {
    /// Everything after `VRFY `, as it came: printable UTF-8.
    pub argument: Box<str>,
}

/// What became of a complete message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// The same for all recipients. A positive reply says that the message is committed.
    All(Reply),
    /// One reply for each accepted recipient, in their order; for the dialect of the edge.
    Each(Vec<Reply>),
}

/// Numbers the questions of a session, so that a late answer finds no open question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Serial(u32);

impl Serial {
    pub(super) const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

macro_rules! questions {
    ($($name:ident $answer:literal;)*) => {
        $(
            #[doc = "To be answered once, by"]
            #[doc = concat!("[`", $answer, "`](super::Session::", $answer, ").")]
            #[derive(Debug)]
            #[must_use]
            pub struct $name(pub(super) Serial);
        )*
    };
}

questions! {
    CommitQuestion "answer_commit";
    ConnectQuestion "answer_connect";
    DataQuestion "answer_data";
    HelloQuestion "answer_hello";
    MailQuestion "answer_mail";
    RcptQuestion "answer_rcpt";
    VerifyQuestion "answer_verify";
}
