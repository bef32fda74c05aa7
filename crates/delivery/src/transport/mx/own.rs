//! What this host is, as mail exchangers see it.
//!
//! # Standards
//! RFC 5321 §5.1: mail is not sent to this host itself, nor to exchangers that are no better.

use std::net::{IpAddr, UdpSocket};

use dns::OwnHost;
use mail::DomainKey;

/// The port of SMTP.
pub(super) const SMTP: u16 = 25;

/// The names and addresses of this host.
#[derive(Clone, Debug)]
pub struct OwnAddresses {
    /// Its names.
    pub names: Vec<DomainKey<'static>>,
    /// Addresses by which the world reaches it, where they are not this machine's (NAT).
    pub addresses: Vec<IpAddr>,
    /// The port of exchangers. At the one of SMTP, all addresses of this machine count.
    pub port: u16,
}

impl OwnHost for OwnAddresses {
    fn has_name(&self, host: &DomainKey<'_>) -> bool {
        self.names.iter().any(|name| name == host)
    }

    fn has_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        // Nor is what a stranger's DNS sends to this machine for services that trust it.
        address.is_unspecified()
            || self.addresses.contains(&address)
            || self.port == SMTP && is_of_this_machine(address)
    }
}

/// Only an address of this machine can be bound.
fn is_of_this_machine(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_its_names_and_the_addresses_of_this_machine() {
        let own = |port| OwnAddresses {
            names: vec!["mx.x.org".into()],
            addresses: vec!["203.0.113.1".parse().unwrap()],
            port,
        };
        for (address, at_smtp, elsewhere) in [
            ("127.0.0.2", true, false),
            ("::ffff:127.0.0.2", true, false),
            ("192.0.2.1", false, false),
            ("203.0.113.1", true, true),
            ("0.0.0.0", true, true),
            ("::", true, true),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(own(SMTP).has_address(address), at_smtp, "{address}");
            assert_eq!(own(2525).has_address(address), elsewhere, "{address}");
        }
        assert!(own(SMTP).has_name(&DomainKey::of("MX.x.org")));
        assert!(!own(SMTP).has_name(&DomainKey::of("x.org")));
    }
}
