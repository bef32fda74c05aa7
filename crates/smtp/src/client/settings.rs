//! What the connections to a destination have in common.

use std::time::Duration;

/// How a client speaks; shared by all connections to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// To whom it speaks.
    pub dialect: Dialect,
    /// The name that EHLO gives; ASCII, checked by the configuration.
    pub hello_name: Box<str>,
    /// How long the server may take for what.
    pub timeouts: Timeouts,
    /// Whether the connection is to be turned into one with TLS.
    pub tls: TlsWish,
}

/// To whom a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Another instance: the extension XPOSTERN is there, content travels at once with the
    /// envelope, and each recipient has its own reply after it. See docs/handoff.md.
    Edge,
    /// A local delivery agent: LHLO, and each recipient has its own reply (RFC 2033).
    Lmtp,
    /// Any other host.
    Smtp,
}

/// Whether a plain connection is turned into one with TLS by STARTTLS (RFC 3207).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsWish {
    /// Where the server offers it. A server that refuses after all is spoken to in the clear.
    IfOffered,
    /// It is not.
    Never,
    /// No mail is sent without it.
    Required,
}

/// How long the server may take, from the last thing that moved.
///
/// A reply counts when it is complete: a server that drips its octets gains no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the reply to a chunk or to the end of the data.
    pub data_end: Duration,
    /// For the answer to DATA.
    pub data_start: Duration,
    /// For a piece of content to be taken, and for its sender to find the next.
    pub data_piece: Duration,
    /// For the greeting.
    pub greeting: Duration,
    /// For the answer to EHLO and to every command that is not named here.
    pub hello: Duration,
    /// For the answer to MAIL.
    pub mail: Duration,
    /// For the answer to QUIT, which nobody needs.
    pub quit: Duration,
    /// For the answer to RCPT.
    pub rcpt: Duration,
    /// For the TLS handshake.
    pub tls: Duration,
}

impl Timeouts {
    /// The least that RFC 5321 §4.5.3.2 asks for; where it asks for nothing, the least that
    /// it asks for anything alike.
    pub const LEAST: Self = Self {
        data_end: Duration::from_secs(600),
        data_start: Duration::from_secs(120),
        data_piece: Duration::from_secs(180),
        greeting: Duration::from_secs(300),
        hello: Duration::from_secs(300),
        mail: Duration::from_secs(300),
        quit: Duration::from_secs(5),
        rcpt: Duration::from_secs(300),
        tls: Duration::from_secs(60),
    };
}
