//! Command lines: what ends one, and what becomes of one that is wrong.
//!
//! # Guarantees
//! Only CR LF ends a line. The steps depend on the octets alone, not on how they were split over
//! reads.
//!
//! # Failure
//! A bare LF or CR, or too many octets, is reported once a line; the rest of the line up to its
//! CR LF is read over, so that no part of it can pass for a command.
//!
//! # Standards
//! RFC 5321 §2.3.8, §4.5.3.1.4.

use memchr::memchr;

use crate::limits::SKIPPED_LEN_MAX;

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// A CR without LF, or a LF without CR. Reported as soon as the LF is seen, so that a person
    /// whose program ends lines so is told at once.
    BareNewline,
    /// [`SKIPPED_LEN_MAX`] octets were read over and the line has no end yet.
    Endless,
    /// A NUL: no program that sends mail says so, and whatever does need not end its lines.
    Nul,
    /// Longer than allowed.
    TooLong,
}

/// What the input begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineStep<'a> {
    /// A line that is wrong, and what of it was looked at; what follows it, or the rest of it,
    /// comes with the next step.
    Fault(LineFault, &'a [u8]),
    /// A line without its CR LF; it holds neither CR nor LF.
    Line(&'a [u8]),
    /// Not yet a whole line.
    More,
}

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub struct LineReader {
    over: Option<ReadOver>,
}

/// A line that was reported as wrong and has not ended.
#[derive(Clone, Copy, Debug)]
struct ReadOver {
    len: usize,
    after_cr: bool,
}

impl LineReader {
    /// Whether `input` begins with a line, and not with what is left of one that was reported.
    #[must_use]
    pub const fn is_at_line_start(&self) -> bool {
        self.over.is_none()
    }

    /// Takes one step over `input`, whose lines may have `len_max` octets with their CR LF.
    /// Also says how many octets it used; those that it did not use must come again.
    pub fn step<'a>(&mut self, input: &'a [u8], len_max: usize) -> (usize, LineStep<'a>) {
        let mut used = 0;
        if let Some(over) = &mut self.over {
            match over.step(input) {
                (n, Over::Ended) => {
                    self.over = None;
                    used = n;
                }
                (n, Over::Endless) => return (n, LineStep::Fault(LineFault::Endless, &[])),
                (n, Over::More) => return (n, LineStep::More),
            }
        }
        let (n, step) = self.line(&input[used..], len_max);
        (used + n, step)
    }

    fn line<'a>(&mut self, input: &'a [u8], len_max: usize) -> (usize, LineStep<'a>) {
        let window = &input[..input.len().min(len_max)];
        let lf = memchr(b'\n', window);
        let begun = lf.map_or(window, |lf| &window[..lf]);
        if memchr(0, begun).is_some() {
            return self.read_over(begun, LineFault::Nul);
        }
        let Some(lf) = lf else {
            if window.len() < len_max {
                return (0, LineStep::More);
            }
            return self.read_over(window, LineFault::TooLong);
        };
        let Some(line) = window[..lf].strip_suffix(b"\r") else {
            return self.read_over(&window[..=lf], LineFault::BareNewline);
        };
        let step = match memchr(b'\r', line) {
            Some(_) => LineStep::Fault(LineFault::BareNewline, line),
            None => LineStep::Line(line),
        };
        (lf + 1, step)
    }

    fn read_over<'a>(&mut self, begun: &'a [u8], fault: LineFault) -> (usize, LineStep<'a>) {
        self.over = Some(ReadOver {
            len: 0,
            after_cr: begun.ends_with(b"\r"),
        });
        (begun.len(), LineStep::Fault(fault, begun))
    }
}

enum Over {
    Ended,
    Endless,
    More,
}

impl ReadOver {
    fn step(&mut self, input: &[u8]) -> (usize, Over) {
        let window = &input[..input.len().min(SKIPPED_LEN_MAX - self.len)];
        let mut used = 0;
        while let Some(n) = memchr(b'\n', &window[used..]) {
            let lf = used + n;
            let after_cr = if lf == 0 {
                self.after_cr
            } else {
                window[lf - 1] == b'\r'
            };
            used = lf + 1;
            if after_cr {
                return (used, Over::Ended);
            }
        }
        if let Some(last) = window.last() {
            self.after_cr = *last == b'\r';
        }
        self.len += window.len();
        let over = if self.len == SKIPPED_LEN_MAX {
            Over::Endless
        } else {
            Over::More
        };
        (window.len(), over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps that `input` makes, given in pieces of `piece` octets.
    fn steps(input: &[u8], len_max: usize, piece: usize) -> Vec<Result<Vec<u8>, LineFault>> {
        let mut reader = LineReader::default();
        let mut waiting = Vec::new();
        let mut steps = Vec::new();
        for bytes in input.chunks(piece) {
            waiting.extend_from_slice(bytes);
            loop {
                let (used, step) = reader.step(&waiting, len_max);
                match step {
                    LineStep::Fault(fault, _) => steps.push(Err(fault)),
                    LineStep::Line(line) => steps.push(Ok(line.to_vec())),
                    LineStep::More => {}
                }
                let more = step == LineStep::More;
                waiting.drain(..used);
                if more || steps.last() == Some(&Err(LineFault::Endless)) {
                    break;
                }
            }
        }
        steps
    }

    #[track_caller]
    fn check(input: &[u8], expected: &[Result<&[u8], LineFault>]) {
        for piece in 1..=input.len() {
            let found = steps(input, 12, piece);
            let found: Vec<_> = found.iter().map(|s| s.as_deref().map_err(|f| *f)).collect();
            assert_eq!(found, expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn only_cr_lf_ends_a_line() {
        use LineFault::{BareNewline, Nul, TooLong};
        check(b"NOOP\r\nQUIT\r\n", &[Ok(b"NOOP"), Ok(b"QUIT")]);
        check(b"\r\n", &[Ok(b"")]);
        check(b"NOOP", &[]);
        check(b"NOOP\nQUIT\r\nA\r\n", &[Err(BareNewline), Ok(b"A")]);
        check(b"A\rB\r\nC\r\n", &[Err(BareNewline), Ok(b"C")]);
        check(b"A\r\r\nC\r\n", &[Err(BareNewline), Ok(b"C")]);
        check(b"A\n\nB\n\r\nC\r\n", &[Err(BareNewline), Ok(b"C")]);
        check(b"0123456789\r\nC\r\n", &[Ok(b"0123456789"), Ok(b"C")]);
        check(b"01234567890\r\nC\r\n", &[Err(TooLong), Ok(b"C")]);
        check(b"A\0", &[Err(Nul)]);
        check(b"A\0B\r\nC\r\n", &[Err(Nul), Ok(b"C")]);
        check(b"A\nB\0\r\nC\r\n", &[Err(BareNewline), Ok(b"C")]);
        check(
            b"0123456789012345\n6\r7\r\nC\r\n",
            &[Err(TooLong), Ok(b"C")],
        );
    }

    #[test]
    fn a_line_without_end_is_found_out() {
        let endless = vec![b'x'; SKIPPED_LEN_MAX + 12];
        for piece in [1000, endless.len()] {
            assert_eq!(
                steps(&endless, 12, piece),
                [Err(LineFault::TooLong), Err(LineFault::Endless)]
            );
        }
    }
}
