//! The resolver against NSD with real zones, and against a server that means no good.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod hostile;
mod server;
mod zones;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dns::{Exchanger, Failure, OwnHost, Resolver, ResolverSettings};
use mail::DomainKey;

/// A host with names and addresses of its own.
#[derive(Default)]
struct Own {
    names: &'static [&'static str],
    addresses: &'static [&'static str],
}

/// A host that is no exchanger of anybody.
const NOBODY: Own = Own {
    names: &[],
    addresses: &[],
};

impl OwnHost for Own {
    fn has_name(&self, host: &DomainKey<'_>) -> bool {
        self.names.contains(&host.as_str())
    }

    fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.contains(&&*address.to_string())
    }
}

/// Patience that no loaded machine exhausts, for servers that answer.
fn patient(servers: &[SocketAddr]) -> Resolver {
    resolver(ResolverSettings {
        timeout: Duration::from_secs(60),
        deadline: Duration::from_secs(240),
        ..ResolverSettings::of(servers.to_vec())
    })
}

/// No patience, for servers that do not answer.
fn hasty(servers: &[SocketAddr]) -> Resolver {
    resolver(ResolverSettings {
        timeout: Duration::from_millis(100),
        tries: 1,
        ..ResolverSettings::of(servers.to_vec())
    })
}

fn resolver(settings: ResolverSettings) -> Resolver {
    Resolver::new(settings).expect("the settings are usable")
}

/// Exchangers in one line each: preference, host, addresses.
fn lines(found: &[Exchanger]) -> Vec<String> {
    let line = |e: &Exchanger| {
        let addresses: Vec<_> = e.addresses.iter().map(ToString::to_string).collect();
        format!("{} {} {}", e.preference, e.host, addresses.join(" "))
    };
    found.iter().map(line).collect()
}

/// What came of it, in short.
fn short(found: &Result<Vec<Exchanger>, Failure>) -> String {
    match found {
        Ok(found) => lines(found).join("; "),
        Err(Failure::NoSuchDomain) => "no such domain".to_owned(),
        Err(Failure::NullMx) => "null MX".to_owned(),
        Err(Failure::NotADomain) => "not a domain".to_owned(),
        Err(Failure::OwnHost { exchanger }) => format!("own host: {exchanger}"),
        Err(Failure::NoAddress { cause }) => format!("no address: {cause}"),
        Err(Failure::Temporary { cause }) => format!("temporary: {cause}"),
        Err(Failure::NoResolver { cause }) => format!("no resolver: {cause}"),
    }
}
