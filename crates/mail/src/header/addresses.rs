//! Addresses without a domain, in the fields of a message of our own.
//!
//! # Guarantees
//! Nothing but `@domain` is added, and only behind what is certainly a local part: one word, quoted
//! or not, that stands alone or in angle brackets. All other octets stay as they are.
//!
//! # Standards
//! RFC 6409 §8.8; RFC 5322 §3.4 with groups, comments and folding, and §4.4 for routes.

/// How deep comments may nest; a value that goes deeper is left as it is.
const COMMENT_DEPTH_MAX: u32 = 64;

/// The value of an address field, with `domain` where an address has none; `None` where there is
/// nothing to add.
pub(super) fn complete(value: &[u8], domain: &str) -> Option<Vec<u8>> {
    let places = Reader::new(value).places()?;
    if places.is_empty() {
        return None;
    }
    let mut completed = Vec::with_capacity(value.len() + places.len() * (domain.len() + 1));
    let mut from = 0;
    for at in places {
        completed.extend_from_slice(&value[from..at]);
        completed.push(b'@');
        completed.extend_from_slice(domain.as_bytes());
        from = at;
    }
    completed.extend_from_slice(&value[from..]);
    Some(completed)
}

/// Reads a value once, from its beginning to its end.
struct Reader<'a> {
    value: &'a [u8],
    at: usize,
    /// Where domains are missing.
    places: Vec<usize>,
    one: Entry,
}

/// What stands between two commas, or within angle brackets.
#[derive(Default)]
struct Entry {
    words: Words,
    in_angle: bool,
    had_angle: bool,
}

/// The words of an address or a display name.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Words {
    #[default]
    None,
    /// One, which ends here; a dot may have joined it of several.
    One { start: usize, end: usize },
    /// Several, an at sign, or what belongs into no local part.
    Other,
}

impl<'a> Reader<'a> {
    fn new(value: &'a [u8]) -> Self {
        Self {
            value,
            at: 0,
            places: Vec::new(),
            one: Entry::default(),
        }
    }

    /// `None` where quotes, comments or brackets do not end.
    fn places(mut self) -> Option<Vec<usize>> {
        while let Some(&octet) = self.value.get(self.at) {
            let start = self.at;
            self.at += 1;
            match octet {
                b'"' => {
                    self.skip_quoted()?;
                    self.word(start);
                }
                b'(' => self.skip_comment()?,
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b'<' => {
                    self.one.words = Words::None;
                    self.one.in_angle = true;
                }
                b'>' => {
                    self.end_address();
                    self.one.in_angle = false;
                    self.one.had_angle = true;
                }
                b',' | b';' if !self.one.in_angle => self.end_entry(),
                // The name of a group, or a route.
                b':' => self.one.words = Words::None,
                b'@' | b'\\' | b'[' | b']' | b')' | b',' | b';' => self.one.words = Words::Other,
                _ => {
                    let is_part = |b: &u8| !b"\"(<>,;:@\\[]) \t\r\n".contains(b);
                    let rest = &self.value[self.at..];
                    self.at += rest.iter().position(|b| !is_part(b)).unwrap_or(rest.len());
                    self.word(start);
                }
            }
        }
        if self.one.in_angle {
            return None;
        }
        self.end_entry();
        Some(self.places)
    }

    /// Takes what stands from `start` to here.
    fn word(&mut self, start: usize) {
        let end = self.at;
        self.one.words = match self.one.words {
            Words::None => Words::One { start, end },
            Words::One {
                start: first,
                end: last,
            } if self.is_joined(last, start) => Words::One { start: first, end },
            Words::One { .. } | Words::Other => Words::Other,
        };
    }

    /// Whether two words are one local part: a dot is between them, or nothing is.
    fn is_joined(&self, last: usize, start: usize) -> bool {
        last == start || self.value[last - 1] == b'.' || self.value[start] == b'.'
    }

    fn end_address(&mut self) {
        if let Words::One { start, end } = self.one.words
            && !self.value[start..end].starts_with(b"=?")
        {
            self.places.push(end);
        }
    }

    fn end_entry(&mut self) {
        if !self.one.had_angle {
            self.end_address();
        }
        self.one = Entry::default();
    }

    fn skip_quoted(&mut self) -> Option<()> {
        loop {
            let octet = *self.value.get(self.at)?;
            self.at += if octet == b'\\' { 2 } else { 1 };
            if octet == b'"' {
                return Some(());
            }
        }
    }

    fn skip_comment(&mut self) -> Option<()> {
        let mut depth = 1_u32;
        while depth > 0 {
            let octet = *self.value.get(self.at)?;
            self.at += if octet == b'\\' { 2 } else { 1 };
            match octet {
                b'(' if depth == COMMENT_DEPTH_MAX => return None,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &str) {
        let completed = complete(value.as_bytes(), "h.example");
        let completed = completed.unwrap_or_else(|| value.as_bytes().to_vec());
        assert_eq!(String::from_utf8_lossy(&completed), expected, "{value:?}");
    }

    #[test]
    fn a_local_part_alone_gets_the_domain() {
        check(" root\r\n", " root@h.example\r\n");
        check("root (Cron Daemon)", "root@h.example (Cron Daemon)");
        check("\"Cron, D\" <root>", "\"Cron, D\" <root@h.example>");
        check("< root >", "< root@h.example >");
        check("a, b@x,\r\n\tc", "a@h.example, b@x,\r\n\tc@h.example");
        check("a . b", "a . b@h.example");
        check("\"a b\"", "\"a b\"@h.example");
        check(
            "G: a, B <b>;, c",
            "G: a@h.example, B <b@h.example>;, c@h.example",
        );
        check("käthe", "käthe@h.example");
    }

    #[test]
    fn what_is_no_local_part_for_certain_stays_as_it_is() {
        for value in [
            "",
            " , ;",
            "<>",
            "a@x",
            "a @ x",
            "a@[192.0.2.1]",
            "A <a@x> ",
            "two words",
            "undisclosed-recipients:;",
            "<@route,@b:c@d>",
            "=?UTF-8?Q?x?=",
            "\"a <b>",
            "(a",
            "<a",
            "\\a",
            "\"a\\",
        ] {
            check(value, value);
        }
        check(&"(".repeat(100_000), &"(".repeat(100_000));
    }
}
