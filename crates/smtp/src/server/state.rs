//! Where a session stands.
//!
//! # Guarantees
//! A message is acknowledged only out of [`Asked::Commit`], and only the answer to its question
//! leads out of it.

use mail::{BodyType, Reply};

use super::content::Content;
use super::event::{Hello, Serial};
use crate::codec::bdat::{ChunkHeader, ChunkPlace};
use crate::codec::data::DataDecoder;

/// What the session waits for.
#[derive(Debug)]
pub(super) enum State {
    /// The answer to a question.
    Await(Serial, Asked),
    /// The octets of a chunk.
    Chunk(Chunk),
    /// Nothing: the session is over.
    Closed,
    /// A command.
    Command,
    /// Content by DATA.
    Data(DataDecoder, Fate),
    /// The TLS handshake.
    Handshake,
}

/// The question that is open.
#[derive(Debug)]
pub(super) enum Asked {
    Commit,
    Connect,
    Data(Arrival),
    Hello(Hello),
    Mail(Transaction),
    Rcpt,
    Verify,
}

/// How content announced itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arrival {
    Chunk(ChunkHeader),
    Data,
}

/// A chunk that is arriving.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) remaining: u64,
    pub(super) place: ChunkPlace,
    pub(super) fate: Fate,
}

/// What becomes of content that is arriving.
#[derive(Debug)]
pub(super) enum Fate {
    /// It is the message's.
    Keep(Content),
    /// It is read over; at its end the reply is given so many times.
    Refuse(Reply, usize),
}

/// A mail transaction: what MAIL opened.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) body: BodyType,
    pub(super) smtputf8: bool,
    pub(super) n_recipients: usize,
    /// What the chunks so far have brought, between two of them.
    pub(super) content: Option<Content>,
}
