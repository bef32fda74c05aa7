//! From a configuration to the parts of an instance.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use config::{
    Config, InstanceConfig, LINE_LENGTH_MAX, MESSAGE_SIZE_MAX, Next as NextConfig, RECIPIENTS_MAX,
    RouteMatch, Target,
};
use delivery::transport::{
    Domains, Handoff, Mailboxes, Maildir, MaildirSettings, Mx, MxSettings, OwnAddresses, Relay,
    RelaySettings, Transport,
};
use delivery::{Asked, Match, NoResolver, OpenTo, Routes, Via};
use dns::ResolverSettings;
use handoff::{Lifetimes, Next};
use intake::{
    Answer, Bounds, CheckedAs, Entry, EntryChecks, HandoffLimits, LocalPrograms, RecipientStatus,
    Recipients,
};
use mail::event::{Event, Sink};
use mail::{Mailbox, Origin, Reply, ReplyCode};
use net::Clock;
use net::tls::TlsAcceptor;
use policy::{
    BounceRecipients, Checks, Configured, EarlyTalker, HeaderField, HelloIdentity, Milliseconds,
    Mode, OwnSender, RecipientValidity, RepeatedField,
};
use queue::{Backoff, Lifetime};
use smtp::server::{BareNewlines, Dialect, Extensions, Offer, Settings, Starttls};

use crate::instance::doors::EDGE_PLACES_MIN;
use crate::instance::resolver;
use crate::role::Composition;

/// The longest command line between instances: MAIL with all that a handoff says.
const EDGE_COMMAND_LEN_MAX: usize = 16 * 1024;
/// Messages at a time that an old process gives to the new one.
const SUCCESSOR_CONNECTIONS_MAX: usize = EDGE_PLACES_MIN;
/// One in so many connections of a submission is for operators, and [`OPERATORS_MAX`] at most.
const OPERATORS_PART: u32 = 20;
const OPERATORS_MAX: u32 = 16;
/// How long a connection to another host may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection to another host is kept without work: less than any host keeps ours.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// What begins the extension of a local part.
const DELIMITER: char = '+';

/// How the machine speaks to clients.
pub(crate) fn world(config: &Config, own: &InstanceConfig, xforward: Offer) -> Settings {
    let starttls = if own.tls.is_some() {
        Starttls::Offered
    } else {
        Starttls::NotOffered
    };
    Settings {
        hostname: config.hostname.clone(),
        dialect: Dialect::Smtp,
        extensions: Extensions {
            binarymime: Offer::No,
            chunking: Offer::Yes,
            dsn: Offer::Yes,
            smtputf8: Offer::Yes,
            starttls,
            xforward,
        },
        limits: limits(&own.limits),
        newlines: match own.bare_newlines {
            config::BareNewlines::Normalize => BareNewlines::Normalize,
            config::BareNewlines::Refuse => BareNewlines::Refuse,
        },
    }
}

/// How the machine speaks to other instances. Its limits are the highest that can be set: a limit
/// that a reload lowered must refuse no repetition. [`handoff_limits`] hold for new handoffs.
pub(crate) fn edge(own: &InstanceConfig) -> Settings {
    let mut limits = limits(&own.limits);
    limits.content_len_max = MESSAGE_SIZE_MAX;
    limits.content_line_len_max = octets(LINE_LENGTH_MAX);
    limits.recipients_max = octets(RECIPIENTS_MAX);
    limits.command_len_max = EDGE_COMMAND_LEN_MAX;
    limits.commands_max = u32::MAX;
    limits.errors_max = u32::MAX;
    // A kept connection is idle for as long as its sender has nothing to hand on.
    limits.command_timeout = Duration::from_secs(24 * 3600);
    Settings {
        hostname: own.name.as_str().into(),
        dialect: Dialect::Edge,
        extensions: Extensions {
            binarymime: Offer::Yes,
            chunking: Offer::Yes,
            dsn: Offer::Yes,
            smtputf8: Offer::Yes,
            starttls: Starttls::NotOffered,
            xforward: Offer::No,
        },
        limits,
        newlines: BareNewlines::Refuse,
    }
}

/// What an instance accepts in one handoff.
pub(crate) fn handoff_limits(from: &config::Limits) -> HandoffLimits {
    HandoffLimits {
        content_len_max: from.message_size,
        line_len_max: octets(from.line_length),
        recipients_max: octets(from.recipients),
    }
}

fn octets(n: impl TryInto<usize>) -> usize {
    n.try_into().unwrap_or(usize::MAX)
}

