//! The session: its buffers, its clock, and the order in which its parts are asked.
//!
//! What a command does stands in the command's own file; how input is cut for them, in `input`;
//! what is said and counted, in `say`.

use std::collections::VecDeque;
use std::sync::Arc;

use mail::reply::table;
use mail::{Moment, Reply, ReplyCode, Security};

use super::event::{CloseReason, Event, Hello, Serial};
use super::input::Pending;
use super::pace::Pace;
use super::settings::{Dialect, Settings};
use super::state::{Asked, State, Transaction};
use crate::codec::line::LineReader;
use crate::codec::xforward::XforwardAttributes;

/// One client's session, from the greeting to the end.
///
/// Answers nothing of its own accord after [`Event::Closed`].
#[derive(Debug)]
pub struct Session {
    pub(super) settings: Arc<Settings>,
    pub(super) security: Security,
    pub(super) hello: Option<Hello>,
    pub(super) xforward: Option<Box<XforwardAttributes>>,
    pub(super) transaction: Option<Transaction>,
    pub(super) state: State,
    pub(super) phase: Phase,
    /// Whether the client closed its side; what waits is still answered.
    pub(super) saw_eof: bool,
    pub(super) serial: Serial,
    /// When the client must have said something; `None` while it is not waited for.
    pub(super) deadline: Option<Moment>,
    pub(super) pace: Pace,
    /// Content was refused before it came, and a client that does not wait sends it all the same.
    pub(super) content_may_follow: bool,
    /// The client may have meant the end of the content elsewhere: after the reply to it, nobody
    /// can tell what follows.
    pub(super) is_out_of_step: bool,
    /// Octets of refused content since content was last welcome.
    pub(super) refused_len: u64,
    /// Since a message was last accepted.
    pub(super) n_commands: u32,
    /// Since a message was last accepted.
    pub(super) n_errors: u32,
    pub(super) lines: LineReader,
    pub(super) pending: Pending,
    /// Commands wait until the replies before them are written.
    pub(super) holds_back: bool,
    /// Octets that were transmitted, and are not known to be written.
    pub(super) n_unwritten: usize,
    pub(super) events: VecDeque<Event>,
    pub(super) output: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// How far the session is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Mail is taken.
    Open,
    /// The client gets no service; it may only say QUIT.
    Refusing,
    /// The instance stops; the session ends at the next boundary.
    Stopping,
}

impl Session {
    /// A session with a client that just connected. The greeting is ready to be transmitted.
    #[must_use]
    pub fn new(settings: Arc<Settings>, security: Security, now: Moment) -> Self {
        let mut session = Self::silent(settings, security, now);
        session.say_greeting();
        session
    }

    /// As [`new`](Self::new), but the client waits for its greeting until [`Event::Connect`] is
    /// answered; what it sends before is [`Event::EarlyTalk`].
    #[must_use]
    pub fn with_connect_question(settings: Arc<Settings>, security: Security, now: Moment) -> Self {
        let mut session = Self::silent(settings, security, now);
        session.ask_to_connect();
        session
    }

    /// A session with a client that gets no service: `reply` is the greeting. After `421` the
    /// session is closed at once; after any other, the client may only say QUIT
    /// (RFC 5321 §3.1).
    #[must_use]
    pub fn refusing(settings: Arc<Settings>, reply: Reply, now: Moment) -> Self {
        let mut session = Self::silent(settings, Security::Plain, now);
        session.refuse_service(&reply);
        session
    }

    fn silent(settings: Arc<Settings>, security: Security, now: Moment) -> Self {
        Self {
            deadline: Some(now + settings.limits.command_timeout),
            pace: Pace::start(now, &settings.limits),
            settings,
            security,
            hello: None,
            xforward: None,
            transaction: None,
            state: State::Command,
            phase: Phase::Open,
            saw_eof: false,
            serial: Serial::default(),
            content_may_follow: false,
            is_out_of_step: false,
            refused_len: 0,
            n_commands: 0,
            n_errors: 0,
            lines: LineReader::default(),
            pending: Pending::default(),
            holds_back: false,
            n_unwritten: 0,
            events: VecDeque::new(),
            output: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The client will send no more. What waits is still answered; content that is not complete
    /// is dropped.
    pub fn handle_eof(&mut self, now: Moment) {
        self.saw_eof = true;
        self.advance_pending(now);
    }

    /// Looks at the time; to be called at [`poll_timeout`](Self::poll_timeout) or later. Too
    /// early a call does nothing.
    pub fn handle_timeout(&mut self, now: Moment) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        match &self.state {
            State::Chunk(_) | State::Data(..) => {
                self.end(self.pace.verdict(&self.settings.limits));
            }
            State::Command => self.end(&table::TIMED_OUT),
            // Nothing can be said in the middle of a handshake.
            State::Handshake => self.close(CloseReason::Ended(&table::TIMED_OUT)),
            State::Await(..) | State::Closed => {}
        }
    }

    /// Ends the session with `421` as soon as no command is under way; content that is arriving
    /// may still arrive, and its message be committed.
    pub fn shut_down(&mut self, now: Moment) {
        self.phase = Phase::Stopping;
        if matches!(self.state, State::Command) {
            self.expect_command(now);
        }
    }

    /// What happened next, oldest first. Ask until there is nothing, before transmitting.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        // As the output: what a flood needed is not kept.
        if self.events.is_empty() && self.events.capacity() > EVENTS_KEPT {
            self.events = VecDeque::new();
        }
        event
    }

