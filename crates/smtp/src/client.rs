//! The side that sends mail: one connection to a server, as a machine.
//!
//! Owns the order of commands, what travels together in one write, what each reply means for which
//! recipient, and how long the server may take. Its driver connects, moves octets, makes the TLS
//! handshake, gives the content, and decides what to do with the replies.
//!
//! ```text
//! Ready ──begin──▶ SendContent ──content…, end_content──▶ Finished ──begin──▶ …
//!                       at any time ──▶ Closed
//! ```
//!
//! # Guarantees
//! Each transaction that was begun ends in exactly one [`Finished`] with one reply a recipient:
//! as [`Event::Finished`], or within [`Event::Closed`]. A recipient counts as accepted only by a
//! positive reply after the whole content. Content that the server cannot take as it is, is not
//! sent. Plaintext that came before TLS is never taken for a reply within it.
//!
//! A reply belongs to a command that was sent before it came. One that answers nothing ends the
//! connection, and none of the transaction's other replies is believed: each may have answered
//! another command. A transaction that the server did not finish is ended by RSET before its
//! outcome is reported, which brings such a reply to light.
//!
//! # Limits
//! [`PIPELINE_MAX`] commands wait for a reply at once; replies as [`crate::codec::reply`]. Content
//! that was given waits in memory until it is written: the driver writes between two pieces.
//!
//! # Standards
//! RFC 5321 with its timeouts (§4.5.3.2); RFC 2033 (LMTP), RFC 2920, RFC 3030, RFC 3207, RFC 3461,
//! RFC 6152, RFC 6531, RFC 1870; docs/handoff.md. A `552` at RCPT that speaks of too many
//! recipients counts as `452` (RFC 5321 §4.5.3.1.10).
//!
//! # Failure
//! A server that is silent, slow, talks nonsense or says `421` ends the connection with a reason;
//! what is not known to be accepted is reported as not accepted, and whether it may have been.

mod capabilities;
mod command;
mod content;
mod event;
mod exchange;
mod opening;
mod phase;
mod settings;
mod transaction;

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use mail::{Author, Moment, Security};

use crate::codec::reply::ReplyReader;

pub use capabilities::{Capabilities, Capability, XforwardAttribute};
pub use content::CHUNK_LEN_MAX;
pub use event::{CloseReason, Closed, DataSent, Event, Finished, RecipientReply};
pub use phase::Phase;
pub use settings::{Dialect, Settings, Timeouts, TlsWish};
pub use transaction::{ClientRecipient, Transaction};

use transaction::{Running, Step};

/// Commands that may wait for a reply at once. Their replies fit into any socket's buffers, so
/// that neither side ever waits for the other to read (RFC 2920 §3.1).
pub const PIPELINE_MAX: usize = 100;

/// One connection to a server.
#[derive(Debug)]
pub struct Client {
    settings: Arc<Settings>,
    security: Security,
    stage: Stage,
    capabilities: Capabilities,
    reader: ReplyReader,
    /// What the next replies answer, in their order.
    awaited: VecDeque<Awaited>,
    /// How many of them, from the front, answer something that was given out to be written. A reply
    /// that comes when there are none answers nothing.
    n_sent: usize,
    /// What the reply answers that is being handled.
    answered: Option<Phase>,
    running: Option<Running>,
    out: Vec<u8>,
    events: VecDeque<Event>,
    deadline: Option<Moment>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Until the server's capabilities are known.
    Opening,
    /// The driver makes the TLS handshake.
    Handshake,
    /// Transactions can begin.
    Ready,
    /// QUIT is said.
    Quitting,
    /// Over.
    Closed,
}

/// What a reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Ehlo,
    Greeting,
    Helo,
    Noop,
    Quit,
    Reset,
    StartTls,
    Transaction(Part),
    Verify,
    Xforward,
}

/// What a reply within a transaction answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A chunk that is not the last.
    Chunk,
    /// The whole content.
    Content,
    Data,
    Mail,
    /// The recipient of this index.
    Rcpt(usize),
}

impl Client {
    /// A client on a fresh connection that is protected as `security` says. The server speaks
    /// first.
    #[must_use]
    pub fn new(settings: Arc<Settings>, security: Security, now: Moment) -> Self {
        let deadline = Some(now + settings.timeouts.greeting);
        Self {
            settings,
            security,
            stage: Stage::Opening,
            capabilities: Capabilities::default(),
            reader: ReplyReader::new(),
            awaited: VecDeque::from([Awaited::Greeting]),
            n_sent: 1,
            answered: None,
            running: None,
            out: Vec::new(),
            events: VecDeque::new(),
            deadline,
        }
    }

