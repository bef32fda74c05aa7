//! Writing lines that nobody can break out of.
//!
//! All text goes through here. What must not stand in a line (controls, and without SMTPUTF8
//! anything beyond ASCII) becomes a question mark, so a hostile text stays the text of its line.

use super::limits::LINE_LEN;

pub(super) struct Lines {
    bytes: Vec<u8>,
    utf8: bool,
    boundary: String,
}

impl Lines {
    pub(super) const fn new(utf8: bool, boundary: String) -> Self {
        Self {
            bytes: Vec::new(),
            utf8,
            boundary,
        }
    }

    pub(super) const fn utf8(&self) -> bool {
        self.utf8
    }

    /// The rest of the header, and the empty line.
    pub(super) fn begin_report(&mut self, returned_8bit: bool) {
        let kind = "multipart/report; report-type=delivery-status";
        let content_type = format!("{kind};\r\n boundary=\"{}\"", self.boundary);
        self.raw(b"Content-Type: ");
        self.raw(content_type.as_bytes());
        self.raw(b"\r\n");
        if self.utf8 || returned_8bit {
            self.field("Content-Transfer-Encoding", "8bit");
        }
        self.empty();
    }

    /// Opens a part of the report.
    pub(super) fn begin_part(&mut self, content_type: &str, encoding: Encoding) {
        self.raw(b"\r\n--");
        self.raw(self.boundary.clone().as_bytes());
        self.raw(b"\r\n");
        self.field("Content-Type", content_type);
        if encoding == Encoding::EightBit {
            self.field("Content-Transfer-Encoding", "8bit");
        }
        self.empty();
    }

    pub(super) fn close(&mut self) {
        self.raw(b"\r\n--");
        self.raw(self.boundary.clone().as_bytes());
        self.raw(b"--\r\n");
    }

    /// A field, folded at spaces.
    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.wrapped(&format!("{name}: "), "    ", value);
    }

    /// A paragraph, or a line that is broken at spaces: `first` before it, `indent` before the
    /// lines that follow. A word that is longer than a line stays whole.
    pub(super) fn wrapped(&mut self, first: &str, indent: &str, text: &str) {
        self.raw(first.as_bytes());
        let mut column = first.len();
        let mut begun = false;
        for word in text.split(' ').filter(|word| !word.is_empty()) {
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
            let harmful = c.is_control() || !(self.utf8 || c.is_ascii());
            let c = if harmful { '?' } else { c };
            self.bytes
                .extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
        }
    }
}

/// How a part is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    EightBit,
    SevenBit,
}
