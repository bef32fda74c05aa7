//! Where a destination leads: found out when its mail is due, away from everything else.
//!
//! Most routes name the transport that carries their mail: it is the destination, and the site. A
//! route may name a [`Resolver`] instead, and then each domain is a destination of its own, which
//! the resolver takes to a site and a transport.
//!
//! # Guarantees
//! A resolver is asked without any lock, once at a time for a destination, and for no longer than
//! [`RESOLVE_TIME`]. While it gives no answer, or cannot, its destination's mail waits and no
//! other; one message stands for all, and shows why.
//!
//! # Limits
//! [`queue::limits::RESOLUTIONS_MAX`] destinations are resolved at a time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mail::reply::table;
use mail::{Mailbox, Moment, Reply};
use queue::{DestinationId, Resolution, Resolved};

use crate::attempt::{Errand, Seen};
use crate::delivery::{Delivery, HERE, State};
use crate::transport::{By, News, SiteSeen, Transport};

/// The longest time that a resolver has for an answer.
pub const RESOLVE_TIME: Duration = Duration::from_secs(30);

/// For how long a destination counts as one that does not exist.
const REFUSED_FOR: Duration = Duration::from_secs(300);

/// How a route finds out where the mail of a domain goes. Its `Display` is the name of the route,
/// as logs and queue listings have it: `mx`. A resolver of the same name in other settings takes
/// its place.
pub trait Resolver: fmt::Debug + fmt::Display + Send + Sync {
    /// Where mail for this domain goes now. What may block belongs on a thread of its own. Dropped
    /// when it takes too long.
    fn resolve<'a>(&'a self, domain: &'a str) -> Resolving<'a>;

    /// News for operators since the last call.
    fn news(&self) -> Option<News> {
        None
    }
}

/// A resolver's answer, to wait for.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Hop, Unresolved>> + Send + 'a>>;

/// Where the mail of a destination goes.
#[derive(Clone, Debug)]
pub struct Hop {
    /// The hosts, under a name that is the same for all destinations that lead there: they share
    /// its concurrency and its pace.
    pub site: Box<str>,
    /// What carries mail there. How these hosts are spoken to belongs to it: addresses, TLS level,
    /// the identity that is expected, and the connections that are kept.
    pub transport: Arc<Transport>,
    /// For how long that holds; `None` until the settings change.
    pub valid_for: Option<Duration>,
}

/// Why a destination leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// Nobody can tell now, for a reason that says nothing about the domain: no recipient expires
    /// by it.
    NoResolver(Reply),
    /// Nobody can tell now.
    NotNow(Reply),
    /// It does not exist or takes no mail: its recipients fail with this reply.
    Refused(Reply),
}

/// What a route leads to.
#[derive(Clone, Debug)]
pub enum Via {
    /// This carries it, whatever the domain.
    Transport(Arc<Transport>),
    /// What carries it is found out for each domain.
    Resolver(Arc<dyn Resolver>),
}

impl From<Transport> for Via {
    fn from(transport: Transport) -> Self {
        Self::Transport(Arc::new(transport))
    }
}

impl Via {
    /// The transport, where it is always the same.
    pub(crate) const fn transport(&self) -> Option<&Arc<Transport>> {
        match self {
            Self::Transport(transport) => Some(transport),
            Self::Resolver(_) => None,
        }
    }
}

/// What a recipient's mail is queued under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) name: Box<str>,
    /// The resolver and the domain, where it is to be resolved.
    pub(crate) lookup: Option<(Box<str>, Box<str>)>,
}

impl Destination {
    /// What leads there, for this recipient.
    pub(crate) fn of(found: &Result<Via, Reply>, recipient: Option<&Mailbox>) -> Self {
        let (name, lookup) = match found {
            Ok(Via::Transport(transport)) => {
                (transport.site().unwrap_or_else(|| HERE.into()), None)
            }
            Ok(Via::Resolver(resolver)) => {
                let route: Box<str> = resolver.to_string().into();
                let domain = recipient.map(Mailbox::domain_key);
                let domain: Box<str> = domain.as_ref().map_or("", |d| d.as_str()).into();
                let name = format!("{route} {domain}").into();
                (name, Some((route, domain)))
            }
            Err(_) => (HERE.into(), None),
        };
        Self { name, lookup }
    }
}

