//! When in a session something is asked.

/// The phases of a session and a transaction, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// A client connected, and waits for the greeting.
    Connect,
    /// HELO or EHLO named the client.
    Helo,
    /// MAIL named the sender.
    Mail,
    /// RCPT named a recipient; asked for each.
    Rcpt,
    /// The client wants to send the content.
    Data,
    /// The content is here.
    Content,
}

impl Phase {
    /// All, in their order.
    pub const ALL: [Self; 6] = [
        Self::Connect,
        Self::Helo,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Content,
    ];

    /// Its name in logs and configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Helo => "helo",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Content => "content",
        }
    }
}
