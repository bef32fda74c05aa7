//! One question to the DNS, and what its answer means.
//!
//! # Guarantees
//! A server that fails to answer one question is no reason to believe that there is no answer: the
//! next server is asked. Of an answer only those records count that belong to the name asked for
//! or to what its aliases lead to; what else a server adds is ignored.
//!
//! # Failure
//! [`Trouble`]: nothing is known.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::limits::{
    ALIASES_MAX, CACHE_ENTRIES_MAX, NEGATIVE_TTL_MAX, PROBE_TIMEOUT, SERVERS_MAX, TTL_MAX,
};
use crate::settings::{ResolverSettings, SettingsError};

/// Questions that may wait for one TCP connection to a server.
const ACTIVE_MAX: usize = 256;

/// What is known of a name.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    /// These records.
    Found(Vec<T>),
    /// There are none of this type.
    NoRecords,
    /// The name does not exist.
    NoName,
}

/// Why nothing is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Whether a server answered, if only that it failed.
    pub(crate) answered: bool,
    /// What happened, for operators.
    pub(crate) cause: String,
}

/// The servers. Each has a resolver of its own, since the library takes the failure of one server
/// for that of all.
pub(crate) struct Servers {
    servers: Vec<Server>,
    /// The one that answered last; it is asked first.
    preferred: AtomicUsize,
}

struct Server {
    address: SocketAddr,
    resolver: TokioResolver,
}

impl Servers {
    pub(crate) fn new(settings: &ResolverSettings) -> Result<Self, SettingsError> {
        let servers = settings.servers.iter().take(SERVERS_MAX);
        let servers = servers.map(|&address| Server::new(address, settings));
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            preferred: AtomicUsize::new(0),
        })
    }

    /// Asks one server after the other until one knows.
    pub(crate) async fn ask<T>(
        &self,
        name: &Name,
        kind: RecordType,
        pick: fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, Trouble> {
        let mut trouble = Trouble {
            answered: false,
            cause: "no resolver is configured".to_owned(),
        };
        let first = self.preferred.load(Ordering::Relaxed);
        for turn in 0..self.servers.len() {
            let place = (first + turn) % self.servers.len();
            match self.servers[place].ask(name, kind, pick).await {
                Ok(answer) => {
                    self.preferred.store(place, Ordering::Relaxed);
                    return Ok(answer);
                }
                // What a server answered tells more than that another one is silent.
                Err(failed) if turn == 0 || failed.answered || !trouble.answered => {
                    trouble = failed;
                }
                Err(_) => {}
            }
        }
        Err(trouble)
    }

    /// Whether any server answers anything, asked anew.
    pub(crate) async fn any_answers(&self) -> bool {
        let mut probes = JoinSet::new();
        for server in &self.servers {
            let resolver = server.resolver.clone();
            probes.spawn(async move {
                let root = Name::root();
                resolver.clear_lookup_cache(root.clone(), RecordType::NS);
                let asked = resolver.lookup(root, RecordType::NS);
                match timeout(PROBE_TIMEOUT, asked).await {
                    Ok(Ok(_)) => true,
                    Ok(Err(e)) => has_answered(&e),
                    Err(_) => false,
                }
            });
        }
        while let Some(probed) = probes.join_next().await {
            if probed.unwrap_or(false) {
                return true;
            }
        }
        false
    }
}

