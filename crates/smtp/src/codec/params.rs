//! The arguments of MAIL and RCPT: a path and parameters.
//!
//! # Limits
//! [`PARAMETERS_MAX`] parameters.
//!
//! # Standards
//! RFC 5321 §4.1.2, §4.1.1.11; RFC 1870 (SIZE); RFC 6152 and RFC 3030 (BODY); RFC 3461 §4 (RET,
//! ENVID, NOTIFY, ORCPT).

use mail::{BodyType, Notify, Return};

use super::xtext;
use crate::limits::{ENVID_LEN_MAX, ORCPT_LEN_MAX, PARAMETERS_MAX};

/// What is wrong with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterError {
    /// Not `keyword` or `keyword=value`, or too many.
    Syntax,
    /// Given before.
    Twice,
    /// Not one that is offered.
    Unknown,
    /// Its value is none, or it has one and must not.
    Value,
}

/// Blanks between words: the tab is in no grammar and means no harm.
pub(crate) const BLANKS: [char; 2] = [' ', '\t'];

/// Splits an argument into what stands between the angle brackets, without blanks around it, and
/// the parameters after it. Devices leave the brackets away (quirk: path-without-brackets).
#[must_use]
pub fn split_path(argument: &str) -> Option<(&str, &str)> {
    let (path, rest) = match argument.strip_prefix('<') {
        Some(inner) => {
            let end = path_len(inner)?;
            (&inner[..end], &inner[end + 1..])
        }
        None => split_bare_path(argument)?,
    };
    (rest.is_empty() || rest.starts_with(BLANKS)).then(|| (path.trim_matches(BLANKS), rest))
}

/// What stands between blanks. By octets: between instances a text of some hundred octets comes
/// with each message.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(BLANKS);
        let end = memchr::memchr2(b' ', b'\t', rest.as_bytes()).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind;
        (!word.is_empty()).then_some(word)
    })
}

/// A path without brackets ends at a blank that is not in quotes.
fn split_bare_path(argument: &str) -> Option<(&str, &str)> {
    let end = unquoted(argument, |octet| matches!(octet, b' ' | b'\t'));
    let (path, rest) = argument.split_at(end.unwrap_or(argument.len()));
    let has_bracket = unquoted(path, |octet| matches!(octet, b'<' | b'>')).is_some();
    (!path.is_empty() && !has_bracket).then_some((path, rest))
}

/// Where the closing bracket is; one in quotes does not close.
fn path_len(inner: &str) -> Option<usize> {
    unquoted(inner, |octet| octet == b'>')
}

/// Where the first of such octets is that does not stand in quotes.
fn unquoted(text: &str, is_it: impl Fn(u8) -> bool) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if !quoted && is_it(octet) => return Some(at),
            _ => {}
        }
    }
    None
}

/// `keyword[=value]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// The keyword as it was written; its case has no meaning.
    pub keyword: &'a str,
    value: Option<&'a str>,
}

impl<'a> Parameter<'a> {
    /// The parameters of a command, in their order.
    pub fn all(text: &'a str) -> impl Iterator<Item = Result<Self, ParameterError>> {
        let words = words(text);
        words.enumerate().map(|(i, word)| {
            if i == PARAMETERS_MAX {
                return Err(ParameterError::Syntax);
            }
            Self::parse(word)
        })
    }

    fn parse(word: &'a str) -> Result<Self, ParameterError> {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let is_keyword = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
            && keyword
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !is_keyword || value.is_some_and(|v| v.is_empty() || v.contains('=')) {
            return Err(ParameterError::Syntax);
        }
        Ok(Self { keyword, value })
    }

    /// Whether the keyword is `name`.
    #[must_use]
    pub const fn is(&self, name: &str) -> bool {
        self.keyword.eq_ignore_ascii_case(name)
    }

    /// Reads the value into `place`, which must be empty: no parameter comes twice.
    ///
    /// # Errors
    /// When it did, or the value is missing or wrong.
    pub fn read_once<T>(
        &self,
        place: &mut Option<T>,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<(), ParameterError> {
        if place.is_some() {
            return Err(ParameterError::Twice);
        }
        *place = Some(self.value.and_then(read).ok_or(ParameterError::Value)?);
        Ok(())
    }

    /// Looks at the value of a parameter that has no meaning here, but must not come twice.
    ///
    /// # Errors
    /// When it did, or has no value.
    pub fn ignore_once(&self, place: &mut Option<()>) -> Result<(), ParameterError> {
        self.read_once(place, |_| Some(()))
    }

    /// As [`read_once`](Self::read_once), for a parameter without a value.
    ///
    /// # Errors
    /// When it came before, or has a value.
    pub const fn flag_once(&self, place: &mut Option<()>) -> Result<(), ParameterError> {
        if place.is_some() {
            return Err(ParameterError::Twice);
        }
        if self.value.is_some() {
            return Err(ParameterError::Value);
        }
        *place = Some(());
        Ok(())
    }
}

/// SIZE: 1 to 20 digits; what is beyond 64 bits is the greatest number that there is.
#[must_use]
pub fn size(value: &str) -> Option<u64> {
    let is_number = value.len() <= 20 && value.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| value.parse().unwrap_or(u64::MAX))
}

