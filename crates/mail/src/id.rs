//! Identifiers: of a message's journey, of a spool, of a message in it, of an instance.

use std::fmt;
use std::str::FromStr;

use crate::Timestamp;

/// What is wrong with an identifier given as text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// An instance name must be 1 to 32 of `a`-`z`, `0`-`9` and `-`, and begin with a letter.
    #[error("an instance name is 1 to 32 of a-z, 0-9 and -, beginning with a letter, not `{0}`")]
    InstanceName(String),
    /// A spool id is 32 hexadecimal digits.
    #[error("a spool id is 32 hexadecimal digits")]
    SpoolId,
    /// A trace id is 26 characters of Crockford's base 32.
    #[error("a trace id is 26 characters of 0-9 and A-Z without I, L, O and U")]
    TraceId,
}

/// Names one message's journey, from its first byte here to its last delivery, over all
/// instances: a ULID, sortable by the time of its making.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(u128);

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl TraceId {
    /// The length of the textual form, in characters.
    pub const TEXT_LEN: usize = 26;

    /// Joins the time (48 bits of milliseconds) with 80 bits of `entropy` (its low bits).
    #[must_use]
    pub const fn new(now: Timestamp, entropy: u128) -> Self {
        Self(((now.unix_ms() as u128) << 80) | (entropy & ((1 << 80) - 1)))
    }

    /// When it was made.
    #[must_use]
    pub const fn made(self) -> Timestamp {
        Timestamp::from_unix_ms((self.0 >> 80) as u64)
    }

    /// From the bytes that [`Self::to_bytes`] gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Big-endian, so that bytes sort as the ids do.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The textual form, without an allocation.
    #[must_use]
    pub fn to_text(self) -> [u8; Self::TEXT_LEN] {
        let mut text = [0; Self::TEXT_LEN];
        for (i, byte) in text.iter_mut().enumerate() {
            let shift = 5 * (Self::TEXT_LEN - 1 - i);
            *byte = CROCKFORD[(self.0 >> shift) as usize & 31];
        }
        text
    }
}

impl FromStr for TraceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != Self::TEXT_LEN {
            return Err(IdError::TraceId);
        }
        let mut value: u128 = 0;
        for byte in text.bytes() {
            let upper = byte.to_ascii_uppercase();
            let digit = CROCKFORD
                .iter()
                .position(|&c| c == upper)
                .ok_or(IdError::TraceId)?;
            // 26 characters hold 130 bits: the first must not overflow the 128 there are.
            if value >> 123 != 0 {
                return Err(IdError::TraceId);
            }
            value = (value << 5) | digit as u128;
        }
        Ok(Self(value))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_text();
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Names one spool for ever: random, made with it, kept in its superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolId([u8; 16]);

impl SpoolId {
    /// From 16 random bytes, or from a superblock.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for SpoolId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(IdError::SpoolId);
        }
        let value = u128::from_str_radix(text, 16).map_err(|_| IdError::SpoolId)?;
        Ok(Self(value.to_be_bytes()))
    }
}

/// Names one message in one spool. Never used again in that spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Names an instance of this system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceName(Box<str>);

impl InstanceName {
    /// The longest name, in characters; it stands in path names and in every log line.
    pub const LEN_MAX: usize = 32;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let good = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.len() <= Self::LEN_MAX
            && text.bytes().all(plain);
        if good {
            Ok(Self(text.into()))
        } else {
            Err(IdError::InstanceName(text.into()))
        }
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_reads_back_as_it_was_written() {
        let id = TraceId::new(Timestamp::from_unix_ms(1_795_477_800_000), 0x1234_5678_9abc);
        let text = id.to_string();
        assert_eq!(text.len(), TraceId::TEXT_LEN);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_lowercase().parse(), Ok(id));
        assert_eq!(TraceId::from_bytes(id.to_bytes()), id);
    }

    #[test]
    fn trace_ids_sort_by_time() {
        let early = TraceId::new(Timestamp::from_unix_ms(1), u128::MAX);
        let late = TraceId::new(Timestamp::from_unix_ms(2), 0);
        assert!(early < late && early.to_string() < late.to_string());
    }

    #[test]
    fn what_is_no_trace_id_is_refused() {
        for bad in [
            "",
            "0123",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "0123456789ABCDEFGHJKMNPQRU",
        ] {
            assert_eq!(bad.parse::<TraceId>(), Err(IdError::TraceId), "{bad}");
        }
        assert!("7ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<TraceId>().is_ok());
    }

    #[test]
    fn an_instance_name_is_safe_in_paths_and_log_lines() {
        for good in ["input", "output-2", "a"] {
            assert!(good.parse::<InstanceName>().is_ok(), "{good}");
        }
        for bad in ["", "Input", "-x", "2x", "a b", "../a", &"a".repeat(33)] {
            assert!(bad.parse::<InstanceName>().is_err(), "{bad}");
        }
    }
}
