//! RSET and QUIT: the ends of a transaction and of a session.
//!
//! # Standards
//! RFC 5321 §4.1.1.5, §4.1.1.10.

use mail::reply::table;

use super::event::{CloseReason, Event, ResetCause};
use super::session::Session;

impl Session {
    pub(super) fn rset(&mut self) {
        self.reset(ResetCause::Rset);
        self.say(&table::OK.reply());
    }

    pub(super) fn quit(&mut self) {
        self.say(&table::CLOSING.reply());
        self.close(CloseReason::Quit);
    }

    pub(super) fn reset(&mut self, cause: ResetCause) {
        if self.transaction.is_some() {
            self.body = Vec::new();
            self.events.push_back(Event::Reset(cause));
        }
        self.end_transaction();
    }
}
