//! Input: how it is cut into lines, chunks and content, and what waits while it cannot be.

use mail::Moment;
use mail::reply::table;

use super::event::{CloseReason, Event};
use super::session::Session;
use super::state::State;
use crate::codec::command::{announces_content, begins_no_line};
use crate::codec::line::{LineFault, LineStep};
use crate::limits::{BODY_LEN_MAX, EVENTS_MAX, INPUT_LEN_MAX, INPUT_LEN_MAX_LARGE, OUTPUT_LEN_MAX};

impl Session {
    /// Takes octets from the client. All are kept or used; give at most as many as
    /// [`input_room`](Self::input_room) says.
    pub fn handle_input(&mut self, now: Moment, bytes: &[u8]) {
        self.notice_early_talk(bytes);
        if self.pending.is_empty() {
            let used = self.advance(now, bytes);
            self.pending.add(&bytes[used..]);
        } else {
            self.pending.add(bytes);
            self.advance_pending(now);
        }
        self.settle();
    }

    /// How many octets to read from the client. None while a question is open and enough input
    /// waits, while the body waits to be taken or replies to be written, during a TLS handshake,
    /// and after the end.
    #[must_use]
    pub fn input_room(&self) -> usize {
        if self.saw_eof || self.is_full() || self.body.len() >= BODY_LEN_MAX {
            return 0;
        }
        let max = match self.state {
            State::Closed | State::Handshake => return 0,
            // How much there is before its end is not known.
            State::Data(..) => INPUT_LEN_MAX_LARGE,
            State::Chunk(ref chunk) => usize::try_from(chunk.remaining)
                .unwrap_or(usize::MAX)
                .saturating_add(self.waiting_max())
                .min(INPUT_LEN_MAX_LARGE),
            State::Await(..) | State::Command => self.waiting_max(),
        };
        max.saturating_sub(self.pending.len())
    }

    /// How much input may wait.
    fn waiting_max(&self) -> usize {
        if self.is_edge() {
            INPUT_LEN_MAX_LARGE
        } else {
            INPUT_LEN_MAX.max(self.settings.limits.command_len_max)
        }
    }

    /// How much of the input waits.
    #[must_use]
    pub fn n_waiting(&self) -> usize {
        self.pending.len()
    }

    /// All that was transmitted is written: goes on with commands that waited for this. To be
    /// called when no event is left, before more is read. Says whether there were any.
    pub fn resume(&mut self, now: Moment) -> bool {
        self.n_unwritten = 0;
        let held_back = std::mem::take(&mut self.holds_back);
        if held_back {
            self.advance_pending(now);
        }
        held_back
    }

    /// Whether so much waits to be taken from the session that it looks at no further command.
    pub(super) fn is_full(&self) -> bool {
        self.n_unwritten + self.output.len() >= OUTPUT_LEN_MAX || self.events.len() >= EVENTS_MAX
    }

    /// Goes on with what waits.
    pub(super) fn advance_pending(&mut self, now: Moment) {
        let mut pending = std::mem::take(&mut self.pending);
        let used = self.advance(now, pending.octets());
        pending.remove(used);
        self.pending = pending;
        self.settle();
    }

    /// Uses as much of `input` as it can, and says how much.
    fn advance(&mut self, now: Moment, input: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let before = used;
            let is_full = self.is_full();
            match &mut self.state {
                State::Closed => return input.len(),
                State::Await(..) => return used,
                State::Handshake if rest.is_empty() => return used,
                State::Handshake => self.end_injection(),
                State::Command if rest.is_empty() => return used,
                State::Command if is_full => {
                    self.holds_back = true;
                    return used;
                }
                State::Command => used += self.line(now, rest),
                State::Chunk(_) => used += self.chunk(now, rest),
                State::Data(..) => used += self.data(now, rest),
            }
            if used == before && !self.is_closed() {
                return used;
            }
        }
    }

    fn line(&mut self, now: Moment, input: &[u8]) -> usize {
        if self.content_may_follow && self.has_unwritten() {
            // It was sent before the client can have read the refusal.
            self.end_doubtful();
            return input.len();
        }
        let begins_no_line = input.first().copied().is_some_and(begins_no_line);
        if begins_no_line && self.lines.is_at_line_start() {
            self.end_foreign();
            return input.len();
        }
        let len_max = self.settings.limits.command_len_max;
        let (used, step) = self.lines.step(input, len_max);
        match step {
            LineStep::More => return used,
            LineStep::Line(line) => self.command(now, line),
            LineStep::Fault(fault, line) => self.refuse_fault(fault, line),
        }
        if matches!(self.state, State::Command) {
            self.expect_command(now);
        }
        used
    }

    fn refuse_fault(&mut self, fault: LineFault, line: &[u8]) {
        match fault {
            // Smuggling: who takes a bare LF for a line end sees other commands than we do.
            LineFault::BareNewline => {
                self.refuse(&table::BARE_NEWLINE);
                self.end(&table::OUT_OF_STEP);
            }
            LineFault::Endless => self.end(&table::LINE_TOO_LONG_CLOSING),
            LineFault::Nul => self.end_foreign(),
            LineFault::TooLong if announces_content(line) => {
                self.refuse(&table::LINE_TOO_LONG);
                self.end(&table::OUT_OF_STEP);
            }
            LineFault::TooLong => self.refuse(&table::LINE_TOO_LONG),
        }
    }

    /// Whether there are replies that the client cannot have read.
    const fn has_unwritten(&self) -> bool {
        self.n_unwritten > 0 || !self.output.is_empty()
    }

    /// After each step: tells of the body, and ends what the client left.
    fn settle(&mut self) {
        let is_receiving = matches!(
            self.state,
            State::Chunk(_) | State::Command | State::Data(..)
        );
        if is_receiving
            && !self.body.is_empty()
            && !self.events.iter().any(|event| matches!(event, Event::Body))
        {
            self.events.push_back(Event::Body);
        }
        if self.holds_back {
            return;
        }
        if self.saw_eof && (is_receiving || matches!(self.state, State::Handshake)) {
            self.close(CloseReason::ClientLeft);
        }
    }

    /// Injection (CVE-2011-0411): octets that follow STARTTLS before the handshake would be
    /// read as if they had come protected (quirk: plaintext-after-starttls-ends-the-session).
    fn end_injection(&mut self) {
        self.events
            .retain(|event| !matches!(event, Event::StartTls));
        self.close(CloseReason::Injection);
    }
}

/// Octets that cannot be used yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    octets: Vec<u8>,
    used: usize,
}

impl Pending {
    /// An empty buffer above this many octets is given back: an idle session stays small.
    const KEPT_LEN_MAX: usize = 1024;

    fn octets(&self) -> &[u8] {
        &self.octets[self.used..]
    }

    pub(super) fn len(&self) -> usize {
        self.octets().len()
    }

    fn is_empty(&self) -> bool {
        self.octets().is_empty()
    }

    fn add(&mut self, bytes: &[u8]) {
        // What was used moves out only here, so that each octet moves at most once a read.
        self.octets.drain(..self.used);
        self.used = 0;
        // No more than is needed: what a client sends must not cost twice as much.
        self.octets.reserve_exact(bytes.len());
        self.octets.extend_from_slice(bytes);
    }

    fn remove(&mut self, n: usize) {
        self.used += n;
        if self.is_empty() {
            self.used = 0;
            if self.octets.capacity() > Self::KEPT_LEN_MAX {
                self.octets = Vec::new();
            } else {
                self.octets.clear();
            }
        }
    }
}
