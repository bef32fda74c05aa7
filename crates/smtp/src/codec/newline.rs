//! The octets of content: which line ends, which NULs and which lengths of line may stand in it.
//!
//! # Guarantees
//! What passes under any rule but [`ContentRule::Binary`] holds CR and LF only as CR LF, no NUL,
//! and no line over the limit. Octets are copied once, in runs as long as the input allows.
//!
//! # Standards
//! RFC 5321 §2.3.8, §4.5.2; RFC 3030 §3 for content without lines.

use memchr::memchr3;

/// What content may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentRule {
    /// Any octets.
    Binary,
    /// Lines; a bare CR or LF becomes CR LF.
    Normalize,
    /// Lines; a bare CR or LF is a fault.
    Refuse,
}

/// What content holds that it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentFault {
    /// A CR without LF or a LF without CR.
    BareNewline,
    /// A line over the limit.
    LineTooLong,
    /// A NUL.
    Nul,
}

/// Checks content as it passes.
#[derive(Debug)]
pub struct ContentCheck {
    rule: ContentRule,
    line_len_max: usize,
    line_len: usize,
    /// A CR at the end of what came so far; it is not passed on before what follows is known.
    after_cr: bool,
    /// Whether the last line ended with a bare CR or LF.
    after_bare: bool,
    /// Whether what came last is CR LF and a bare CR or LF before it.
    ends_bare: bool,
    /// Whether a dot followed a bare CR or LF.
    dot_after_bare: bool,
}

impl ContentCheck {
    /// A check of one content, whose lines may have `line_len_max` octets without their CR LF.
    #[must_use]
    pub const fn new(rule: ContentRule, line_len_max: usize) -> Self {
        Self {
            rule,
            line_len_max,
            line_len: 0,
            after_cr: false,
            after_bare: false,
            ends_bare: false,
            dot_after_bare: false,
        }
    }

    /// Whether another server could take a line of this content for the end of the data, or its end
    /// for a line, where bare newlines became line ends.
    #[must_use]
    pub const fn is_ambiguous(&self) -> bool {
        self.dot_after_bare || self.ends_bare
    }

    /// Passes the next octets on to `out`.
    ///
    /// # Errors
    /// The first fault; the check is then of no more use.
    pub fn pass(&mut self, run: &[u8], out: &mut Vec<u8>) -> Result<(), ContentFault> {
        if self.rule == ContentRule::Binary {
            out.extend_from_slice(run);
            return Ok(());
        }
        let mut at = self.settle_cr(run, out)?;
        let mut copied = at;
        self.note_dot(run.get(at));
        while let Some(n) = memchr3(b'\r', b'\n', 0, &run[at..]) {
            let found = at + n;
            self.lengthen(n)?;
            if run[found] == 0 {
                return Err(ContentFault::Nul);
            }
            if run[found] == b'\r' {
                match run.get(found + 1) {
                    Some(b'\n') => {
                        self.end_line();
                        at = found + 2;
                        continue;
                    }
                    Some(_) => {}
                    None => {
                        out.extend_from_slice(&run[copied..found]);
                        self.after_cr = true;
                        return Ok(());
                    }
                }
            }
            out.extend_from_slice(&run[copied..found]);
            self.bare_newline(out)?;
            at = found + 1;
            copied = at;
            self.note_dot(run.get(at));
        }
        self.lengthen(run.len() - at)?;
        out.extend_from_slice(&run[copied..]);
        Ok(())
    }

