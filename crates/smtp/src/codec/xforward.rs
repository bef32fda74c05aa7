//! XFORWARD: what a proxy in front knows about the client behind it.
//!
//! # Standards
//! None; as Postfix documents it in its XFORWARD_README, with values in xtext (RFC 3461 §4).

use std::net::IpAddr;

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
