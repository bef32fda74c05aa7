//! What an instance accepts from another one in one handoff.
//!
//! # Guarantees
//! These limits hold for new handoffs only. A repeated one was accepted before, and a reload may
//! have lowered a limit since: a refusal now would return a message that is delivered.
//!
//! # Standards
//! docs/handoff.md; RFC 1870 §6.

use mail::BodyType;
use mail::reply::table::{self, Row};

/// The limits of one handoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandoffLimits {
    /// The biggest content, in octets.
    pub content_len_max: u64,
    /// The longest line of content, in octets without its CR LF. Not applied to BINARYMIME.
    pub line_len_max: usize,
    /// How many recipients it may have.
    pub recipients_max: usize,
}

/// Measures a content as it arrives.
#[derive(Debug)]
pub(crate) struct Measure {
    limits: HandoffLimits,
    has_lines: bool,
    len: u64,
    /// Octets since the last LF. A CR at their end is counted.
    line_len: usize,
}

impl Measure {
    pub(crate) const fn new(limits: HandoffLimits, body: BodyType) -> Self {
        Self {
            limits,
            has_lines: !matches!(body, BodyType::BinaryMime),
            len: 0,
            line_len: 0,
        }
    }

    /// Counts what came.
    ///
    /// # Errors
    /// The reply where a limit is exceeded.
    pub(crate) fn pass(&mut self, octets: &[u8]) -> Result<(), &'static Row> {
        self.len = self.len.saturating_add(octets.len() as u64);
        if self.len > self.limits.content_len_max {
            return Err(&table::TOO_BIG);
        }
        if self.has_lines && !self.lines_fit(octets) {
            return Err(&table::BAD_DATA_LINE);
        }
        Ok(())
    }

    fn lines_fit(&mut self, octets: &[u8]) -> bool {
        let with_cr_max = self.limits.line_len_max.saturating_add(1);
        // Nearly always: then only the last line matters, for what comes next.
        if self.line_len.saturating_add(octets.len()) <= with_cr_max {
            self.line_len = match octets.iter().rposition(|&octet| octet == b'\n') {
                Some(at) => octets.len() - at - 1,
                None => self.line_len + octets.len(),
            };
            return true;
        }
        let mut lines = octets.split(|&octet| octet == b'\n').peekable();
        while let Some(line) = lines.next() {
            self.line_len = self.line_len.saturating_add(line.len());
            if self.line_len > with_cr_max {
                return false;
            }
            if lines.peek().is_some() {
                self.line_len = 0;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HandoffLimits = HandoffLimits {
        content_len_max: 30,
        line_len_max: 8,
        recipients_max: 1,
    };

    /// The refusal of a content that comes in pieces of `piece_len` octets.
    fn measured(content: &str, body: BodyType, piece_len: usize) -> Result<(), &'static Row> {
        let mut measure = Measure::new(LIMITS, body);
        let mut pieces = content.as_bytes().chunks(piece_len);
        pieces.try_for_each(|piece| measure.pass(piece))
    }

    #[test]
    fn a_content_is_measured_alike_however_it_is_cut() {
        for (content, expected) in [
            ("12345678\r\n12345678\r\n12345678\r\n", Ok(())),
            ("1234567\r\n12345678\r\n12345678\r\n12", Err("TOO_BIG")),
            ("123456789\r\n", Err("BAD_DATA_LINE")),
            ("\r\n\r\n1234\r\n123456789\r\n\r\n", Err("BAD_DATA_LINE")),
        ] {
            for piece_len in 1..=content.len() {
                let refusal = measured(content, BodyType::EightBitMime, piece_len);
                assert_eq!(refusal.map_err(|row| row.id), expected, "{content:?}");
            }
        }
    }

    #[test]
    fn binary_content_has_no_lines() {
        assert_eq!(measured("1234567890", BodyType::BinaryMime, 4), Ok(()));
    }
}
