//! VRFY: a question of another instance; nothing that the world is told.
//!
//! # Standards
//! RFC 5321 §3.5.3, §7.3.

use mail::reply::table;
use mail::{Moment, Reply};

use super::event::{Event, VerifyCommand, VerifyQuestion};
use super::session::Session;
use super::state::Asked;

impl Session {
    pub(super) fn vrfy(&mut self, argument: &str) {
        if let Err(row) = self.check_tls() {
            return self.refuse(row);
        }
        if argument.is_empty() {
            return self.refuse(&table::SYNTAX_ARGUMENT);
        }
        if !self.is_edge() {
            return self.say(&table::CANNOT_VERIFY.reply());
        }
        let serial = self.ask(Asked::Verify);
        let argument = argument.into();
        let command = VerifyCommand { argument };
        self.events
            .push_back(Event::Verify(VerifyQuestion(serial), command));
    }

    /// Answers [`Event::Verify`].
    pub fn answer_verify(&mut self, now: Moment, question: VerifyQuestion, answer: Reply) {
        let Some(Asked::Verify) = self.answered(question.0) else {
            return;
        };
        self.decline(&answer);
        self.go_on(now);
    }
}
