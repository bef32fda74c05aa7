//! The argument of BDAT.
//!
//! # Standards
//! RFC 3030 §2.

/// `chunk-size [SP "LAST"]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// How many octets follow the line.
    pub size: u64,
    /// Which chunk of the message it is.
    pub place: ChunkPlace,
}

/// Which chunk of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkPlace {
    /// More follow.
    Inner,
    /// The message ends with it.
    Last,
}

impl ChunkHeader {
    /// Reads the argument. `None` means that nobody can tell how many octets follow.
    #[must_use]
    pub fn parse(argument: &str) -> Option<Self> {
        let (digits, place) = match argument.split_once(' ') {
            None => (argument, ChunkPlace::Inner),
            Some((digits, word)) if word.eq_ignore_ascii_case("LAST") => (digits, ChunkPlace::Last),
            Some(_) => return None,
        };
        // The integer parser would also take a sign.
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let size = digits.parse().ok()?;
        Some(Self { size, place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_cannot_be_counted_are_none() {
        let header = |size, place| Some(ChunkHeader { size, place });
        for (argument, expected) in [
            ("0", header(0, ChunkPlace::Inner)),
            ("12", header(12, ChunkPlace::Inner)),
            ("12 LAST", header(12, ChunkPlace::Last)),
            ("12 last", header(12, ChunkPlace::Last)),
            ("18446744073709551615", header(u64::MAX, ChunkPlace::Inner)),
            ("18446744073709551616", None),
            ("", None),
            ("LAST", None),
            ("+1", None),
            ("-1", None),
            ("1x", None),
            ("0x10", None),
            ("1 LAST x", None),
            ("1  LAST", None),
        ] {
            assert_eq!(ChunkHeader::parse(argument), expected, "{argument}");
        }
    }
}
