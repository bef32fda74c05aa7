//! Mailboxes and the paths of an envelope.
//!
//! # Guarantees
//! A [`Mailbox`] obeys the grammar of RFC 5321 §4.1.2 (with RFC 6531's UTF-8), but for its length
//! and its dots: it holds no control character, no space outside quotes, no angle bracket outside
//! quotes, and its parts are within the limits, so it can be written into a command, a header field
//! or a log line as it is.
//!
//! # Limits
//! Local part 512 octets, where RFC 5321 §4.5.3.1.1 has 64 and asks for no limits where possible:
//! forwarding services put whole addresses into theirs (quirk: long-local-parts). Domain 255
//! octets, label 63 octets (RFC 5321 §4.5.3.1.2, RFC 1035 §2.3.4).
//!
//! # Standards
//! RFC 5321 §4.1.2, §4.1.3; RFC 6531 §3.3. A source route is taken off, as RFC 5321 §3.3 and
//! appendix C have it. Dots may stand anywhere in a local part (quirk: dots-anywhere): providers
//! have given out such addresses. The dot at the end of a domain that is complete is taken off
//! (quirk: trailing-dot).

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::DomainKey;

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A control character, space or other octet that an address cannot hold.
    #[error("a character that an address cannot hold")]
    Character,
    /// The part after the `@` is not a domain name or address literal.
    #[error("not a valid domain")]
    Domain,
    /// The domain or one of its labels is too long, or empty.
    #[error("domain or label too long or empty")]
    DomainLength,
    /// The part before the `@` is neither atoms with dots nor a quoted string.
    #[error("not a valid local part")]
    LocalPart,
    /// The local part is over 512 octets, or empty.
    #[error("local part too long or empty")]
    LocalPartLength,
    /// There is no `@`.
    #[error("no domain")]
    NoDomain,
    /// What begins like a source route (`@a,@b:c@d`) is none.
    #[error("not a valid source route")]
    SourceRoute,
}

/// `local-part@domain`, kept as it was written but for a source route before it and a dot behind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    text: Box<str>,
    at: u16,
}

impl Mailbox {
    /// The longest local part, in octets.
    pub const LOCAL_LEN_MAX: usize = 512;
    /// The longest domain, in octets.
    pub const DOMAIN_LEN_MAX: usize = 255;

    /// Reads an address without angle brackets.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = without_source_route(text)?;
        let at = local_part_len(text)?;
        let domain = text[at..].strip_prefix('@').ok_or(AddressError::NoDomain)?;
        if at == 0 || at > Self::LOCAL_LEN_MAX {
            return Err(AddressError::LocalPartLength);
        }
        let trailing_dot = usize::from(domain.ends_with('.'));
        if trailing_dot == 1 && domain.starts_with('[') {
            return Err(AddressError::Domain);
        }
        check_domain(&domain[..domain.len() - trailing_dot])?;
        let text = &text[..text.len() - trailing_dot];
        let at = u16::try_from(at).map_err(|_| AddressError::LocalPartLength)?;
        Ok(Self {
            text: text.into(),
            at,
        })
    }

    /// The whole address, as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The local part as it was written, with its quotes if it had any.
    #[must_use]
    pub fn local_part(&self) -> &str {
        &self.text[..usize::from(self.at)]
    }

    /// The local part as it is meant: without quotes and backslashes.
    #[must_use]
    pub fn local_part_unquoted(&self) -> Cow<'_, str> {
        let Some(inner) = self
            .local_part()
            .strip_prefix('"')
            .and_then(|s| s.strip_suffix('"'))
        else {
            return Cow::Borrowed(self.local_part());
        };
        let mut unquoted = String::with_capacity(inner.len());
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            unquoted.extend(if c == '\\' { chars.next() } else { Some(c) });
        }
        Cow::Owned(unquoted)
    }

    /// The domain as it was written; an address literal with its brackets.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.text[usize::from(self.at) + 1..]
    }

    /// What the domain is compared by.
    #[must_use]
    pub fn domain_key(&self) -> DomainKey<'_> {
        DomainKey::of(self.domain())
    }

    /// Whether every octet is ASCII; if not, only SMTPUTF8 can carry it.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// Where failures are reported: the argument of `MAIL FROM`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// A mailbox.
    Mailbox(Mailbox),
    /// `<>`: nobody; a message with it never causes a notification.
    Null,
}

