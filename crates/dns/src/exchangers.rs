//! The mail exchangers of a domain, in the order in which they are tried.
//!
//! # Standards
//! RFC 5321 §5.1, RFC 7505.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use mail::DomainKey;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::limits::{ADDRESSES_MAX, EXCHANGERS_MAX, FAMILY_GRACE};
use crate::lookup::{Answer, Servers, Trouble};
use crate::settings::{ResolverSettings, SettingsError};
use crate::{name, order};

/// Finds exchangers. Cheap to clone; clones share what they remember.
#[derive(Clone)]
pub struct Resolver {
    servers: Arc<Servers>,
    settings: Arc<ResolverSettings>,
}

/// A host that takes mail for a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchanger {
    /// Its name, lower case, in A-labels and without a last dot; or an address, of a literal.
    pub host: Box<str>,
    /// Its preference; smaller is better.
    pub preference: u16,
    /// Its addresses, in the order in which they are tried; at least one.
    pub addresses: Vec<IpAddr>,
}

/// What this host is, as far as exchangers are concerned: one of them, and all that are not better,
/// would send the mail back here (RFC 5321 §5.1).
pub trait OwnHost: Sync {
    /// Whether a host of this name is this one.
    fn has_name(&self, host: &DomainKey<'_>) -> bool;
    /// Whether mail that is sent to this address arrives here.
    fn has_address(&self, address: IpAddr) -> bool;
}

/// Why there is no exchanger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Permanent: the domain does not exist (NXDOMAIN).
    NoSuchDomain,
    /// Permanent: the domain takes no mail (RFC 7505).
    NullMx,
    /// Permanent: this is no name of a domain, and no address literal that may be used.
    NotADomain,
    /// This host is the best exchanger, or so is none that is better: no way leads on from here.
    OwnHost {
        /// The exchanger that is this host.
        exchanger: Box<str>,
    },
    /// The domain exists, but no exchanger of it has an address. Not permanent
    /// (quirk: no-address-is-deferred): a zone that is being rebuilt looks the same.
    NoAddress {
        /// What was found, for operators.
        cause: String,
    },
    /// The DNS fails for this domain.
    Temporary {
        /// What failed, for operators.
        cause: String,
    },
    /// No resolver answers anything: nothing is known of any domain.
    NoResolver {
        /// What failed, for operators.
        cause: String,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchDomain => f.write_str("the domain does not exist"),
            Self::NullMx => f.write_str("the domain accepts no mail (null MX)"),
            Self::NotADomain => f.write_str("not a domain that mail can be sent to"),
            Self::OwnHost { exchanger } => write!(
                f,
                "{exchanger} is the best mail exchanger and is this host, but no route delivers \
                 mail of this domain here"
            ),
            Self::NoAddress { cause } | Self::Temporary { cause } => f.write_str(cause),
            Self::NoResolver { cause } => write!(f, "no resolver answers: {cause}"),
        }
    }
}

