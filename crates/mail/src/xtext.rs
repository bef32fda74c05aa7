//! xtext: how the values of ENVID, ORCPT and our own MAIL parameters travel in a command line.
//!
//! # Guarantees
//! What [`decode`] returns holds no control character, so a value that was smuggled in as `+0D+0A`
//! can end no header field and no log line. [`decode`] of [`encode`] gives the text back.
//!
//! # Standards
//! RFC 3461 §4; RFC 6533 §3 for the octets beyond ASCII that may stand unencoded where SMTPUTF8
//! is in force.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Encodes what cannot stand in a parameter value: `+`, `=`, spaces, controls and non-ASCII.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'+' && byte != b'=' {
            encoded.push(char::from(byte));
        } else {
            encoded.push('+');
            encoded.push(char::from(HEX[usize::from(byte >> 4)]));
            encoded.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    encoded
}

/// Decodes a parameter value; `None` where it is no xtext, no UTF-8, or holds a control character.
///
/// Lower-case digits are read, although RFC 3461 §4 wants upper case: some clients send them.
/// Unencoded non-ASCII passes; whether SMTPUTF8 allows it is for the parser of the command.
#[must_use]
pub fn decode(value: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            b'=' | 0..=b' ' | 0x7f => return None,
            _ => byte,
        });
    }
    let text = String::from_utf8(decoded).ok()?;
    (!text.contains(char::is_control)).then_some(text)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_without_controls_comes_back() {
        for text in ["", "QQ314159", "a+b=c d", "käthe@bücher.example", "+++"] {
            let encoded = encode(text);
            assert!(encoded.bytes().all(|b| b.is_ascii_graphic() && b != b'='));
            assert_eq!(decode(&encoded).as_deref(), Some(text), "{encoded}");
        }
        assert_eq!(encode("a+b=c"), "a+2Bb+3Dc");
        assert_eq!(decode("a+2bb").as_deref(), Some("a+b"));
    }

    #[test]
    fn what_is_no_xtext_or_smuggles_a_control_is_refused() {
        for bad in [
            "+", "+4", "+4G", "+-1", "a b", "a=b", "+0D+0A", "a\r", "+00", "+7F", "+FF", "+C2+85",
        ] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
