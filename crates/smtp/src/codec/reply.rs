//! Reads the replies of a server.
//!
//! # Guarantees
//! Reads what peers really send, and no more of it than [`REPLY_LEN_MAX`]. What
//! [`ReplyReader::reply`] gives can be logged and shown as it is, whatever the peer sent.
//!
//! # Limits
//! [`REPLY_LEN_MAX`] octets for one reply, all its lines together.
//!
//! # Standards
//! RFC 5321 §4.2; RFC 2034. A line may end with a bare LF (quirk: reply-bare-lf). Where the lines
//! of a reply differ in their code, the last line decides, as RFC 5321 §4.2.1 describes a client
//! that looks for it and ignores the lines before (quirk: reply-mixed-codes).

use mail::{EnhancedStatus, Reply, ReplyCode};
use memchr::memchr;

/// The longest reply that is read, in octets with all its lines. The longest that are seen are
/// answers to EHLO of about 1 KiB; a refusal with a novel in it stays far below as well.
pub const REPLY_LEN_MAX: usize = 64 * 1024;

/// Buffers of no more than this, in octets, are kept from one reply to the next.
const BUFFER_KEEP_LEN: usize = 1024;

/// Why what a server sent is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ReplyError {
    /// The code is not within 200 to 599.
    #[error("a reply code that does not exist")]
    Code,
    /// A line that does not begin with three digits and a space, a hyphen or its end.
    #[error("a line that is no reply")]
    Form,
    /// More than [`REPLY_LEN_MAX`] octets.
    #[error("a reply without end")]
    TooLong,
}

/// Puts replies together from octets as they arrive.
#[derive(Debug)]
pub struct ReplyReader {
    code: ReplyCode,
    /// Whether `code` and `text` are a whole reply, to be forgotten at the next octet.
    complete: bool,
    /// The beginning of a line whose end has not arrived.
    partial: Vec<u8>,
    /// The lines without their codes, joined by LF. As hostile as they came.
    text: String,
    len: usize,
}

impl ReplyReader {
    /// A reader that has read nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            code: ReplyCode::new(250),
            complete: true,
            partial: Vec::new(),
            text: String::new(),
            len: 0,
        }
    }

    /// Takes octets from the front of `input`, up to the end of a reply at most, whose code it
    /// returns; `None` when `input` is used up before that.
    ///
    /// # Errors
    /// When this is no reply. Nothing that follows on the connection can be trusted then.
    pub fn read(&mut self, input: &mut &[u8]) -> Option<Result<ReplyCode, ReplyError>> {
        if self.complete && !input.is_empty() {
            self.forget();
        }
        while let Some(end) = memchr(b'\n', input) {
            let (line, rest) = input.split_at(end + 1);
            *input = rest;
            match self.read_line(line) {
                Ok(false) => {}
                Ok(true) => {
                    self.complete = true;
                    return Some(Ok(self.code));
                }
                Err(e) => return Some(Err(e)),
            }
        }
        let rest = std::mem::take(input);
        self.len += rest.len();
        if self.len > REPLY_LEN_MAX {
            return Some(Err(ReplyError::TooLong));
        }
        self.partial.extend_from_slice(rest);
        None
    }

    /// The reply that was read last, made harmless; several lines become one.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let mut lines = self.lines();
        let (enhanced, first) = self.split_enhanced(lines.next().unwrap_or_default());
        let mut joined = String::new();
        for line in lines {
            if joined.is_empty() {
                joined.push_str(first);
            }
            joined.push(' ');
            // Most servers repeat the enhanced code on every line.
            joined.push_str(self.split_enhanced(line).1);
            if joined.len() > Reply::TEXT_LEN_MAX {
                break;
            }
        }
        let text = if joined.is_empty() { first } else { &joined };
        Reply::new(self.code, enhanced, text)
    }

    /// The lines of the reply that was read last, without codes and line ends. May hold anything
    /// else, NUL and escape sequences included.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.split('\n')
    }

    /// Whether a reply has begun to arrive and is not complete.
    #[must_use]
    pub const fn is_amid_reply(&self) -> bool {
        !self.complete && self.len > 0
    }

    /// Reads one line with its LF; true when it is the last of its reply.
    fn read_line(&mut self, line: &[u8]) -> Result<bool, ReplyError> {
        self.len += line.len();
        if self.len > REPLY_LEN_MAX {
            return Err(ReplyError::TooLong);
        }
        if self.partial.is_empty() {
            return self.add_line(line);
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(line);
        let last = self.add_line(&whole);
        whole.clear();
        self.partial = whole;
        last
    }

    fn add_line(&mut self, line: &[u8]) -> Result<bool, ReplyError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (&digits, rest) = line.split_first_chunk::<3>().ok_or(ReplyError::Form)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(ReplyError::Form);
        }
        let number = digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
        let (text, last) = match rest {
            [] => (rest, true),
            [b' ', text @ ..] => (text, true),
            [b'-', text @ ..] => (text, false),
            [..] => return Err(ReplyError::Form),
        };
        self.code = ReplyCode::from_peer(number).ok_or(ReplyError::Code)?;
        self.text.push_str(&String::from_utf8_lossy(text));
        if !last {
            self.text.push('\n');
        }
        Ok(last)
    }

    /// The enhanced code that a line begins with, if it fits the code, and what follows it.
    fn split_enhanced<'a>(&self, line: &'a str) -> (Option<EnhancedStatus>, &'a str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let enhanced = EnhancedStatus::parse(word)
            .filter(|enhanced| u16::from(enhanced.class()) == self.code.value() / 100);
        match enhanced {
            Some(_) => (enhanced, rest),
            None => (None, line),
        }
    }

    fn forget(&mut self) {
        self.complete = false;
        self.len = 0;
        self.text.clear();
        self.text.shrink_to(BUFFER_KEEP_LEN);
        self.partial.shrink_to(BUFFER_KEEP_LEN);
    }
}

