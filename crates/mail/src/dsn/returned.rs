//! The part that shows which message it was: all of it, or its header section.
//!
//! All of it only where every host takes it as it is: message/rfc822 may not be encoded (RFC 2046
//! §5.2.1), and nothing is known of the hosts on the way back. A header section may be.

use crate::{BodyType, Header, Return};

use super::encoded::{is_plain, quoted_printable};
use super::limits::RETURNED_LEN_MAX;
use super::lines::{Encoding, Lines};
use super::{Action, Report};

pub(super) struct Returned<'a> {
    octets: &'a [u8],
    extent: Extent,
}

/// How much is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    All,
    /// The header section, as was asked for.
    Header,
    /// The header section, because the content is too long.
    HeaderOfLong,
    /// The header section, because not every host takes the content.
    HeaderOfOther,
}

impl<'a> Returned<'a> {
    pub(super) fn of(report: &Report<'a>) -> Self {
        let original = &report.original;
        let content = original.content;
        let complete = u64::try_from(content.len()) == Ok(original.content_len);
        // RFC 3461 §5.3: RET is about failures; others return headers only.
        let extent = if report.action != Action::Failed
            || original.envelope.ret == Some(Return::Headers)
        {
            Extent::Header
        } else if original.content_len > RETURNED_LEN_MAX as u64 {
            Extent::HeaderOfLong
        } else if complete && original.envelope.body != BodyType::BinaryMime && is_plain(content) {
            return Self {
                octets: content,
                extent: Extent::All,
            };
        } else {
            Extent::HeaderOfOther
        };
        let fields = Header::scan(content).fields;
        Self {
            octets: whole_lines(fields, RETURNED_LEN_MAX),
            extent,
        }
    }

    /// Why there is no more of it, for the text that a person reads.
    pub(super) const fn why_so_little(&self) -> Option<&'static str> {
        match self.extent {
            Extent::All | Extent::Header => None,
            Extent::HeaderOfLong => Some(
                "Only the header of your message is attached, because the message is longer than \
                 64 KiB.",
            ),
            Extent::HeaderOfOther => Some(
                "Only the header of your message is attached, because not every mail system on \
                 the way back to you can take its content.",
            ),
        }
    }

    pub(super) fn write(&self, lines: &mut Lines, boundary: &str) {
        if self.extent == Extent::All {
            lines.begin_part(boundary, "message/rfc822", Encoding::SevenBit);
            return lines.raw(self.octets);
        }
        if is_plain(self.octets) {
            lines.begin_part(boundary, "text/rfc822-headers", Encoding::SevenBit);
            return lines.raw(self.octets);
        }
        // RFC 6533 §6.3 for what is UTF-8; RFC 6522 §4 lets both be encoded.
        let is_utf8 = !self.octets.is_ascii() && std::str::from_utf8(self.octets).is_ok();
        let content_type = if is_utf8 {
            "message/global-headers"
        } else {
            "text/rfc822-headers"
        };
        lines.begin_part(boundary, content_type, Encoding::QuotedPrintable);
        lines.raw(&quoted_printable(self.octets, RETURNED_LEN_MAX));
    }
}

/// As many whole lines as fit into `len_max` octets.
fn whole_lines(octets: &[u8], len_max: usize) -> &[u8] {
    let cut = &octets[..octets.len().min(len_max)];
    let end = memchr::memmem::rfind(cut, b"\r\n").map_or(0, |at| at + 2);
    &cut[..end]
}
