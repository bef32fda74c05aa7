//! The lines of strace, read back into calls.
//!
//! One file holds the calls of all threads in one order, that of the moments at which they were
//! entered and returned: a call that took effect before another one began stands before it.

use std::collections::HashMap;
use std::io::{BufRead, Result};

/// A system call that was entered, with its arguments as strace wrote them.
#[derive(Debug)]
pub(super) struct Call {
    /// The name.
    pub(super) name: String,
    /// All that stands between the parentheses.
    pub(super) arguments: Vec<u8>,
    /// What it returned; `None` when it failed or never returned.
    pub(super) result: Option<u64>,
}

/// A moment of a call, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    Entered(usize),
    Returned(usize),
}

/// Reads a file that `strace -f` wrote: the calls in the order of their entries, and all edges.
pub(super) fn read(mut file: impl BufRead) -> Result<(Vec<Call>, Vec<Edge>)> {
    let (mut calls, mut edges) = (Vec::<Call>::new(), Vec::new());
    let mut open: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut line = Vec::new();
    while {
        line.clear();
        file.read_until(b'\n', &mut line)?
    } > 0
    {
        let text = line.trim_ascii_end();
        let n = text
            .iter()
            .position(|octet| *octet == b' ')
            .unwrap_or(text.len());
        let (thread, text) = (&text[..n], text[n..].trim_ascii_start());
        match Line::parse(text) {
            Line::Whole(name, arguments, result) => {
                edges.extend([Edge::Entered(calls.len()), Edge::Returned(calls.len())]);
                calls.push(Call {
                    name,
                    arguments,
                    result,
                });
            }
            Line::Entered(name, arguments) => {
                open.insert(thread.to_vec(), calls.len());
                edges.push(Edge::Entered(calls.len()));
                calls.push(Call {
                    name,
                    arguments,
                    result: None,
                });
            }
            Line::Returned(rest, result) => {
                if let Some(index) = open.remove(thread) {
                    calls[index].arguments.extend_from_slice(&rest);
                    calls[index].result = result;
                    edges.push(Edge::Returned(index));
                }
            }
            Line::Other => {}
        }
    }
    Ok((calls, edges))
}

/// What a line, without the thread, says.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Whole(String, Vec<u8>, Option<u64>),
    Entered(String, Vec<u8>),
    Returned(Vec<u8>, Option<u64>),
    /// A signal or the end of a thread.
    Other,
}

impl Line {
    fn parse(text: &[u8]) -> Self {
        if let Some(rest) = text.strip_prefix(b"<... ") {
            let resumed = find(rest, b" resumed>").unwrap_or(rest.len());
            let rest = rest.get(resumed + b" resumed>".len()..).unwrap_or_default();
            return match split_result(rest) {
                Some((rest, result)) => Self::Returned(rest.to_vec(), result),
                None => Self::Other,
            };
        }
        let Some(paren) = text
            .iter()
            .take(NAME_LEN_MAX)
            .position(|octet| *octet == b'(')
        else {
            return Self::Other;
        };
        let name = String::from_utf8_lossy(&text[..paren]).into_owned();
        let rest = &text[paren + 1..];
        if let Some(rest) = rest.strip_suffix(b" <unfinished ...>") {
            return Self::Entered(name, rest.to_vec());
        }
        match split_result(rest) {
            Some((arguments, result)) => Self::Whole(name, arguments.to_vec(), result),
            None => Self::Other,
        }
    }
}

/// The longest name of a system call there is, and some more.
const NAME_LEN_MAX: usize = 40;

/// `arguments) = 12</a/path>` or `arguments) = -1 ENOENT (…)`, cut into its two parts.
fn split_result(text: &[u8]) -> Option<(&[u8], Option<u64>)> {
    // What is returned is short, the arguments may be long: from the end. No argument of a file
    // call ends so but in quotes, which a result does not have.
    let at = text.windows(2).rposition(|pair| pair == b"= ")?;
    let arguments = text[..at].trim_ascii_end().strip_suffix(b")")?;
    let digits = text[at + 2..]
        .iter()
        .take_while(|octet| octet.is_ascii_digit())
        .count();
    let number = std::str::from_utf8(&text[at + 2..at + 2 + digits]).ok()?;
    Some((arguments, number.parse().ok()))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The arguments of a call, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arguments<'a>(pub(super) &'a [u8]);

/// A string argument.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) octets: Vec<u8>,
    /// strace left out the rest of it.
    pub(super) is_cut: bool,
}

/// A descriptor argument.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Descriptor<'a> {
    /// What it is: a path, or `socket:[1]` and the like.
    pub(super) path: &'a str,
    pub(super) is_deleted: bool,
}

