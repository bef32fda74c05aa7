//! From an exchanger's addresses to a connection that takes mail.
//!
//! # Standards
//! RFC 3207, RFC 7435: TLS where it is offered, and mail in the clear where none comes about.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dns::Exchanger;
use mail::Security;
use net::{Connection, Stream};
use rustls_pki_types::ServerName;
use smtp::client::{self, Client, CloseReason, Closed, Event, TlsWish};

use super::{EXCHANGERS_KNOWN_MAX, Missed, Shared};
use crate::transport::relay::cause::{self, Host};
use crate::transport::relay::pool::Connected;

/// How long it is remembered that no TLS comes about with a host.
const WITHOUT_TLS: Duration = Duration::from_secs(60 * 60);

/// Why a connection did not come as far as mail.
enum Ended {
    /// In the handshake: another connection without TLS may do.
    Handshake,
    Missed(Missed),
}

impl Shared {
    /// Makes a connection, up to the answer to EHLO, with TLS where it is offered.
    pub(super) async fn open(
        &self,
        exchanger: &Exchanger,
        within: Duration,
    ) -> Result<Connected, Missed> {
        let client = if self.goes_without_tls(&exchanger.host) {
            &self.clear
        } else {
            &self.offered
        };
        match self.greet(exchanger, within, client).await {
            Ok(connection) => return Ok(connection),
            Err(Ended::Missed(missed)) => return Err(missed),
            Err(Ended::Handshake) => self.remember_without_tls(&exchanger.host),
        }
        match self.greet(exchanger, within, &self.clear).await {
            Ok(connection) => Ok(connection),
            Err(Ended::Missed(missed)) => Err(missed),
            Err(Ended::Handshake) => Err(Missed::by(&exchanger.host, "TLS failed")),
        }
    }

    async fn greet(
        &self,
        exchanger: &Exchanger,
        within: Duration,
        client: &Arc<client::Settings>,
    ) -> Result<Connected, Ended> {
        let (host, port) = (&*exchanger.host, self.settings.port);
        let stream = Stream::connect_to(host, port, &exchanger.addresses, within).await;
        let (stream, address) =
            stream.map_err(|e| Ended::Missed(Missed::because(e.to_string())))?;
        let named = Host {
            name: host,
            port,
            address,
        };
        let machine = Client::new(Arc::clone(client), Security::Plain, self.clock.now());
        let mut line = Connection::new(stream, machine, self.clock);
        loop {
            match line.next_event().await {
                Some(Event::Ready) => return Ok(Connected { line, address }),
                Some(Event::StartTls) => {
                    let name = ServerName::try_from(host.to_owned());
                    let name = name.map_err(|_| Ended::Handshake)?;
                    let shaken = line.connect_tls(&self.tls.0, name).await;
                    shaken.map_err(|_| Ended::Handshake)?;
                }
                Some(Event::Closed(closed)) => {
                    return Err(ended(&named, client.tls, &closed));
                }
                Some(Event::Finished(_) | Event::SendContent | Event::Verified(_)) => {}
                None => {
                    let lost = format!("connection to {named} lost");
                    return Err(Ended::Missed(Missed::because(lost)));
                }
            }
        }
    }

    fn goes_without_tls(&self, host: &str) -> bool {
        let now = self.clock.now();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .without_tls
            .get(host)
            .is_some_and(|&until| until > now)
    }

    fn remember_without_tls(&self, host: &str) {
        let now = self.clock.now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.without_tls.retain(|_, until| *until > now);
        if known.without_tls.len() < EXCHANGERS_KNOWN_MAX {
            known.without_tls.insert(host.into(), now + WITHOUT_TLS);
        }
    }
}

fn ended(host: &Host<'_>, tls: TlsWish, closed: &Closed) -> Ended {
    let outcome = cause::end(closed, host);
    match &closed.reason {
        // A reply behind the answer to STARTTLS: nothing of this connection is believed.
        CloseReason::Injection if tls == TlsWish::IfOffered => Ended::Handshake,
        CloseReason::Refused(_) => Ended::Missed(Missed::refused(outcome)),
        _ => Ended::Missed(Missed::ended(outcome)),
    }
}
