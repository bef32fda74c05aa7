//! Sends to a fixed host and port by SMTP.
//!
//! # Guarantees
//! A recipient counts as delivered by a 2yz after the whole content. A connection that ends before
//! that defers, and the reply says so where the host may have accepted the message all the same.
//! Content that the host cannot take as it is fails with the reason, unchanged.
//!
//! # Limits
//! [`RelaySettings::connections_max`] connections; kept ones are closed after
//! [`RelaySettings::idle_max`]. Large contents go in pieces.
//!
//! # Standards
//! RFC 5321; see [`smtp::client`] for its extensions. XFORWARD where it is offered.
//!
//! # Failure
//! A host that refuses the connection as such, even for good, defers: it says nothing about the
//! message, and an operator can put it right.

pub(super) mod body;
pub(super) mod cause;
pub(super) mod pool;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mail::dsn::Action;
use mail::reply::table;
use mail::{Author, BodyType, Envelope, Outcome, Provenance, Reply};
use net::{ClientConnection, Clock};
use smtp::client::{self, Capability, CloseReason, Closed, DataSent, Event, Finished, Phase};
use smtp::client::{ClientRecipient, RecipientReply, Transaction};
use smtp::codec::xforward::XforwardAttributes;

use self::body::Body;
use self::cause::Host;
use self::pool::{Connected, Pool};
use super::{By, Carried, Octets, SiteSeen, Work};

/// Where a relay sends, and how.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// The host: an IP address, or a name that the system resolves at each connection.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// How it is spoken to. TLS must not be wished for: no trust anchors are known here.
    pub client: Arc<client::Settings>,
    /// How long a connection may take to come about, over all addresses of the host.
    pub connect_timeout: Duration,
    /// How many connections there may be at once.
    pub connections_max: usize,
    /// How long a connection without work is kept.
    pub idle_max: Duration,
}

/// A fixed next host.
#[derive(Debug)]
pub struct Relay {
    pool: Arc<Pool>,
}

impl Relay {
    /// A relay that has not connected yet.
    #[must_use]
    pub fn new(settings: RelaySettings, clock: Clock) -> Self {
        Self {
            pool: Pool::new(settings, clock),
        }
    }

    /// The host that it sends to.
    pub(crate) fn host(&self) -> &str {
        &self.pool.settings().host
    }

    /// Sends the message to each recipient.
    pub(super) async fn deliver(&self, work: Work<'_>) -> Carried {
        let letter = Letter {
            envelope: work.envelope,
            indexes: work.recipients,
            content_begun: work.content_begun,
            xforward: Some(Box::new(xforward(work.provenance))),
        };
        self.send(&letter, work.content).await
    }

    async fn send(&self, letter: &Letter<'_>, content: impl Octets) -> Carried {
        let n_recipients = letter.indexes.len();
        let deferred = |reply: Reply| Carried::all(n_recipients, &Outcome::deferred(reply));
        let mut body = Body::open(content);
        let Some(_slot) = self.pool.slot().await else {
            return deferred(table::SHUTTING_DOWN_LATE.reply());
        };
        // A kept connection that turns out to be dead has cost nothing but a look. Binary content
        // goes without the 354 that shows a reply too many, so on a connection that has none.
        let may_use_kept = letter.envelope.body != BodyType::BinaryMime;
        while may_use_kept && let Some(mut kept) = self.pool.take() {
            let host = self.pool.host(kept.address);
            match try_on(&mut kept.line, &host, letter, &mut body).await {
                Err(closed) if is_stale(&closed) => {}
                tried => return self.settle(kept, tried, n_recipients),
            }
        }
        match self.pool.connect().await {
            Ok(mut fresh) => {
                let host = self.pool.host(fresh.address);
                let tried = try_on(&mut fresh.line, &host, letter, &mut body).await;
                self.settle(fresh, tried, n_recipients)
            }
            Err(outcome) => Carried::down(n_recipients, &outcome),
        }
    }

    fn settle(
        &self,
        connection: Connected,
        tried: Result<Vec<Outcome>, Closed>,
        n_recipients: usize,
    ) -> Carried {
        let host = self.pool.host(connection.address);
        let can = connection.line.machine_ref().capabilities();
        // A host that takes NOTIFY reports by itself, or passes it on (RFC 3461 §5.2.2).
        let reports = can.is_some_and(|can| can.has(Capability::Dsn));
        self.pool.keep(connection);
        match tried {
            Ok(outcomes) => Carried {
                success: (!reports).then_some(Action::Relayed),
                ..Carried::each(outcomes)
            },
            Err(closed) => Carried {
                site: seen(&closed),
                outcomes: outcomes(closed, n_recipients, &host),
                success: None,
                news: Vec::new(),
                by: By::Transport,
            },
        }
    }
}

/// As configuration and logs write it: `host:port`.
impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RelaySettings { host, port, .. } = self.pool.settings();
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// What is sent, but for its content.
pub(super) struct Letter<'a> {
    pub(super) envelope: &'a Envelope,
    pub(super) indexes: &'a [u32],
    pub(super) content_begun: Arc<AtomicBool>,
    /// What the host may know of where it came from.
    pub(super) xforward: Option<Box<XforwardAttributes>>,
}

impl Letter<'_> {
    fn transaction(&self, size: u64, body: BodyType) -> Transaction {
        let Envelope {
            sender,
            recipients,
            smtputf8,
            ret,
            envid,
            body: _,
        } = self.envelope;
        let recipients = self.indexes.iter().filter_map(|&index| {
            let recipient = recipients.get(usize::try_from(index).ok()?)?;
            Some(ClientRecipient {
                address: recipient.address.clone(),
                notify: recipient.notify,
                orcpt: recipient.orcpt.clone(),
            })
        });
        Transaction {
            body,
            edge: None,
            envid: envid.clone(),
            recipients: recipients.collect(),
            ret: *ret,
            sender: sender.clone(),
            size,
            smtputf8: *smtputf8,
            xforward: self.xforward.clone(),
        }
    }
}

