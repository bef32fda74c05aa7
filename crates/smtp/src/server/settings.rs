//! What a listener's sessions have in common.

use crate::limits::Limits;

/// How a session speaks; shared by all sessions of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name that the greeting and EHLO give; ASCII, checked by the configuration.
    pub hostname: Box<str>,
    /// To whom it speaks.
    pub dialect: Dialect,
    /// What it offers.
    pub extensions: Extensions,
    /// What bounds it.
    pub limits: Limits,
    /// What becomes of a bare CR or LF in content.
    pub newlines: BareNewlines,
}

/// To whom a session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// To another instance of ours, over an edge: XPOSTERN is offered, VRFY is a question, and
    /// the end of the data is answered once for each accepted recipient, in their order.
    Edge,
    /// To the world.
    Smtp,
}

/// What becomes of a CR without LF, or a LF without CR, in content that is not BINARYMIME.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BareNewlines {
    /// It becomes CR LF. It never ends the data, and a dot after it is no end either.
    Normalize,
    /// The message is refused after its end.
    Refuse,
}

/// The extensions that are a matter of configuration. PIPELINING, SIZE, 8BITMIME and
/// ENHANCEDSTATUSCODES are always offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extensions {
    /// RFC 3030 BINARYMIME; offered only together with CHUNKING.
    pub binarymime: Offer,
    /// RFC 3030 CHUNKING.
    pub chunking: Offer,
    /// RFC 3461 DSN.
    pub dsn: Offer,
    /// RFC 6531 SMTPUTF8.
    pub smtputf8: Offer,
    /// RFC 3207 STARTTLS.
    pub starttls: Starttls,
    /// XFORWARD, as Postfix speaks it; for peers that the configuration names.
    pub xforward: Offer,
}

/// Whether an extension is announced and accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offer {
    /// It is not.
    No,
    /// It is.
    Yes,
}

/// Whether a plain session can be, or must be, turned into one with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Starttls {
    /// STARTTLS does not exist.
    NotOffered,
    /// STARTTLS exists.
    Offered,
    /// No mail is taken before STARTTLS (RFC 3207 §4).
    Required,
}
