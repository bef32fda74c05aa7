//! The question before the greeting, for a listener that checks its clients first.
//!
//! # Standards
//! RFC 5321 §3.1 for a greeting that refuses, §4.3.1 for a client that must wait for it.

use mail::{Moment, Reply};

use super::event::{CloseReason, ConnectQuestion, Event};
use super::session::{CODE_CLOSING, Phase, Session};
use super::state::{Asked, State};

impl Session {
    pub(super) fn ask_to_connect(&mut self) {
        let serial = self.ask(Asked::Connect);
        self.events
            .push_back(Event::Connect(ConnectQuestion(serial)));
    }

    /// Answers [`Event::Connect`]: the greeting is sent, or the refusal in its place. After `421`
    /// the session is closed at once; after any other refusal, the client may only send QUIT.
    pub fn answer_connect(
        &mut self,
        now: Moment,
        question: ConnectQuestion,
        answer: Result<(), Reply>,
    ) {
        let Some(Asked::Connect) = self.answered(question.0) else {
            return;
        };
        match answer {
            // An instance that stops sends its `421` in place of the greeting.
            Ok(()) if self.phase == Phase::Stopping => {}
            Ok(()) => self.say_greeting(),
            Err(reply) => self.refuse_service(&reply),
        }
        self.go_on(now);
    }

    pub(super) fn refuse_service(&mut self, reply: &Reply) {
        self.phase = Phase::Refusing;
        self.say(reply);
        if reply.code == CODE_CLOSING {
            self.close(CloseReason::Refused);
        }
    }

    /// Reports the first bytes that come before the greeting: a client that does not wait for it
    /// is no mail server.
    pub(super) fn notice_early_talk(&mut self, bytes: &[u8]) {
        let waits_for_greeting = matches!(self.state, State::Await(_, Asked::Connect));
        if waits_for_greeting && !bytes.is_empty() && self.n_waiting() == 0 {
            self.events.push_back(Event::EarlyTalk);
        }
    }
}