fn xforward(provenance: &Provenance) -> XforwardAttributes {
    let Provenance {
        client,
        origin,
        trace,
        ..
    } = provenance;
    let source = if origin.is_ours() { "LOCAL" } else { "REMOTE" };
    let common = XforwardAttributes {
        ident: Some(trace.to_string().into()),
        source: Some(source.into()),
        ..XforwardAttributes::default()
    };
    let Some(client) = client else {
        return common;
    };
    XforwardAttributes {
        addr: client.address,
        helo: Some(client.helo.clone()).filter(|helo| !helo.is_empty()),
        name: client.name.clone(),
        port: Some(client.port).filter(|&port| port != 0),
        proto: Some(if client.extended { "ESMTP" } else { "SMTP" }.into()),
        ..common
    }
}

/// Sends the message over this connection; an error when that came to its end before.
pub(super) async fn try_on<C: Octets>(
    connection: &mut ClientConnection,
    host: &Host<'_>,
    letter: &Letter<'_>,
    body: &mut Body<C>,
) -> Result<Vec<Outcome>, Closed> {
    let lost = Closed {
        reason: CloseReason::Lost,
        phase: Phase::Idle,
        unfinished: None,
    };
    let unreadable = |e: &spool::ReadError| {
        let deferred = Outcome::deferred(super::unreadable(e));
        Ok(vec![deferred; letter.indexes.len()])
    };
    let Some(can) = connection.machine_ref().capabilities().copied() else {
        return Err(lost);
    };
    let body_type = match body.body_type(letter.envelope.body, &can).await {
        Ok(body_type) => body_type,
        Err(e) => return unreadable(&e),
    };
    let mut transaction = letter.transaction(body.content_len(), body_type);
    // RFC 6531 §3.4: where nothing but ASCII stands in addresses and header, no host needs to know
    // that the sender could have used more.
    if transaction.smtputf8 && !can.has(Capability::Smtputf8) {
        match body.header_is_ascii().await {
            Ok(is_ascii) => transaction.smtputf8 = !is_ascii,
            Err(e) => return unreadable(&e),
        }
    }
    let now = connection.clock().now();
    connection.machine().begin(now, transaction);
    loop {
        match connection.next_event().await {
            Some(Event::SendContent) => {
                letter.content_begun.store(true, Ordering::Relaxed);
                body.send(connection).await;
            }
            Some(Event::Finished(finished)) => {
                let replies = finished.recipients.into_iter();
                return Ok(replies.map(|of| cause::outcome(of, host)).collect());
            }
            Some(Event::Closed(closed)) => return Err(closed),
            Some(Event::Ready | Event::StartTls | Event::Verified(_)) => {}
            None => return Err(lost),
        }
    }
}

/// Whether a kept connection ended because it had been kept for too long. The host has not seen the
/// content, and has said nothing of the message.
pub(super) fn is_stale(closed: &Closed) -> bool {
    let left = match &closed.reason {
        CloseReason::Lost => true,
        CloseReason::Refused(reply) => reply.code.value() == 421,
        _ => false,
    };
    left && said_nothing(closed)
}

/// Whether the host cannot have the whole content, and no recipient has a reply of its own.
fn said_nothing(closed: &Closed) -> bool {
    // A refusal of the connection stands for each recipient without a reply, as the host's words.
    let is_of_the_end = |of: &RecipientReply| match &closed.reason {
        CloseReason::Refused(end) => of.reply == *end,
        _ => of.by == Author::Us,
    };
    closed.unfinished.as_ref().is_none_or(|unfinished| {
        unfinished.data_sent == DataSent::No && unfinished.recipients.iter().all(is_of_the_end)
    })
}

/// What a connection that ended in the middle of a message shows of the host. One that had the
/// whole content may have ended because of that.
pub(super) fn seen(closed: &Closed) -> SiteSeen {
    let host_left = match &closed.reason {
        CloseReason::Refused(reply) => closed.unfinished.is_none() || reply.code.value() == 421,
        CloseReason::Abandoned | CloseReason::Unsendable(_) => false,
        CloseReason::Dialect
        | CloseReason::Injection
        | CloseReason::Lost
        | CloseReason::Protocol(_)
        | CloseReason::Quit
        | CloseReason::TimedOut
        | CloseReason::TlsUnavailable
        | CloseReason::Unexpected(_) => true,
    };
    if host_left && said_nothing(closed) {
        SiteSeen::Down
    } else {
        SiteSeen::Answering
    }
}

/// What a connection that ended means for each recipient.
pub(super) fn outcomes(closed: Closed, n_recipients: usize, host: &Host<'_>) -> Vec<Outcome> {
    let unknown = cause::end(&closed, host);
    let Some(Finished {
        recipients,
        data_sent,
    }) = closed.unfinished
    else {
        return vec![unknown; n_recipients];
    };
    let outcome = |of: RecipientReply| {
        // A reply of its own, be it in the words that we have for the end of a connection.
        if of.by == Author::Peer {
            return cause::outcome(of, host);
        }
        match data_sent {
            DataSent::Unconfirmed => cause::unconfirmed(&unknown.reply),
            DataSent::No | DataSent::Yes => Outcome::from_reply(unknown.reply.clone(), unknown.by),
        }
    };
    recipients.into_iter().map(outcome).collect()
}