fn limits(from: &config::Limits) -> smtp::server::Limits {
    smtp::server::Limits {
        command_len_max: octets(from.command_length),
        command_timeout: from.command_timeout,
        commands_max: from.commands,
        content_len_max: from.message_size,
        content_line_len_max: octets(from.line_length),
        data_rate_min: from.data_rate_min,
        data_timeout: from.data_timeout,
        errors_max: from.errors,
        recipients_max: octets(from.recipients),
        tls_timeout: from.tls_timeout,
    }
}

/// How many connections there may be. Where programs are known by their users, some of them are
/// for root and the user that runs the system.
pub(crate) fn bounds(own: &InstanceConfig, composition: &Composition) -> Bounds {
    let all = own.limits.connections;
    let operators_reserve = match composition.local {
        LocalPrograms::ByUid => (all / OPERATORS_PART).clamp(1, OPERATORS_MAX).min(all - 1),
        LocalPrograms::LikeAll => 0,
    };
    Bounds {
        connections_max: all,
        operators_reserve,
        per_client_max: own.limits.connections_per_client,
        per_user_max: own.limits.connections_per_user,
    }
}

/// How many connections each instance that hands to this one may have: twice as many as it makes,
/// as while a new process takes its place both have some; and those of probes.
pub(crate) fn edge_places(
    config: &Config,
    own: &InstanceConfig,
) -> HashMap<mail::InstanceName, usize> {
    const OF_PROBES: usize = 8;
    let leads_here = |from: &&InstanceConfig| match &from.next {
        Some(NextConfig::Instance(next)) => *next == own.name,
        Some(NextConfig::Smtp(_)) | None => false,
    };
    let places = |from: &InstanceConfig| {
        let connections = usize::try_from(from.handoff.connections).unwrap_or(usize::MAX);
        let places = connections.saturating_mul(2).saturating_add(OF_PROBES);
        (from.name.clone(), places.max(EDGE_PLACES_MIN))
    };
    let fronts = config.instances.iter().filter(leads_here);
    fronts.map(places).collect()
}

/// How this instance speaks to the next.
pub(crate) fn next_settings(own: &InstanceConfig, next: mail::InstanceName) -> handoff::Settings {
    let handoff = &own.handoff;
    handoff::Settings {
        own_name: own.name.clone(),
        next_name: next,
        patience: handoff.patience,
        connections_max: usize::try_from(handoff.connections).unwrap_or(usize::MAX),
        lifetimes: Lifetimes {
            answers_max: usize::try_from(handoff.question_cache.entries).unwrap_or(usize::MAX),
            accepted: handoff.question_cache.accepted_for,
            refused: handoff.question_cache.refused_for,
            stale: handoff.question_cache.stale_for,
        },
        client: edge_client(&own.name),
    }
}

/// How an old process of this instance speaks to the new one: at the end of its clients' messages,
/// which wait for as long as the new one needs to begin.
pub(crate) fn successor_settings(
    name: &mail::InstanceName,
    patience: Duration,
) -> handoff::Settings {
    handoff::Settings {
        own_name: name.clone(),
        next_name: name.clone(),
        patience,
        connections_max: SUCCESSOR_CONNECTIONS_MAX,
        // It is asked nothing.
        lifetimes: Lifetimes {
            answers_max: 0,
            accepted: Duration::ZERO,
            refused: Duration::ZERO,
            stale: Duration::ZERO,
        },
        client: edge_client(name),
    }
}

fn edge_client(name: &mail::InstanceName) -> Arc<smtp::client::Settings> {
    Arc::new(smtp::client::Settings {
        dialect: smtp::client::Dialect::Edge,
        hello_name: name.as_str().into(),
        timeouts: smtp::client::Timeouts::LEAST,
        tls: smtp::client::TlsWish::Never,
    })
}

/// The routes of an instance: its own, then what `next` takes.
pub(crate) fn routes(
    config: &Config,
    own: &InstanceConfig,
    clock: Clock,
    next: Option<&Arc<Next>>,
) -> Routes {
    let mut routes: Vec<_> = own
        .routes
        .iter()
        .map(|r| route(config, own, clock, r))
        .collect();
    let onward = match (&own.next, next) {
        (Some(NextConfig::Instance(_)), Some(next)) => Some(Transport::Handoff(Handoff::new(
            Arc::clone(next),
            own.name.clone(),
        ))),
        (Some(NextConfig::Smtp(host)), _) => Some(relay(config, own, clock, host)),
        (Some(NextConfig::Instance(_)) | None, _) => None,
    };
    if let Some(transport) = onward {
        // Who may go on to the next instance is decided there and at RCPT; to another MTA only
        // mail of ours goes, whatever this listener's routes do not take.
        let open_to = match own.next {
            Some(NextConfig::Smtp(_)) => OpenTo::Ours,
            Some(NextConfig::Instance(_)) | None => OpenTo::Anyone,
        };
        routes.push(delivery::Route {
            matches: vec![Match::Any],
            users: None,
            open_to,
            via: transport.into(),
        });
    }
    Routes::new(routes, Some(DELIMITER), &config.hostname)
}

