//! SMTP replies as values.
//!
//! # Guarantees
//! A reply's text holds no CR, LF or other control character, so it can be sent, logged and shown
//! as it is, also when it came from a hostile peer.
//!
//! What only operators are to read, such as a path or a host of ours, is the reply's *cause*: it is
//! recorded, logged and listed, and never sent, nor written into a notification.
//!
//! # Limits
//! A peer's text is kept to [`Reply::TEXT_LEN_MAX`] octets, and so is a cause.
//!
//! # Standards
//! RFC 5321 §4.2; RFC 2034.

pub mod table;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::EnhancedStatus;

/// A three-digit reply code, 200 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyCode(u16);

/// What the first digit of a reply code says (RFC 5321 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplyClass {
    /// 2yz: done.
    Positive,
    /// 3yz: go on with more.
    Intermediate,
    /// 4yz: not now.
    Transient,
    /// 5yz: never.
    Permanent,
}

impl ReplyCode {
    /// A code known when this program is compiled.
    ///
    /// # Panics
    /// When it is not within 200 to 599.
    #[must_use]
    pub const fn new(code: u16) -> Self {
        assert!(code >= 200 && code <= 599);
        Self(code)
    }

    /// A code from a peer; `None` where it is not within 200 to 599.
    #[must_use]
    pub const fn from_peer(code: u16) -> Option<Self> {
        if code >= 200 && code <= 599 {
            Some(Self(code))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }

    /// What its first digit says.
    #[must_use]
    pub const fn class(self) -> ReplyClass {
        match self.0 / 100 {
            2 => ReplyClass::Positive,
            3 => ReplyClass::Intermediate,
            4 => ReplyClass::Transient,
            _ => ReplyClass::Permanent,
        }
    }
}

/// A reply: code, enhanced status code and one line of text. Two replies that read the same on the
/// wire are equal, whatever caused them.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The reply code.
    pub code: ReplyCode,
    /// The enhanced status code, where there is one.
    pub enhanced: Option<EnhancedStatus>,
    text: Text,
}

/// Most replies are those of the table, and every session has room for some. One that was made is
/// shared by its copies: the reply of a host goes into the record, the log and the report.
#[derive(Clone, Debug)]
enum Text {
    Fixed(&'static str),
    Made(Arc<Made>),
}

#[derive(Clone, Debug)]
struct Made {
    text: Cow<'static, str>,
    cause: Option<Box<str>>,
}

impl PartialEq for Reply {
    fn eq(&self, other: &Self) -> bool {
        (self.code, self.enhanced, self.text()) == (other.code, other.enhanced, other.text())
    }
}

impl Eq for Reply {}

impl Reply {
    /// The longest text that is kept, in octets. RFC 5321 §4.5.3.1.5 limits a line to 512.
    pub const TEXT_LEN_MAX: usize = 480;

    /// A reply of ours with a text known when this program is compiled.
    #[must_use]
    pub const fn fixed(code: ReplyCode, enhanced: EnhancedStatus, text: &'static str) -> Self {
        Self {
            code,
            enhanced: Some(enhanced),
            text: Text::Fixed(text),
        }
    }

    /// A reply with a text made or received at run time; what cannot stand in it is replaced.
    #[must_use]
    pub fn new(code: ReplyCode, enhanced: Option<EnhancedStatus>, text: &str) -> Self {
        Self {
            code,
            enhanced,
            text: Text::Made(Arc::new(Made {
                text: Cow::Owned(clean(text)),
                cause: None,
            })),
        }
    }

    /// The same reply with `text` for its own.
    #[must_use]
    pub fn with_text(&self, text: &str) -> Self {
        Self::new(self.code, self.enhanced, text)
    }

    /// The text, one line without its code.
    #[must_use]
    pub fn text(&self) -> &str {
        match &self.text {
            Text::Fixed(text) => text,
            Text::Made(made) => &made.text,
        }
    }

    /// The same reply with what operators are to read in place of its text: the cause, with path,
    /// host, address and phase. Never sent.
    #[must_use]
    pub fn with_cause(self, cause: &str) -> Self {
        let text = match self.text {
            Text::Fixed(text) => Cow::Borrowed(text),
            Text::Made(made) => Arc::unwrap_or_clone(made).text,
        };
        let cause = Some(clean(cause).into());
        Self {
            text: Text::Made(Arc::new(Made { text, cause })),
            ..self
        }
    }

    /// What operators are to read in place of the text, where that is more.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        match &self.text {
            Text::Fixed(_) => None,
            Text::Made(made) => made.cause.as_deref(),
        }
    }

    /// The reply as operators are to read it: in logs and lists, and nowhere else.
    #[must_use]
    pub const fn for_operators(&self) -> ForOperators<'_> {
        ForOperators(self)
    }

    /// What the first digit of the code says.
    #[must_use]
    pub const fn class(&self) -> ReplyClass {
        self.code.class()
    }

    /// Whether it says yes.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.class() == ReplyClass::Positive
    }
}

/// As it is sent.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, self.text())
    }
}

/// A reply with its cause; see [`Reply::for_operators`].
#[derive(Clone, Copy, Debug)]
pub struct ForOperators<'a>(&'a Reply);

impl fmt::Display for ForOperators<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(reply) = self;
        reply.write(f, reply.cause().unwrap_or_else(|| reply.text()))
    }
}

impl Reply {
    fn write(&self, f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
        write!(f, "{}", self.code.value())?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        if !text.is_empty() {
            write!(f, " {text}")?;
        }
        Ok(())
    }
}

/// Text that a terminal, a log and a reply line can show: no controls, no direction marks.
fn clean(text: &str) -> String {
    let harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut cleaned = String::with_capacity(text.len().min(Reply::TEXT_LEN_MAX));
    for c in text.chars().map(|c| if harmful(c) { '?' } else { c }) {
        if cleaned.len() + c.len_utf8() > Reply::TEXT_LEN_MAX {
            break;
        }
        cleaned.push(c);
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_text_cannot_end_the_line_or_reach_the_terminal() {
        let reply = Reply::new(ReplyCode::new(550), None, "no\r\n250 ok\u{1b}[2J\u{202e}");
        assert_eq!(reply.text(), "no??250 ok?[2J?");
        let long = Reply::new(ReplyCode::new(550), None, &"é".repeat(1000));
        assert_eq!(long.text().len(), Reply::TEXT_LEN_MAX);
    }

    #[test]
    fn a_cause_is_shown_to_operators_and_is_no_part_of_the_reply() {
        let plain = Reply::new(ReplyCode::new(451), None, "mailbox cannot be written now");
        let caused = plain.clone().with_cause("cannot write /m/a\n");
        assert_eq!(caused.to_string(), "451 mailbox cannot be written now");
        assert_eq!(caused.for_operators().to_string(), "451 cannot write /m/a?");
        assert_eq!(caused, plain);
        assert_eq!(plain.for_operators().to_string(), plain.to_string());
    }

    #[test]
    fn codes_outside_the_standard_are_no_codes() {
        assert_eq!(ReplyCode::from_peer(0), None);
        assert_eq!(ReplyCode::from_peer(199), None);
        assert_eq!(ReplyCode::from_peer(600), None);
        assert_eq!(
            ReplyCode::from_peer(450).map(ReplyCode::class),
            Some(ReplyClass::Transient)
        );
    }
}
