//! Sends to the mail exchangers of the recipient's domain.
//!
//! # Guarantees
//! Exchangers are tried by preference until one takes the message, or says of it what holds for
//! all. A recipient counts as delivered by a 2yz after the whole content, from one of them. That
//! the DNS cannot tell fails nobody, and while no resolver answers nobody expires.
//!
//! # Limits
//! [`MxSettings::attempt_timeout`] until an exchanger is ready, over all of them: each has an equal
//! share of what is left. [`TRANSACTION_MAX`] for the message itself. What is remembered of
//! exchangers: [`EXCHANGERS_KNOWN_MAX`].
//!
//! # Standards
//! RFC 5321 §5.1, RFC 7505 (`556 5.1.10`), RFC 3464 §2.3.6 through the name of the exchanger.
//!
//! # Failure
//! An exchanger that refuses the connection, for now or for good, is followed by the next one. Only
//! where all of them refuse for good, the message fails (quirk: refused-by-all-is-permanent). TLS
//! is used where it is offered and comes
//! about; where it does not, the exchanger is spoken to in the clear on a new connection.

mod opening;
mod own;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dns::{Exchanger, Failure, ResolverSettings};
use mail::dsn::Action;
use mail::reply::table;
use mail::{Author, BodyType, Moment, Outcome, OutcomeKind, Reply, ReplyClass};
use net::tls::TlsConnector;
use net::{ClientConnection, Clock, Entropy};
use smtp::client::{self, Capability, Closed, TlsWish};
use tokio::time::timeout;

pub use own::OwnAddresses;

use super::maildir::News;
use super::relay::body::Body;
use super::relay::cause::{self, Host};
use super::relay::pool::{Connected, Pool};
use super::relay::{self, Letter, RelaySettings};
use super::{By, Carried, Octets, SiteSeen, Transport, Work};
use crate::delivery::HERE;
use crate::resolver::{Hop, Resolver, Resolving, Unresolved};

/// Exchangers of which connections, or the lack of TLS, are remembered.
const EXCHANGERS_KNOWN_MAX: usize = 512;
/// For how long what was found is used before it is asked for again; the DNS's own answers are
/// remembered for as long as they say.
const FOUND_FOR: Duration = Duration::from_secs(60);
/// How long a message may be under way to one exchanger, beside the limits of each step.
const TRANSACTION_MAX: Duration = Duration::from_secs(2 * 60 * 60);

/// How exchangers are found and spoken to.
#[derive(Debug)]
pub struct MxSettings {
    /// The port of all exchangers.
    pub port: u16,
    /// Whether mail for address literals is sent there.
    pub literals: bool,
    /// How they are spoken to. TLS is wished for where it is offered, whatever this says.
    pub client: Arc<client::Settings>,
    /// How long it may take until one is ready for the message, over all exchangers.
    pub attempt_timeout: Duration,
    /// How many connections there may be at once to one exchanger.
    pub connections_max: usize,
    /// How long a connection without work is kept.
    pub idle_max: Duration,
    /// What this host is.
    pub own: OwnAddresses,
    /// Where the DNS is asked.
    pub resolver: ResolverSettings,
}

/// Finds the mail exchangers of any domain.
#[derive(Clone, Debug)]
pub struct Mx(Arc<Shared>);

/// The mail exchangers of a domain, as they were found.
#[derive(Debug)]
pub struct Exchangers {
    shared: Arc<Shared>,
    /// The same for all domains with these exchangers.
    site: Box<str>,
    exchangers: Vec<Exchanger>,
}

/// What all domains share: the connections that are kept, and what is known of hosts.
#[derive(Debug)]
struct Shared {
    settings: MxSettings,
    /// As `settings.client`, for hosts with which no TLS comes about.
    clear: Arc<client::Settings>,
    offered: Arc<client::Settings>,
    resolver: dns::Resolver,
    tls: Connector,
    clock: Clock,
    entropy: Entropy,
    known: Mutex<Known>,
    /// No resolver answered the last question.
    is_silent: AtomicBool,
    /// What operators were not told yet.
    news: Mutex<Option<News>>,
}

struct Connector(TlsConnector);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

/// What is remembered of exchangers, by their names.
#[derive(Debug, Default)]
struct Known {
    pools: BTreeMap<Box<str>, Arc<Pool>>,
    /// Until when each is spoken to in the clear.
    without_tls: BTreeMap<Box<str>, Moment>,
}

