//! The end of the content, and the one place where a message is acknowledged.
//!
//! # Guarantees
//! A positive reply to content is said in [`Session::answer_commit`] and nowhere else.
//!
//! # Standards
//! RFC 5321 §4.2.5; RFC 2033 §4.2 for the replies of the edge.

use mail::reply::table;
use mail::{Moment, Reply};

use super::event::{CommitQuestion, Committed, Event};
use super::session::Session;
use super::state::{Asked, Fate};
use crate::codec::bdat::ChunkPlace;

impl Session {
    /// All octets of the content came: asks for the commit, or refuses as it must.
    pub(super) fn end_content(&mut self, now: Moment, fate: Fate) {
        let fate = match fate {
            Fate::Keep(mut content) => match content.finish(&mut self.body) {
                Ok(()) => {
                    let serial = self.ask(Asked::Commit);
                    self.events.push_back(Event::Commit(CommitQuestion(serial)));
                    return;
                }
                Err(row) => {
                    // Only a chunk can end so; DATA ends with CR LF.
                    let times = self.n_replies(ChunkPlace::Last);
                    self.refuse_content(row, times)
                }
            },
            refused @ Fate::Refuse(..) => refused,
        };
        if let Fate::Refuse(reply, times) = fate {
            self.say_times(&reply, times);
            self.count_reply(&reply);
        }
        self.end_where_out_of_step();
        if !self.is_closed() {
            self.expect_command(now);
        }
    }

    /// Answers [`Event::Commit`], and ends the transaction.
    pub fn answer_commit(&mut self, now: Moment, question: CommitQuestion, answer: Committed) {
        let Some(Asked::Commit) = self.answered(question.0) else {
            return;
        };
        let times = self.n_replies(ChunkPlace::Last);
        self.end_transaction();
        self.body = Vec::new();
        match answer {
            Committed::All(reply) => {
                self.say_times(&reply, times);
                self.count_outcome(&reply);
            }
            Committed::Each(replies) if replies.len() == times => {
                for reply in &replies {
                    self.say(reply);
                }
                for reply in &replies {
                    self.count_outcome(reply);
                }
            }
            // A fault of the caller: no reply to the client would be true.
            Committed::Each(_) => self.end(&table::NOT_AVAILABLE),
        }
        self.end_where_out_of_step();
        self.go_on(now);
    }

    /// After content that another server could have ended elsewhere, what follows may be a part of
    /// it, put there to be read as commands.
    fn end_where_out_of_step(&mut self) {
        if self.is_out_of_step {
            self.end_doubtful();
        }
    }

    /// Who brings a message may start anew with errors.
    fn count_outcome(&mut self, reply: &Reply) {
        if reply.is_positive() {
            self.n_commands = 0;
            self.n_errors = 0;
        } else {
            self.count_reply(reply);
        }
    }
}
