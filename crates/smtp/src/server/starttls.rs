//! STARTTLS: from plaintext to TLS, with nothing carried over.
//!
//! # Standards
//! RFC 3207 §4.

use mail::reply::table::{self, Row};
use mail::{Moment, Security};

use super::event::Event;
use super::session::Session;
use super::settings::Starttls;
use super::state::State;

impl Session {
    pub(super) fn starttls(&mut self, now: Moment) {
        if let Err(row) = self.check_starttls() {
            return self.refuse(row);
        }
        self.say(&table::TLS_READY.reply());
        self.state = State::Handshake;
        self.deadline = Some(now + self.settings.limits.tls_timeout);
        self.events.push_back(Event::StartTls);
    }

    fn check_starttls(&self) -> Result<(), &'static Row> {
        if self.settings.extensions.starttls == Starttls::NotOffered {
            return Err(&table::NOT_IMPLEMENTED);
        }
        if self.hello.is_none() {
            return Err(&table::HELLO_FIRST);
        }
        if self.security == Security::Tls || self.transaction.is_some() {
            return Err(&table::BAD_SEQUENCE);
        }
        Ok(())
    }

    /// The TLS handshake after [`Event::StartTls`] is done. What the client said is forgotten
    /// (RFC 3207 §4.2), and it must say EHLO anew. Does nothing at any other time.
    pub fn handle_tls(&mut self, now: Moment) {
        if !matches!(self.state, State::Handshake) {
            return;
        }
        self.security = Security::Tls;
        self.hello = None;
        self.end_transaction();
        self.expect_command(now);
    }
}