/// An exchanger that did not take the message, and said nothing about it.
struct Missed {
    /// What that means for the recipients, if no other takes it.
    reply: Reply,
    /// Whose words that is.
    by: Author,
    /// For operators: which exchanger, which address, what happened.
    cause: String,
    /// It refuses for good.
    for_good: bool,
}

impl Mx {
    /// A resolver that has asked nothing yet.
    ///
    /// # Errors
    /// When DNS or TLS cannot be set up.
    pub fn new(settings: MxSettings, clock: Clock) -> Result<Self, String> {
        let resolver = dns::Resolver::new(settings.resolver.clone()).map_err(|e| e.to_string())?;
        let tls = net::tls::opportunistic().map_err(|e| e.to_string())?;
        let with = |tls| {
            let client = client::Settings::clone(&settings.client);
            Arc::new(client::Settings { tls, ..client })
        };
        Ok(Self(Arc::new(Shared {
            clear: with(TlsWish::Never),
            offered: with(TlsWish::IfOffered),
            settings,
            resolver,
            tls: Connector(tls),
            clock,
            entropy: Entropy::new(),
            known: Mutex::default(),
            is_silent: AtomicBool::new(false),
            news: Mutex::default(),
        })))
    }

    async fn find(&self, domain: &str) -> Result<Hop, Unresolved> {
        let found = self.0.find(domain).await;
        self.0.note_resolver(&found);
        match found {
            Ok(exchangers) => {
                let site = site(&exchangers);
                let transport = Transport::Mx(Exchangers {
                    shared: Arc::clone(&self.0),
                    site: site.clone(),
                    exchangers,
                });
                Ok(hop(site, transport))
            }
            Err(failure) => unresolved(&failure),
        }
    }
}

/// As logs and listings name the route. Routes to different ports are different routes.
impl fmt::Display for Mx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.settings.port {
            own::SMTP => f.write_str("mx"),
            port => write!(f, "mx:{port}"),
        }
    }
}

impl Resolver for Mx {
    fn resolve<'a>(&'a self, domain: &'a str) -> Resolving<'a> {
        Box::pin(self.find(domain))
    }

    fn news(&self) -> Option<News> {
        let mut news = self.0.news.lock().unwrap_or_else(PoisonError::into_inner);
        news.take()
    }
}

impl Exchangers {
    /// The name of the site: its exchangers.
    pub(super) fn site(&self) -> &str {
        &self.site
    }

    /// Sends the message to each recipient; all are of domains with these exchangers.
    pub(super) async fn deliver(&self, work: Work<'_>) -> Carried {
        let letter = Letter {
            envelope: work.envelope,
            indexes: work.recipients,
            content_begun: work.content_begun,
            // Who wrote to whom from where is not for strangers.
            xforward: None,
        };
        self.send(&letter, work.content).await
    }

    async fn send(&self, letter: &Letter<'_>, content: impl Octets) -> Carried {
        let mut body = Body::open(content);
        let shared = &self.shared;
        shared.try_each(&self.exchangers, letter, &mut body).await
    }
}

impl Shared {
    async fn find(&self, domain: &str) -> Result<Vec<Exchanger>, Failure> {
        let own = &self.settings.own;
        if self.settings.literals && domain.starts_with('[') {
            return self.resolver.literal(domain, own).map(|one| vec![one]);
        }
        let seed = self.entropy.u64();
        self.resolver.exchangers(domain, own, seed).await
    }

    /// Notes for operators that no resolver answers, and that one does again.
    fn note_resolver<T>(&self, found: &Result<T, Failure>) {
        let cause = match found {
            Err(Failure::NoResolver { cause }) => Some(cause),
            _ => None,
        };
        let was_silent = self.is_silent.swap(cause.is_some(), Ordering::Relaxed);
        let news = match (was_silent, cause) {
            (false, Some(cause)) => News::Alarm(
                format!(
                    "mail for other domains waits, and does not expire: no resolver answers: \
                     {cause}; check the resolver, and the servers that /etc/resolv.conf or the \
                     route's `resolver` names"
                )
                .into(),
            ),
            (true, None) => News::Cleared("a resolver answers again".into()),
            _ => return,
        };
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = Some(news);
    }

