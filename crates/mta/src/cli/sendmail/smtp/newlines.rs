//! Line ends of a client that may be a person at a terminal.

/// Passes octets on; where the first line of all ends with LF alone, each such LF becomes CR LF.
/// Nobody is in between who could read the lines differently.
#[derive(Debug, Default)]
pub(super) struct Newlines {
    kind: Kind,
    is_after_cr: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Unknown,
    /// As SMTP has it: nothing is changed.
    CrLf,
    /// LF alone.
    Lf,
}

impl Newlines {
    /// What is passed on for `octets`.
    pub(super) fn pass(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut passed = Vec::with_capacity(octets.len());
        for &octet in octets {
            if octet == b'\n' {
                if self.kind == Kind::Unknown {
                    self.kind = if self.is_after_cr {
                        Kind::CrLf
                    } else {
                        Kind::Lf
                    };
                }
                if self.kind == Kind::Lf && !self.is_after_cr {
                    passed.push(b'\r');
                }
            }
            passed.push(octet);
            self.is_after_cr = octet == b'\r';
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_terminal_get_the_ends_of_smtp_and_those_of_programs_stay() {
        for (given, expected) in [
            ("EHLO x\nNOOP\r\n", "EHLO x\r\nNOOP\r\n"),
            ("EHLO x\r\na\nb\r\n", "EHLO x\r\na\nb\r\n"),
        ] {
            let (mut whole, mut single) = (Newlines::default(), Newlines::default());
            assert_eq!(whole.pass(given.as_bytes()), expected.as_bytes());
            let each = given.bytes().flat_map(|octet| single.pass(&[octet]));
            assert_eq!(each.collect::<Vec<_>>(), expected.as_bytes());
        }
    }
}
