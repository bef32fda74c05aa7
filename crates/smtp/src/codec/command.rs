//! Command lines: which command it is, and its argument.
//!
//! # Standards
//! RFC 5321 §4.1.1; RFC 3030 §2 (BDAT); RFC 3207 (STARTTLS). Spaces after the colon of `FROM:`
//! and `TO:`, and tabs for spaces, are in no grammar, and sent by enough programs to be taken
//! (quirk: space-after-colon).

use super::params::BLANKS;

/// A command with its argument, without the spaces around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// AUTH.
    Auth,
    /// BDAT.
    Bdat(&'a str),
    /// DATA.
    Data,
    /// EHLO, with octets of any kind.
    Ehlo(&'a [u8]),
    /// EXPN.
    Expn,
    /// The first word of another protocol, a field of a header, or an octet that begins no word.
    Foreign,
    /// HELO, with octets of any kind.
    Helo(&'a [u8]),
    /// HELP.
    Help,
    /// MAIL, with what follows `FROM:`.
    Mail(&'a str),
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// RCPT, with what follows `TO:`.
    Rcpt(&'a str),
    /// RSET.
    Rset,
    /// STARTTLS.
    StartTls,
    /// VRFY.
    Vrfy(&'a str),
    /// XFORWARD.
    Xforward(&'a str),
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// MAIL or RCPT with octets that are neither ASCII nor UTF-8.
    AddressOctets,
    /// An argument where none may be, or without its keyword.
    Argument,
    /// DATA with an argument.
    DataArgument,
    /// Control characters, or octets that are neither ASCII nor UTF-8.
    Octets,
    /// BDAT with an argument that is no text.
    OctetsInBdat,
    /// STARTTLS with an argument.
    StartTlsArgument,
    /// A command that does not exist.
    Unknown,
}

impl<'a> Command<'a> {
    /// Reads a line without its CR LF.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(line: &'a [u8]) -> Result<Self, CommandError> {
        let line = line.trim_ascii_end();
        let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
        let verb_len = line.iter().position(is_blank).unwrap_or(line.len());
        let (verb, argument) = line.split_at(verb_len);
        let verb = match Verb::parse(verb) {
            Some(verb) => verb,
            None if is_foreign(line) => return Ok(Self::Foreign),
            None => return Err(CommandError::Unknown),
        };
        match verb {
            Verb::Ehlo => return Ok(Self::Ehlo(argument.trim_ascii_start())),
            Verb::Helo => return Ok(Self::Helo(argument.trim_ascii_start())),
            _ => {}
        }
        let argument = text(argument)
            .ok_or_else(|| verb.octets_error(argument))?
            .trim_start_matches(BLANKS);
        verb.with(argument)
    }
}

/// First words that a browser can be made to send: with commands in the body of a form, a page
/// could speak SMTP from within our network. And of others that try every port.
const FOREIGN: [&str; 10] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PRI", "PUT", "TRACE",
];

/// Whether an octet at the beginning of a line shows that no command follows: TLS, a terminal
/// protocol, or octets of any kind.
#[must_use]
pub const fn begins_no_line(octet: u8) -> bool {
    !octet.is_ascii_alphabetic() && !matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether a line that is no command is another protocol's, or a field of a header: then what
/// follows is not meant for us either.
fn is_foreign(line: &[u8]) -> bool {
    let word_len = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
    let word = &line[..word_len];
    let version = line.rsplit(|b| *b == b' ').next().unwrap_or_default();
    let is_version = |text: &[u8]| {
        let slash = text.iter().position(|b| *b == b'/');
        slash.is_some_and(|at| {
            at > 0
                && text[..at].iter().all(u8::is_ascii_uppercase)
                && text.get(at + 1).is_some_and(u8::is_ascii_digit)
        })
    };
    line.first().copied().is_some_and(begins_no_line)
        || word.contains(&b':')
        || word.starts_with(b"SSH-")
        || is_version(version)
        || FOREIGN
            .iter()
            .any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
}

/// Whether a line that is too long to be looked at as a whole announces content.
pub(crate) fn announces_content(line: &[u8]) -> bool {
    line.get(..4).is_some_and(|verb| {
        verb.eq_ignore_ascii_case(b"DATA") || verb.eq_ignore_ascii_case(b"BDAT")
    })
}

const fn is_control(octet: &u8) -> bool {
    octet.is_ascii_control() && *octet != b'\t'
}

/// The text of an argument, where it is one.
fn text(argument: &[u8]) -> Option<&str> {
    if argument.iter().any(is_control) {
        return None;
    }
    std::str::from_utf8(argument).ok()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Auth,
    Bdat,
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
    Xforward,
}

impl Verb {
    const ALL: [(&'static str, Self); 15] = [
        ("MAIL", Self::Mail),
        ("RCPT", Self::Rcpt),
        ("DATA", Self::Data),
        ("BDAT", Self::Bdat),
        ("EHLO", Self::Ehlo),
        ("HELO", Self::Helo),
        ("QUIT", Self::Quit),
        ("RSET", Self::Rset),
        ("NOOP", Self::Noop),
        ("VRFY", Self::Vrfy),
        ("EXPN", Self::Expn),
        ("HELP", Self::Help),
        ("STARTTLS", Self::StartTls),
        ("XFORWARD", Self::Xforward),
        ("AUTH", Self::Auth),
    ];

    fn parse(word: &[u8]) -> Option<Self> {
        let is_named = |(name, _): &&(&str, Self)| word.eq_ignore_ascii_case(name.as_bytes());
        Self::ALL.iter().find(is_named).map(|(_, verb)| *verb)
    }

    fn octets_error(self, argument: &[u8]) -> CommandError {
        let has_controls = argument.iter().any(is_control);
        match self {
            Self::Bdat => CommandError::OctetsInBdat,
            Self::Data => CommandError::DataArgument,
            Self::Mail | Self::Rcpt if !has_controls => CommandError::AddressOctets,
            _ => CommandError::Octets,
        }
    }

    fn with(self, argument: &str) -> Result<Command<'_>, CommandError> {
        let alone = |command| {
            argument.is_empty().then_some(command).ok_or(match self {
                Self::Data => CommandError::DataArgument,
                Self::StartTls => CommandError::StartTlsArgument,
                _ => CommandError::Argument,
            })
        };
        match self {
            Self::Auth => Ok(Command::Auth),
            Self::Bdat => Ok(Command::Bdat(argument)),
            Self::Data => alone(Command::Data),
            Self::Ehlo => Ok(Command::Ehlo(argument.as_bytes())),
            Self::Expn => Ok(Command::Expn),
            Self::Helo => Ok(Command::Helo(argument.as_bytes())),
            Self::Help => Ok(Command::Help),
            Self::Mail => after_keyword(argument, "FROM:").map(Command::Mail),
            Self::Noop => Ok(Command::Noop),
            Self::Quit => Ok(Command::Quit),
            Self::Rcpt => after_keyword(argument, "TO:").map(Command::Rcpt),
            Self::Rset => alone(Command::Rset),
            Self::StartTls => alone(Command::StartTls),
            Self::Vrfy => Ok(Command::Vrfy(argument)),
            Self::Xforward => Ok(Command::Xforward(argument)),
        }
    }
}

fn after_keyword<'a>(argument: &'a str, keyword: &str) -> Result<&'a str, CommandError> {
    let (begin, rest) = argument
        .split_at_checked(keyword.len())
        .ok_or(CommandError::Argument)?;
    if begin.eq_ignore_ascii_case(keyword) {
        Ok(rest.trim_start_matches(BLANKS))
    } else {
        Err(CommandError::Argument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &[u8], expected: Result<Command<'_>, CommandError>) {
        assert_eq!(Command::parse(line), expected, "{}", line.escape_ascii());
    }

    #[test]
    fn commands_are_read_in_any_case() {
        check(b"QUIT", Ok(Command::Quit));
        check(b"quit  ", Ok(Command::Quit));
        check(b"EhLo a.example", Ok(Command::Ehlo(b"a.example")));
        check(b"EHLO", Ok(Command::Ehlo(b"")));
        check(b"HELO my \xff pc", Ok(Command::Helo(b"my \xff pc")));
        check(b"QUIT now", Ok(Command::Quit));
        check(b"MAIL\tFROM:\t<a@b>\tX", Ok(Command::Mail("<a@b>\tX")));
        check(b"MAIL FROM:<a@b> SIZE=1", Ok(Command::Mail("<a@b> SIZE=1")));
        check(b"mail from: <>", Ok(Command::Mail("<>")));
        check("RCPT TO:<ü@b>".as_bytes(), Ok(Command::Rcpt("<ü@b>")));
        check(b"NOOP anything", Ok(Command::Noop));
        check(b"VRFY <a@b> x", Ok(Command::Vrfy("<a@b> x")));
    }

    #[test]
    fn what_is_no_command_is_told_apart() {
        check(b"", Err(CommandError::Unknown));
        check(b"HELLO", Err(CommandError::Unknown));
        check(b"MAIL", Err(CommandError::Argument));
        check(b"MAIL <a@b>", Err(CommandError::Argument));
        check(b"RCPT FROM:<a@b>", Err(CommandError::Argument));
        check(b"DATA now", Err(CommandError::DataArgument));
        check(b"DATA \xff", Err(CommandError::DataArgument));
        check(b"STARTTLS now", Err(CommandError::StartTlsArgument));
        check(b"MAIL FROM:<k\xe4the@x>", Err(CommandError::AddressOctets));
        check(b"MAIL FROM:<a\0@x>", Err(CommandError::Octets));
        check(b"XFORWARD \xff", Err(CommandError::Octets));
        check(b"BDAT \xff", Err(CommandError::OctetsInBdat));
        check(b"NOOP a\x07b", Err(CommandError::Octets));
        check(b"AUTH LOGIN", Ok(Command::Auth));
        check(b" MAIL FROM:<a@b>", Err(CommandError::Unknown));
    }
    #[test]
    fn lines_of_other_protocols_and_of_headers_are_known() {
        for foreign in [
            &b"GET / HTTP/1.1"[..],
            b"put /x HTTP/1.0",
            b"PROPFIND / HTTP/1.1",
            b"Host: mx.example.org",
            b"Subject:",
            b"SSH-2.0-x",
            b"DESCRIBE rtsp://x RTSP/1.0",
            b"INVITE sip:x SIP/2.0",
            b"\x16\x03\x01",
            b"*1",
            b"{}",
        ] {
            check(foreign, Ok(Command::Foreign));
        }
        for unknown in [&b"HELLO a/b"[..], b"XCLIENT a=/1", b"say that: x"] {
            check(unknown, Err(CommandError::Unknown));
        }
    }
}