    async fn try_each<C: Octets>(
        &self,
        exchangers: &[Exchanger],
        letter: &Letter<'_>,
        body: &mut Body<C>,
    ) -> Carried {
        let until = self.clock.now() + self.settings.attempt_timeout;
        let mut missed = Vec::new();
        for (exchanger, n_left) in exchangers.iter().zip((1..=exchangers.len()).rev()) {
            let left = until.since(self.clock.now());
            let share = left / u32::try_from(n_left).unwrap_or(u32::MAX);
            match self.try_one(exchanger, letter, body, share).await {
                Ok(carried) => {
                    return Carried {
                        by: By::Exchanger(exchanger.host.clone()),
                        ..carried
                    };
                }
                Err(miss) => missed.push(miss),
            }
        }
        none_reached(missed, letter.indexes.len())
    }

    /// Sends the message to one exchanger, which is to be ready for it within `share`.
    async fn try_one<C: Octets>(
        &self,
        exchanger: &Exchanger,
        letter: &Letter<'_>,
        body: &mut Body<C>,
        share: Duration,
    ) -> Result<Carried, Missed> {
        let host = &exchanger.host;
        let pool = self.pool(host);
        let began = self.clock.now();
        let Ok(Some(_slot)) = timeout(share, pool.slot()).await else {
            return Err(Missed::by(host, "all connections there are in use"));
        };
        // As for a relay: a stale connection costs a look, and binary content needs a new one.
        let may_use_kept = letter.envelope.body != BodyType::BinaryMime;
        while may_use_kept && let Some(mut kept) = pool.take() {
            let at = pool.host(kept.address);
            match self.transact(&mut kept.line, &at, letter, body).await {
                Err(closed) if relay::is_stale(&closed) => {}
                tried => return settle(&pool, kept, tried, letter),
            }
        }
        let left = share.saturating_sub(self.clock.now().since(began));
        let mut fresh = match timeout(left, self.open(exchanger, left)).await {
            Ok(opened) => opened?,
            Err(_) => {
                let seconds = share.as_secs();
                let what = format!("not ready for mail within {seconds} seconds");
                return Err(Missed::by(host, &what));
            }
        };
        let at = pool.host(fresh.address);
        let tried = self.transact(&mut fresh.line, &at, letter, body).await;
        settle(&pool, fresh, tried, letter)
    }

    async fn transact<C: Octets>(
        &self,
        connection: &mut ClientConnection,
        host: &Host<'_>,
        letter: &Letter<'_>,
        body: &mut Body<C>,
    ) -> Result<Vec<Outcome>, Closed> {
        let trying = relay::try_on(connection, host, letter, body);
        match timeout(TRANSACTION_MAX, trying).await {
            Ok(tried) => tried,
            Err(_) => {
                let has_begun = letter.content_begun.load(Ordering::Relaxed);
                let row = if has_begun {
                    table::DELIVERY_UNCONFIRMED
                } else {
                    table::ATTEMPT_TIMED_OUT
                };
                // Nothing may follow on it.
                connection.machine().abandon();
                let hours = TRANSACTION_MAX.as_secs() / 3600;
                let cause = format!("{host}: the message is not through after {hours} hours");
                let deferred = Outcome::deferred(row.reply().with_cause(&cause));
                Ok(vec![deferred; letter.indexes.len()])
            }
        }
    }

    /// The connections to an exchanger.
    fn pool(&self, host: &str) -> Arc<Pool> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = known.pools.get(host) {
            return Arc::clone(pool);
        }
        if known.pools.len() >= EXCHANGERS_KNOWN_MAX {
            known.pools.retain(|_, pool| Arc::strong_count(pool) > 1);
            if known.pools.len() >= EXCHANGERS_KNOWN_MAX {
                known.pools.pop_first();
            }
        }
        let settings = RelaySettings {
            host: host.into(),
            port: self.settings.port,
            client: Arc::clone(&self.offered),
            connect_timeout: self.settings.attempt_timeout,
            connections_max: self.settings.connections_max,
            idle_max: self.settings.idle_max,
        };
        let pool = Pool::new(settings, self.clock);
        known.pools.insert(host.into(), Arc::clone(&pool));
        pool
    }
}

