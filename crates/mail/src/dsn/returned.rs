//! The part that shows which message it was: all of it, or its header section.

use crate::{BodyType, Header, Return};

use super::limits::RETURNED_LEN_MAX;
use super::lines::{Encoding, Lines};
use super::{Action, Report};

pub(super) struct Returned<'a> {
    octets: &'a [u8],
    extent: Return,
}

impl<'a> Returned<'a> {
    pub(super) fn of(report: &Report<'a>) -> Self {
        let original = &report.original;
        let content = original.content;
        let complete = content.len() <= RETURNED_LEN_MAX
            && u64::try_from(content.len()) == Ok(original.content_len);
        // RFC 3461 §5.3: RET is about failures; others return headers only. Binary content would
        // need BDAT on the whole way back.
        let full = report.action == Action::Failed
            && original.envelope.ret != Some(Return::Headers)
            && original.envelope.body != BodyType::BinaryMime
            && complete;
        if full {
            return Self {
                octets: content,
                extent: Return::Full,
            };
        }
        let fields = Header::scan(content).fields;
        Self {
            octets: whole_lines(fields, RETURNED_LEN_MAX),
            extent: Return::Headers,
        }
    }

    pub(super) const fn is_8bit(&self) -> bool {
        !self.octets.is_ascii()
    }

    pub(super) fn write(&self, lines: &mut Lines) {
        let content_type = match (self.extent, lines.utf8()) {
            (Return::Full, false) => "message/rfc822",
            (Return::Full, true) => "message/global",
            (Return::Headers, false) => "text/rfc822-headers",
            (Return::Headers, true) => "message/global-headers",
        };
        let encoding = if self.is_8bit() {
            Encoding::EightBit
        } else {
            Encoding::SevenBit
        };
        lines.begin_part(content_type, encoding);
        lines.raw(self.octets);
    }
}

/// As many whole lines as fit into `len_max` octets.
fn whole_lines(octets: &[u8], len_max: usize) -> &[u8] {
    let cut = &octets[..octets.len().min(len_max)];
    let end = memchr::memmem::rfind(cut, b"\r\n").map_or(0, |at| at + 2);
    &cut[..end]
}
