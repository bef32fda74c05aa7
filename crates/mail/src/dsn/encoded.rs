//! How octets beyond ASCII travel through hosts that take none: quoted-printable for texts,
//! escapes for addresses.
//!
//! # Standards
//! RFC 2045 §6.7; RFC 6533 §3.

use std::fmt::Write as _;

use super::limits::{LINE_LEN, LINE_LEN_MAX};

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Whether every host takes these octets as they are: ASCII in lines of legal length.
pub(super) fn is_plain(octets: &[u8]) -> bool {
    if !octets.is_ascii() || memchr::memchr(0, octets).is_some() {
        return false;
    }
    let mut rest = octets;
    while !rest.is_empty() {
        let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        let after = &rest[end..];
        if end > LINE_LEN_MAX || !(after.is_empty() || after.starts_with(b"\r\n")) {
            return false;
        }
        rest = after.get(2..).unwrap_or_default();
    }
    true
}

/// As many whole lines as stay within `len_max` octets when they are encoded.
pub(super) fn quoted_printable(text: &[u8], len_max: usize) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len().min(len_max));
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\r\n").unwrap_or(rest.len());
        let before = encoded.len();
        encode_line(&rest[..end], &mut encoded);
        encoded.extend_from_slice(b"\r\n");
        if encoded.len() > len_max {
            encoded.truncate(before);
            break;
        }
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    encoded
}

fn encode_line(line: &[u8], encoded: &mut Vec<u8>) {
    let mut column = 0;
    for (at, &byte) in line.iter().enumerate() {
        let is_last = at + 1 == line.len();
        // A blank at the end of a line is lost on the way.
        let stays =
            byte != b'=' && byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t') && !is_last;
        let len = if stays { 1 } else { 3 };
        if column + len > LINE_LEN - 1 {
            encoded.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if stays {
            encoded.push(byte);
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            encoded.extend_from_slice(&[b'=', HEX[high], HEX[low]]);
        }
        column += len;
    }
}

/// An address that is not ASCII in the form that a report of ASCII may hold: utf-8-addr-xtext.
pub(super) fn escaped_address(address: &str) -> String {
    let mut escaped = String::with_capacity(address.len());
    for c in address.chars() {
        if c.is_ascii_graphic() && !matches!(c, '\\' | '+' | '=') {
            escaped.push(c);
        } else {
            write!(escaped, "\\x{{{:02X}}}", u32::from(c))
                .expect("invariant: a String takes all that is written");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_printable_keeps_lines_and_hides_what_is_not_ascii() {
        for (text, expected) in [
            (&b"a=b \r\n"[..], &b"a=3Db=20\r\n"[..]),
            (b"gr\xfc\xdfe\r\n\r\nx", b"gr=FC=DFe\r\n\r\nx\r\n"),
            (b"a\nb\rc\0", b"a=0Ab=0Dc=00\r\n"),
        ] {
            let encoded = quoted_printable(text, 1000);
            assert_eq!(encoded, expected, "{}", encoded.escape_ascii());
        }
        let long = quoted_printable(&[0xff; 200], 10_000);
        let mut lines = long.split(|b| *b == b'\n');
        assert!(lines.all(|line| line.len() <= LINE_LEN + 1));
        assert!(is_plain(&long));
    }

    #[test]
    fn what_does_not_fit_when_encoded_is_left_out_by_whole_lines() {
        assert_eq!(quoted_printable(b"\xff\r\n\xff\r\n", 9), b"=FF\r\n");
        assert_eq!(quoted_printable(b"\xff\r\n\xff\r\n", 4), b"");
    }

    #[test]
    fn what_some_hosts_refuse_is_not_plain() {
        let long = [&[b'x'; LINE_LEN_MAX][..], b"\r\n"].concat();
        let too_long = [&[b'x'; LINE_LEN_MAX + 1][..], b"\r\n"].concat();
        for (octets, expected) in [
            (&b""[..], true),
            (b"a\r\n\r\nb", true),
            (&long, true),
            (&too_long, false),
            (b"a\nb", false),
            (b"a\rb\r\n", false),
            (b"a\r", false),
            (b"a\0b\r\n", false),
            (b"\xc3\xa4\r\n", false),
        ] {
            assert_eq!(is_plain(octets), expected, "{}", octets.escape_ascii());
        }
    }

    #[test]
    fn an_address_beyond_ascii_is_escaped_as_rfc_6533_writes_it() {
        assert_eq!(
            escaped_address("k\u{e4}the+1@b\u{fc}cher.example"),
            "k\\x{E4}the\\x{2B}1@b\\x{FC}cher.example"
        );
        assert_eq!(escaped_address("\u{1f4e7}@x"), "\\x{1F4E7}@x");
    }
}
