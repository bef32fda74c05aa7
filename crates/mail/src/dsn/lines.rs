//! Writing lines that nobody can break out of.
//!
//! All text goes through here. What must not stand in a line (controls, and without UTF-8 anything
//! beyond ASCII) becomes a question mark, so a hostile text stays the text of its line. A word
//! that is too long for any line is broken.

use super::limits::{LINE_LEN, WORD_LEN_MAX};

pub(super) struct Lines {
    bytes: Vec<u8>,
    charset: Charset,
}

/// Which characters may stand in the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Ascii,
    Utf8,
}

impl Lines {
    pub(super) const fn new(charset: Charset) -> Self {
        Self {
            bytes: Vec::new(),
            charset,
        }
    }

    /// Opens a part of the report.
    pub(super) fn begin_part(&mut self, boundary: &str, content_type: &str, encoding: Encoding) {
        self.raw(b"\r\n--");
        self.raw(boundary.as_bytes());
        self.raw(b"\r\n");
        self.field("Content-Type", content_type);
        if encoding == Encoding::QuotedPrintable {
            self.field("Content-Transfer-Encoding", "quoted-printable");
        }
        self.empty();
    }

    pub(super) fn close(&mut self, boundary: &str) {
        self.raw(b"\r\n--");
        self.raw(boundary.as_bytes());
        self.raw(b"--\r\n");
    }

    /// A field, folded at spaces.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.wrapped(&format!("{name}: "), "    ", value);
    }

    /// A paragraph, or a line that is broken at spaces: `first` before it, `indent` before the
    /// lines that follow. A word that is longer than a line stays whole, up to [`WORD_LEN_MAX`].
    pub(super) fn wrapped(&mut self, first: &str, indent: &str, text: &str) {
        self.raw(first.as_bytes());
        let mut column = first.len();
        let mut begun = false;
        let words = text.split(' ').filter(|word| !word.is_empty());
        for word in words.flat_map(broken) {
            if begun && column + 1 + word.len() > LINE_LEN {
                self.raw(b"\r\n");
                self.raw(indent.as_bytes());
                column = indent.len();
            } else if begun {
                self.raw(b" ");
                column += 1;
            }
            self.clean(word);
            column += word.len();
            begun = true;
        }
        self.raw(b"\r\n");
    }

    pub(super) fn empty(&mut self) {
        self.raw(b"\r\n");
    }

    /// Octets as they are: ours, or the original's.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn clean(&mut self, text: &str) {
        let mut buffer = [0; 4];
        for c in text.chars() {
            let legible = c.is_ascii() || self.charset == Charset::Utf8;
            let c = if c.is_control() || !legible { '?' } else { c };
            self.bytes
                .extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
        }
    }
}

/// A word in pieces that fit a line.
fn broken(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let (piece, left) = rest.split_at(rest.floor_char_boundary(WORD_LEN_MAX));
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

/// How a part is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    QuotedPrintable,
    SevenBit,
}
