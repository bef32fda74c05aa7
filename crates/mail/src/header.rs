//! The header section of a content: where it ends, and the few fields that a carrier looks at.
//!
//! [`Header`] looks at a content that is there; [`HeaderStream`] reads one that arrives, to the end
//! of its header section however long that is, and completes it where it is our own.
//!
//! # Guarantees
//! Any octets are read without a panic, and none beyond the limits.
//!
//! # Limits
//! [`Header::LEN_MAX`] octets of header are looked at, and [`Header::VALUE_LEN_MAX`] of a value
//! returned.
//!
//! # Standards
//! RFC 5322 §2.2, §3.6; §4.5 for the white space that may stand before a colon. Lines end with
//! CR LF only: a bare CR or LF is part of its line.

mod addresses;
mod stream;

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

pub use stream::{ADDRESSES_LEN_MAX, Additions, Found, HeaderStream, Treatment};

/// The longest name of a field, white space before its colon included: a line of RFC 5322 §2.1.1.
const FIELD_NAME_LEN_MAX: usize = 998;

/// How a header section ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderEnd {
    /// With an empty line, as it should.
    EmptyLine,
    /// With the content: there is no body.
    NoBody,
    /// Before a line that is no field; the body begins with it.
    NotAField,
    /// It goes on beyond [`Header::LEN_MAX`].
    TooLong,
}

/// What the header section of a content shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The fields with their line ends, without the empty line.
    pub fields: &'a [u8],
    /// Where the body begins, in octets from the start of the content.
    pub body_at: usize,
    /// How it ends.
    pub end: HeaderEnd,
    /// How many Received fields there are: hops, for the loop limit of RFC 5321 §6.3.
    pub n_received: u32,
    /// Date.
    pub date: Seen<'a>,
    /// From.
    pub from: Seen<'a>,
    /// Message-ID.
    pub message_id: Seen<'a>,
}

/// A field that should be there once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen<'a> {
    /// How often it is there.
    pub n: u32,
    /// The value of the first, trimmed, perhaps folded, at most [`Header::VALUE_LEN_MAX`] octets;
    /// empty without one.
    pub value: &'a [u8],
}

impl<'a> Header<'a> {
    /// How much of a header section is looked at: ten times what other servers let one field have.
    pub const LEN_MAX: usize = 1024 * 1024;
    /// How much of a value is returned: the longest line of RFC 5322 §2.1.1.
    pub const VALUE_LEN_MAX: usize = 998;

    /// Reads the header section that `content` begins with.
    ///
    /// Of a content that is still arriving this is to be asked once its header section, or
    /// [`Self::LEN_MAX`] of it, is there; before, the end is [`HeaderEnd::NoBody`].
    #[must_use]
    pub fn scan(content: &'a [u8]) -> Self {
        let mut header = Self {
            fields: content,
            body_at: content.len(),
            end: HeaderEnd::NoBody,
            n_received: 0,
            date: Seen::default(),
            from: Seen::default(),
            message_id: Seen::default(),
        };
        let looked_at = &content[..content.len().min(Self::LEN_MAX)];
        let mut field_at = 0;
        let mut line_at = 0;
        for lf in memchr_iter(b'\n', looked_at) {
            if lf == 0 || content[lf - 1] != b'\r' {
                continue;
            }
            let line = &content[line_at..=lf];
            if !continues(line) || line_at == 0 {
                header.see(&content[field_at..line_at]);
                field_at = line_at;
                if line == b"\r\n" {
                    return header.ended(line_at, lf + 1, HeaderEnd::EmptyLine);
                }
                if colon(line).is_none() {
                    return header.ended(line_at, line_at, HeaderEnd::NotAField);
                }
            }
            line_at = lf + 1;
        }
        if content.len() > Self::LEN_MAX {
            // What is cut off is no field to be judged, and what follows is not known.
            return header.ended(field_at, field_at, HeaderEnd::TooLong);
        }
        let last = &content[line_at..];
        if !continues(last) || line_at == 0 {
            header.see(&content[field_at..line_at]);
            field_at = line_at;
            if !last.is_empty() && colon(last).is_none() {
                return header.ended(line_at, line_at, HeaderEnd::NotAField);
            }
        }
        header.see(&content[field_at..]);
        header
    }

    fn ended(mut self, at: usize, body_at: usize, end: HeaderEnd) -> Self {
        self.fields = &self.fields[..at];
        self.body_at = body_at;
        self.end = end;
        self
    }

    /// Looks at one field with all its lines; nothing, at the very start.
    fn see(&mut self, field: &'a [u8]) {
        let Some(colon) = colon(field) else {
            return;
        };
        let (name, value) = (field[..colon].trim_ascii_end(), &field[colon + 1..]);
        if name.eq_ignore_ascii_case(b"received") {
            self.n_received += 1;
            return;
        }
        let seen = if name.eq_ignore_ascii_case(b"date") {
            &mut self.date
        } else if name.eq_ignore_ascii_case(b"from") {
            &mut self.from
        } else if name.eq_ignore_ascii_case(b"message-id") {
            &mut self.message_id
        } else {
            return;
        };
        seen.n += 1;
        if seen.n == 1 {
            let value = value.trim_ascii();
            seen.value = &value[..value.len().min(Self::VALUE_LEN_MAX)];
        }
    }
}