/// Only the routes that stand in the configuration of this instance.
pub(crate) fn own_routes(config: &Config, own: &InstanceConfig, clock: Clock) -> Routes {
    let routes = own
        .routes
        .iter()
        .map(|r| route(config, own, clock, r))
        .collect();
    Routes::new(routes, Some(DELIMITER), &config.hostname)
}

fn route(
    config: &Config,
    own: &InstanceConfig,
    clock: Clock,
    from: &config::Route,
) -> delivery::Route {
    delivery::Route {
        matches: from.matches.iter().map(matching).collect(),
        users: from
            .users
            .as_ref()
            .map(|users| users.iter().cloned().collect()),
        open_to: match from.open_to {
            config::OpenTo::Anyone => OpenTo::Anyone,
            config::OpenTo::Ours => OpenTo::Ours,
        },
        via: via(config, own, clock, from),
    }
}

fn via(config: &Config, own: &InstanceConfig, clock: Clock, from: &config::Route) -> Via {
    Via::from(match &from.to {
        Target::Discard { why } => Transport::Discard { why: why.clone() },
        Target::Error { status, text } => {
            let code = if status.class() == 4 { 450 } else { 550 };
            Transport::Error(Reply::new(ReplyCode::new(code), Some(*status), text))
        }
        Target::Hold { why } => Transport::Hold { why: why.clone() },
        Target::Maildir(template) => maildir(template, from),
        Target::Mx(from) => return mx(config, own, clock, from),
        Target::Relay(host) => relay(config, own, clock, host),
    })
}

fn maildir(template: &config::PathTemplate, from: &config::Route) -> Transport {
    let is_address = |m: &RouteMatch| matches!(m, RouteMatch::Address(_));
    let is_named = |m: &RouteMatch| matches!(m, RouteMatch::Address(_) | RouteMatch::Domain(_));
    // Who is named here has a mailbox; of all others it is their mailbox that says so.
    let is_listed = from.users.is_some() || from.matches.iter().all(is_address);
    let made = Maildir::new(MaildirSettings {
        template: template.as_str(),
        delimiter: Some(DELIMITER),
        mailboxes: match is_listed {
            true => Mailboxes::Made,
            false => Mailboxes::Existing,
        },
        domains: match from.matches.iter().all(is_named) {
            true => Domains::Named,
            false => Domains::Any,
        },
        state: template.state(),
    });
    match made {
        Ok(maildir) => Transport::Maildir(maildir),
        // The configuration was checked by the same rules: this keeps mail all the same.
        Err(e) => Transport::Hold {
            why: format!("{}: {e}", template.as_str()).into(),
        },
    }
}

fn matching(from: &RouteMatch) -> Match {
    match from {
        RouteMatch::Address(address) => Match::Address(address.clone()),
        RouteMatch::Any => Match::Any,
        RouteMatch::Domain(domain) => Match::Domain((&**domain).into()),
        RouteMatch::Subdomains(domain) => Match::Subdomains((&**domain).into()),
    }
}

fn relay(config: &Config, own: &InstanceConfig, clock: Clock, to: &config::HostPort) -> Transport {
    let settings = RelaySettings {
        host: to.host.clone(),
        port: to.port,
        client: Arc::new(client(config)),
        connect_timeout: CONNECT_TIMEOUT,
        connections_max: usize::try_from(own.queue.concurrency_per_site).unwrap_or(usize::MAX),
        idle_max: IDLE_MAX,
    };
    Transport::Relay(Relay::new(settings, clock))
}

/// How other hosts are spoken to.
fn client(config: &Config) -> smtp::client::Settings {
    smtp::client::Settings {
        dialect: smtp::client::Dialect::Smtp,
        hello_name: config.hostname.clone(),
        timeouts: smtp::client::Timeouts::LEAST,
        tls: smtp::client::TlsWish::Never,
    }
}

/// Mail exchangers, with the DNS servers of the system where the route names none.
fn mx(config: &Config, own: &InstanceConfig, clock: Clock, from: &config::MxRoute) -> Via {
    let resolver = match &*from.resolver {
        [] => resolver::of_system(),
        servers => Ok(ResolverSettings::of(servers.to_vec())),
    };
    let made = resolver.and_then(|resolver| {
        let settings = MxSettings {
            port: from.port,
            literals: from.literals == config::Literals::Deliver,
            client: Arc::new(client(config)),
            attempt_timeout: from.attempt_timeout,
            connections_max: usize::try_from(own.queue.concurrency_per_site).unwrap_or(usize::MAX),
            idle_max: IDLE_MAX,
            own: OwnAddresses {
                names: vec![(&*config.hostname).into()],
                addresses: from.own_addresses.clone(),
                port: from.port,
            },
            resolver,
        };
        Mx::new(settings, clock)
    });
    match made {
        Ok(mx) => Via::Resolver(Arc::new(mx)),
        Err(e) => Via::Resolver(Arc::new(NoResolver::new("mx", &e))),
    }
}