impl<'a> Arguments<'a> {
    /// `12</a/path>`, or `AT_FDCWD</a/path>`.
    pub(super) fn descriptor(&mut self) -> Option<Descriptor<'a>> {
        self.skip(b", ");
        let open = self.0.iter().position(|octet| *octet == b'<')?;
        let close = open + self.0[open..].iter().position(|octet| *octet == b'>')?;
        let path = std::str::from_utf8(&self.0[open + 1..close]).ok()?;
        self.0 = &self.0[close + 1..];
        let is_deleted = self.skip(b"(deleted)");
        Some(Descriptor { path, is_deleted })
    }

    /// `"text"`, or `"text"...` where it was too long.
    pub(super) fn text(&mut self) -> Option<Text> {
        self.skip(b", ");
        if !self.skip(b"\"") {
            return None;
        }
        let mut octets = Vec::new();
        let mut rest = self.0.iter().copied().peekable();
        let mut used = 0;
        loop {
            let octet = rest.next()?;
            used += 1;
            match octet {
                b'"' => break,
                b'\\' => {
                    let mut escaped = rest.next()?;
                    used += 1;
                    if !(b'0'..=b'7').contains(&escaped) {
                        octets.push(plain(escaped));
                        continue;
                    }
                    let mut value = 0_u32;
                    for n in 0.. {
                        value = value * 8 + u32::from(escaped - b'0');
                        let Some(next) = rest.next_if(|o| n < 2 && (b'0'..=b'7').contains(o))
                        else {
                            break;
                        };
                        (escaped, used) = (next, used + 1);
                    }
                    octets.push(u8::try_from(value).ok()?);
                }
                octet => octets.push(octet),
            }
        }
        self.0 = &self.0[used..];
        let is_cut = self.skip(b"...");
        Some(Text { octets, is_cut })
    }

    /// The next text, whatever stands before it.
    pub(super) fn next_text(&mut self) -> Option<Text> {
        let quote = self.0.iter().position(|octet| *octet == b'"')?;
        self.0 = &self.0[quote..];
        self.text()
    }

    /// The path of a descriptor, where one stands before the next text.
    pub(super) fn path_before_text(&mut self) -> Option<&'a str> {
        self.skip(b", ");
        if self.0.first() == Some(&b'"') {
            return None;
        }
        Some(self.descriptor()?.path)
    }

    /// The next number, whatever stands before it.
    pub(super) fn number(&mut self) -> Option<u64> {
        let begin = self.0.iter().position(u8::is_ascii_digit)?;
        let rest = &self.0[begin..];
        let len = rest
            .iter()
            .take_while(|octet| octet.is_ascii_digit())
            .count();
        self.0 = &rest[len..];
        std::str::from_utf8(&rest[..len]).ok()?.parse().ok()
    }

    /// The next word: a flag or several, as they are written.
    pub(super) fn word(&mut self) -> &'a str {
        self.skip(b", ");
        let len = self
            .0
            .iter()
            .position(|octet| *octet == b',')
            .unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(len);
        self.0 = rest;
        std::str::from_utf8(word).unwrap_or_default()
    }

    /// Whether it goes on with `what`, which is left out then.
    pub(super) fn skip(&mut self, what: &[u8]) -> bool {
        let rest = self.0.strip_prefix(what);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
}

const fn plain(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'f' => 0x0c,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_overlap_keep_the_order_of_their_edges() {
        let trace: &[u8] =
            b"12  pwritev(3</d/f>, [{iov_base=\"a\", iov_len=1}], 1, 0 <unfinished ...>\n\
            7   fdatasync(3</d/f>) = 0\n\
            12  <... pwritev resumed>)            = 1\n\
            7   openat(AT_FDCWD</d>, \"x\", O_RDONLY) = -1 ENOENT (No such file or directory)\n\
            7   --- SIGTERM {si_signo=SIGTERM} ---\n\
            7   fsync(4</d> <unfinished ...>\n\
            7   +++ exited with 0 +++\n";
        let (calls, edges) = read(trace).unwrap();
        let results: Vec<_> = calls.iter().map(|c| (c.name.as_str(), c.result)).collect();
        let expected = [
            ("pwritev", Some(1)),
            ("fdatasync", Some(0)),
            ("openat", None),
            ("fsync", None),
        ];
        assert_eq!(results, expected);
        use Edge::{Entered, Returned};
        let expected = [
            Entered(0),
            Entered(1),
            Returned(1),
            Returned(0),
            Entered(2),
            Returned(2),
            Entered(3),
        ];
        assert_eq!(edges, expected);
    }

    #[test]
    fn arguments_are_read_one_by_one() {
        let mut arguments =
            Arguments(b"5</d/a b>(deleted), \"a\\0\\0011\\r\\n\\\"\\377\"..., 0600, A|B");
        assert_eq!(
            arguments.descriptor(),
            Some(Descriptor {
                path: "/d/a b",
                is_deleted: true
            })
        );
        let text = Text {
            octets: b"a\0\x011\r\n\"\xff".to_vec(),
            is_cut: true,
        };
        assert_eq!(arguments.text(), Some(text));
        assert_eq!(arguments.number(), Some(600));
        assert_eq!(arguments.word(), "A|B");
    }
}
