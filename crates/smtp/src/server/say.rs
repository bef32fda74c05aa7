//! What a session says, and what it counts against the client.

use mail::reply::table::{self, Row};
use mail::{Reply, ReplyClass};

use super::event::{CloseReason, Event};
use super::session::{CODE_CLOSING, Session};

impl Session {
    /// Appends a reply of one line. The intermediate ones have no enhanced code
    /// (RFC 2034 §4).
    pub(super) fn say(&mut self, reply: &Reply) {
        self.say_begin(reply.code.value(), b' ');
        if let (Some(enhanced), true) = (reply.enhanced, reply.class() != ReplyClass::Intermediate)
        {
            for (number, end) in [
                (u16::from(enhanced.class()), b'.'),
                (enhanced.subject(), b'.'),
                (enhanced.detail(), b' '),
            ] {
                push_number(&mut self.output, number);
                self.output.push(end);
            }
        }
        self.say_end(reply.text());
    }

    pub(super) fn say_times(&mut self, reply: &Reply, times: usize) {
        for _ in 0..times {
            self.say(reply);
        }
    }

    /// The greeting; it has no enhanced code (RFC 2034 §4).
    pub(super) fn say_greeting(&mut self) {
        self.say_begin(table::GREETING.code, b' ');
        self.output
            .extend_from_slice(self.settings.hostname.as_bytes());
        self.say_end(" ESMTP");
    }

    /// One line of a reply of several; `separator` is a space in the last one.
    pub(super) fn say_line(&mut self, code: u16, separator: u8, text: &str) {
        self.say_begin(code, separator);
        self.say_end(text);
    }

    fn say_begin(&mut self, code: u16, separator: u8) {
        push_number(&mut self.output, code);
        self.output.push(separator);
    }

    fn say_end(&mut self, text: &str) {
        self.output.extend_from_slice(text.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    /// The machine says no to a command by itself.
    pub(super) fn refuse(&mut self, row: &'static Row) {
        self.say(&row.reply());
        self.note_refusal(row);
        self.count_error();
    }

    /// Tells the caller what the machine refused by itself.
    pub(super) fn note_refusal(&mut self, row: &'static Row) {
        self.events.push_back(Event::Refused(row));
    }

    /// The caller says no.
    pub(super) fn decline(&mut self, reply: &Reply) {
        self.say(reply);
        self.count_reply(reply);
    }

    /// What a reply that was said means for the session. Between instances a refusal is an
    /// answer, not an error.
    pub(super) fn count_reply(&mut self, reply: &Reply) {
        if reply.code == CODE_CLOSING {
            self.close(CloseReason::Refused);
        } else if reply.class() == ReplyClass::Permanent && !self.is_edge() {
            self.count_error();
        }
    }

    pub(super) fn count_error(&mut self) {
        self.n_errors = self.n_errors.saturating_add(1);
        if self.n_errors > self.settings.limits.errors_max {
            self.end(&table::TOO_MANY_ERRORS);
        }
    }

    /// One more command that by itself leads to no message. Says whether there may be more.
    pub(super) fn count_command(&mut self) -> bool {
        self.n_commands = self.n_commands.saturating_add(1);
        let within = self.n_commands <= self.settings.limits.commands_max;
        if !within {
            self.end(&table::TOO_MANY_COMMANDS);
        }
        within
    }
}

/// Appends a number below 1000 in decimal; replies are written too often for the general way.
fn push_number(out: &mut Vec<u8>, number: u16) {
    let digit = |n: u16| b'0' + (n % 10).to_le_bytes()[0];
    if number >= 100 {
        out.push(digit(number / 100));
    }
    if number >= 10 {
        out.push(digit(number / 10));
    }
    out.push(digit(number));
}
