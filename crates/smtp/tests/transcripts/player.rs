//! Plays the steps of a transcript: a driver of the machine in virtual time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use mail::reply::table;
use mail::{Moment, Reply};
use smtp::server::{
    CommitQuestion, Committed, ConnectQuestion, Event, MailCommand, RcptCommand, Session,
};

use crate::script::{Script, Step};

pub(crate) struct Player {
    session: Session,
    now: Moment,
    body: Vec<u8>,
    answers: HashMap<String, VecDeque<Vec<Reply>>>,
    makes_wait: bool,
    waiting: Option<CommitQuestion>,
    /// The question before the greeting waits for `!answer`.
    greeting: Option<ConnectQuestion>,
}

impl Player {
    pub(crate) fn new(script: &Script) -> Self {
        let settings = Arc::new(script.settings.clone());
        let now = Moment::START;
        let session = match &script.refusal {
            Some(reply) => Session::refusing(settings, reply.clone(), now),
            None if script.checks_connection => {
                Session::with_connect_question(settings, script.security, now)
            }
            None => Session::new(settings, script.security, now),
        };
        Self {
            session,
            now,
            body: Vec::new(),
            answers: HashMap::new(),
            makes_wait: false,
            waiting: None,
            greeting: None,
        }
    }

    /// Makes the step; says what the machine told and said.
    pub(crate) fn play(&mut self, step: &Step) -> Vec<String> {
        match step {
            Step::Answer => {
                if let Some(question) = self.waiting.take() {
                    self.commit(question);
                }
                if let Some(question) = self.greeting.take() {
                    let answer = self.answer("connect");
                    self.session.answer_connect(self.now, question, answer);
                }
            }
            Step::Answers(what, replies) => {
                let queue = self.answers.entry(what.clone()).or_default();
                queue.push_back(replies.clone());
            }
            Step::Eof => self.session.handle_eof(self.now),
            Step::Nothing => {}
            Step::Send(octets) => self.session.handle_input(self.now, octets),
            Step::ShutDown => self.session.shut_down(self.now),
            Step::Time(passed) => {
                self.now = self.now + *passed;
                self.session.handle_timeout(self.now);
            }
            Step::Tls => self.session.handle_tls(self.now),
            Step::Wait => self.makes_wait = true,
        }
        self.outcome()
    }

    /// What the machine told and said since it was asked last.
    pub(crate) fn outcome(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            lines.extend(self.told());
            let mut output = Vec::new();
            self.session.poll_transmit(&mut output);
            let output = String::from_utf8(output).expect("replies are text");
            assert!(output.is_empty() || output.ends_with("\r\n"), "{output:?}");
            lines.extend(
                output
                    .split_terminator("\r\n")
                    .map(|line| format!("S: {line}")),
            );
            if !self.session.resume(self.now) {
                return lines;
            }
        }
    }

    /// Gives octets while what the session says is not written; says what the machine told.
    pub(crate) fn feed(&mut self, octets: &[u8]) -> Vec<String> {
        self.session.handle_input(self.now, octets);
        self.told()
    }

    fn told(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(event) = self.session.poll_event() {
            lines.extend(self.take(event).map(|told| format!("* {told}")));
        }
        lines
    }

    fn take(&mut self, event: Event) -> Option<String> {
        let now = self.now;
        Some(match event {
            Event::Body => {
                self.body.extend(self.session.take_body());
                return None;
            }
            Event::Closed(reason) => format!("closed: {}", shown(&reason)),
            Event::Commit(question) => {
                self.body.extend(self.session.take_body());
                let content = std::mem::take(&mut self.body);
                if self.makes_wait {
                    self.waiting = Some(question);
                } else {
                    self.commit(question);
                }
                format!("commit \"{}\"", content.escape_ascii())
            }
            Event::Connect(question) => {
                self.greeting = Some(question);
                "connect".to_owned()
            }
            Event::Data(question) => {
                let answer = self.answer("data");
                self.session.answer_data(now, question, answer);
                "data".to_owned()
            }
            Event::EarlyTalk => "early talk".to_owned(),
            Event::Hello(question, hello) => {
                let answer = self.answer("hello");
                self.session.answer_hello(now, question, answer);
                let verb = if hello.extended { "EHLO" } else { "HELO" };
                format!("hello {verb} {}", hello.name)
            }
            Event::Mail(question, command) => {
                let answer = self.answer("mail");
                self.session.answer_mail(now, question, answer);
                told_mail(&command)
            }
            Event::Rcpt(question, command) => {
                let answer = self.answer("rcpt");
                self.session.answer_rcpt(now, question, answer);
                told_rcpt(&command)
            }
            Event::Refused(row) => format!("refused {}", row.id),
            Event::Reset(cause) => {
                self.body.clear();
                format!("reset: {}", shown(&cause))
            }
            Event::StartTls => "starttls".to_owned(),
            Event::Verify(question, command) => {
                let reply = self.answer("verify").err();
                let reply = reply.unwrap_or_else(|| table::OK.reply());
                self.session.answer_verify(now, question, reply);
                format!("verify {}", command.argument)
            }
        })
    }

    fn answer(&mut self, what: &str) -> Result<(), Reply> {
        match self.next_answer(what) {
            Some(mut replies) => Err(replies.remove(0)),
            None => Ok(()),
        }
    }

    fn next_answer(&mut self, what: &str) -> Option<Vec<Reply>> {
        self.answers.get_mut(what)?.pop_front()
    }

    fn commit(&mut self, question: CommitQuestion) {
        self.makes_wait = false;
        let committed = match self.next_answer("commit") {
            Some(mut replies) if replies.len() == 1 => Committed::All(replies.remove(0)),
            Some(replies) => Committed::Each(replies),
            None => Committed::All(table::ACCEPTED.with_text("accepted as 01")),
        };
        self.session.answer_commit(self.now, question, committed);
    }
}

/// `Variant` or `Variant(ROW)`; the rest of a row stands in the table.
fn shown(what: &dyn std::fmt::Debug) -> String {
    let shown = format!("{what:?}");
    match shown.split_once("(Row { id: \"") {
        Some((variant, rest)) => {
            let id = rest.split('"').next().unwrap_or_default();
            format!("{variant} {id}")
        }
        None => shown,
    }
}

fn told_mail(command: &MailCommand) -> String {
    let mut told = format!("mail {}", command.sender);
    if command.body != mail::BodyType::SevenBit {
        told += &format!(" body={:?}", command.body);
    }
    if let Some(size) = command.size {
        told += &format!(" size={size}");
    }
    if command.smtputf8 {
        told += " smtputf8";
    }
    if let Some(ret) = command.ret {
        told += &format!(" ret={ret:?}");
    }
    if let Some(envid) = &command.envid {
        told += &format!(" envid={envid}");
    }
    if let Some(edge) = &command.edge {
        told += &format!(" edge={}", edge.0);
    }
    if let Some(xforward) = &command.xforward {
        told += &format!(" {xforward:?}");
    }
    told
}

fn told_rcpt(command: &RcptCommand) -> String {
    let mut told = match &command.recipient {
        mail::ForwardPath::Mailbox(mailbox) => format!("rcpt <{mailbox}>"),
        mail::ForwardPath::Postmaster => "rcpt <Postmaster>".to_owned(),
    };
    if let Some(notify) = command.notify.keywords() {
        told += &format!(" notify={notify}");
    }
    if let Some(orcpt) = &command.orcpt {
        told += &format!(" orcpt={orcpt}");
    }
    told
}
