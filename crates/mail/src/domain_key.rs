//! What two domains are compared by: a domain in Unicode and in A-labels is one domain.
//!
//! # Guarantees
//! Domains with the same key are the same domain. A key is a domain itself, so it holds nothing
//! that a path or a command gives a meaning to. A domain is never refused here: one that has no
//! A-labels is compared by its octets, in lower case. Only comparisons use the key; what is sent on
//! keeps the form in which it was written.
//!
//! # Standards
//! RFC 5890 §2.3.2.1 and UTS 46, non-transitional; RFC 5321 §2.4 and §4.1.3. Hyphens and
//! underscores may stand where names that are in use have them.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::net::Ipv6Addr;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use crate::address::check_domain;

/// What in ASCII is in no domain; a full-width form of it is mapped to it.
const IN_NO_DOMAIN: AsciiDenyList = AsciiDenyList::new(true, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~");

/// What a domain is compared by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DomainKey<'a>(Cow<'a, str>);

impl<'a> DomainKey<'a> {
    /// The key of a domain or address literal.
    #[must_use]
    pub fn of(domain: &'a str) -> Self {
        if is_key(domain) {
            return Self(domain.into());
        }
        let key = match domain.strip_prefix('[') {
            Some(_) => of_literal(domain),
            None => of_name(domain),
        };
        // What it is after the mapping could be no domain: `a。。b` has an empty label.
        let key = key.filter(|key| check_domain(key).is_ok());
        Self(key.unwrap_or_else(|| domain.to_ascii_lowercase()).into())
    }

    /// As text: in A-labels and lower case, as far as it has them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For people and for patterns: in Unicode and lower case.
    #[must_use]
    pub fn to_unicode(&self) -> Cow<'_, str> {
        if !self.0.contains("xn--") {
            return Cow::Borrowed(&self.0);
        }
        let (unicode, _) = Uts46::new().to_unicode(self.0.as_bytes(), IN_NO_DOMAIN, Hyphens::Allow);
        unicode
    }

    /// Whether this domain is below that one.
    #[must_use]
    pub fn is_below(&self, parent: &DomainKey<'_>) -> bool {
        let rest = self.0.strip_suffix(parent.as_str());
        rest.is_some_and(|rest| rest.ends_with('.'))
    }

    /// Without a tie to the text that it was made of.
    #[must_use]
    pub fn into_owned(self) -> DomainKey<'static> {
        DomainKey(Cow::Owned(self.0.into_owned()))
    }
}

impl From<&str> for DomainKey<'static> {
    fn from(domain: &str) -> Self {
        DomainKey::of(domain).into_owned()
    }
}

/// A map by keys is asked with a part of one: a parent domain.
impl Borrow<str> for DomainKey<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DomainKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Most domains are their own key. What begins with `xn--` could be in no normal form; the search
/// for it is spared where there is no hyphen.
fn is_key(domain: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii() && !b.is_ascii_uppercase() && b != b'[';
    let may_be_encoded = || domain.contains('-') && domain.contains("xn--");
    domain.bytes().all(is_plain) && !may_be_encoded()
}

fn of_name(domain: &str) -> Option<String> {
    let key = Uts46::new().to_ascii(
        domain.as_bytes(),
        IN_NO_DOMAIN,
        Hyphens::Allow,
        DnsLength::Ignore,
    );
    // The dot of the root may be an ideographic one. A domain has one of these at most.
    let key = key.ok()?;
    Some(key.strip_suffix('.').unwrap_or(&key).to_owned())
}

/// An IPv6 address has several forms.
fn of_literal(literal: &str) -> Option<String> {
    let inner = literal.strip_prefix('[')?.strip_suffix(']')?;
    let (tag, address) = inner.split_at_checked("IPv6:".len())?;
    let address: Ipv6Addr = address.parse().ok()?;
    tag.eq_ignore_ascii_case("IPv6:")
        .then(|| format!("[ipv6:{address}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_domain_have_one_key() {
        for (key, forms) in [
            (
                "x.org",
                &["x.org", "X.Org", "Ｘ.org", "x。org", "x.org。"][..],
            ),
            (
                "xn--bcher-kva.example",
                &[
                    "bücher.example",
                    "BÜCHER.Example",
                    "bu\u{308}cher.example",
                    "xn--bcher-kva.example",
                    "XN--Bcher-KVA.example",
                ],
            ),
            // Not the transitional `fussball`, which is another domain.
            ("xn--fuball-cta.example", &["fußball.example"]),
            ("my_host.r3---x.org", &["My_Host.R3---x.org"]),
            ("xn--tda.my_host.org", &["ü.my_host.org"]),
            ("[192.0.2.1]", &["[192.0.2.1]"]),
            ("[ipv6:2001:db8::1]", &["[IPv6:2001:DB8:0::1]"]),
        ] {
            for form in forms {
                assert_eq!(DomainKey::of(form).as_str(), key, "{form}");
            }
            assert_eq!(DomainKey::of(key).as_str(), key, "a key is its own");
        }
    }

    #[test]
    fn what_has_no_a_labels_is_compared_by_its_octets() {
        let long = format!("{}.example", "ü".repeat(31));
        for (domain, key) in [
            // A full-width slash, dot or `@` would be one afterwards.
            ("A／b.example", "a／b.example"),
            ("．．", "．．"),
            ("a＠b.example", "a＠b.example"),
            ("a。。b", "a。。b"),
            // One dot of the root is a domain's end, and two are an empty label.
            ("x.org。。", "x.org。。"),
            ("Ü.org。．", "Ü.org。．"),
            // No code points, code points that are not allowed, and A-labels of nothing.
            ("XN--a.example", "xn--a.example"),
            ("xn--bcher-kv.example", "xn--bcher-kv.example"),
            ("a\u{200e}b.Example", "a\u{200e}b.example"),
            (&long, &long),
        ] {
            let of = DomainKey::of(domain);
            assert!(check_domain(of.as_str()).is_ok(), "{domain}");
            if domain != long {
                assert_eq!(of.as_str(), key, "{domain}");
            }
        }
    }

    #[test]
    fn a_key_is_read_in_unicode_by_people() {
        assert_eq!(DomainKey::of("X.Org").to_unicode(), "x.org");
        let key = DomainKey::of("xn--bcher-kva.example");
        assert_eq!(key.to_unicode(), "bücher.example");
        assert_eq!(DomainKey::of("[IPv6:::1]").to_unicode(), "[ipv6:::1]");
    }

    #[test]
    fn only_whole_labels_are_below_a_domain() {
        let below = |domain, parent| DomainKey::of(domain).is_below(&DomainKey::of(parent));
        assert!(below("a.Bücher.example", "xn--bcher-kva.example"));
        assert!(!below("xn--bcher-kva.example", "bücher.example"));
        assert!(!below("axn--bcher-kva.example", "bücher.example"));
    }
}
