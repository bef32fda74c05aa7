//! The octets of an encoded event: numbers, texts, and the words of mail.
//!
//! # Limits
//! A text is kept to [`TEXT_LEN_MAX`] octets when it is written; a longer one is refused when read.
//!
//! # Failure
//! Reading checks every length and value: hostile octets give a [`DecodeError`].

use std::net::IpAddr;

use mail::{EnhancedStatus, Mailbox, Reply, ReplyCode, ReversePath, Timestamp, TraceId};

/// The longest text in an event, in octets: a header line is at most 998 (RFC 5322 §2.1.1).
pub(crate) const TEXT_LEN_MAX: usize = 1024;

/// Why octets are not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// An address that does not obey the grammar.
    #[error("not an address")]
    Address,
    /// A number that stands for nothing, or is too large for what it counts.
    #[error("a value that has no meaning")]
    Value,
    /// Something follows the end of an event.
    #[error("octets after the end of an event")]
    Trailing,
    /// It ends too early.
    #[error("ends too early")]
    Truncated,
    /// A text that is too long or not UTF-8.
    #[error("not a text")]
    Text,
    /// Encoded by another version of this program.
    #[error("an unknown version")]
    Version,
}

/// Appends values to a buffer.
pub(crate) struct Writer<'a>(pub(crate) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Seven bits an octet, the lowest first.
    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push((value & 0x7f) as u8);
    }

    pub(crate) fn text(&mut self, text: &str) {
        let kept = &text[..text.floor_char_boundary(TEXT_LEN_MAX)];
        self.number(kept.len() as u64);
        self.0.extend_from_slice(kept.as_bytes());
    }

    pub(crate) fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(crate) fn time(&mut self, at: Timestamp) {
        self.number(at.unix_ms());
    }

    pub(crate) fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => {
                self.byte(4);
                self.0.extend_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                self.byte(6);
                self.0.extend_from_slice(&v6.octets());
            }
        }
    }

    pub(crate) fn trace(&mut self, trace: TraceId) {
        self.0.extend_from_slice(&trace.to_bytes());
    }

    pub(crate) fn mailbox(&mut self, mailbox: &Mailbox) {
        self.text(mailbox.as_str());
    }

    pub(crate) fn sender(&mut self, path: &ReversePath) {
        self.text(path.as_str());
    }

    pub(crate) fn reply(&mut self, reply: &Reply) {
        self.number(reply.code.value().into());
        self.optional(reply.enhanced, |w, enhanced| {
            w.byte(enhanced.class());
            w.number(enhanced.subject().into());
            w.number(enhanced.detail().into());
        });
        self.text(reply.text());
        self.optional(reply.cause(), Self::text);
    }
}

/// Takes values from octets.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    pub(crate) fn number(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(DecodeError::Value);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Value)
    }

    /// A number in a type that may be too small for it.
    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, DecodeError> {
        self.number()?.try_into().map_err(|_| DecodeError::Value)
    }

    pub(crate) fn truth(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Value),
        }
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, DecodeError> {
        let len: usize = self.small()?;
        if len > TEXT_LEN_MAX {
            return Err(DecodeError::Text);
        }
        std::str::from_utf8(self.bytes(len)?).map_err(|_| DecodeError::Text)
    }

    pub(crate) fn text(&mut self) -> Result<Box<str>, DecodeError> {
        self.str().map(Into::into)
    }

    pub(crate) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.truth()? {
            read(self).map(Some)
        } else {
            Ok(None)
        }
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, DecodeError> {
        let ms = self.number()?;
        // The year 9999: what is later could not be written in four digits.
        if ms > 253_402_300_799_999 {
            return Err(DecodeError::Value);
        }
        Ok(Timestamp::from_unix_ms(ms))
    }

    pub(crate) fn address(&mut self) -> Result<IpAddr, DecodeError> {
        let truncated = |_| DecodeError::Truncated;
        match self.byte()? {
            4 => {
                let octets: [u8; 4] = self.bytes(4)?.try_into().map_err(truncated)?;
                Ok(octets.into())
            }
            6 => {
                let octets: [u8; 16] = self.bytes(16)?.try_into().map_err(truncated)?;
                Ok(octets.into())
            }
            _ => Err(DecodeError::Value),
        }
    }

    pub(crate) fn trace(&mut self) -> Result<TraceId, DecodeError> {
        let bytes = self
            .bytes(16)?
            .try_into()
            .map_err(|_| DecodeError::Truncated)?;
        Ok(TraceId::from_bytes(bytes))
    }

    pub(crate) fn mailbox(&mut self) -> Result<Mailbox, DecodeError> {
        Mailbox::parse(self.str()?).map_err(|_| DecodeError::Address)
    }

    pub(crate) fn sender(&mut self) -> Result<ReversePath, DecodeError> {
        ReversePath::parse(self.str()?).map_err(|_| DecodeError::Address)
    }

    pub(crate) fn reply(&mut self) -> Result<Reply, DecodeError> {
        let code = ReplyCode::from_peer(self.small()?).ok_or(DecodeError::Value)?;
        let enhanced = self.optional(|r| {
            let (class, subject, detail) = (r.byte()?, r.small()?, r.small()?);
            let legal = matches!(class, 2 | 4 | 5) && subject <= 999 && detail <= 999;
            legal
                .then(|| EnhancedStatus::new(class, subject, detail))
                .ok_or(DecodeError::Value)
        })?;
        let reply = Reply::new(code, enhanced, self.str()?);
        Ok(match self.optional(Self::str)? {
            Some(cause) => reply.with_cause(cause),
            None => reply,
        })
    }
}
