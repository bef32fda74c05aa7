//! What is logged of a client's session: refusals, protocol errors, and its end.

use mail::event::{Event, Source, What};
use mail::reply::table::{self, Row};
use mail::{Mailbox, Reply, ReversePath, Security, TraceId};
use net::Peer;
use smtp::server::{CloseReason, Hello};

use super::Session;
use crate::accept::source_of;

/// What was refused.
pub(super) enum Refusal {
    /// A client, before its greeting.
    Connect,
    /// A message.
    Data(ReversePath),
    /// A name in HELO or EHLO.
    Helo,
    /// A sender.
    Mail(ReversePath),
    /// A recipient.
    Rcpt(ReversePath, Mailbox),
}

impl Session {
    /// Who the client is: as the kernel says, and as it says itself.
    pub(super) fn source(&self) -> Source {
        let machine = self.connection.machine_ref();
        let mut source = source_of(self.visitor.peer);
        source.helo = machine.hello().map(|hello: &Hello| hello.name.clone());
        if let Peer::Tcp(_) = self.visitor.peer {
            source.tls = Some(machine.security() == Security::Tls);
        }
        if let Some(Ok(mail::Origin::Local { uid })) = &self.origin {
            source.uid = Some(*uid);
        }
        if let Some(forwarded) = &self.forwarded {
            source.orig_client = forwarded.addr.map(|address| address.to_canonical());
            source.helo = forwarded.helo.clone().or(source.helo);
        }
        source
    }

    pub(super) fn note_refused(&mut self, trace: Option<TraceId>, refusal: Refusal, reply: &Reply) {
        self.count_refused();
        let (phase, from, to) = match refusal {
            Refusal::Connect => ("connect", None, None),
            Refusal::Data(from) => ("data", Some(from), None),
            Refusal::Helo => ("helo", None, None),
            Refusal::Mail(from) => ("mail", Some(from), None),
            Refusal::Rcpt(from, to) => ("rcpt", Some(from), Some(to)),
        };
        self.emit(
            trace,
            What::Refused {
                phase,
                from,
                to,
                reply: reply.clone(),
                source: Box::new(self.source()),
            },
        );
    }

    /// Notes what the machine refused by itself.
    pub(super) fn note_machine_refused(&mut self, row: &'static Row) {
        self.count_refused();
        self.intake.count_refused(row);
        let (reply, source) = (row.reply(), Box::new(self.source()));
        if is_protocol_error(row) {
            return self.emit(None, What::ProtocolError { source, reply });
        }
        let transaction = self.transaction.as_deref();
        let phase = match transaction {
            Some(transaction) if transaction.body.is_some() => "data",
            Some(_) => "rcpt",
            None if source.helo.is_some() => "mail",
            None => "helo",
        };
        let what = What::Refused {
            phase,
            from: transaction.map(|t| t.envelope.sender.clone()),
            to: None,
            reply,
            source,
        };
        self.emit(transaction.map(|t| t.provenance.trace), what);
    }

    pub(super) fn note_close(&self, reason: CloseReason) {
        if reason == CloseReason::Injection {
            let client = self.client().address;
            let client = client.map_or_else(|| "a local program".to_owned(), |a| a.to_string());
            let text = format!("plaintext after STARTTLS from {client}: session closed");
            self.intake.alarm(&text);
        }
        match reason {
            CloseReason::ClientLeft => self.note_disconnected("closed by the client"),
            CloseReason::Ended(row) => self.note_disconnected(&row.reply().to_string()),
            CloseReason::Injection => self.note_disconnected("plaintext after STARTTLS"),
            CloseReason::Quit => self.note_disconnected("QUIT"),
            CloseReason::Refused => self.note_disconnected("refused"),
        }
    }

    /// Notes the end of the session.
    pub(super) fn note_disconnected(&self, reason: &str) {
        let lasted = self.now().since(self.since);
        self.emit(
            None,
            What::Disconnected {
                source: Box::new(self.source()),
                reason: reason.into(),
                n_messages: self.n_messages,
                n_refused: self.n_refused,
                duration_ms: u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
            },
        );
    }

    fn count_refused(&mut self) {
        self.n_refused = self.n_refused.saturating_add(1);
    }

    pub(super) fn emit(&self, trace: Option<TraceId>, what: What) {
        self.intake.events.emit(Event {
            at: self.connection.clock().timestamp(),
            trace,
            what,
        });
    }
}

/// Whether the machine's reply is about a command and not about what it asks for (RFC 5321
/// §4.2.2), or about lines that are none.
fn is_protocol_error(row: &'static Row) -> bool {
    let about_lines = [
        &table::BARE_NEWLINE,
        &table::LINE_TOO_LONG,
        &table::NOT_SMTP,
    ];
    let is_about_lines = about_lines.iter().any(|about| about.id == row.id);
    is_about_lines || matches!(row.reply().code.value(), 500..=504 | 555)
}