    /// Takes octets from the server.
    pub fn handle_input(&mut self, now: Moment, bytes: &[u8]) {
        let mut input = bytes;
        while self.wants_input() && !input.is_empty() {
            match self.reader.read(&mut input) {
                Some(Ok(code)) => self.handle_reply(code, input),
                Some(Err(e)) => self.close(CloseReason::Protocol(e)),
                None => return,
            }
            // After each reply: what is sent because of one cannot be answered by the next that
            // came together with it.
            self.advance();
            self.answered = None;
            self.rearm(now);
        }
    }

    /// The server will send nothing more.
    pub fn handle_eof(&mut self, _now: Moment) {
        self.close(match self.stage {
            Stage::Quitting => CloseReason::Quit,
            Stage::Opening | Stage::Handshake | Stage::Ready | Stage::Closed => CloseReason::Lost,
        });
    }

    /// The time that [`Self::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Moment) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.close(match self.stage {
                Stage::Quitting => CloseReason::Quit,
                Stage::Opening | Stage::Handshake | Stage::Ready | Stage::Closed => {
                    CloseReason::TimedOut
                }
            });
        }
    }

    /// TLS is established, after [`Event::StartTls`]. Whatever the server said before is forgotten.
    pub fn handle_tls(&mut self, now: Moment) {
        if self.stage == Stage::Handshake {
            self.security = Security::Tls;
            self.capabilities = Capabilities::default();
            self.reader = ReplyReader::new();
            self.stage = Stage::Opening;
            self.say_hello();
            self.rearm(now);
        }
    }

    /// The next thing for the driver to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Appends what is to be written.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) {
        // The beginning of a reply to nothing has come: its end would pass for an answer.
        if self.n_sent == 0 && self.reader.is_amid_reply() && !self.sends_lines() {
            return;
        }
        self.n_sent = self.awaited.len();
        if let Some(running) = &mut self.running {
            running.note_transmit(!self.out.is_empty());
        }
        if out.is_empty() {
            mem::swap(out, &mut self.out);
        } else {
            out.append(&mut self.out);
        }
    }

    /// When [`Self::handle_timeout`] shall be called; never, between two transactions.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Moment> {
        self.deadline
    }

    /// Whether octets from the server are welcome.
    #[must_use]
    pub const fn wants_input(&self) -> bool {
        !matches!(self.stage, Stage::Closed | Stage::Handshake)
    }

    /// What the server can do; `None` before [`Event::Ready`].
    #[must_use]
    pub fn capabilities(&self) -> Option<&Capabilities> {
        matches!(self.stage, Stage::Ready).then_some(&self.capabilities)
    }

    /// How the connection is protected now.
    #[must_use]
    pub const fn security(&self) -> Security {
        self.security
    }

    /// Whether a transaction can begin. Answers to [`Self::verify`] may still be on their way.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Ready) && self.running.is_none()
    }

    /// Whether it may be kept for another transaction: it is idle, and the server has said nothing
    /// but what it was asked for. The driver sees to it that nothing waits to be read.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        self.is_idle()
            && self.awaited.is_empty()
            && !self.reader.is_amid_reply()
            && self.events.is_empty()
    }

    /// Whether it has something to send while no reply is due: what can be read before that is
    /// written answers nothing, and must be read first.
    #[must_use]
    pub fn begins_exchange(&self) -> bool {
        self.n_sent == 0 && !self.out.is_empty() && self.wants_input()
    }

    /// Whether more content is of use. Once [`Event::SendContent`] was there, false says that the
    /// server refused: the rest of the content need not be read, and is not sent.
    #[must_use]
    pub const fn wants_content(&self) -> bool {
        matches!(
            &self.running,
            Some(Running {
                step: Step::Content(_),
                ..
            })
        )
    }

    /// Begins a transaction. What the server cannot take is refused at once, without a word to it.
    ///
    /// A caller that begins one while [`Self::is_idle`] is false has lost track: the connection
    /// ends, and the recipients of both are reported as not accepted.
    pub fn begin(&mut self, now: Moment, transaction: Transaction) {
        if !self.is_idle() {
            self.close(CloseReason::Abandoned);
            let reply = CloseReason::Abandoned.reply();
            let unfinished = Running::new(transaction).finish(&reply, Author::Us, Phase::Idle);
            self.events.push_back(Event::Finished(unfinished));
            return;
        }
        let obstacle = transaction.obstacle(&self.capabilities);
        let running = Running::new(transaction);
        if let Some(obstacle) = obstacle {
            self.events.push_back(Event::Finished(running.finish(
                &obstacle,
                Author::Us,
                Phase::Hello,
            )));
            return;
        }
        self.running = Some(running);
        self.advance();
        self.rearm(now);
    }

    /// Gives the next piece of the content, after [`Event::SendContent`]. Content that nobody wants
    /// any more is dropped.
    pub fn content(&mut self, now: Moment, bytes: &[u8]) {
        self.write_content(bytes);
        self.advance();
        self.rearm(now);
    }

    /// Says that all of the content was given.
    pub fn end_content(&mut self, now: Moment) {
        self.write_content_end();
        self.advance();
        self.rearm(now);
    }

    /// Asks about an address (VRFY), answered by [`Event::Verified`]. Several questions may be open
    /// at once. `argument` must be without controls.
    ///
    /// A caller that asks before [`Event::Ready`], or while content travels, has lost track: the
    /// connection ends.
    pub fn verify(&mut self, now: Moment, argument: &str) {
        self.say(now, "VRFY ", argument, Awaited::Verify);
    }

    /// Says something that needs no answer (NOOP, RFC 5321 §4.1.1.9). Otherwise as
    /// [`Self::verify`].
    pub fn noop(&mut self, now: Moment, argument: &str) {
        self.say(now, "NOOP ", argument, Awaited::Noop);
    }

    /// Ends the connection in order. In the middle of a transaction this is [`Self::abandon`].
    pub fn quit(&mut self, now: Moment) {
        if !self.is_idle() {
            return self.abandon();
        }
        self.out.extend_from_slice(b"QUIT\r\n");
        self.awaited.push_back(Awaited::Quit);
        self.stage = Stage::Quitting;
        self.rearm(now);
    }

    /// Ends the connection at once, for instance because the content cannot be read. The server
    /// accepts nothing whose end it has not seen.
    pub fn abandon(&mut self) {
        self.close(CloseReason::Abandoned);
    }

    fn say(&mut self, now: Moment, verb: &str, argument: &str, awaited: Awaited) {
        if !self.is_idle() || argument.contains(char::is_control) {
            return self.abandon();
        }
        for part in [verb, argument, "\r\n"] {
            self.out.extend_from_slice(part.as_bytes());
        }
        self.awaited.push_back(awaited);
        self.rearm(now);
    }

    fn close(&mut self, reason: CloseReason) {
        if self.stage == Stage::Closed {
            return;
        }
        let phase = self.phase();
        self.stage = Stage::Closed;
        // What is not written yet must not be: a half content could look like a whole one.
        self.out.clear();
        self.awaited.clear();
        self.n_sent = 0;
        self.deadline = None;
        let unfinished = self.running.take().map(|mut running| {
            if matches!(
                reason,
                CloseReason::Protocol(_) | CloseReason::Unexpected(_)
            ) {
                running.distrust();
            }
            running.finish(&reason.reply(), reason.by(), phase)
        });
        self.events.push_back(Event::Closed(Closed {
            reason,
            phase,
            unfinished,
        }));
    }

    /// Whether content travels by DATA: then a server may refuse it though no reply is due.
    fn sends_lines(&self) -> bool {
        self.running.as_ref().is_some_and(Running::sends_lines)
    }

    /// Something moved: from now on the server has its time again.
    fn rearm(&mut self, now: Moment) {
        let times = &self.settings.timeouts;
        let sending = self.wants_content();
        let time: Option<Duration> = match (self.stage, self.awaited.front()) {
            (Stage::Closed, _) => None,
            (Stage::Handshake, _) => Some(times.tls),
            (Stage::Ready, _) if sending => Some(times.data_piece),
            (Stage::Opening | Stage::Ready | Stage::Quitting, None) => None,
            (Stage::Opening | Stage::Ready | Stage::Quitting, Some(awaited)) => {
                Some(match awaited {
                    Awaited::Ehlo
                    | Awaited::Helo
                    | Awaited::Noop
                    | Awaited::Reset
                    | Awaited::StartTls
                    | Awaited::Verify
                    | Awaited::Xforward => times.hello,
                    Awaited::Greeting => times.greeting,
                    Awaited::Quit => times.quit,
                    Awaited::Transaction(part) => match part {
                        Part::Chunk | Part::Content => times.data_end,
                        Part::Data => times.data_start,
                        Part::Mail => times.mail,
                        Part::Rcpt(_) => times.rcpt,
                    },
                })
            }
        };
        self.deadline = time.map(|time| now + time);
    }
}