impl Resolver {
    /// A resolver that has asked nothing yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: ResolverSettings) -> Result<Self, SettingsError> {
        Ok(Self {
            servers: Arc::new(Servers::new(&settings)?),
            settings: Arc::new(settings),
        })
    }

    /// The exchangers of the domain of a mail address, best first, without those that lead back
    /// here. `seed` shuffles those of equal preference. Cancel-safe.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn exchangers(
        &self,
        domain: &str,
        own: &dyn OwnHost,
        seed: u64,
    ) -> Result<Vec<Exchanger>, Failure> {
        if name::literal(domain).is_some() {
            return Err(Failure::NotADomain);
        }
        let asked = name::of_domain(domain).ok_or(Failure::NotADomain)?;
        let until = Instant::now() + self.settings.deadline;
        match timeout_at(until, self.find(asked.clone(), own, seed)).await {
            // So far it only means that no resolver answered this.
            Ok(Err(Failure::NoResolver { cause })) => Err(self.blame(cause).await),
            Ok(found) => found,
            Err(_) => {
                let seconds = self.settings.deadline.as_secs();
                let domain = name::text(&asked);
                let cause = format!("DNS MX {domain}: no answer within {seconds} seconds");
                Err(self.blame(cause).await)
            }
        }
    }

    /// The exchanger of an address literal, for those who may use them.
    ///
    /// # Errors
    /// When it is none, or this host's.
    pub fn literal(&self, domain: &str, own: &dyn OwnHost) -> Result<Exchanger, Failure> {
        let address = name::literal(domain).flatten();
        let address = address.ok_or(Failure::NotADomain)?;
        let host: Box<str> = address.to_string().into();
        if own.has_address(address) {
            return Err(Failure::OwnHost { exchanger: host });
        }
        Ok(Exchanger {
            host,
            preference: 0,
            addresses: vec![address],
        })
    }

    /// Whether it is the domain that fails, or the resolver.
    async fn blame(&self, cause: String) -> Failure {
        if self.servers.any_answers().await {
            Failure::Temporary { cause }
        } else {
            Failure::NoResolver { cause }
        }
    }

    async fn find(
        &self,
        domain: Name,
        own: &dyn OwnHost,
        seed: u64,
    ) -> Result<Vec<Exchanger>, Failure> {
        let answer = self.servers.ask(&domain, RecordType::MX, exchange).await;
        let mut records = match answer.map_err(Failure::from)? {
            Answer::NoName => return Err(Failure::NoSuchDomain),
            // RFC 5321 §5.1: the domain itself is its exchanger.
            Answer::NoRecords => vec![(0, domain)],
            Answer::Found(records) => usable(records).ok_or(Failure::NullMx)?,
        };
        order::by_preference(&mut records, seed);
        records.truncate(EXCHANGERS_MAX);
        let own_by_name = records
            .iter()
            .find(|(_, host)| own.has_name(&DomainKey::of(&name::text(host))))
            .map(|(preference, host)| (*preference, name::text(host)));
        if let Some((limit, _)) = &own_by_name {
            records.retain(|(preference, _)| preference < limit);
        }
        let mut found = Found {
            own: own_by_name.map(|(_, exchanger)| exchanger),
            ..Found::default()
        };
        let hosts = records.into_iter().collect();
        for (preference, host, looked) in self.addresses_of_all(hosts).await {
            if found.note(preference, host, looked, own).is_break() {
                break;
            }
        }
        found.end()
    }

    /// The addresses of each, asked at once, in the order of `hosts`.
    async fn addresses_of_all(
        &self,
        hosts: Vec<(u16, Name)>,
    ) -> Vec<(u16, Box<str>, Result<Vec<IpAddr>, Missing>)> {
        let mut looks = JoinSet::new();
        for (place, (preference, host)) in hosts.into_iter().enumerate() {
            let servers = Arc::clone(&self.servers);
            looks.spawn(async move {
                let looked = addresses(&servers, &host).await;
                (place, (preference, name::text(&host), looked))
            });
        }
        let mut looked = looks.join_all().await;
        looked.sort_by_key(|(place, _)| *place);
        looked.into_iter().map(|(_, look)| look).collect()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Resolver").field(&self.settings).finish()
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    exchangers: Vec<Exchanger>,
    own: Option<Box<str>>,
    missing: Vec<String>,
    trouble: Option<Trouble>,
}

impl Found {
    /// Adds what is known of an exchanger; ends where this host is met.
    fn note(
        &mut self,
        preference: u16,
        host: Box<str>,
        looked: Result<Vec<IpAddr>, Missing>,
        own: &dyn OwnHost,
    ) -> std::ops::ControlFlow<()> {
        match looked {
            Ok(addresses) if addresses.iter().any(|&a| own.has_address(a)) => {
                self.exchangers.retain(|e| e.preference < preference);
                self.own = Some(host);
                return std::ops::ControlFlow::Break(());
            }
            Ok(addresses) => self.exchangers.push(Exchanger {
                host,
                preference,
                addresses,
            }),
            Err(Missing::Certainly(what)) => self.missing.push(format!("{host} {what}")),
            Err(Missing::Perhaps(trouble)) => {
                let known = self.trouble.get_or_insert_with(|| trouble.clone());
                // What answered shows that it is not the resolver.
                if trouble.answered && !known.answered {
                    *known = trouble;
                }
            }
        }
        std::ops::ControlFlow::Continue(())
    }

