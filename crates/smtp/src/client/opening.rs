//! From the greeting to the server's capabilities, with or without TLS on the way.
//!
//! # Standards
//! RFC 5321 §3.1, §3.2, §4.1.1.1; RFC 3207; RFC 2033 §4.1.

use mail::{ReplyClass, ReplyCode, Security};

use super::capabilities::{Capabilities, Capability};
use super::event::{CloseReason, Event};
use super::settings::{Dialect, TlsWish};
use super::{Awaited, Client, Stage};

/// The version of the handoff protocol that this client speaks.
const XPOSTERN_VERSION: u32 = 1;

impl Client {
    pub(super) fn say_hello(&mut self) {
        match self.settings.dialect {
            Dialect::Edge | Dialect::Smtp => self.put_hello("EHLO ", Awaited::Ehlo),
            Dialect::Lmtp => self.put_hello("LHLO ", Awaited::Ehlo),
        }
    }

    pub(super) fn on_greeting(&mut self, code: ReplyCode) {
        match code.class() {
            ReplyClass::Positive => self.say_hello(),
            ReplyClass::Intermediate | ReplyClass::Transient | ReplyClass::Permanent => {
                self.close(CloseReason::Refused(self.reader.reply()));
            }
        }
    }

    pub(super) fn on_ehlo(&mut self, code: ReplyCode) {
        match (code.class(), self.settings.dialect) {
            (ReplyClass::Positive, _) => {
                self.capabilities = Capabilities::from_lines(self.reader.lines());
                self.choose_tls();
            }
            // A server from before ESMTP, or one that would rather be taken for one.
            (ReplyClass::Permanent, Dialect::Smtp) => self.put_hello("HELO ", Awaited::Helo),
            (ReplyClass::Permanent, Dialect::Edge | Dialect::Lmtp)
            | (ReplyClass::Intermediate | ReplyClass::Transient, _) => {
                self.close(CloseReason::Refused(self.reader.reply()));
            }
        }
    }

    pub(super) fn on_helo(&mut self, code: ReplyCode) {
        match code.class() {
            ReplyClass::Positive => self.choose_tls(),
            ReplyClass::Intermediate | ReplyClass::Transient | ReplyClass::Permanent => {
                self.close(CloseReason::Refused(self.reader.reply()));
            }
        }
    }

    /// `rest` is what came in the same read as the reply.
    pub(super) fn on_starttls(&mut self, code: ReplyCode, rest: &[u8]) {
        match (code.class(), self.settings.tls) {
            // Response injection: what an attacker put behind this reply would be read as if it
            // had come by TLS. No server speaks before the handshake, so nothing is lost.
            (ReplyClass::Positive, _) if !rest.is_empty() => self.close(CloseReason::Injection),
            (ReplyClass::Positive, _) => {
                self.stage = Stage::Handshake;
                self.events.push_back(Event::StartTls);
            }
            (_, TlsWish::Required) => self.close(CloseReason::TlsUnavailable),
            (_, TlsWish::IfOffered | TlsWish::Never) => self.become_ready(),
        }
    }

    fn choose_tls(&mut self) {
        let offered = self.capabilities.has(Capability::Starttls);
        match (self.security, self.settings.tls, offered) {
            (Security::Tls, _, _)
            | (Security::Plain, TlsWish::Never, _)
            | (Security::Plain, TlsWish::IfOffered, false) => self.become_ready(),
            (Security::Plain, TlsWish::IfOffered | TlsWish::Required, true) => {
                self.out.extend_from_slice(b"STARTTLS\r\n");
                self.awaited.push_back(Awaited::StartTls);
            }
            (Security::Plain, TlsWish::Required, false) => {
                self.close(CloseReason::TlsUnavailable);
            }
        }
    }

    fn become_ready(&mut self) {
        let can = &self.capabilities;
        let is_instance = can.xpostern() >= XPOSTERN_VERSION
            && can.has(Capability::Chunking)
            && can.has(Capability::Pipelining);
        if self.settings.dialect == Dialect::Edge && !is_instance {
            return self.close(CloseReason::Dialect);
        }
        self.stage = Stage::Ready;
        self.events.push_back(Event::Ready);
    }

    fn put_hello(&mut self, verb: &str, awaited: Awaited) {
        for part in [verb, &self.settings.hello_name, "\r\n"] {
            self.out.extend_from_slice(part.as_bytes());
        }
        self.awaited.push_back(awaited);
    }
}
