//! What a client tells its driver.

use mail::reply::table;
use mail::{Author, Reply};

use super::phase::Phase;
use crate::codec::reply::ReplyError;

/// What happened, or what is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The connection is over; nothing comes after this. Write what is left, and close.
    Closed(Closed),
    /// The transaction is over. The connection is ready for the next.
    Finished(Finished),
    /// The server said hello: a transaction can begin.
    Ready,
    /// The content is due: give it by [`content`](super::Client::content), all of it, and then call
    /// [`end_content`](super::Client::end_content).
    SendContent,
    /// The server will speak TLS next: write what is left to write, make the handshake, and call
    /// [`handle_tls`](super::Client::handle_tls).
    StartTls,
    /// The answer to the oldest open question of [`verify`](super::Client::verify).
    Verified(Reply),
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Whether the server got the content.
    pub data_sent: DataSent,
    /// One reply for each recipient, in their order: the refusal at RCPT (or before), the reply
    /// after the data, or a refusal of our own where the server cannot take the message as it is.
    pub recipients: Vec<RecipientReply>,
}

/// The reply for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientReply {
    /// The reply.
    pub reply: Reply,
    /// Whose words it is: the server's, or ours in place of a reply.
    pub by: Author,
    /// What it answered, or where the connection ended without it.
    pub phase: Phase,
}

/// Whether the server got the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataSent {
    /// Not all of it: it cannot have accepted the message.
    No,
    /// All of it may have arrived, and no reply came for some recipient: whether the server
    /// accepted the message for that one is not known (RFC 1047).
    Unconfirmed,
    /// It replied to it.
    Yes,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Why.
    pub reason: CloseReason,
    /// How far the conversation had come.
    pub phase: Phase,
    /// The transaction that it ended in the middle of. A recipient for whom the server did not
    /// reply has [`CloseReason::reply`].
    pub unfinished: Option<Finished>,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The caller gave up, or gave another number of octets than it had promised.
    Abandoned,
    /// The server does not speak the dialect: not the next instance, or not this version.
    Dialect,
    /// Plaintext followed the answer to STARTTLS: somebody is trying to slip replies into the TLS
    /// session.
    Injection,
    /// It broke, or the server closed it.
    Lost,
    /// What the server sent is no reply.
    Protocol(ReplyError),
    /// The caller wanted it.
    Quit,
    /// The server does not want us, in general or now: it refused the connection or EHLO, said
    /// `421`, or refused the content before its end.
    Refused(Reply),
    /// The server took too long.
    TimedOut,
    /// TLS is required, and the server did not offer it or refused it.
    TlsUnavailable,
    /// The server sent a reply that answers nothing, or has no meaning where it came.
    Unexpected(Reply),
    /// The content cannot travel by DATA as it is, which showed in its middle.
    Unsendable(Reply),
}

impl CloseReason {
    /// What this means for a recipient that has no reply of its own.
    #[must_use]
    pub fn reply(&self) -> Reply {
        match self {
            Self::Abandoned => table::TRY_AGAIN.reply(),
            Self::Dialect | Self::Injection | Self::Protocol(_) | Self::Unexpected(_) => {
                table::PEER_PROTOCOL.reply()
            }
            Self::Lost | Self::Quit => table::CONNECTION_LOST.reply(),
            Self::Refused(reply) | Self::Unsendable(reply) => reply.clone(),
            Self::TimedOut => table::ATTEMPT_TIMED_OUT.reply(),
            Self::TlsUnavailable => table::PEER_WITHOUT_TLS.reply(),
        }
    }

    /// Whose words [`Self::reply`] is.
    #[must_use]
    pub const fn by(&self) -> Author {
        match self {
            Self::Refused(_) => Author::Peer,
            Self::Abandoned
            | Self::Dialect
            | Self::Injection
            | Self::Lost
            | Self::Protocol(_)
            | Self::Quit
            | Self::TimedOut
            | Self::TlsUnavailable
            | Self::Unexpected(_)
            | Self::Unsendable(_) => Author::Us,
        }
    }
}
