//! What facts say.

use std::fmt;
use std::net::IpAddr;

use mail::Reply;

/// A fact that was asked for: known, or not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gathered<T> {
    /// It could not be found out: no answer, no resolver, too late. Never a no.
    CannotTell,
    /// So it is.
    Known(T),
}

impl<T> Gathered<T> {
    /// The value, where it is known.
    #[must_use]
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::CannotTell => None,
            Self::Known(value) => Some(value),
        }
    }
}

/// Where a client connects from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientAddress {
    /// Over a local socket.
    Local,
    /// Over the network, from this address.
    Network(IpAddr),
}

impl ClientAddress {
    /// Whether the client is a program of this machine.
    #[must_use]
    pub const fn is_this_machine(&self) -> bool {
        match self {
            Self::Local => true,
            Self::Network(address) => address.is_loopback(),
        }
    }
}

/// Whether a domain is served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DomainStatus {
    /// It is another's.
    External,
    /// It is ours.
    Internal,
}

/// A field of the header that a fact counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeaderField {
    /// Date.
    Date,
    /// From.
    From,
}

impl HeaderField {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Date => "Date",
            Self::From => "From",
        }
    }
}

/// A time to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Milliseconds(pub u32);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// What is known about a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientStatus {
    /// Its domain is not ours; a route leads out of this system.
    External,
    /// A mailbox or alias of ours.
    Internal,
    /// No such user, no such domain, or refused by a route; with the reply for it, without what
    /// only operators are to read.
    Refused(Reply),
}