    /// Appends what is to be written to the client to `out`, and forgets it. It counts as unwritten
    /// until [`resume`](Self::resume).
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) {
        self.n_unwritten += self.output.len();
        out.reserve_exact(self.output.len());
        out.append(&mut self.output);
        // The answers to a flood were many; an idle session stays small.
        if self.output.capacity() > OUTPUT_LEN_KEPT {
            self.output = Vec::new();
        }
    }

    /// The decoded content received since it was taken last. The session keeps nothing of it, and
    /// no room for more.
    #[must_use]
    pub fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None` while the client is
    /// not the one who is waited for.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Moment> {
        self.deadline
    }

    /// Whether the connection is protected now.
    #[must_use]
    pub const fn security(&self) -> Security {
        self.security
    }

    /// Who the client says it is; forgotten by [`handle_tls`](Self::handle_tls).
    #[must_use]
    pub const fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// How many recipients the open transaction has; zero where none is open.
    #[must_use]
    pub fn n_recipients(&self) -> usize {
        self.transaction.as_ref().map_or(0, |t| t.n_recipients)
    }

    /// Whether the session is over.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub(super) fn is_edge(&self) -> bool {
        self.settings.dialect == Dialect::Edge
    }

    /// Asks; until the answer, nothing else happens.
    pub(super) fn ask(&mut self, asked: Asked) -> Serial {
        self.serial = self.serial.next();
        self.state = State::Await(self.serial, asked);
        self.deadline = None;
        self.serial
    }

    /// The open question, where it is the one that is answered.
    pub(super) fn answered(&mut self, serial: Serial) -> Option<Asked> {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Await(open, asked) if open == serial => Some(asked),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Goes on after an answer: with what waits, or with the next command.
    pub(super) fn go_on(&mut self, now: Moment) {
        if matches!(self.state, State::Command) {
            self.expect_command(now);
        }
        self.advance_pending(now);
    }

    /// A command is done; another may come.
    pub(super) fn expect_command(&mut self, now: Moment) {
        let content_is_open = self
            .transaction
            .as_ref()
            .is_some_and(|t| t.content.is_some());
        if self.phase == Phase::Stopping && !content_is_open {
            self.end(&table::SHUTTING_DOWN);
            return;
        }
        self.state = State::Command;
        let deadline = now + self.settings.limits.command_timeout;
        // Between chunks the content goes on costing time: one octet a chunk is no way around.
        self.deadline = Some(if content_is_open {
            deadline.min(self.pace.deadline())
        } else {
            deadline
        });
    }

    /// The transaction is over, whatever became of it.
    pub(super) fn end_transaction(&mut self) {
        self.transaction = None;
        self.xforward = None;
    }

    /// Says a `421` of ours and closes.
    pub(super) fn end(&mut self, row: &'static table::Row) {
        if !self.is_closed() {
            self.say(&row.reply());
            self.close(CloseReason::Ended(row));
        }
    }

    pub(super) fn close(&mut self, reason: CloseReason) {
        if self.is_closed() {
            return;
        }
        self.state = State::Closed;
        self.deadline = None;
        self.end_transaction();
        self.pending = Pending::default();
        self.holds_back = false;
        self.body = Vec::new();
        self.events.push_back(Event::Closed(reason));
    }
}

/// The code after which the session is closed (RFC 5321 §3.8).
pub(super) const CODE_CLOSING: ReplyCode = ReplyCode::new(421);

/// Room for so many events is kept between commands.
const EVENTS_KEPT: usize = 4;

/// The output buffer that is kept between replies, in octets; an answer to EHLO fits.
const OUTPUT_LEN_KEPT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_is_small() {
        // With the buffers that are kept, and the events, this is well below 8 KiB a connection.
        assert!(size_of::<Session>() <= 1024, "{}", size_of::<Session>());
        assert!(size_of::<Event>() <= 256, "{}", size_of::<Event>());
    }
}
