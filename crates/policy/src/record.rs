//! Facts as bytes, for a journal: what was known is kept, and evaluated again by other checks.
//!
//! A record is a version, then for each fact its tag, the length of what follows, its parameter and
//! its value. A reader passes over tags that it does not know: what they said is then asked for
//! and not guessed.
//!
//! # Failure
//! Any bytes give facts or an error.

use std::fmt;
use std::net::IpAddr;

use mail::{EnhancedStatus, Mailbox, Origin, Reply, ReplyCode, ReversePath};

use crate::fact::Fact;
use crate::facts::Facts;
use crate::value::{
    ClientAddress, DomainStatus, Gathered, HeaderField, Milliseconds, RecipientStatus,
};

/// The longest record, in bytes: each fact is bounded by what the protocol bounds.
pub const RECORD_LEN_MAX: usize = 64 * 1024;

/// The first byte of a record.
const VERSION: u8 = 1;

/// Why a record gives no facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is cut short, too long, or a value is none.
    #[error("the record of facts is damaged")]
    Damaged,
    /// It is of another version.
    #[error("the record of facts has version {0}, this program reads version {VERSION}")]
    Version(u8),
}

impl Facts {
    /// As a record.
    #[must_use]
    pub fn to_record(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for fact in self.iter() {
            out.push(fact.key().tag());
            let mut value = Vec::new();
            fact.write_value(&mut value);
            write_bytes(&value, &mut out);
        }
        out
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it is damaged or of another version.
    pub fn from_record(record: &[u8]) -> Result<Self, RecordError> {
        if record.len() > RECORD_LEN_MAX {
            return Err(RecordError::Damaged);
        }
        let mut input = Input(record);
        match input.byte().ok_or(RecordError::Damaged)? {
            VERSION => {}
            other => return Err(RecordError::Version(other)),
        }
        let mut facts = Self::default();
        while let Some(tag) = input.byte() {
            let value = input.bytes().ok_or(RecordError::Damaged)?;
            let mut value = Input(value);
            let Some(fact) = Fact::read_value(tag, &mut value) else {
                continue;
            };
            match fact {
                Some(fact) if value.0.is_empty() => facts.learn(fact),
                Some(_) | None => return Err(RecordError::Damaged),
            }
        }
        Ok(facts)
    }
}

/// What is left to read.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*first))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}

/// A value that a fact can have, or a parameter: recorded, and shown in explanations.
pub(crate) trait Record: Sized {
    fn write(&self, out: &mut Vec<u8>);
    fn read(input: &mut Input<'_>) -> Option<Self>;
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl<T: Record> Record for Gathered<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::CannotTell => out.push(0),
            Self::Known(value) => {
                out.push(1);
                value.write(out);
            }
        }
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        match input.byte()? {
            0 => Some(Self::CannotTell),
            1 => Some(Self::Known(T::read(input)?)),
            _ => None,
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotTell => f.write_str("cannot-tell"),
            Self::Known(value) => value.show(f),
        }
    }
}

/// Values that are one of a few words.
macro_rules! words {
    ($($name:ty { $($value:pat => $made:expr, $byte:literal, $word:expr;)* })*) => {$(
        impl Record for $name {
            fn write(&self, out: &mut Vec<u8>) {
                out.push(match self { $($value => $byte,)* });
            }

            fn read(input: &mut Input<'_>) -> Option<Self> {
                match input.byte()? { $($byte => Some($made),)* _ => None }
            }

            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($value => $word,)* })
            }
        }
    )*};
}

words! {
    bool {
        false => false, 0, "no";
        true => true, 1, "yes";
    }
    DomainStatus {
        Self::External => Self::External, 0, "external";
        Self::Internal => Self::Internal, 1, "internal";
    }
    HeaderField {
        Self::Date => Self::Date, 0, HeaderField::Date.name();
        Self::From => Self::From, 1, HeaderField::From.name();
    }
}

impl Record for u32 {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        input.number()
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Record for Milliseconds {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        u32::read(input).map(Self)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Record for Box<str> {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self.as_bytes(), out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        input.text().map(Into::into)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Record for ClientAddress {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Local => write_bytes(b"", out),
            Self::Network(address) => write_bytes(address.to_string().as_bytes(), out),
        }
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        match input.text()? {
            "" => Some(Self::Local),
            address => Some(Self::Network(address.parse::<IpAddr>().ok()?)),
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Network(address) => write!(f, "{address}"),
        }
    }
}

impl Record for Origin {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Authenticated(identity) => {
                out.push(0);
                identity.write(out);
            }
            Self::Generated => out.push(1),
            Self::Local { uid } => {
                out.push(2);
                uid.write(out);
            }
            Self::Outside => out.push(3),
        }
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        Some(match input.byte()? {
            0 => Self::Authenticated(Record::read(input)?),
            1 => Self::Generated,
            2 => Self::Local {
                uid: input.number()?,
            },
            3 => Self::Outside,
            _ => return None,
        })
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authenticated(identity) => write!(f, "authenticated:{identity}"),
            Self::Generated => f.write_str("generated"),
            Self::Local { uid } => write!(f, "uid:{uid}"),
            Self::Outside => f.write_str("outside"),
        }
    }
}

impl Record for ReversePath {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self.as_str().as_bytes(), out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        match input.text()? {
            "" => Some(Self::Null),
            address => Mailbox::parse(address).ok().map(Self::Mailbox),
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.as_str())
    }
}

impl Record for RecipientStatus {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::External => out.push(0),
            Self::Internal => out.push(1),
            Self::Refused(reply) => {
                out.push(2);
                u32::from(reply.code.value()).write(out);
                let enhanced = reply.enhanced.map(|enhanced| enhanced.to_string());
                write_bytes(enhanced.unwrap_or_default().as_bytes(), out);
                write_bytes(reply.text().as_bytes(), out);
            }
        }
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        Some(match input.byte()? {
            0 => Self::External,
            1 => Self::Internal,
            2 => {
                let code = u16::try_from(input.number()?).ok()?;
                let code = ReplyCode::from_peer(code)?;
                let enhanced = match input.text()? {
                    "" => None,
                    text => Some(EnhancedStatus::parse(text)?),
                };
                Self::Refused(Reply::new(code, enhanced, input.text()?))
            }
            _ => return None,
        })
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::External => f.write_str("external"),
            Self::Internal => f.write_str("internal"),
            Self::Refused(reply) => write!(f, "refused:{}", reply.code.value()),
        }
    }
}

#[cfg(test)]
mod tests;