impl<'a> Seen<'a> {
    /// The value for a log or another header: unfolded, without controls, octets that are no UTF-8
    /// replaced; `None` without the field or where it is empty.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'a, str>> {
        let text = String::from_utf8_lossy(self.value);
        if !text.contains(char::is_control) {
            return (!text.is_empty()).then_some(text);
        }
        let unfolded = text.replace("\r\n", "");
        let plain = |c: char| match c {
            '\t' => ' ',
            c if c.is_control() => '?',
            c => c,
        };
        Some(Cow::Owned(unfolded.chars().map(plain).collect()))
    }
}

/// Whether a line goes on with the field of the line before.
fn continues(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// Where the colon stands behind the field name that `line` begins with.
fn colon(line: &[u8]) -> Option<usize> {
    let colon = memchr(b':', &line[..line.len().min(FIELD_NAME_LEN_MAX + 1)])?;
    let name = line[..colon].trim_ascii_end();
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then_some(colon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_ends_at_the_empty_line() {
        let content = b"From: a@x\r\nSubject: s\r\n t\r\n\r\nDate: in the body\r\n";
        let header = Header::scan(content);
        assert_eq!(header.fields, b"From: a@x\r\nSubject: s\r\n t\r\n");
        assert_eq!(&content[header.body_at..], b"Date: in the body\r\n");
        assert_eq!(
            (header.end, header.date.n, header.from.n),
            (HeaderEnd::EmptyLine, 0, 1)
        );
    }

    #[test]
    fn a_carriers_fields_are_found_in_any_case_and_folding() {
        let header = Header::scan(
            b"Received: a\r\nRECEIVED : b\r\n\tc\r\nX-Received: d\r\nReceived-SPF: e\r\n\
              message-id:\r\n <1@x>\r\nDate: now\r\nFrom: a@x\r\nfrom: b@x\r\n\r\n",
        );
        assert_eq!(header.n_received, 2);
        assert_eq!(header.message_id.value, b"<1@x>");
        assert_eq!(
            header.date,
            Seen {
                n: 1,
                value: b"now"
            }
        );
        assert_eq!(
            header.from,
            Seen {
                n: 2,
                value: b"a@x"
            }
        );
    }

    #[track_caller]
    fn check(content: &[u8], end: HeaderEnd, fields: &[u8], body: &[u8]) {
        let header = Header::scan(content);
        let found = (header.end, header.fields, &content[header.body_at..]);
        assert_eq!(
            found,
            (end, fields, body),
            "{:?}",
            String::from_utf8_lossy(content)
        );
    }

    #[test]
    fn any_octets_have_an_end_of_the_header() {
        check(b"", HeaderEnd::NoBody, b"", b"");
        check(b"\r\n", HeaderEnd::EmptyLine, b"", b"");
        check(b"\r\nbody", HeaderEnd::EmptyLine, b"", b"body");
        check(b"A: b", HeaderEnd::NoBody, b"A: b", b"");
        check(b"A: b\r\n", HeaderEnd::NoBody, b"A: b\r\n", b"");
        check(b"A: b\r\n c", HeaderEnd::NoBody, b"A: b\r\n c", b"");
        check(b"A: b\r\nB: c", HeaderEnd::NoBody, b"A: b\r\nB: c", b"");
        check(b"A: b\r\nbody", HeaderEnd::NotAField, b"A: b\r\n", b"body");
        check(b"body", HeaderEnd::NotAField, b"", b"body");
        check(b"no field\r\n", HeaderEnd::NotAField, b"", b"no field\r\n");
        check(
            b"A: b\r\n>From x\r\n\r\n",
            HeaderEnd::NotAField,
            b"A: b\r\n",
            b">From x\r\n\r\n",
        );
        check(
            b" folded: first\r\n",
            HeaderEnd::NotAField,
            b"",
            b" folded: first\r\n",
        );
        check(
            b": no name\r\n",
            HeaderEnd::NotAField,
            b"",
            b": no name\r\n",
        );
        check(
            b"A: b\n\nB: c\r\n\r\n",
            HeaderEnd::EmptyLine,
            b"A: b\n\nB: c\r\n",
            b"",
        );
        check(b"A: b\r\r\n\r\n", HeaderEnd::EmptyLine, b"A: b\r\r\n", b"");
        check(
            b"\xff\0: b\r\n\r\n",
            HeaderEnd::NotAField,
            b"",
            b"\xff\0: b\r\n\r\n",
        );
    }

    #[test]
    fn a_header_without_end_is_looked_at_up_to_its_limit() {
        let content = b"Received: x\r\n".repeat(Header::LEN_MAX / 13 + 10);
        let header = Header::scan(&content);
        assert_eq!(header.end, HeaderEnd::TooLong);
        assert!(header.fields.len() <= Header::LEN_MAX);
        assert_eq!(header.n_received as usize, header.fields.len() / 13);
        let value = [b"Date: ".as_slice(), &b"d".repeat(5000)].concat();
        assert_eq!(Header::scan(&value).date.value.len(), Header::VALUE_LEN_MAX);
    }

    #[test]
    fn a_value_as_text_can_forge_no_line() {
        let text = |value: &'static [u8]| Seen { n: 1, value }.text();
        assert_eq!(text(b"<1@x>").as_deref(), Some("<1@x>"));
        assert_eq!(
            text(b"<1\r\n\t@x\x1b[2J\n>").as_deref(),
            Some("<1 @x?[2J?>")
        );
        assert_eq!(text(b"\xff").as_deref(), Some("\u{fffd}"));
        assert_eq!(text(b""), None);
    }
}
