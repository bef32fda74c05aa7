//! Routes: those that can never match, missing postmasters, open relays, ways back to ourselves.

use std::collections::HashSet;
use std::net::IpAddr;

use mail::DomainKey;

use super::Findings;
use super::listeners::covers as address_covers;
use crate::model::{
    HostPort, InstanceConfig, ListenAddress, Next, OpenTo, Role, Route, RouteMatch, Target,
};

/// The mailbox that every domain has (RFC 5321 §4.5.1).
const POSTMASTER: &str = "postmaster";

pub(super) fn check(findings: &mut Findings<'_>) {
    for instance in &findings.config.instances {
        for (i, route) in instance.routes.iter().enumerate() {
            let index = i.to_string();
            shadowed(findings, instance, i, &index);
            users(findings, instance, i, &index);
            openness(findings, instance, route, &index);
            if let Target::Relay(host) = &route.to {
                relay(findings, instance, host, &index);
            }
            if matches!(route.to, Target::Mx(_)) && instance.role.is_front() {
                let text = "a front reaches no host but its `next`: mail exchangers are an \
                            output's to reach; move this route there";
                findings.error(instance, &["route", &index, "to", "mx"], text.to_owned());
            }
            one_way_by_port(findings, instance, i, &index);
        }
        if let Some(Next::Smtp(host)) = &instance.next {
            back_to_us(findings, instance, host, &["next"]);
        }
        elsewhere(findings, instance);
        nobody(findings, instance);
    }
}

fn shadowed(findings: &mut Findings<'_>, on: &InstanceConfig, i: usize, index: &str) {
    for (j, one) in on.routes[i].matches.iter().enumerate() {
        let same_route = on.routes[i].matches[..j].iter();
        let mut earlier = on.routes[..i]
            .iter()
            .flat_map(|route| &route.matches)
            .chain(same_route);
        if let Some(first) = earlier.find(|first| covers(first, one)) {
            let text = format!("can never match: `{first}` before it takes everything of `{one}`");
            findings.warning(on, &["route", index, key(one), &j.to_string()], text);
        }
    }
}

/// Mail exchangers at one port are one destination for each domain, however it is routed there.
fn one_way_by_port(findings: &mut Findings<'_>, on: &InstanceConfig, i: usize, index: &str) {
    let Target::Mx(this) = &on.routes[i].to else {
        return;
    };
    let differs = |route: &Route| match &route.to {
        Target::Mx(other) => other.port == this.port && other != this,
        _ => false,
    };
    if let Some(first) = on.routes[..i].iter().position(differs) {
        let text = format!(
            "route {} reaches exchangers at port {} with other settings: give both the same, or \
             another port",
            first + 1,
            this.port
        );
        findings.error(on, &["route", index, "to", "mx"], text);
    }
}

const fn key(one: &RouteMatch) -> &'static str {
    match one {
        RouteMatch::Address(_) => "address",
        RouteMatch::Any | RouteMatch::Domain(_) | RouteMatch::Subdomains(_) => "domain",
    }
}

fn users(findings: &mut Findings<'_>, on: &InstanceConfig, i: usize, index: &str) {
    let Some(users) = &on.routes[i].users else {
        return;
    };
    let mut seen = HashSet::new();
    for (j, user) in users.iter().enumerate() {
        if !seen.insert(user) {
            let text = format!("`{user}` stands here twice");
            findings.warning(on, &["route", index, "users", &j.to_string()], text);
        }
    }
    if seen.iter().any(|user| &***user == POSTMASTER) {
        return;
    }
    for one in &on.routes[i].matches {
        let RouteMatch::Domain(domain) = one else {
            continue;
        };
        let postmaster = |route: &Route| route.matches.iter().any(|m| is_postmaster(m, domain));
        if !on.routes[..i].iter().any(postmaster) {
            let text = format!(
                "`{POSTMASTER}@{domain}` must exist (RFC 5321 §4.5.1): add `{POSTMASTER}` to the \
                 users, or a route with this `address` before"
            );
            findings.warning(on, &["route", index, "users"], text);
        }
    }
}

fn is_postmaster(one: &RouteMatch, domain: &str) -> bool {
    match one {
        RouteMatch::Address(address) => {
            address.local_part().eq_ignore_ascii_case(POSTMASTER)
                && address.domain_key() == DomainKey::of(domain)
        }
        RouteMatch::Any | RouteMatch::Domain(_) | RouteMatch::Subdomains(_) => false,
    }
}

fn openness(findings: &mut Findings<'_>, on: &InstanceConfig, route: &Route, index: &str) {
    if route.open_to == OpenTo::Ours || !route.matches.contains(&RouteMatch::Any) {
        return;
    }
    let path = ["route", index, "open_to"];
    match &route.to {
        Target::Mx(_) | Target::Relay(_) => {
            let text = "an open relay: anyone could send to everybody through here";
            findings.error(on, &path, text.to_owned());
        }
        Target::Hold { .. } | Target::Maildir(_) => {
            let text = "mail from anyone for everybody is accepted and kept here";
            findings.warning(on, &path, text.to_owned());
        }
        Target::Discard { .. } | Target::Error { .. } => {}
    }
}

