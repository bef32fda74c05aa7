//! Frames content for the wire: by DATA with its dots, or by BDAT with its lengths.
//!
//! # Guarantees
//! Content comes out at the other end octet for octet as it went in. What DATA cannot carry so, a
//! CR or LF by itself, is refused: a server that takes one for a line end could find the end of
//! the data in the middle of a message (smuggling; see docs/threats.md). The one thing that is
//! added is a CR LF at the end of content that has none, without which DATA cannot end
//! (RFC 5321 §4.1.1.4).
//!
//! # Standards
//! RFC 5321 §4.5.2; RFC 3030 §2.

use std::io::Write as _;

use memchr::memchr2_iter;

/// The octets of one chunk. A server that refuses a message in its middle is sent no more than
/// the rest of a chunk in vain.
pub const CHUNK_LEN_MAX: u64 = 1024 * 1024;

/// The content holds a CR or LF by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BareNewline;

/// Content on its way by DATA.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    tail: Tail,
}

/// What the content so far ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    CarriageReturn,
    LineStart,
    Middle,
}

impl Lines {
    pub(super) const fn new() -> Self {
        Self {
            tail: Tail::LineStart,
        }
    }

    /// Appends the next piece of the content, its dots doubled.
    pub(super) fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BareNewline> {
        let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
            return Ok(());
        };
        match self.tail {
            Tail::CarriageReturn if first != b'\n' => return Err(BareNewline),
            Tail::LineStart if first == b'.' => out.push(b'.'),
            Tail::CarriageReturn | Tail::LineStart | Tail::Middle => {}
        }
        let mut n_copied = 0;
        for at in memchr2_iter(b'\r', b'\n', bytes) {
            let next = bytes.get(at + 1);
            if bytes[at] == b'\r' {
                if next.is_some_and(|&next| next != b'\n') {
                    return Err(BareNewline);
                }
                continue;
            }
            let after_cr = match at.checked_sub(1) {
                Some(before) => bytes[before] == b'\r',
                None => self.tail == Tail::CarriageReturn,
            };
            if !after_cr {
                return Err(BareNewline);
            }
            if next == Some(&b'.') {
                out.extend_from_slice(&bytes[n_copied..=at]);
                out.push(b'.');
                n_copied = at + 1;
            }
        }
        out.extend_from_slice(&bytes[n_copied..]);
        self.tail = match last {
            b'\r' => Tail::CarriageReturn,
            b'\n' => Tail::LineStart,
            _ => Tail::Middle,
        };
        Ok(())
    }

    /// Appends the end of the data.
    pub(super) fn end(self, out: &mut Vec<u8>) -> Result<(), BareNewline> {
        match self.tail {
            Tail::CarriageReturn => return Err(BareNewline),
            Tail::LineStart => {}
            Tail::Middle => out.extend_from_slice(b"\r\n"),
        }
        out.extend_from_slice(b".\r\n");
        Ok(())
    }
}

/// Content on its way by BDAT.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunks {
    /// Octets of the content that are in no chunk yet.
    n_unannounced: u64,
    /// Octets that the current chunk still lacks.
    n_lacking: u64,
    len_max: u64,
    last_announced: bool,
}

/// Which chunk was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    Last,
    More,
}

impl Chunks {
    /// Content of `size` octets in chunks of `len_max` at most.
    pub(super) const fn new(size: u64, len_max: u64) -> Self {
        Self {
            n_unannounced: size,
            n_lacking: 0,
            len_max,
            last_announced: false,
        }
    }

    /// Whether the next octet needs a new chunk.
    pub(super) const fn is_at_boundary(&self) -> bool {
        self.n_lacking == 0
    }

    /// Whether all octets that were promised have been given.
    pub(super) const fn is_complete(&self) -> bool {
        self.last_announced && self.n_lacking == 0
    }

    /// Begins the next chunk; `None` when the last one has been.
    pub(super) fn begin(&mut self, out: &mut Vec<u8>) -> Option<Chunk> {
        if self.last_announced {
            return None;
        }
        let len = self.n_unannounced.min(self.len_max);
        self.n_unannounced -= len;
        self.n_lacking = len;
        self.last_announced = self.n_unannounced == 0;
        let last = if self.last_announced { " LAST" } else { "" };
        write!(out, "BDAT {len}{last}\r\n").expect("invariant: a Vec takes all that is written");
        Some(if self.last_announced {
            Chunk::Last
        } else {
            Chunk::More
        })
    }

    /// Appends what of `bytes` belongs to the current chunk, and returns the rest.
    pub(super) fn write<'a>(&mut self, bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let fits = usize::try_from(self.n_lacking)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let (now, rest) = bytes.split_at(fits);
        out.extend_from_slice(now);
        self.n_lacking -= fits as u64;
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames `content` in two pieces, cut at each place, and wants the same each time.
    #[track_caller]
    fn check(content: &str, expected: Result<&str, BareNewline>) {
        for cut in 0..=content.len() {
            let (first, second) = content.as_bytes().split_at(cut);
            let (mut lines, mut out) = (Lines::new(), Vec::new());
            let framed = lines
                .write(first, &mut out)
                .and_then(|()| lines.write(second, &mut out))
                .and_then(|()| lines.end(&mut out))
                .map(|()| String::from_utf8(out).unwrap());
            assert_eq!(
                framed,
                expected.map(String::from),
                "{content:?} cut at {cut}"
            );
        }
    }

    #[test]
    fn dots_at_the_start_of_a_line_are_doubled_and_no_others() {
        check("a\r\n", Ok("a\r\n.\r\n"));
        check(".\r\n", Ok("..\r\n.\r\n"));
        check("..a\r\n.b.\r\n", Ok("...a\r\n..b.\r\n.\r\n"));
        check("a.b\r\n\r\n.\r\n", Ok("a.b\r\n\r\n..\r\n.\r\n"));
    }

    #[test]
    fn a_last_line_without_an_end_is_given_one() {
        check("", Ok(".\r\n"));
        check("a", Ok("a\r\n.\r\n"));
        check("a\r\n.", Ok("a\r\n..\r\n.\r\n"));
    }

    #[test]
    fn a_cr_or_lf_by_itself_is_never_sent() {
        for bad in [
            "a\nb", "\n", "\n.\n", "a\rb", "\r", "a\r", "\r\r\n", "a\r\n\n", "\r.\r",
        ] {
            check(bad, Err(BareNewline));
        }
    }

    #[test]
    fn chunks_add_up_to_the_content() {
        let mut out = Vec::new();
        let mut chunks = Chunks::new(5, 2);
        let mut rest = &b"abcde"[..];
        while !rest.is_empty() {
            if chunks.is_at_boundary() {
                assert!(chunks.begin(&mut out).is_some());
            }
            rest = chunks.write(rest, &mut out);
        }
        assert!(chunks.is_complete());
        assert_eq!(out, b"BDAT 2\r\nabBDAT 2\r\ncdBDAT 1 LAST\r\ne");
        assert_eq!(chunks.begin(&mut out), None);
    }

    #[test]
    fn empty_content_is_one_empty_chunk() {
        let mut out = Vec::new();
        let mut chunks = Chunks::new(0, 2);
        assert!(!chunks.is_complete());
        assert_eq!(chunks.begin(&mut out), Some(Chunk::Last));
        assert!(chunks.is_complete());
        assert_eq!(out, b"BDAT 0 LAST\r\n");
    }
}
