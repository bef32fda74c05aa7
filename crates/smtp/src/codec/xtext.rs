//! xtext: any text in the value of a parameter.
//!
//! # Standards
//! RFC 3461 §4; RFC 6533 §3 for UTF-8, which passes as it is.

/// Takes the encoding off: `+` and two upper case hexadecimal digits stand for an octet. `None`
/// where a `+` is followed by something else, an octet may not stand there, or the outcome is no
/// UTF-8.
#[must_use]
pub fn decode(text: &str) -> Option<Box<str>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'+' => {
                let [high, low, tail @ ..] = rest else {
                    return None;
                };
                decoded.push(hex_value(*high)? << 4 | hex_value(*low)?);
                rest = tail;
            }
            b'!'..=b'<' | b'>'..=b'~' | 0x80.. => decoded.push(*first),
            _ => return None,
        }
    }
    String::from_utf8(decoded).ok().map(String::into_boxed_str)
}

/// Appends `text` in xtext to `out`; only ASCII comes out.
pub fn encode(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for octet in text.bytes() {
        match octet {
            b'!'..=b'*' | b','..=b'<' | b'>'..=b'~' => out.push(octet),
            _ => {
                let [high, low] = [octet >> 4, octet & 15].map(|n| HEX[usize::from(n)]);
                out.extend_from_slice(&[b'+', high, low]);
            }
        }
    }
}

const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_again() {
        for text in ["", "plain", "a+b=c d", "line\r\nend\0", "käthe"] {
            let mut encoded = Vec::new();
            encode(text, &mut encoded);
            assert!(encoded.iter().all(|b| b.is_ascii_graphic() && *b != b'='));
            let encoded = String::from_utf8(encoded).expect("ASCII");
            assert_eq!(decode(&encoded).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_broken_encoding_is_refused() {
        for text in ["+", "+4", "+4g", "+4a", "a=b", "a b", "+FF", "a\u{7f}"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