impl Default for ReplyReader {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `input` in two pieces, cut at each place, and wants the same each time.
    #[track_caller]
    fn check(input: &[u8], expected: Result<&str, ReplyError>) {
        for cut in 0..=input.len() {
            let mut reader = ReplyReader::new();
            let (mut first, mut second) = input.split_at(cut);
            let read = reader.read(&mut first);
            let read = read.or_else(|| reader.read(&mut second));
            let shown = read.map(|r| r.map(|_| reader.reply().to_string()));
            assert_eq!(shown, Some(expected.map(String::from)), "cut at {cut}");
        }
    }

    #[test]
    fn replies_of_one_and_of_many_lines_are_read() {
        check(b"250 OK\r\n", Ok("250 OK"));
        check(b"250\r\n", Ok("250"));
        check(b"250 \r\n", Ok("250"));
        check(b"550 5.1.1 no such user\r\n", Ok("550 5.1.1 no such user"));
        check(
            b"550-5.7.1 go\r\n550-5.7.1 away\r\n550 5.7.1 now\r\n",
            Ok("550 5.7.1 go away now"),
        );
        check(b"220-hello\r\n220\r\n", Ok("220 hello "));
    }

    #[test]
    fn line_ends_without_cr_and_lines_of_other_codes_are_read_as_they_are_meant() {
        check(b"250 OK\n", Ok("250 OK"));
        check(b"250-wait\r\n450 later\r\n", Ok("450 wait later"));
    }

    #[test]
    fn an_enhanced_code_of_another_class_is_text() {
        check(b"250 5.1.1 what\r\n", Ok("250 5.1.1 what"));
        check(b"354 2.0.0 go\r\n", Ok("354 2.0.0 go"));
        check(b"421 4.3\r\n", Ok("421 4.3"));
    }

    #[test]
    fn what_is_no_reply_is_an_error_that_says_so() {
        check(b"000 zero\r\n", Err(ReplyError::Code));
        check(b"999 nines\r\n", Err(ReplyError::Code));
        check(b"150 wait\r\n", Err(ReplyError::Code));
        check(b"250-a\r\n999 b\r\n", Err(ReplyError::Code));
        check(b"25 OK\r\n", Err(ReplyError::Form));
        check(b"250OK\r\n", Err(ReplyError::Form));
        check(b"\r\n", Err(ReplyError::Form));
        check(b"HTTP/1.1 400 Bad Request\r\n", Err(ReplyError::Form));
        check(b"\x16\x03\x01\n", Err(ReplyError::Form));
        check("２５０ OK\r\n".as_bytes(), Err(ReplyError::Form));
    }

    #[test]
    fn hostile_text_cannot_reach_a_log_or_a_terminal() {
        check(b"550 a\0b\x1b[2J\rc\xff\r\n", Ok("550 a?b?[2J?c\u{fffd}"));
    }

    #[test]
    fn a_reply_without_end_is_given_up_at_the_limit() {
        let endless = b"250-more\r\n".repeat(REPLY_LEN_MAX);
        let mut reader = ReplyReader::new();
        let mut input = &endless[..];
        assert_eq!(reader.read(&mut input), Some(Err(ReplyError::TooLong)));
        assert!(endless.len() - input.len() <= REPLY_LEN_MAX + 10);

        let mut reader = ReplyReader::new();
        let line = vec![b'2'; 1 << 20];
        assert_eq!(reader.read(&mut &line[..]), Some(Err(ReplyError::TooLong)));

        let mut reader = ReplyReader::new();
        let given_up = (0..=REPLY_LEN_MAX).find_map(|_| reader.read(&mut &b"2"[..]));
        assert_eq!(given_up, Some(Err(ReplyError::TooLong)));
    }

    #[test]
    fn a_long_text_is_kept_to_what_a_reply_may_hold() {
        let mut input = b"550-".to_vec();
        input.extend([b'x'; 5000]);
        input.extend(b"\r\n550 y\r\n");
        let mut reader = ReplyReader::new();
        assert!(reader.read(&mut &input[..]).is_some());
        assert_eq!(reader.reply().text().len(), Reply::TEXT_LEN_MAX);
    }

    #[test]
    fn pipelined_replies_are_read_one_at_a_time() {
        let mut input = &b"250 a\r\n550 b\r\n354"[..];
        let mut reader = ReplyReader::new();
        for expected in ["250 a", "550 b"] {
            assert!(matches!(reader.read(&mut input), Some(Ok(_))));
            assert_eq!(reader.reply().to_string(), expected);
            assert!(!reader.is_amid_reply());
        }
        assert_eq!(reader.read(&mut input), None);
        assert!(reader.is_amid_reply());
    }
}
