//! Which servers are asked, and how patiently.
//!
//! # Standards
//! resolv.conf(5). Search lists and `ndots` are read over: all names are asked for in full.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::limits::SERVERS_MAX;

/// The port of the DNS.
const PORT: u16 = 53;
/// Those of resolv.conf(5), and its bounds.
const TIMEOUT_SECONDS: u64 = 5;
const TIMEOUT_SECONDS_MAX: u64 = 30;
const TRIES: usize = 2;
const TRIES_MAX: usize = 5;
/// For all questions about one domain.
const DEADLINE: Duration = Duration::from_secs(30);

/// Which servers are asked, and how patiently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverSettings {
    /// The servers, in the order in which they are asked.
    pub servers: Vec<SocketAddr>,
    /// How long one try may take.
    pub timeout: Duration,
    /// How often a server is asked before the next one is.
    pub tries: usize,
    /// How long all questions about one domain may take.
    pub deadline: Duration,
}

/// What is wrong with resolver settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A server is written in a way that is no address.
    #[error("line {line}: `{text}` is not an IP address")]
    Address {
        /// The line, from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// The library does not take them.
    #[error("the resolver cannot be set up: {0}")]
    Library(String),
}

impl ResolverSettings {
    /// These servers, with the patience that resolv.conf(5) has by default.
    #[must_use]
    pub fn of(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            timeout: Duration::from_secs(TIMEOUT_SECONDS),
            tries: TRIES,
            deadline: DEADLINE,
        }
    }

    /// What the text of a `resolv.conf` says. Without a server in it, it is the one on this
    /// machine, as for the system's own resolver. Of more than [`SERVERS_MAX`], the first count.
    ///
    /// # Errors
    /// When a server is not written as an address. An IPv6 zone (`fe80::1%eth0`) is refused too.
    pub fn from_resolv_conf(text: &str) -> Result<Self, SettingsError> {
        let mut settings = Self::of(Vec::new());
        for (line, words) in (1..).zip(text.lines()) {
            let uncommented = words.split(['#', ';']).next().unwrap_or_default();
            let mut words = uncommented.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let text = words.next().unwrap_or_default();
                    let address: IpAddr = text.parse().map_err(|_| SettingsError::Address {
                        line,
                        text: text.to_owned(),
                    })?;
                    settings.servers.push(SocketAddr::new(address, PORT));
                }
                Some("options") => words.for_each(|option| settings.set_option(option)),
                _ => {}
            }
        }
        settings.servers.truncate(SERVERS_MAX);
        if settings.servers.is_empty() {
            let here = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT);
            settings.servers.push(here);
        }
        Ok(settings)
    }

    fn set_option(&mut self, option: &str) {
        if let Some(seconds) = number(option, "timeout:") {
            self.timeout = Duration::from_secs(seconds.clamp(1, TIMEOUT_SECONDS_MAX));
        }
        if let Some(tries) = number(option, "attempts:") {
            self.tries = usize::try_from(tries)
                .unwrap_or(TRIES_MAX)
                .clamp(1, TRIES_MAX);
        }
    }
}

fn number(option: &str, key: &str) -> Option<u64> {
    option.strip_prefix(key)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolv_conf_gives_servers_and_patience() {
        let text = "# made by hand\nsearch example.org\nnameserver 192.0.2.1 # first\n\
                    nameserver\t2001:db8::1\noptions ndots:5 timeout:2 attempts:9 rotate\n";
        let settings = ResolverSettings::from_resolv_conf(text).unwrap();
        let expected = ["192.0.2.1:53", "[2001:db8::1]:53"].map(|s| s.parse().unwrap());
        assert_eq!(settings.servers, expected);
        assert_eq!(settings.timeout, Duration::from_secs(2));
        assert_eq!(settings.tries, TRIES_MAX);
    }

    #[test]
    fn a_resolv_conf_without_a_server_means_this_machine() {
        for text in ["", "search x.org\n", "; nameserver 192.0.2.1\n"] {
            let settings = ResolverSettings::from_resolv_conf(text).unwrap();
            assert_eq!(settings.servers, ["127.0.0.1:53".parse().unwrap()]);
        }
    }

    #[test]
    fn a_server_that_is_no_address_is_refused_with_its_line() {
        for (text, line, word) in [
            ("nameserver ns.example.org", 1, "ns.example.org"),
            ("\nnameserver fe80::1%eth0\n", 2, "fe80::1%eth0"),
            ("nameserver", 1, ""),
        ] {
            let error = ResolverSettings::from_resolv_conf(text).unwrap_err();
            let text = word.to_owned();
            assert_eq!(error, SettingsError::Address { line, text });
        }
    }

    #[test]
    fn the_number_of_servers_is_bounded() {
        let text = "nameserver 192.0.2.1\n".repeat(100);
        let settings = ResolverSettings::from_resolv_conf(&text).unwrap();
        assert_eq!(settings.servers.len(), SERVERS_MAX);
    }
}
