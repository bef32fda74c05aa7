//! The connections to one host that wait for work.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use mail::reply::table;
use mail::{Moment, Outcome, Security};
use net::{ClientConnection, Clock, Connection, Stream};
use smtp::client::{Client, Event};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::RelaySettings;
use super::cause::{self, Host};

/// Connections to one host: a bounded number, kept between messages.
#[derive(Debug)]
pub(in crate::transport) struct Pool {
    settings: RelaySettings,
    clock: Clock,
    slots: Semaphore,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The oldest first.
    idle: Vec<Idle>,
    /// Whether [`close_the_old`] is at work.
    watched: bool,
}

#[derive(Debug)]
struct Idle {
    connection: Connected,
    since: Moment,
}

/// A connection to one of the host's addresses.
#[derive(Debug)]
pub(in crate::transport) struct Connected {
    pub(in crate::transport) line: ClientConnection,
    pub(in crate::transport) address: IpAddr,
}

impl Pool {
    pub(in crate::transport) fn new(settings: RelaySettings, clock: Clock) -> Arc<Self> {
        let slots = Semaphore::new(settings.connections_max);
        Arc::new(Self {
            settings,
            clock,
            slots,
            waiting: Mutex::default(),
        })
    }

    pub(in crate::transport) const fn settings(&self) -> &RelaySettings {
        &self.settings
    }

    /// The host, at one of its addresses.
    pub(in crate::transport) fn host(&self, address: IpAddr) -> Host<'_> {
        Host {
            name: &self.settings.host,
            port: self.settings.port,
            address,
        }
    }

    /// Waits until a connection may be used. Cancel-safe.
    pub(in crate::transport) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        self.slots.acquire().await.ok()
    }

    /// The connection that was used last: the others may then grow old. One that has ended, or on
    /// which the host has said something meanwhile, is closed and not given out. It may end at any
    /// time after that.
    pub(in crate::transport) fn take(&self) -> Option<Connected> {
        loop {
            let mut connection = self.waiting().idle.pop()?.connection;
            if connection.line.is_reusable() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next message, unless it is over or the host said too much.
    pub(in crate::transport) fn keep(self: &Arc<Self>, connection: Connected) {
        if !connection.line.may_be_kept() {
            return;
        }
        let mut waiting = self.waiting();
        if !std::mem::replace(&mut waiting.watched, true) {
            let (pool, clock) = (Arc::downgrade(self), self.clock);
            tokio::spawn(close_the_old(pool, clock, self.settings.idle_max));
        }
        waiting.idle.push(Idle {
            connection,
            since: self.clock.now(),
        });
    }

    /// Makes a connection, up to the host's answer to EHLO.
    ///
    /// # Errors
    /// What its failure means for the recipients; always that they are to be tried again.
    pub(in crate::transport) async fn connect(&self) -> Result<Connected, Outcome> {
        let RelaySettings {
            host,
            port,
            client,
            connect_timeout,
            ..
        } = &self.settings;
        let (stream, address) = Stream::connect(host, *port, *connect_timeout)
            .await
            .map_err(|e| {
                let reply = table::NO_CONNECTION.reply().with_cause(&e.to_string());
                Outcome::deferred(reply)
            })?;
        let machine = Client::new(Arc::clone(client), Security::Plain, self.clock.now());
        let mut line = Connection::new(stream, machine, self.clock);
        loop {
            match line.next_event().await {
                Some(Event::Ready) => return Ok(Connected { line, address }),
                Some(Event::Closed(closed)) => {
                    return Err(cause::end(&closed, &self.host(address)));
                }
                Some(Event::StartTls) => {
                    return Err(Outcome::deferred(table::PEER_WITHOUT_TLS.reply()));
                }
                Some(Event::Finished(_) | Event::SendContent | Event::Verified(_)) => {}
                None => return Err(Outcome::deferred(table::CONNECTION_LOST.reply())),
            }
        }
    }

    /// Takes out what has waited for too long; when to look again, if anything is left.
    fn expired(&self) -> (Vec<Connected>, Option<Moment>) {
        let mut waiting = self.waiting();
        let (now, idle_max) = (self.clock.now(), self.settings.idle_max);
        let is_old = |idle: &Idle| now.since(idle.since) >= idle_max;
        let n_old = waiting.idle.partition_point(is_old);
        let old = waiting.idle.drain(..n_old).map(|idle| idle.connection);
        let old = old.collect();
        let next = waiting.idle.first().map(|oldest| oldest.since + idle_max);
        waiting.watched = next.is_some();
        (old, next)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that is done under this lock can panic half way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes connections as they grow old, until none is left or the pool is gone.
async fn close_the_old(pool: Weak<Pool>, clock: Clock, idle_max: Duration) {
    let mut pause = idle_max;
    loop {
        clock.sleep(pause).await;
        let Some(pool) = pool.upgrade() else {
            return;
        };
        let (old, next) = pool.expired();
        for Connected { mut line, .. } in old {
            line.machine().quit(clock.now());
            line.close().await;
        }
        let Some(next) = next else {
            return;
        };
        pause = next.since(clock.now());
    }
}
