//! Routes: which recipients, whose mail, what next.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mail::{EnhancedStatus, Mailbox};

use super::HostPort;

/// What becomes of the recipients that it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which recipients: those that any of these matches; at least one.
    pub matches: Vec<RouteMatch>,
    /// The local parts that exist, lower case; any other is no such user. `None`: the transport
    /// finds out (a Maildir must exist).
    pub users: Option<Vec<Box<str>>>,
    /// The next step.
    pub to: Target,
    /// Whose mail it takes.
    pub open_to: OpenTo,
}

/// Which recipients a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteMatch {
    /// This one; compared without regard to case.
    Address(Mailbox),
    /// Everyone: `domain = "*"`.
    Any,
    /// Everyone in this domain, lower case.
    Domain(Box<str>),
    /// Everyone in any domain below this one, lower case: `domain = "*.example.org"`.
    Subdomains(Box<str>),
}

/// Whose mail a route takes. This is the relay control: mail from outside for a recipient whose
/// route is not open to anyone is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenTo {
    /// Mail from outside, too.
    Anyone,
    /// Mail whose origin is ours only: local, authenticated or generated.
    Ours,
}

/// A route's next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Taken and thrown away.
    Discard {
        /// Why, for the log.
        why: Box<str>,
    },
    /// Refused for good or for now.
    Error {
        /// Its class decides: 4 or 5.
        status: EnhancedStatus,
        /// Shown to the sender.
        text: Box<str>,
    },
    /// Kept in the queue until an operator releases it.
    Hold {
        /// Why, shown in the queue.
        why: Box<str>,
    },
    /// Delivered into a Maildir.
    Maildir(PathTemplate),
    /// Sent to the mail exchangers of the domain.
    Mx(MxRoute),
    /// Sent to a fixed host, without a lookup of mail exchangers.
    Relay(HostPort),
}

/// How mail exchangers are found and spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MxRoute {
    /// Their port.
    pub port: u16,
    /// The DNS servers; none: those of the system.
    pub resolver: Vec<SocketAddr>,
    /// Further addresses of this host.
    pub own_addresses: Vec<IpAddr>,
    /// How mail for address literals is handled.
    pub literals: Literals,
    /// How long it may take until one is ready for a message.
    pub attempt_timeout: Duration,
}

/// How mail for address literals is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literals {
    /// It is sent to the address.
    Deliver,
    /// It is refused.
    Refuse,
}

/// An absolute path with `{domain}` and `{local}` in it, checked: no other placeholder, no `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    text: Box<str>,
    /// The state directory, where the template began with `{state}`.
    state: Option<PathBuf>,
}

impl PathTemplate {
    /// Of a text that `config::value` has checked.
    pub(crate) fn new(text: &str, state: Option<&Path>) -> Self {
        Self {
            text: text.into(),
            state: state.map(Path::to_owned),
        }
    }

    /// The state directory, where it lies in that.
    pub fn state(&self) -> Option<&Path> {
        self.state.as_deref()
    }

    /// The template.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The directory below which every path made of it lies: what comes before the first
    /// component that holds a placeholder.
    pub fn root(&self) -> PathBuf {
        self.text
            .split('/')
            .take_while(|component| !component.contains('{'))
            .fold(PathBuf::from("/"), |path, component| path.join(component))
    }
}
