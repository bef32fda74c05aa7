//! How far a conversation has come, for the cause of what fails in it.

use std::fmt;

use super::{Awaited, Client, Part, Stage};

/// What the server was to answer, or what was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The server speaks first.
    Greeting,
    /// EHLO, LHLO or HELO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// The TLS handshake.
    Handshake,
    /// XFORWARD.
    Xforward,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The content travels.
    Content,
    /// The content is sent, and waits for its reply.
    EndOfData,
    /// RSET.
    Reset,
    /// NOOP.
    Noop,
    /// VRFY.
    Verify,
    /// QUIT.
    Quit,
    /// Nothing is under way.
    Idle,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Handshake => "TLS handshake",
            Self::Xforward => "XFORWARD",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Content => "content",
            Self::EndOfData => "end of data",
            Self::Reset => "RSET",
            Self::Noop => "NOOP",
            Self::Verify => "VRFY",
            Self::Quit => "QUIT",
            Self::Idle => "rest between two messages",
        })
    }
}

impl Awaited {
    pub(super) const fn phase(self) -> Phase {
        match self {
            Self::Ehlo | Self::Helo => Phase::Hello,
            Self::Greeting => Phase::Greeting,
            Self::Noop => Phase::Noop,
            Self::Quit => Phase::Quit,
            Self::Reset => Phase::Reset,
            Self::StartTls => Phase::StartTls,
            Self::Transaction(part) => part.phase(),
            Self::Verify => Phase::Verify,
            Self::Xforward => Phase::Xforward,
        }
    }
}

impl Part {
    pub(super) const fn phase(self) -> Phase {
        match self {
            Self::Chunk => Phase::Content,
            Self::Content => Phase::EndOfData,
            Self::Data => Phase::Data,
            Self::Mail => Phase::Mail,
            Self::Rcpt(_) => Phase::Rcpt,
        }
    }
}

impl Client {
    /// The phase that a reply which is being handled ends, or else the one that lasts.
    pub(super) fn phase(&self) -> Phase {
        if let Some(answered) = self.answered {
            return answered;
        }
        let awaited = self.awaited.front().map(|awaited| awaited.phase());
        match (self.stage, awaited) {
            (Stage::Handshake, _) => Phase::Handshake,
            (_, Some(Phase::EndOfData) | None) if self.wants_content() => Phase::Content,
            (_, Some(phase)) => phase,
            (_, None) => Phase::Idle,
        }
    }
}
