//! What a configuration says, as types: every value is present, in range, and resolved.
//!
//! Owns no default and no reading: the defaults stand in [`super::settings`], the reading in
//! `super::build`. Placeholders for the state directory are already replaced: every path is
//! absolute.

mod route;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mail::{InstanceName, Origin};

pub use route::{Literals, MxRoute, OpenTo, PathTemplate, Route, RouteMatch, Target};

/// The preset that an instance starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Faces the world and checks.
    Input,
    /// Alone delivers.
    Output,
    /// Takes mail from local programs.
    Submission,
}

impl Role {
    /// The word used for it in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Submission => "submission",
        }
    }

    /// Whether it hands messages on instead of delivering them.
    pub const fn is_front(self) -> bool {
        match self {
            Self::Input | Self::Submission => true,
            Self::Output => false,
        }
    }
}

/// One instance.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceConfig {
    /// Its name, unique in the configuration.
    pub name: InstanceName,
    /// Its preset.
    pub role: Role,
    /// Where it listens, in the order of the file.
    pub listen: Vec<Listen>,
    /// The certificate it shows; without one it offers no TLS.
    pub tls: Option<Tls>,
    /// Where it hands messages that no route of its own takes.
    pub next: Option<Next>,
    /// In the order of the file: the first that matches a recipient decides.
    pub routes: Vec<Route>,
    /// What a client may ask of it.
    pub limits: Limits,
    /// How it hands over to the next instance.
    pub handoff: HandoffSettings,
    /// When and how often it tries what lies in its spool.
    pub queue: QueueSettings,
    /// Mail transfer agents whose word is taken, in the order of the file: the first that
    /// contains the client's address counts.
    pub peers: Vec<Peer>,
    /// What a carriage return or line feed on its own means here.
    pub bare_newlines: BareNewlines,
    /// What is checked of its clients.
    pub checks: Checks,
}

/// What is checked of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// Does the client wait for the greeting?
    pub early_talker: Check,
    /// For how long the greeting waits.
    pub early_talker_wait: Duration,
    /// Is the name in HELO evidently another's?
    pub hello_identity: Check,
    /// Does a stranger give a sender of ours?
    pub own_sender: Check,
    /// Does the recipient exist?
    pub recipient_validity: policy::Mode,
    /// Does mail from the null sender have several recipients?
    pub bounce_recipients: Check,
    /// Does a field stand more than once?
    pub repeated_field: Check,
}

/// One check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Whether it counts.
    pub mode: policy::Mode,
    /// What is done where it finds something.
    pub action: policy::Action,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: ListenAddress,
    /// Whether TLS begins with the connection.
    pub security: ListenSecurity,
}

/// What a listener is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port; `[::]` takes IPv4 as well.
    Tcp(SocketAddr),
    /// A socket file, absolute.
    Unix(PathBuf),
}

/// How a connection to a listener begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenSecurity {
    /// With a TLS handshake (RFC 8314 §3).
    ImplicitTls,
    /// In the clear; STARTTLS is offered where the instance has a certificate.
    Plain,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM: the certificate, then its chain.
    pub certificate: PathBuf,
    /// PEM: the private key.
    pub key: PathBuf,
    /// What to do where neither file exists.
    pub missing: MissingCertificate,
}

/// What to do where a certificate's files do not exist at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingCertificate {
    /// Refuse the configuration.
    Refuse,
    /// Make a self-signed one for the host name and keep it in those files.
    SelfSigned,
}

/// Who gets what an instance hands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another instance of this configuration.
    Instance(InstanceName),
    /// Any mail transfer agent, by plain SMTP, without the promise of the handoff key.
    Smtp(HostPort),
}