/// When a message is given up.
pub(crate) const fn lifetime(own: &InstanceConfig) -> Lifetime {
    Lifetime {
        expire_after: own.queue.expiry,
    }
}

/// What is checked, by entry. Peers that are named have checked their clients, and may well share
/// our name; other instances have done so by this list.
pub(crate) fn checks(config: &Config, own: &InstanceConfig) -> EntryChecks {
    let set = &own.checks;
    let wait = u32::try_from(set.early_talker_wait.as_millis()).unwrap_or(u32::MAX);
    let early_talker = EarlyTalker {
        wait: Milliseconds(wait),
    };
    let hello_identity = HelloIdentity {
        hostname: config.hostname.clone(),
    };
    let recipients = || Configured::new(RecipientValidity, set.recipient_validity);
    let with = |check: Configured, set: config::Check| Configured {
        mode: set.mode,
        action: set.action,
        ..check
    };
    let repeated = |field| {
        with(
            Configured::new(RepeatedField { field }, Mode::Off),
            set.repeated_field,
        )
    };
    EntryChecks {
        clients: Checks::new([
            with(Configured::new(early_talker, Mode::Off), set.early_talker),
            with(
                Configured::new(hello_identity, Mode::Off),
                set.hello_identity,
            ),
            with(Configured::new(OwnSender, Mode::Off), set.own_sender),
            recipients(),
            with(
                Configured::new(BounceRecipients, Mode::Off),
                set.bounce_recipients,
            ),
            repeated(HeaderField::From),
            repeated(HeaderField::Date),
        ]),
        peers: Checks::new([recipients()]),
        edges: Checks::default(),
    }
}

/// By which door clients come in that the configuration does not name.
pub(crate) fn entry(composition: &Composition, tls: Option<TlsAcceptor>) -> Entry {
    Entry {
        origin: composition.origin.clone(),
        local: composition.local,
        tls,
        checked_as: CheckedAs::Client,
    }
}

/// The routes of this instance, as intake asks them.
pub(crate) struct Answering {
    pub(crate) routes: Arc<Routes>,
    pub(crate) clock: Clock,
    pub(crate) events: Arc<dyn Sink>,
}

impl Recipients for Answering {
    fn status(&self, recipient: &Mailbox, _origin: &Origin) -> Option<Answer> {
        if !self.routes.matches(recipient) {
            return None;
        }
        let asked = match self.routes.standing(recipient) {
            Asked::Known(standing) => return Some(Answer::Now(said(standing))),
            asked => asked,
        };
        let (recipient, clock) = (recipient.clone(), self.clock);
        let events = Arc::clone(&self.events);
        Some(Answer::Later(Box::pin(async move {
            let (standing, news) = asked.standing(&recipient).await;
            if let Some(news) = news {
                events.emit(Event {
                    at: clock.timestamp(),
                    trace: None,
                    what: news.into(),
                });
            }
            said(standing)
        })))
    }
}

fn said(standing: delivery::Standing) -> RecipientStatus {
    match standing {
        delivery::Standing::Elsewhere => RecipientStatus::External,
        delivery::Standing::Ours => RecipientStatus::Internal,
        delivery::Standing::Refused(reply) => RecipientStatus::Refused(reply),
    }
}

/// How soon a deferred recipient is tried again.
pub(crate) fn backoff(own: &InstanceConfig, composition: &Composition) -> Backoff {
    match &own.next {
        // Towards another instance of ours the pace is not a matter of manners.
        Some(NextConfig::Instance(_)) => composition.backoff,
        Some(NextConfig::Smtp(_)) | None => {
            Backoff::doubling(&own.queue.retry, own.queue.retry_max)
        }
    }
}

/// The bounds of the queue.
pub(crate) fn queue(own: &InstanceConfig, composition: &Composition) -> queue::Settings {
    let per_site = own.queue.concurrency_per_site;
    queue::Settings {
        attempts_max: own.queue.concurrency,
        site_attempts_initial: per_site.min(SITE_ATTEMPTS_INITIAL),
        site_attempts_max: per_site,
        probes: composition.probes,
    }
}

/// Attempts at a time at a site of which nothing is known.
const SITE_ATTEMPTS_INITIAL: u32 = 20;

#[cfg(test)]
mod tests;