impl ReversePath {
    /// Reads what stands between the angle brackets; nothing there is the null path.
    ///
    /// # Errors
    /// As [`Mailbox::parse`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            Ok(Self::Null)
        } else {
            Mailbox::parse(text).map(Self::Mailbox)
        }
    }

    /// The mailbox, unless this is the null path.
    #[must_use]
    pub const fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Mailbox(mailbox) => Some(mailbox),
            Self::Null => None,
        }
    }

    /// The text between the angle brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.mailbox().map_or("", Mailbox::as_str)
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.as_str())
    }
}

/// For whom a message is: the argument of `RCPT TO`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// A mailbox.
    Mailbox(Mailbox),
    /// `<Postmaster>` without a domain, in any case (RFC 5321 §4.5.1).
    Postmaster,
}

impl ForwardPath {
    /// Reads what stands between the angle brackets.
    ///
    /// # Errors
    /// As [`Mailbox::parse`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.eq_ignore_ascii_case("postmaster") {
            return Ok(Self::Postmaster);
        }
        Mailbox::parse(text).map(Self::Mailbox)
    }

    /// The mailbox, with `domain` for a bare `Postmaster`.
    ///
    /// # Errors
    /// When `domain` is no domain.
    pub fn at_domain(self, domain: &str) -> Result<Mailbox, AddressError> {
        match self {
            Self::Mailbox(mailbox) => Ok(mailbox),
            Self::Postmaster => Mailbox::parse(&format!("postmaster@{domain}")),
        }
    }
}

/// RFC 5321 §4.1.2 `A-d-l`; the hosts that it names have no say in where a message goes.
fn without_source_route(text: &str) -> Result<&str, AddressError> {
    if !text.starts_with('@') {
        return Ok(text);
    }
    let (route, rest) = text.split_once(':').ok_or(AddressError::SourceRoute)?;
    for hop in route.split(',') {
        let domain = hop.strip_prefix('@').ok_or(AddressError::SourceRoute)?;
        check_domain(domain).map_err(|_| AddressError::SourceRoute)?;
    }
    Ok(rest)
}

/// Length of the local part that `text` begins with; what follows it is not looked at.
fn local_part_len(text: &str) -> Result<usize, AddressError> {
    if text.starts_with('"') {
        return quoted_len(text);
    }
    let len = text.find('@').unwrap_or(text.len());
    let local = &text[..len];
    for c in local.chars() {
        if c.is_control() || c == ' ' {
            return Err(AddressError::Character);
        }
        if !(c == '.' || is_atext(c)) {
            return Err(AddressError::LocalPart);
        }
    }
    Ok(len)
}

fn quoted_len(text: &str) -> Result<usize, AddressError> {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        // Not even a quoted pair may hold a control character: RFC 5321 §4.1.2 quoted-pairSMTP.
        if c.is_control() {
            return Err(AddressError::Character);
        }
        match c {
            _ if escaped => {
                if !c.is_ascii() {
                    return Err(AddressError::LocalPart);
                }
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Ok(i + 1),
            _ => {}
        }
    }
    Err(AddressError::LocalPart)
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii()
}

pub(crate) fn check_domain(domain: &str) -> Result<(), AddressError> {
    if domain.is_empty() || domain.len() > Mailbox::DOMAIN_LEN_MAX {
        return Err(AddressError::DomainLength);
    }
    if let Some(rest) = domain.strip_prefix('[') {
        let literal = rest.strip_suffix(']').ok_or(AddressError::Domain)?;
        return check_literal(literal);
    }
    for label in domain.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err(AddressError::DomainLength);
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(AddressError::Domain);
        }
        for c in label.chars() {
            if c.is_control() || c == ' ' {
                return Err(AddressError::Character);
            }
            // The underscore is in no standard and in many names that are in use.
            if !(c.is_ascii_alphanumeric() || c == '-' || c == '_' || !c.is_ascii()) {
                return Err(AddressError::Domain);
            }
        }
    }
    Ok(())
}