/// A fixed host and port: no lookup of mail exchangers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address; an IPv6 address without brackets.
    pub host: Box<str>,
    /// The TCP port, not zero.
    pub port: u16,
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What a client may ask of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, over all listeners.
    pub connections: u32,
    /// Connections at a time from one client address.
    pub connections_per_client: u32,
    /// Connections at a time from one user of this machine.
    pub connections_per_user: u32,
    /// Recipients of one transaction.
    pub recipients: u32,
    /// Octets of a message's content; announced as SIZE.
    pub message_size: u64,
    /// Octets of a command line with its CR LF.
    pub command_length: u32,
    /// Octets of a line of content without its CR LF; not applied to BINARYMIME.
    pub line_length: u32,
    /// Refused commands that may pass without a message being accepted.
    pub errors: u32,
    /// Commands that may pass without a message being accepted.
    pub commands: u32,
    /// How long a command may be awaited.
    pub command_timeout: Duration,
    /// How long content may pause.
    pub data_timeout: Duration,
    /// Octets a second that a content must bring.
    pub data_rate_min: u32,
    /// How long a TLS handshake may take.
    pub tls_timeout: Duration,
    /// Everything that happens between the end of data and its reply.
    pub answer_timeout: Duration,
}

/// How an instance hands over to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoffSettings {
    /// How long the next instance may take before the own spool is used.
    pub patience: Duration,
    /// Connections at a time on the edge.
    pub connections: u32,
    /// The answers to recipient questions that are remembered.
    pub question_cache: QuestionCache,
}

/// What a front remembers of the next instance's answers about recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuestionCache {
    /// Answers kept at most.
    pub entries: u32,
    /// How long an answer that accepts is used without asking again.
    pub accepted_for: Duration,
    /// How long an answer that refuses is used without asking again.
    pub refused_for: Duration,
    /// How long after it was given an answer that accepts still serves when none can be had.
    pub stale_for: Duration,
}

/// When and how often an instance tries what lies in its spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// The pauses after the first attempts; after the last of them each pause doubles.
    pub retry: Vec<Duration>,
    /// The longest pause.
    pub retry_max: Duration,
    /// The age at which it is given up.
    pub expiry: Duration,
    /// Messages from outside are taken while fewer wait, and those of our own likewise.
    pub messages: u32,
    /// Attempts at a time.
    pub concurrency: u32,
    /// Attempts at a time at one site.
    pub concurrency_per_site: u32,
}

/// A mail transfer agent whose word is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it connects from.
    pub network: Network,
    /// The origin of the mail that it brings.
    pub origin: Origin,
    /// Whether it may say who its client was.
    pub xforward: Xforward,
}

/// Whether XFORWARD is offered to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Xforward {
    /// It is offered and believed.
    Allowed,
    /// It is not offered.
    Refused,
}

/// An address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The first address, with no bit set beyond the prefix.
    pub address: IpAddr,
    /// The bits that count: at most 32 for IPv4, 128 for IPv6.
    pub prefix: u8,
}

impl Network {
    /// Whether the address lies in it. An IPv4 address mapped into IPv6 counts as IPv4, since
    /// that is how a listener on `[::]` sees it.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(client)) => {
                let shift = 32 - u32::from(self.prefix);
                (u32::from(net) ^ u32::from(client))
                    .checked_shr(shift)
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(net), IpAddr::V6(client)) => {
                let shift = 128 - u32::from(self.prefix);
                (u128::from(net) ^ u128::from(client))
                    .checked_shr(shift)
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether it is a single address.
    pub const fn is_host(self) -> bool {
        match self.address {
            IpAddr::V4(_) => self.prefix == 32,
            IpAddr::V6(_) => self.prefix == 128,
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// What a carriage return or line feed on its own means in what a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareNewlines {
    /// It is taken for a whole CR LF, and passed on as one.
    Normalize,
    /// The message is refused.
    Refuse,
}

/// Where and how the one log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The file; `None` is the standard error stream.
    pub file: Option<PathBuf>,
    /// The form of a line.
    pub format: LogFormat,
    /// Octets after which the file is put aside and a new one begun.
    pub rotate_size: u64,
    /// Files put aside that are kept.
    pub rotate_keep: u32,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// `time instance trace event key=value …`
    Text,
}