fn relay(findings: &mut Findings<'_>, on: &InstanceConfig, host: &HostPort, index: &str) {
    let path = ["route", index, "to", "relay"];
    let is_next = matches!(&on.next, Some(Next::Smtp(next)) if next == host);
    if on.role.is_front() && !is_next {
        let text = "a front reaches no host but its `next`, so that the kernel can hold it to \
                    that: write the same host and port as in `next = \"smtp://HOST:PORT\"`, or \
                    move this route to an output";
        findings.error(on, &path, text.to_owned());
    }
    back_to_us(findings, on, host, &path);
}

/// A host and port that is a listener of this very configuration.
fn back_to_us(findings: &mut Findings<'_>, on: &InstanceConfig, host: &HostPort, path: &[&str]) {
    let address = match (&*host.host, host.host.parse::<IpAddr>()) {
        (_, Ok(address)) => address,
        ("localhost", Err(_)) => IpAddr::from([127, 0, 0, 1]),
        (_, Err(_)) => return,
    };
    for other in &findings.config.instances {
        let hit = other.listen.iter().find(|listen| match &listen.address {
            ListenAddress::Tcp(bound) => bound.port() == host.port && reaches(bound.ip(), address),
            ListenAddress::Unix(_) => false,
        });
        if let Some(listen) = hit {
            let name = &other.name;
            let text = format!(
                "a loop: `{host}` is the listener `{listen}` of `{name}`; instances hand over by \
                 `next = \"{name}\"`"
            );
            findings.error(on, path, text);
        }
    }
}

/// Whether a connection to the address certainly arrives at a listener bound so. That a wildcard
/// covers an address of another machine means nothing.
fn reaches(bound: IpAddr, address: IpAddr) -> bool {
    bound.to_canonical() == address.to_canonical()
        || address.to_canonical().is_loopback() && address_covers(bound, address)
}

/// Senders of our own want to write to everybody.
fn elsewhere(findings: &mut Findings<'_>, on: &InstanceConfig) {
    let everybody = on
        .routes
        .iter()
        .any(|route| route.matches.contains(&RouteMatch::Any));
    if on.role != Role::Output || on.routes.is_empty() || on.next.is_some() || everybody {
        return;
    }
    let instances = &findings.config.instances;
    let sender = instances.iter().find(|other| {
        let here = matches!(&other.next, Some(Next::Instance(name)) if *name == on.name);
        here && other.role == Role::Submission
    });
    if let Some(sender) = sender {
        let text = format!(
            "what `{}` sends to other domains is refused: no route has `domain = \"*\"`",
            sender.name
        );
        findings.warning(on, &["route"], text);
    }
}

/// An input that nobody of the world can write to: no instance behind it says which domains are
/// ours, and no route of its own does.
fn nobody(findings: &mut Findings<'_>, on: &InstanceConfig) {
    let takes = |route: &Route| {
        route.open_to == OpenTo::Anyone && !matches!(route.to, Target::Error { .. })
    };
    if on.role != Role::Input || on.routes.iter().any(takes) {
        return;
    }
    let (path, to): (&[&str], _) = match &on.next {
        Some(Next::Instance(_)) => return,
        Some(Next::Smtp(host)) => (&["next"], format!("relay = \"{host}\"")),
        // Without routes it is a dead end, which is an error already.
        None if on.routes.is_empty() => return,
        None => (&["route"], "maildir = \"…\"".to_owned()),
    };
    let text = format!(
        "`{}` takes no mail from outside: nothing says which domains are ours; add a \
         [[instance.{}.route]] with their `domain`, their `users`, `open_to = \"anyone\"` and \
         `to = {{ {to} }}`",
        on.name, on.name
    );
    findings.warning(on, path, text);
}

/// Whether everything that `later` matches is matched by `earlier`.
fn covers(earlier: &RouteMatch, later: &RouteMatch) -> bool {
    let same = |one: &str, other: &str| DomainKey::of(one) == DomainKey::of(other);
    let below = |domain: &str, parent: &str| DomainKey::of(domain).is_below(&DomainKey::of(parent));
    match (earlier, later) {
        (RouteMatch::Any, _) => true,
        (RouteMatch::Address(one), RouteMatch::Address(other)) => {
            one.domain_key() == other.domain_key()
                && one.local_part().eq_ignore_ascii_case(other.local_part())
        }
        (RouteMatch::Domain(one), RouteMatch::Address(other)) => same(other.domain(), one),
        (RouteMatch::Domain(one), RouteMatch::Domain(other)) => same(one, other),
        (RouteMatch::Subdomains(parent), RouteMatch::Address(other)) => {
            below(other.domain(), parent)
        }
        (RouteMatch::Subdomains(parent), RouteMatch::Domain(other)) => below(other, parent),
        (RouteMatch::Subdomains(parent), RouteMatch::Subdomains(other)) => {
            same(parent, other) || below(other, parent)
        }
        (RouteMatch::Address(_) | RouteMatch::Domain(_) | RouteMatch::Subdomains(_), _) => false,
    }
}