/// What a transaction came to; an error where the exchanger left it before it said anything.
fn settle(
    pool: &Arc<Pool>,
    connection: Connected,
    tried: Result<Vec<Outcome>, Closed>,
    letter: &Letter<'_>,
) -> Result<Carried, Missed> {
    let host = pool.host(connection.address);
    let can = connection.line.machine_ref().capabilities();
    let reports = can.is_some_and(|can| can.has(Capability::Dsn));
    pool.keep(connection);
    match tried {
        Ok(outcomes) => Ok(Carried {
            success: (!reports).then_some(Action::Relayed),
            ..Carried::each(outcomes)
        }),
        Err(closed) if relay::seen(&closed) == SiteSeen::Down => {
            Err(Missed::ended(cause::end(&closed, &host)))
        }
        Err(closed) => {
            let n_recipients = letter.indexes.len();
            Ok(Carried::each(relay::outcomes(closed, n_recipients, &host)))
        }
    }
}

impl Missed {
    /// It was not reached, or not ready.
    fn by(host: &str, what: &str) -> Self {
        Self::because(format!("{host}: {what}"))
    }

    fn because(cause: String) -> Self {
        Self {
            reply: table::NO_CONNECTION.reply(),
            by: Author::Us,
            cause,
            for_good: false,
        }
    }

    /// The connection ended before anything was said of the message.
    fn ended(outcome: Outcome) -> Self {
        let Outcome { reply, by, .. } = outcome;
        Self {
            cause: reply.cause().unwrap_or_else(|| reply.text()).to_owned(),
            for_good: false,
            reply,
            by,
        }
    }

    /// It does not want this host, for now or for good.
    fn refused(outcome: Outcome) -> Self {
        Self {
            for_good: outcome.reply.class() == ReplyClass::Permanent,
            ..Self::ended(outcome)
        }
    }

    fn outcome(self, kind: OutcomeKind, cause: &str) -> Outcome {
        Outcome {
            kind,
            reply: self.reply.with_cause(cause),
            by: self.by,
        }
    }
}

/// What it means that no exchanger took the message.
fn none_reached(mut missed: Vec<Missed>, n_recipients: usize) -> Carried {
    let causes: Vec<_> = missed.iter().map(|miss| &*miss.cause).collect();
    let cause = causes.join("; ");
    // RFC 5321 §4.2.1: what is refused for good is not to be repeated.
    let for_good = !missed.is_empty() && missed.iter().all(|miss| miss.for_good);
    match missed.pop() {
        Some(last) if for_good => {
            let failed = last.outcome(OutcomeKind::Failed, &cause);
            Carried::all(n_recipients, &failed)
        }
        Some(last) if missed.is_empty() => {
            Carried::down(n_recipients, &last.outcome(OutcomeKind::Deferred, &cause))
        }
        _ => {
            let reply = table::NO_CONNECTION.reply().with_cause(&cause);
            Carried::down(n_recipients, &Outcome::deferred(reply))
        }
    }
}

/// What it means that there is no exchanger.
fn unresolved(failure: &Failure) -> Result<Hop, Unresolved> {
    let cause = failure.to_string();
    let with = |row: table::Row| row.reply().with_cause(&cause);
    Err(match failure {
        Failure::NoSuchDomain => Unresolved::Refused(with(table::DOMAIN_UNKNOWN)),
        Failure::NullMx => Unresolved::Refused(with(table::DOMAIN_WITHOUT_MAIL)),
        Failure::NotADomain => Unresolved::Refused(with(table::DOMAIN_UNUSABLE)),
        Failure::OwnHost { .. } => {
            let why = cause.as_str().into();
            return Ok(hop(HERE.into(), Transport::Hold { why }));
        }
        Failure::NoAddress { .. } => Unresolved::NotNow(with(table::EXCHANGERS_UNUSABLE)),
        Failure::Temporary { .. } => Unresolved::NotNow(with(table::UNRESOLVED)),
        Failure::NoResolver { .. } => Unresolved::NoResolver(with(table::DNS_SILENT)),
    })
}

fn hop(site: Box<str>, transport: Transport) -> Hop {
    Hop {
        site,
        transport: Arc::new(transport),
        valid_for: Some(FOUND_FOR),
    }
}

/// The name of the site of these exchangers, whatever their order among equals.
fn site(exchangers: &[Exchanger]) -> Box<str> {
    let mut hosts: Vec<_> = exchangers
        .iter()
        .map(|e| (e.preference, &*e.host))
        .collect();
    hosts.sort_unstable();
    let hosts: Vec<_> = hosts.into_iter().map(|(_, host)| host).collect();
    format!("mx {}", hosts.join(" ")).into()
}
