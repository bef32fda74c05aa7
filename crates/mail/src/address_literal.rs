//! Hosts that have no name: their addresses, as mail writes them.
//!
//! # Standards
//! RFC 5321 §4.1.3: `[192.0.2.1]`, `[IPv6:2001:db8::1]`; §4.1.1.1 and §4.4 have them in place of a
//! name, and so has RFC 3464 §2.1.2.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address as a literal.
#[must_use]
pub fn address_literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    }
}

/// The address of a literal.
#[must_use]
pub fn parse_address_literal(literal: &str) -> Option<IpAddr> {
    let inner = literal.strip_prefix('[')?.strip_suffix(']')?;
    match inner.split_at_checked("IPv6:".len()) {
        Some((tag, v6)) if tag.eq_ignore_ascii_case("IPv6:") => {
            v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
        }
        _ => inner.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// A host's name as it is, and an address as a literal.
#[must_use]
pub fn name_or_literal(host: &str) -> Cow<'_, str> {
    let address = host.parse().ok().or_else(|| parse_address_literal(host));
    address.map_or(Cow::Borrowed(host), |address| {
        Cow::Owned(address_literal(address))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_place_of_a_name_becomes_a_literal() {
        for (host, expected) in [
            ("mx.example", "mx.example"),
            ("127.0.0.1", "[127.0.0.1]"),
            ("[127.0.0.1]", "[127.0.0.1]"),
            ("::1", "[IPv6:::1]"),
            ("2001:DB8::1", "[IPv6:2001:db8::1]"),
            ("[ipv6:2001:db8:0::1]", "[IPv6:2001:db8::1]"),
            ("127.0.0", "127.0.0"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(name_or_literal(host), expected);
        }
    }
}
