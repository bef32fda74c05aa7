//! The framing of DATA: where content ends, and the dots that were put in for transparency.
//!
//! # Guarantees
//! Only CR LF `.` CR LF ends the data, where the first CR LF may be that of the DATA command. A
//! dot is taken away only at the beginning of a line that CR LF began. The outcome depends on
//! the octets alone, not on how they were split over reads.
//!
//! # Standards
//! RFC 5321 §4.1.1.4, §4.5.2.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Where a line may begin with a dot.
static LINE_WITH_DOT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n."));

/// Whether the data has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataStep {
    /// All octets so far were content; there is more to come.
    More,
    /// The data ended after this many octets of the input.
    Ended(usize),
}

/// Takes the framing off content that comes by DATA.
#[derive(Debug)]
pub struct DataDecoder {
    place: Place,
    /// Whether a line was a dot and a bare CR or LF.
    dot_before_bare: bool,
}

/// What the octet before the next one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A CR that may begin CR LF.
    Cr,
    /// A dot at the beginning of a line; it has not been passed on.
    Dot,
    /// A CR after such a dot; neither has been passed on.
    DotCr,
    /// CR LF, or the DATA command.
    LineStart,
    /// Anything else.
    Middle,
}

impl Default for DataDecoder {
    fn default() -> Self {
        Self {
            place: Place::LineStart,
            dot_before_bare: false,
        }
    }
}

impl DataDecoder {
    /// Whether another server could have taken a line before for the end of the data.
    #[must_use]
    pub const fn is_ambiguous(&self) -> bool {
        self.dot_before_bare
    }

    /// Gives the content in `input` to `pass`, in runs. Uses all of `input` but what follows the
    /// end of the data.
    pub fn decode(&mut self, input: &[u8], mut pass: impl FnMut(&[u8])) -> DataStep {
        let mut rest = input;
        while let Some(first) = rest.first() {
            match (self.place, first) {
                (Place::LineStart, b'.') => {
                    self.place = Place::Dot;
                    rest = &rest[1..];
                }
                (Place::Dot, b'\r') => {
                    self.place = Place::DotCr;
                    rest = &rest[1..];
                }
                (Place::DotCr, b'\n') => {
                    return DataStep::Ended(input.len() - rest.len() + 1);
                }
                (Place::DotCr, _) => {
                    // Smuggling: `.` CR CR LF is a stuffed dot and a bare CR, not an end.
                    pass(b"\r");
                    self.place = Place::Cr;
                    self.dot_before_bare = true;
                }
                (Place::Cr, b'\n') => {
                    pass(b"\n");
                    self.place = Place::LineStart;
                    rest = &rest[1..];
                }
                (Place::Cr | Place::Dot | Place::LineStart | Place::Middle, _) => {
                    self.dot_before_bare |= self.place == Place::Dot && *first == b'\n';
                    let run = self.run(rest);
                    pass(&rest[..run.content]);
                    rest = &rest[run.used..];
                }
            }
        }
        DataStep::More
    }

    /// The longest run of content that `rest` begins with, up to the next line with a dot.
    fn run(&mut self, rest: &[u8]) -> Run {
        if let Some(at) = LINE_WITH_DOT.find(rest) {
            self.place = Place::Dot;
            return Run {
                content: at + 2,
                used: at + 3,
            };
        }
        self.place = if rest.ends_with(b"\r\n") {
            Place::LineStart
        } else if rest.ends_with(b"\r") {
            Place::Cr
        } else {
            Place::Middle
        };
        Run {
            content: rest.len(),
            used: rest.len(),
        }
    }
}

struct Run {
    content: usize,
    used: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8], piece: usize) -> (Vec<u8>, Option<usize>) {
        let mut decoder = DataDecoder::default();
        let mut content = Vec::new();
        for (i, bytes) in input.chunks(piece).enumerate() {
            let step = decoder.decode(bytes, |run| content.extend_from_slice(run));
            if let DataStep::Ended(used) = step {
                return (content, Some(i * piece + used));
            }
        }
        (content, None)
    }

    /// `ended`: how many octets follow the end; `None` where there is no end.
    #[track_caller]
    fn check(input: &[u8], content: &[u8], left: Option<usize>) {
        for piece in 1..=input.len() {
            let (found, end) = decode(input, piece);
            let shown = String::from_utf8_lossy(&found).into_owned();
            assert_eq!(found, content, "{shown:?} in pieces of {piece}");
            assert_eq!(
                end.map(|end| input.len() - end),
                left,
                "in pieces of {piece}"
            );
        }
    }

    #[test]
    fn only_a_dot_between_cr_lf_ends_the_data() {
        check(b"a\r\n.\r\n", b"a\r\n", Some(0));
        check(b"a\r\n.\r\nQUIT\r\n", b"a\r\n", Some(6));
        check(b".\r\n", b"", Some(0));
        check(b"\r\n.\r\n", b"\r\n", Some(0));
        check(b"a\n.\n", b"a\n.\n", None);
        check(b"a\r.\r", b"a\r.\r", None);
        check(b"a\n.\r\n", b"a\n.\r\n", None);
        check(b"a\r\n.\n", b"a\r\n\n", None);
        check(b"a\r\n.\rb", b"a\r\n\rb", None);
        check(b"a\r\n.\r\r\nb", b"a\r\n\r\r\nb", None);
        check(b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\r\n", Some(0));
        check(b"a\r\r\n.\r\n", b"a\r\r\n", Some(0));
        check(b"a\r.\r\n", b"a\r.\r\n", None);
        check(b"a\r\n\0.\r\n", b"a\r\n\0.\r\n", None);
    }

    #[test]
    fn dots_put_in_for_transparency_come_off() {
        check(b"..\r\n.\r\n", b".\r\n", Some(0));
        check(
            b"..a\r\n...\r\n.b.\r\n.\r\n",
            b".a\r\n..\r\nb.\r\n",
            Some(0),
        );
        check(b"a.\r\n..\r\n.\r\n", b"a.\r\n.\r\n", Some(0));
    }
}