    /// The content is complete.
    ///
    /// # Errors
    /// Where it ends with a bare CR that must be refused.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ContentFault> {
        if std::mem::take(&mut self.after_cr) {
            self.bare_newline(out)?;
        }
        Ok(())
    }

    /// Decides about a CR that ended the run before this one; says how much of `run` it took.
    fn settle_cr(&mut self, run: &[u8], out: &mut Vec<u8>) -> Result<usize, ContentFault> {
        let Some(first) = run.first() else {
            return Ok(0);
        };
        if !std::mem::take(&mut self.after_cr) {
            return Ok(0);
        }
        if *first == b'\n' {
            out.extend_from_slice(b"\r\n");
            self.end_line();
            return Ok(1);
        }
        self.bare_newline(out)?;
        Ok(0)
    }

    fn bare_newline(&mut self, out: &mut Vec<u8>) -> Result<(), ContentFault> {
        // Smuggling: what one server takes for a line end and another does not must not go on
        // (quirk: bare-newlines-refused).
        if self.rule == ContentRule::Refuse {
            return Err(ContentFault::BareNewline);
        }
        out.extend_from_slice(b"\r\n");
        self.line_len = 0;
        self.after_bare = true;
        self.ends_bare = false;
        Ok(())
    }

    /// A line ended with CR LF.
    const fn end_line(&mut self) {
        self.ends_bare = self.after_bare && self.line_len == 0;
        self.after_bare = false;
        self.line_len = 0;
    }

    /// What comes next.
    fn note_dot(&mut self, next: Option<&u8>) {
        self.dot_after_bare |= self.after_bare && self.line_len == 0 && next == Some(&b'.');
    }

    fn lengthen(&mut self, n: usize) -> Result<(), ContentFault> {
        self.line_len = self.line_len.saturating_add(n);
        if self.line_len > self.line_len_max {
            return Err(ContentFault::LineTooLong);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(rule: ContentRule, input: &[u8], piece: usize) -> Result<Vec<u8>, ContentFault> {
        let mut check = ContentCheck::new(rule, 10);
        let mut out = Vec::new();
        for run in input.chunks(piece) {
            check.pass(run, &mut out)?;
        }
        check.finish(&mut out)?;
        Ok(out)
    }

    #[track_caller]
    fn check(rule: ContentRule, input: &[u8], expected: Result<&[u8], ContentFault>) {
        for piece in 1..=input.len() {
            let found = pass(rule, input, piece);
            assert_eq!(found.as_deref().map_err(|f| *f), expected, "{piece}");
        }
    }

    #[test]
    fn lines_pass_as_they_are() {
        check(ContentRule::Refuse, b"a\r\n\r\nb", Ok(b"a\r\n\r\nb"));
        check(
            ContentRule::Refuse,
            b"0123456789\r\n0123456789",
            Ok(b"0123456789\r\n0123456789"),
        );
    }

    #[test]
    fn what_may_not_stand_in_lines_is_refused() {
        use ContentFault::{BareNewline, LineTooLong, Nul};
        for input in [
            &b"a\nb"[..],
            b"a\rb",
            b"\n",
            b"\r",
            b"a\r\r\n",
            b"a\n\r\n",
            b"a\r\n\r",
        ] {
            check(ContentRule::Refuse, input, Err(BareNewline));
        }
        check(ContentRule::Refuse, b"a\0b", Err(Nul));
        check(ContentRule::Normalize, b"a\0b", Err(Nul));
        check(ContentRule::Refuse, b"01234567890\r\n", Err(LineTooLong));
        check(ContentRule::Refuse, b"a\r\n01234567890", Err(LineTooLong));
    }

    #[test]
    fn bare_newlines_become_line_ends_where_this_is_asked() {
        check(
            ContentRule::Normalize,
            b"a\nb\rc\r\nd",
            Ok(b"a\r\nb\r\nc\r\nd"),
        );
        check(
            ContentRule::Normalize,
            b"\r\r\n\n\r",
            Ok(b"\r\n\r\n\r\n\r\n"),
        );
    }

    #[test]
    fn content_that_others_could_end_elsewhere_is_known() {
        for (input, expected) in [
            (&b"a\nb\r\n"[..], false),
            (b"a\n\nb\r\n", false),
            (b"a\nb\r\n\r\n", false),
            (b"a\n.\r\n", true),
            (b"a\r.b\r\n", true),
            (b"a\n\r\n", true),
            (b"a\r\r\n", true),
            (b"a\r\r\nb\r\n", false),
            (b"a.\nb.\r\n", false),
        ] {
            for piece in 1..=input.len() {
                let mut check = ContentCheck::new(ContentRule::Normalize, 10);
                let mut out = Vec::new();
                for run in input.chunks(piece) {
                    assert_eq!(check.pass(run, &mut out), Ok(()));
                }
                let shown = input.escape_ascii();
                assert_eq!(check.is_ambiguous(), expected, "{shown} by {piece}");
            }
        }
    }

    #[test]
    fn binary_content_is_not_looked_at() {
        check(
            ContentRule::Binary,
            b"\0\r\r\n\n 0123456789",
            Ok(b"\0\r\r\n\n 0123456789"),
        );
    }
}
