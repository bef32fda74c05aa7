//! The content of one transaction as it arrives, by DATA or in chunks.
//!
//! # Failure
//! The first fault is kept: from then on nothing is stored, and what still comes is only counted,
//! until its end or until the session has enough.

use mail::BodyType;
use mail::reply::table::{self, Row};

use super::settings::{BareNewlines, Settings};
use crate::codec::newline::{ContentCheck, ContentFault, ContentRule};
use crate::limits::Limits;

/// Content on its way into the body.
#[derive(Debug)]
pub(super) struct Content {
    check: ContentCheck,
    len: u64,
    len_max: u64,
}

impl Content {
    pub(super) const fn new(settings: &Settings, body: BodyType) -> Self {
        let rule = match (body, settings.newlines) {
            (BodyType::BinaryMime, _) => ContentRule::Binary,
            (BodyType::EightBitMime | BodyType::SevenBit, BareNewlines::Normalize) => {
                ContentRule::Normalize
            }
            (BodyType::EightBitMime | BodyType::SevenBit, BareNewlines::Refuse) => {
                ContentRule::Refuse
            }
        };
        Self {
            check: ContentCheck::new(rule, settings.limits.content_line_len_max),
            len: 0,
            len_max: settings.limits.content_len_max,
        }
    }

    /// Whether `n` octets more can be taken; lets a chunk be refused before it comes.
    pub(super) const fn has_room(&self, n: u64) -> bool {
        n <= self.len_max.saturating_sub(self.len)
    }

    /// Whether another server could see its end elsewhere.
    pub(super) const fn is_ambiguous(&self) -> bool {
        self.check.is_ambiguous()
    }

    /// Appends the next octets to `body`, or says with which reply the content is refused.
    pub(super) fn pass(&mut self, run: &[u8], body: &mut Vec<u8>) -> Result<(), &'static Row> {
        let before = body.len();
        self.check.pass(run, body).map_err(row)?;
        self.count(body.len() - before)
    }

    /// The content is complete.
    pub(super) fn finish(&mut self, body: &mut Vec<u8>) -> Result<(), &'static Row> {
        let before = body.len();
        self.check.finish(body).map_err(row)?;
        self.count(body.len() - before)
    }

    fn count(&mut self, n: usize) -> Result<(), &'static Row> {
        self.len = self.len.saturating_add(n as u64);
        if self.len > self.len_max {
            return Err(&table::TOO_BIG);
        }
        Ok(())
    }
}

/// How many octets of refused content are read over before the session ends: as much again as a
/// message may have.
pub(super) const fn refused_len_max(limits: &Limits) -> u64 {
    limits.content_len_max.saturating_mul(2)
}

const fn row(fault: ContentFault) -> &'static Row {
    match fault {
        ContentFault::BareNewline => &table::BAD_DATA_NEWLINE,
        ContentFault::LineTooLong => &table::BAD_DATA_LINE,
        ContentFault::Nul => &table::BAD_DATA_NUL,
    }
}