/// A destination that is resolved, and what came of it last.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// Its name, as ids are given to others.
    name: Box<str>,
    route: Box<str>,
    domain: Box<str>,
    /// What carries its mail.
    transport: Option<Arc<Transport>>,
}

impl State {
    /// The id under which the queue has a destination.
    pub(crate) fn destination(&mut self, now: Moment, of: &Destination) -> DestinationId {
        let id = self.queue.destination(now, &of.name);
        let is_known = self.lookups.get(&id).map(|lookup| *lookup.name == *of.name);
        match (&of.lookup, is_known) {
            (None, None) | (Some(_), Some(true)) => {}
            (None, Some(_)) => {
                self.lookups.remove(&id);
            }
            (Some((route, domain)), None | Some(false)) => {
                let lookup = Lookup {
                    name: of.name.clone(),
                    route: route.clone(),
                    domain: domain.clone(),
                    transport: None,
                };
                self.lookups.insert(id, lookup);
                self.queue.resolve_again(now, id);
            }
        }
        id
    }

    /// What carries the mail of a destination that was resolved.
    pub(crate) fn resolved_transport(&self, id: DestinationId) -> Option<Arc<Transport>> {
        self.lookups.get(&id)?.transport.clone()
    }

    /// All that was resolved is resolved again: the settings changed.
    pub(crate) fn resolve_again(&mut self, now: Moment) {
        for id in self.lookups.keys() {
            self.queue.resolve_again(now, *id);
        }
    }

    /// Forgets what the queue has forgotten.
    pub(crate) fn sweep_lookups(&mut self) {
        let queue = &self.queue;
        self.lookups.retain(|id, lookup| {
            let view = queue.destination_view(*id);
            view.is_some_and(|view| *view.name == *lookup.name)
        });
    }

    fn answer(&mut self, now: Moment, resolution: Resolution, answer: Result<Hop, Unresolved>) {
        let id = resolution.destination;
        let by = match answer {
            Err(Unresolved::NoResolver(_)) => By::Nothing,
            _ => By::Transport,
        };
        let (site, transport, valid_for) = match answer {
            Ok(hop) => (hop.site, hop.transport, hop.valid_for),
            Err(Unresolved::Refused(reply)) => {
                let transport = Arc::new(Transport::Error(reply));
                (HERE.into(), transport, Some(REFUSED_FOR))
            }
            Err(Unresolved::NoResolver(reply) | Unresolved::NotNow(reply)) => {
                if let Some(lookup) = self.lookups.get_mut(&id) {
                    let destination = lookup.name.clone();
                    let unresolved = Transport::Unresolved {
                        destination,
                        reply,
                        by,
                    };
                    lookup.transport = Some(Arc::new(unresolved));
                }
                self.queue.resolved(now, resolution, Resolved::Failed);
                return;
            }
        };
        if let Some(lookup) = self.lookups.get_mut(&id) {
            lookup.transport = Some(transport);
        }
        let site = self.queue.site(now, &site);
        let until = valid_for.map(|valid_for| now + valid_for);
        self.queue
            .resolved(now, resolution, Resolved::To { site, until });
    }
}