impl Server {
    fn new(address: SocketAddr, settings: &ResolverSettings) -> Result<Self, SettingsError> {
        let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
            let mut connection = ConnectionConfig::new(protocol);
            connection.port = address.port();
            connection
        });
        let server = NameServerConfig::new(address.ip(), true, connections.into());
        let config = ResolverConfig::from_name_servers(vec![server]);
        let provider = TokioRuntimeProvider::default();
        let resolver = TokioResolver::builder_with_config(config, provider)
            .with_options(options(settings))
            .build()
            .map_err(|e| SettingsError::Library(e.to_string()))?;
        Ok(Self { address, resolver })
    }

    async fn ask<T>(
        &self,
        name: &Name,
        kind: RecordType,
        pick: fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, Trouble> {
        match self.resolver.lookup(name.clone(), kind).await {
            Ok(lookup) => match records(&lookup, name, kind, pick) {
                Some(found) => Ok(Answer::Found(found)),
                None => Err(self.trouble(name, kind, true, "no record in it is the name's")),
            },
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
                self.denied(name, kind, &none).await
            }
            Err(e) => {
                let what = what_failed(&e);
                Err(self.trouble(name, kind, has_answered(&e), &what))
            }
        }
    }

    /// What an answer without records means.
    async fn denied<T>(
        &self,
        name: &Name,
        kind: RecordType,
        none: &NoRecords,
    ) -> Result<Answer<T>, Trouble> {
        if none.response_code == ResponseCode::NXDomain {
            return Ok(Answer::NoName);
        }
        if none.soa.is_some() {
            return Ok(Answer::NoRecords);
        }
        if none.ns.is_some() {
            return Err(self.trouble(name, kind, true, "it refers to other servers (lame)"));
        }
        // Without a start of authority it may be a denial all the same (RFC 2308 §2.2), but the end
        // of a loop of aliases looks like it too.
        let is_alias = self.resolver.lookup(name.clone(), RecordType::CNAME).await;
        if is_alias.is_ok_and(|lookup| !lookup.answers().is_empty()) {
            return Err(self.trouble(name, kind, true, "its aliases (CNAME) lead nowhere"));
        }
        Ok(Answer::NoRecords)
    }

    fn trouble(&self, name: &Name, kind: RecordType, answered: bool, what: &str) -> Trouble {
        let (server, name) = (self.address, crate::name::text(name));
        Trouble {
            answered,
            cause: format!("DNS {kind} {name}: {what}, resolver {server}"),
        }
    }
}

fn options(settings: &ResolverSettings) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.attempts = settings.tries.saturating_sub(1);
    options.timeout = settings.timeout;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = CACHE_ENTRIES_MAX;
    options.positive_max_ttl = Some(TTL_MAX);
    options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
    options.max_active_requests = ACTIVE_MAX;
    options.num_concurrent_reqs = 1;
    // A server that breaks off UDP may still answer by TCP.
    options.try_tcp_on_error = true;
    options
}

/// The records of the name, or of what its aliases lead to; `None` where none is.
fn records<T>(
    lookup: &Lookup,
    name: &Name,
    kind: RecordType,
    pick: fn(&RData) -> Option<T>,
) -> Option<Vec<T>> {
    let mut owner = name;
    for _ in 0..=ALIASES_MAX {
        let mut of_owner = lookup.answers().iter().filter(|r| r.name == *owner);
        let found: Vec<T> = of_owner
            .clone()
            .filter(|r| r.record_type() == kind)
            .filter_map(|r| pick(&r.data))
            .collect();
        if !found.is_empty() {
            return Some(found);
        }
        let alias = of_owner.find_map(|r| match &r.data {
            RData::CNAME(target) => Some(&target.0),
            _ => None,
        });
        owner = alias?;
    }
    None
}

/// Whether this shows that the server works.
fn has_answered(error: &NetError) -> bool {
    match error {
        NetError::Dns(_) | NetError::Truncated | NetError::ForeignClassRecord { .. } => true,
        // Silence, nobody there, a limit of our own, or something that is no answer.
        _ => false,
    }
}

fn what_failed(error: &NetError) -> String {
    match error {
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => {
            "server failure (SERVFAIL)".to_owned()
        }
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => {
            "query refused (REFUSED)".to_owned()
        }
        NetError::Dns(DnsError::ResponseCode(code)) => format!("error {code}"),
        NetError::Timeout => "no answer in time".to_owned(),
        NetError::Truncated => "answer truncated, also by TCP".to_owned(),
        other => other.to_string(),
    }
}