fn check_literal(literal: &str) -> Result<(), AddressError> {
    let tag = literal.get(..5).unwrap_or_default();
    let good = if tag.eq_ignore_ascii_case("IPv6:") {
        literal[5..].parse::<Ipv6Addr>().is_ok()
    } else {
        literal.parse::<Ipv4Addr>().is_ok()
    };
    good.then_some(()).ok_or(AddressError::Domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, &str), AddressError>) {
        let parsed = Mailbox::parse(text);
        let parts = parsed
            .as_ref()
            .map(|m| (m.local_part(), m.domain()))
            .map_err(|e| *e);
        assert_eq!(parts, expected, "{text}");
    }

    #[test]
    fn addresses_of_the_standard_are_read() {
        check("alice@example.org", Ok(("alice", "example.org")));
        check("a.b+c@x", Ok(("a.b+c", "x")));
        check("\"a@b\"@example.org", Ok(("\"a@b\"", "example.org")));
        check("\"a\\\"b\"@example.org", Ok(("\"a\\\"b\"", "example.org")));
        check("a@[192.0.2.1]", Ok(("a", "[192.0.2.1]")));
        check("a@[IPv6:2001:db8::1]", Ok(("a", "[IPv6:2001:db8::1]")));
        check("käthe@bücher.example", Ok(("käthe", "bücher.example")));
        check(
            &format!("{}@x.org", "a".repeat(64)),
            Ok((&"a".repeat(64), "x.org")),
        );
        check("\"\"@x.org", Ok(("\"\"", "x.org")));
    }

    #[test]
    fn addresses_that_are_in_use_against_the_standard_are_read() {
        for local in [
            "a..b",
            "a.",
            ".a",
            "someuser+caf_=inbox=mail-in.of-a-long-name.example.net",
            &"a".repeat(Mailbox::LOCAL_LEN_MAX),
        ] {
            check(&format!("{local}@x.org"), Ok((local, "x.org")));
        }
        check("a@x.org.", Ok(("a", "x.org")));
        check("a@my_host.x.org", Ok(("a", "my_host.x.org")));
        assert_eq!(
            Mailbox::parse("a@x.").map(|m| m.to_string()),
            Ok("a@x".to_owned())
        );
    }

    #[test]
    fn a_source_route_is_taken_off() {
        check("@a,@b.example:c@d", Ok(("c", "d")));
        check("@[192.0.2.1]:\"c:d\"@e", Ok(("\"c:d\"", "e")));
        for bad in ["@a,b:c@d", "@:c@d", "@a,:c@d", "@a b:c@d", "@a"] {
            check(bad, Err(AddressError::SourceRoute));
        }
        check("@a:@b", Err(AddressError::LocalPartLength));
        check("@a:@b:c@d", Err(AddressError::LocalPartLength));
        check("@a:", Err(AddressError::NoDomain));
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_part_that_is_wrong() {
        check("", Err(AddressError::NoDomain));
        check("alice", Err(AddressError::NoDomain));
        check("alice@", Err(AddressError::DomainLength));
        check("@example.org", Err(AddressError::SourceRoute));
        check("a<b@x", Err(AddressError::LocalPart));
        check("a b@x", Err(AddressError::Character));
        check("a\rb@x", Err(AddressError::Character));
        check("a\u{85}b@x", Err(AddressError::Character));
        check("\"a\0\"@x", Err(AddressError::Character));
        check("\"a@x", Err(AddressError::LocalPart));
        check("\"a\"b@x", Err(AddressError::NoDomain));
        check("a@x..y", Err(AddressError::DomainLength));
        check("a@x..", Err(AddressError::DomainLength));
        check("a@.", Err(AddressError::DomainLength));
        check("a@[1.2.3.4].", Err(AddressError::Domain));
        check("a@-x", Err(AddressError::Domain));
        check("a@x>y", Err(AddressError::Domain));
        check("a@b@c", Err(AddressError::Domain));
        check("a@[1.2.3]", Err(AddressError::Domain));
        check("a@[1.2.3.4", Err(AddressError::Domain));
        check(
            &format!("{}@x", "a".repeat(Mailbox::LOCAL_LEN_MAX + 1)),
            Err(AddressError::LocalPartLength),
        );
        check(
            &format!("a@{}.org", "b".repeat(64)),
            Err(AddressError::DomainLength),
        );
    }

    #[test]
    fn quotes_come_off_for_the_meaning_of_a_local_part() {
        let m = Mailbox::parse("\"a\\\"b c\"@x").expect("valid");
        assert_eq!(m.local_part_unquoted(), "a\"b c");
    }

    #[test]
    fn postmaster_needs_no_domain() {
        let path = ForwardPath::parse("PostMaster").expect("valid");
        assert_eq!(path, ForwardPath::Postmaster);
        assert_eq!(
            path.at_domain("x.org").expect("valid").as_str(),
            "postmaster@x.org"
        );
        assert_eq!(ReversePath::parse(""), Ok(ReversePath::Null));
    }
}
