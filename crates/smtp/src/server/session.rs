//! The session: its buffers, its clock, and the order in which its parts are asked.
//!
//! What a command does stands in the command's own file.

use std::collections::VecDeque;
use std::sync::Arc;

use mail::{Moment, Reply, Security};

use super::event::{
    CommitQuestion, Committed, DataQuestion, Event, Hello, MailQuestion, RcptQuestion,
    VerifyQuestion,
};
use super::settings::Settings;

/// One client's session, from the greeting to the end.
///
/// Answers nothing of its own accord after [`Event::Closed`].
#[derive(Debug)]
pub struct Session {
    pub(super) settings: Arc<Settings>,
    pub(super) security: Security,
    pub(super) hello: Option<Hello>,
    pub(super) events: VecDeque<Event>,
    pub(super) output: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl Session {
    /// A session with a client that just connected. The greeting is ready to be transmitted.
    #[must_use]
    pub fn new(settings: Arc<Settings>, security: Security, now: Moment) -> Self {
        let _ = now;
        Self {
            settings,
            security,
            hello: None,
            events: VecDeque::new(),
            output: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A session with a client that gets no service: `reply` is the greeting. After `421` the
    /// session is closed at once; after any other, each command but QUIT is refused with it
    /// (RFC 5321 §3.1).
    #[must_use]
    pub fn refusing(settings: Arc<Settings>, reply: Reply, now: Moment) -> Self {
        let _ = reply;
        Self::new(settings, Security::Plain, now)
    }

    /// Takes octets from the client. All are kept or used, also where
    /// [`wants_input`](Self::wants_input) is false; give at most what one read brings.
    pub fn handle_input(&mut self, now: Moment, bytes: &[u8]) {
        let _ = (now, bytes);
    }

    /// The client will send no more. What waits is still answered; content that is not complete
    /// is dropped.
    pub fn handle_eof(&mut self, now: Moment) {
        let _ = now;
    }

    /// Looks at the time; to be called at [`poll_timeout`](Self::poll_timeout) or later. Too
    /// early a call does nothing.
    pub fn handle_timeout(&mut self, now: Moment) {
        let _ = now;
    }

    /// The TLS handshake after [`Event::StartTls`] is done. What the client said is forgotten
    /// (RFC 3207 §4.2), and it must say EHLO anew.
    pub fn handle_tls(&mut self, now: Moment) {
        let _ = now;
    }

    /// What happened next, oldest first. Ask until there is nothing, before transmitting.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Appends what is to be written to the client to `out`, and forgets it.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.output);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None` while the client is
    /// not the one who is waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        None
    }

    /// Whether to read from the client. False while a question is open and enough input waits,
    /// while the body waits to be taken or replies to be written, during a TLS handshake, and
    /// after the end.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        true
    }

    /// Appends the decoded content received so far to `into`, and forgets it. Nothing is copied
    /// where `into` is empty: the buffers are exchanged.
    pub fn take_body(&mut self, into: &mut Vec<u8>) {
        into.append(&mut self.body);
    }

    /// Answers [`Event::Mail`]. A reply with code 421 ends the session; this holds for all
    /// answers.
    pub fn answer_mail(&mut self, now: Moment, question: MailQuestion, answer: Result<(), Reply>) {
        let _ = (now, question, answer);
    }

    /// Answers [`Event::Rcpt`].
    pub fn answer_rcpt(&mut self, now: Moment, question: RcptQuestion, answer: Result<(), Reply>) {
        let _ = (now, question, answer);
    }

    /// Answers [`Event::Data`]. A refusal ends the transaction; chunks that come all the same are
    /// read over.
    pub fn answer_data(&mut self, now: Moment, question: DataQuestion, answer: Result<(), Reply>) {
        let _ = (now, question, answer);
    }

    /// Answers [`Event::Commit`], and ends the transaction.
    pub fn answer_commit(&mut self, now: Moment, question: CommitQuestion, answer: Committed) {
        let _ = (now, question, answer);
    }

    /// Answers [`Event::Verify`].
    pub fn answer_verify(&mut self, now: Moment, question: VerifyQuestion, answer: Reply) {
        let _ = (now, question, answer);
    }

    /// Ends the session with `421` as soon as no command is under way; content that is arriving
    /// may still arrive, and its message be committed.
    pub fn shut_down(&mut self, now: Moment) {
        let _ = now;
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
        0
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        false
    }
}