impl Delivery {
    /// Finds out where a destination leads: at once where its route says so, else in a task of its
    /// own.
    pub(crate) fn resolve(self: &Arc<Self>, state: &mut State, resolution: Resolution) {
        let now = self.clock.now();
        let lookup = state.lookups.get(&resolution.destination);
        let resolver = lookup.and_then(|lookup| state.settings.routes.resolver(&lookup.route));
        let (Some(lookup), Some(resolver)) = (lookup, resolver) else {
            // The transport is the site; or the route is gone, and an attempt finds the new one.
            let view = state.queue.destination_view(resolution.destination);
            let name: Box<str> = view.map_or(HERE, |view| view.name).into();
            let site = state.queue.site(now, &name);
            let resolved = Resolved::To { site, until: None };
            state.queue.resolved(now, resolution, resolved);
            return;
        };
        let (domain, destination) = (lookup.domain.clone(), lookup.name.clone());
        let asked = Asked {
            delivery: Arc::clone(self),
            destination,
            resolution: Some(resolution),
        };
        tokio::spawn(async move {
            let answer = tokio::time::timeout(RESOLVE_TIME, resolver.resolve(&domain)).await;
            asked.delivery.tell_news(resolver.news());
            asked.answer(answer.unwrap_or_else(|_| {
                let seconds = RESOLVE_TIME.as_secs();
                let cause = format!("no answer from {resolver} for {domain} in {seconds} s");
                Err(Unresolved::NotNow(
                    table::UNRESOLVED.reply().with_cause(&cause),
                ))
            }));
        });
    }
}

/// The resolver of a route that has none, for a reason that operators can put right: the mail waits
/// and does not expire, and an alarm is logged once.
#[derive(Debug)]
pub struct NoResolver {
    route: Box<str>,
    cause: Box<str>,
    is_reported: AtomicBool,
}

impl NoResolver {
    /// In the place of `route`.
    #[must_use]
    pub fn new(route: &str, cause: &str) -> Self {
        Self {
            route: route.into(),
            cause: cause.into(),
            is_reported: AtomicBool::new(false),
        }
    }
}

impl fmt::Display for NoResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.route)
    }
}

impl Resolver for NoResolver {
    fn resolve<'a>(&'a self, _domain: &'a str) -> Resolving<'a> {
        let reply = table::DNS_SILENT.reply().with_cause(&self.cause);
        Box::pin(std::future::ready(Err(Unresolved::NoResolver(reply))))
    }

    fn news(&self) -> Option<News> {
        let is_first = !self.is_reported.swap(true, Ordering::Relaxed);
        is_first.then(|| {
            let text = format!(
                "mail of route {} waits, and does not expire: no resolver: {}; mend it, then run \
                 `postern reload`",
                self.route, self.cause
            );
            News::Alarm(text.into())
        })
    }
}

/// A question that goes on. Dropped without an answer, by a panic, it counts as one that failed.
struct Asked {
    delivery: Arc<Delivery>,
    destination: Box<str>,
    resolution: Option<Resolution>,
}

impl Asked {
    fn answer(mut self, answer: Result<Hop, Unresolved>) {
        self.end(answer);
    }

    fn end(&mut self, answer: Result<Hop, Unresolved>) {
        let Some(resolution) = self.resolution.take() else {
            return;
        };
        let (delivery, id) = (&self.delivery, resolution.destination);
        let (site, reply) = match &answer {
            Ok(_) => (SiteSeen::Answering, table::OK.reply()),
            Err(Unresolved::Refused(reply)) => (SiteSeen::Answering, reply.clone()),
            Err(Unresolved::NoResolver(reply) | Unresolved::NotNow(reply)) => {
                (SiteSeen::Down, reply.clone())
            }
        };
        let now = delivery.clock.now();
        let shown = {
            let mut state = delivery.state();
            state.answer(now, resolution, answer);
            // One stands for all, and shows why.
            let is_down = site == SiteSeen::Down && !state.stopping;
            let oldest = is_down.then(|| state.queue.take_oldest(now, id));
            oldest.flatten().map(|attempt| state.begun(attempt))
        };
        delivery.note_site(
            &self.destination,
            &Seen {
                site,
                destination: self.destination.clone(),
                is_relay: false,
                reply,
            },
        );
        if let Some(begun) = shown {
            tokio::spawn(Arc::clone(delivery).attempt(begun, Errand::Deliver));
        }
        delivery.start_due();
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.end(Err(Unresolved::NotNow(table::UNRESOLVED.reply())));
    }
}
