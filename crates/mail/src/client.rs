//! The SMTP client that a message came from, as this system saw it.

use std::net::IpAddr;

/// How the connection was protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// Not at all.
    Plain,
    /// By TLS, from the start or by STARTTLS.
    Tls,
}

/// Who gave the message to the first instance of this system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The address of the other end; `None` for a local socket.
    pub address: Option<IpAddr>,
    /// The port of the other end; zero where there is none.
    pub port: u16,
    /// The name given in HELO or EHLO; empty where none was given. Checked for syntax only.
    pub helo: Box<str>,
    /// The name that the address resolves to and back, where this was asked.
    pub name: Option<Box<str>>,
    /// How the connection was protected.
    pub security: Security,
    /// Whether EHLO was used rather than HELO.
    pub extended: bool,
}