/// BODY.
#[must_use]
pub const fn body(value: &str) -> Option<BodyType> {
    if value.eq_ignore_ascii_case("7BIT") {
        Some(BodyType::SevenBit)
    } else if value.eq_ignore_ascii_case("8BITMIME") {
        Some(BodyType::EightBitMime)
    } else if value.eq_ignore_ascii_case("BINARYMIME") {
        Some(BodyType::BinaryMime)
    } else {
        None
    }
}

/// RET.
#[must_use]
pub const fn ret(value: &str) -> Option<Return> {
    if value.eq_ignore_ascii_case("FULL") {
        Some(Return::Full)
    } else if value.eq_ignore_ascii_case("HDRS") {
        Some(Return::Headers)
    } else {
        None
    }
}

/// ENVID.
#[must_use]
pub fn envid(value: &str) -> Option<Box<str>> {
    printable_xtext(value, ENVID_LEN_MAX).filter(|id| id.is_ascii())
}

/// NOTIFY: NEVER alone, or any of the others.
#[must_use]
pub fn notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::NEVER);
    }
    value.split(',').try_fold(Notify::UNSPECIFIED, |set, word| {
        let one = if word.eq_ignore_ascii_case("SUCCESS") {
            Notify::SUCCESS
        } else if word.eq_ignore_ascii_case("FAILURE") {
            Notify::FAILURE
        } else if word.eq_ignore_ascii_case("DELAY") {
            Notify::DELAY
        } else {
            return None;
        };
        Some(set.and(one))
    })
}

/// ORCPT: `type;address`.
#[must_use]
pub fn orcpt(value: &str) -> Option<Box<str>> {
    let decoded = printable_xtext(value, ORCPT_LEN_MAX)?;
    let (kind, address) = decoded.split_once(';')?;
    let is_atom = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    (is_atom && !address.is_empty()).then_some(decoded)
}

/// Decoded text that ends no line: it will stand in the fields of a notification.
fn printable_xtext(value: &str, len_max: usize) -> Option<Box<str>> {
    xtext::decode(value).filter(|text| text.len() <= len_max && !text.contains(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_ends_at_its_own_bracket() {
        for (argument, expected) in [
            ("<a@b>", Some(("a@b", ""))),
            ("<>", Some(("", ""))),
            ("<a@b> SIZE=1", Some(("a@b", " SIZE=1"))),
            ("<\"a>b\"@c> X", Some(("\"a>b\"@c", " X"))),
            ("<\"a\\\">b\"@c>", Some(("\"a\\\">b\"@c", ""))),
            ("< a@b\t>", Some(("a@b", ""))),
            ("<a@b>\tX", Some(("a@b", "\tX"))),
            ("a@b", Some(("a@b", ""))),
            ("a@b SIZE=1", Some(("a@b", " SIZE=1"))),
            ("\"a b\"@c X", Some(("\"a b\"@c", " X"))),
            ("", None),
            ("a@b>", None),
            ("a<b@c>", None),
            ("\"a <b@c>", Some(("\"a <b@c>", ""))),
            ("<a@b", None),
            ("<a@b>SIZE=1", None),
            ("<\"a>@b", None),
        ] {
            assert_eq!(split_path(argument), expected, "{argument}");
        }
    }

    #[test]
    fn parameters_follow_the_grammar() {
        let read = |text| -> Result<Vec<_>, _> {
            Parameter::all(text)
                .map(|p| p.map(|p| (p.keyword, p.value)))
                .collect()
        };
        assert_eq!(
            read(" SIZE=1  smtputf8"),
            Ok(vec![("SIZE", Some("1")), ("smtputf8", None)])
        );
        for bad in ["=1", "SIZE=", "a=b=c", "-a", "ä=1", "a_b"] {
            assert_eq!(read(bad), Err(ParameterError::Syntax), "{bad}");
        }
        let flood = " A".repeat(PARAMETERS_MAX + 1);
        assert_eq!(read(&flood), Err(ParameterError::Syntax));
    }

    #[test]
    fn sizes_are_plain_numbers() {
        assert_eq!(size("0"), Some(0));
        assert_eq!(size("9223372036854775808"), Some(1 << 63));
        assert_eq!(size("99999999999999999999"), Some(u64::MAX));
        for bad in ["-1", "+1", "1k", "0x1", "100000000000000000000"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }

    #[test]
    fn notify_is_never_or_a_set() {
        assert_eq!(notify("never"), Some(Notify::NEVER));
        assert_eq!(
            notify("FAILURE,delay"),
            Some(Notify::FAILURE.and(Notify::DELAY))
        );
        for bad in ["", "NEVER,DELAY", "DELAY,", "ALWAYS"] {
            assert_eq!(notify(bad), None, "{bad}");
        }
    }

    #[test]
    fn nothing_that_ends_a_line_comes_out_of_xtext() {
        assert_eq!(orcpt("rfc822;a+2Bb@c").as_deref(), Some("rfc822;a+b@c"));
        assert_eq!(envid("a+20b").as_deref(), Some("a b"));
        for bad in ["rfc822;a+0Ab", "rfc822", ";a", "rfc822;", "+0D"] {
            assert_eq!(orcpt(bad), None, "{bad}");
        }
        assert_eq!(envid("a+0D+0AX"), None);
        assert_eq!(envid(&"a".repeat(ENVID_LEN_MAX + 1)), None);
    }
}
