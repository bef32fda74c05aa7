//! The forms that a domain has: of a mail address, and of the DNS.

use std::net::IpAddr;

use hickory_resolver::proto::rr::Name;
use mail::DomainKey;

/// The longest name that fits into a question, as text without its last dot (RFC 1035 §2.3.4).
const NAME_LEN_MAX: usize = 253;

/// The domain of a mail address as a full name of the DNS, in A-labels: no search list and no
/// `ndots` can make another one of it. `None` when it cannot be one.
pub(crate) fn of_domain(domain: &str) -> Option<Name> {
    let key = DomainKey::of(domain);
    let text = key.as_str().trim_end_matches('.');
    if text.is_empty() || text.len() > NAME_LEN_MAX || !text.is_ascii() || text.contains('\\') {
        return None;
    }
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// A name as logs and comparisons have it: lower case, without the last dot.
pub(crate) fn text(name: &Name) -> Box<str> {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).into()
}

/// Whether an exchanger is written as an address, which is no name: such records are mistakes, and
/// to ask for them would only load the root of the DNS.
pub(crate) fn is_address(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok()
}

/// The address of an address literal (RFC 5321 §4.1.3), and whether it is one at all.
pub(crate) fn literal(domain: &str) -> Option<Option<IpAddr>> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    let v6 = inner
        .get(..5)
        .filter(|tag| tag.eq_ignore_ascii_case("IPv6:"));
    let address = match v6 {
        Some(_) => inner[5..].parse().ok().map(IpAddr::V6),
        None => inner.parse().ok().map(IpAddr::V4),
    };
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_becomes_a_full_name_in_a_labels() {
        for (domain, expected) in [
            ("Example.ORG", "example.org."),
            ("bücher.example", "xn--bcher-kva.example."),
            ("local", "local."),
            ("a_b.example", "a_b.example."),
        ] {
            assert_eq!(of_domain(domain).unwrap().to_ascii(), expected);
        }
        let long_label = "a".repeat(64);
        let long_name = "abc.".repeat(70);
        for domain in ["", ".", "a..b", &long_label, &long_name, "a\\.b"] {
            assert!(of_domain(domain).is_none(), "{domain}");
        }
    }

    #[test]
    fn address_literals_of_both_families_are_read() {
        let v4 = "192.0.2.1".parse().unwrap();
        let v6 = "2001:db8::1".parse().unwrap();
        assert_eq!(literal("[192.0.2.1]"), Some(Some(v4)));
        assert_eq!(literal("[ipv6:2001:db8::1]"), Some(Some(v6)));
        assert_eq!(literal("[x:y]"), Some(None));
        assert_eq!(literal("[é:y]"), Some(None));
        assert_eq!(literal("example.org"), None);
    }
}