    fn end(self) -> Result<Vec<Exchanger>, Failure> {
        match (self.trouble, self.own) {
            _ if !self.exchangers.is_empty() => Ok(self.exchangers),
            // A better one than this host may be there.
            (Some(trouble), _) => Err(trouble.into()),
            (None, Some(exchanger)) => Err(Failure::OwnHost { exchanger }),
            (None, None) => Err(Failure::NoAddress {
                cause: format!(
                    "no mail exchanger has an address: {}",
                    self.missing.join(", ")
                ),
            }),
        }
    }
}

/// Why a host has no address.
enum Missing {
    Certainly(&'static str),
    Perhaps(Trouble),
}

/// Asks for both families at once. Where one is there, the other has little time left: a resolver
/// that swallows questions of one family does not cost the time of both.
async fn addresses(servers: &Servers, host: &Name) -> Result<Vec<IpAddr>, Missing> {
    if name::is_address(&name::text(host)) {
        return Err(Missing::Certainly("is an address, not a name"));
    }
    let mut v6 = Box::pin(servers.ask(host, RecordType::AAAA, address));
    let mut v4 = Box::pin(servers.ask(host, RecordType::A, address));
    let late = || {
        Err(Trouble {
            answered: false,
            cause: format!("DNS {}: no answer in time", name::text(host)),
        })
    };
    let (v6, v4) = tokio::select! {
        first = &mut v6 => {
            let second = match first {
                Ok(Answer::Found(_)) => timeout(FAMILY_GRACE, v4).await.unwrap_or_else(|_| late()),
                _ => v4.await,
            };
            (first, second)
        }
        first = &mut v4 => {
            let second = match first {
                Ok(Answer::Found(_)) => timeout(FAMILY_GRACE, v6).await.unwrap_or_else(|_| late()),
                _ => v6.await,
            };
            (second, first)
        }
    };
    let mut trouble = None;
    let mut exists = false;
    let mut found = |answer| match answer {
        Ok(Answer::Found(addresses)) => addresses,
        Ok(Answer::NoRecords) => {
            exists = true;
            Vec::new()
        }
        Ok(Answer::NoName) => Vec::new(),
        Err(why) => {
            trouble.get_or_insert(why);
            Vec::new()
        }
    };
    let (v6, v4) = (found(v6), found(v4));
    let addresses = order::by_turns(v6, v4, ADDRESSES_MAX);
    match trouble {
        _ if !addresses.is_empty() => Ok(addresses),
        Some(trouble) => Err(Missing::Perhaps(trouble)),
        None if exists => Err(Missing::Certainly("has no address")),
        None => Err(Missing::Certainly("does not exist")),
    }
}

/// The records that name a host; `None` when there are only null ones. A null MX beside others is
/// a mistake, and says nothing (RFC 7505 §3).
fn usable(mut records: Vec<(u16, Name)>) -> Option<Vec<(u16, Name)>> {
    records.retain(|(_, host)| !host.is_root());
    (!records.is_empty()).then_some(records)
}

fn exchange(data: &RData) -> Option<(u16, Name)> {
    match data {
        RData::MX(mx) => {
            let mut host = mx.exchange.clone();
            host.set_fqdn(true);
            Some((mx.preference, host))
        }
        _ => None,
    }
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(a) => Some(a.0.into()),
        RData::AAAA(aaaa) => Some(aaaa.0.into()),
        _ => None,
    }
}

impl From<Trouble> for Failure {
    fn from(Trouble { answered, cause }: Trouble) -> Self {
        if answered {
            Self::Temporary { cause }
        } else {
            Self::NoResolver { cause }
        }
    }
}
