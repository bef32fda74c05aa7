//! XFORWARD: what a proxy in front knows about the client behind it.
//!
//! # Standards
//! None; as Postfix documents it in its XFORWARD_README, with values in xtext (RFC 3461 §4).

use std::net::IpAddr;

use super::xtext;
use crate::limits::PARAMETERS_MAX;

/// The attributes in force. An attribute that was never given, and one that was given as
/// `[UNAVAILABLE]`, are both `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XforwardAttributes {
    /// The client's address.
    pub addr: Option<IpAddr>,
    /// The name that the client said in HELO or EHLO.
    pub helo: Option<Box<str>>,
    /// The proxy's own name for the message.
    pub ident: Option<Box<str>>,
    /// The client's name in the DNS.
    pub name: Option<Box<str>>,
    /// The client's port.
    pub port: Option<u16>,
    /// The protocol that the client spoke: `SMTP` or `ESMTP`.
    pub proto: Option<Box<str>>,
    /// `LOCAL` or `REMOTE`.
    pub source: Option<Box<str>>,
}

impl XforwardAttributes {
    /// The names that EHLO announces.
    pub const NAMES: &'static str = "NAME ADDR PORT PROTO HELO SOURCE IDENT";

    /// The longest value, in octets after decoding.
    pub const VALUE_LEN_MAX: usize = 255;

    /// Takes in the attributes of one command. `None` where one of them is wrong; the others may
    /// then be in force or not.
    #[must_use]
    pub fn read(&mut self, argument: &str) -> Option<()> {
        let mut n_read = 0;
        for attribute in argument.split(' ').filter(|word| !word.is_empty()) {
            let (name, value) = attribute.split_once('=')?;
            self.set(name, value)?;
            n_read += 1;
        }
        (1..=PARAMETERS_MAX).contains(&n_read).then_some(())
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        let value = xtext::decode(value)
            .filter(|v| v.len() <= Self::VALUE_LEN_MAX && !v.contains(char::is_control))?;
        let value = Some(value).filter(|v| !v.eq_ignore_ascii_case("[UNAVAILABLE]"));
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("ADDR") {
            self.addr = value
                .map(|v| parse_address(&v).ok_or(()))
                .transpose()
                .ok()?;
        } else if is("PORT") {
            self.port = value.map(|v| v.parse()).transpose().ok()?;
        } else if is("NAME") {
            self.name = value;
        } else if is("HELO") {
            self.helo = value;
        } else if is("IDENT") {
            self.ident = value;
        } else if is("PROTO") {
            self.proto = value;
        } else if is("SOURCE") {
            self.source = value;
        } else {
            return None;
        }
        Some(())
    }
}

/// An address as Postfix writes it: IPv6 with `IPV6:` before it.
fn parse_address(text: &str) -> Option<IpAddr> {
    match text.split_at_checked(5) {
        Some((tag, v6)) if tag.eq_ignore_ascii_case("IPV6:") => v6.parse().ok().map(IpAddr::V6),
        _ => text.parse().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_add_up_over_commands() {
        let mut attributes = XforwardAttributes::default();
        let first = attributes.read("NAME=a.example ADDR=IPV6:2001:db8::1 PORT=25");
        let second = attributes.read("helo=x+20y NAME=[UNAVAILABLE]");
        assert_eq!((first, second), (Some(()), Some(())));
        assert_eq!(attributes.addr, "2001:db8::1".parse().ok());
        assert_eq!(attributes.port, Some(25));
        assert_eq!(attributes.helo.as_deref(), Some("x y"));
        assert_eq!(attributes.name, None);
    }

    #[test]
    fn wrong_attributes_are_refused() {
        for bad in [
            "",
            "NAME",
            "WHAT=1",
            "ADDR=nowhere",
            "PORT=65536",
            "HELO=a+0Ab",
        ] {
            assert_eq!(XforwardAttributes::default().read(bad), None, "{bad}");
        }
        let long = format!("HELO={}", "a".repeat(256));
        assert_eq!(XforwardAttributes::default().read(&long), None);
    }
}
