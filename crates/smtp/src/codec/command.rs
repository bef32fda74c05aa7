//! Command lines: which command it is, and its argument.
//!
//! # Standards
//! RFC 5321 §4.1.1; RFC 3030 §2 (BDAT); RFC 3207 (STARTTLS). Spaces after the colon of `FROM:`
//! and `TO:` are in no grammar, and sent by enough programs to be taken
//! (quirk: space-after-colon).

/// A command with its argument, without the spaces around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// BDAT.
    Bdat(&'a str),
    /// DATA.
    Data,
    /// EHLO.
    Ehlo(&'a str),
    /// EXPN.
    Expn,
    /// The first word of another protocol, or an octet that begins no word.
    Foreign,
    /// HELO.
    Helo(&'a str),
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
        let verb_len = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
        let (verb, argument) = line.split_at(verb_len);
        let Some(verb) = Verb::parse(verb)? else {
            return Ok(Self::Foreign);
        };
        let argument = text(argument)
            .ok_or_else(|| verb.octets_error(argument))?
            .trim_start_matches(' ');
        verb.with(argument)
    }
}

/// The text of an argument, where it is one.
fn text(argument: &[u8]) -> Option<&str> {
    if argument.iter().any(u8::is_ascii_control) {
        return None;
    }
    std::str::from_utf8(argument).ok()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
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
    const ALL: [(&'static str, Self); 14] = [
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
    ];

    /// First words that a browser can be made to send: with commands in the body of a form, a
    /// page could speak SMTP from within our network.
    const FOREIGN: [&'static str; 3] = ["CONNECT", "GET", "POST"];

    /// `None` for the first word of another protocol.
    fn parse(word: &[u8]) -> Result<Option<Self>, CommandError> {
        for (name, verb) in Self::ALL {
            if word.eq_ignore_ascii_case(name.as_bytes()) {
                return Ok(Some(verb));
            }
        }
        let is_foreign = |name: &&str| word.eq_ignore_ascii_case(name.as_bytes());
        let begins_no_word = word.first().is_some_and(|b| !b.is_ascii_alphabetic());
        if begins_no_word || Self::FOREIGN.iter().any(is_foreign) {
            return Ok(None);
        }
        Err(CommandError::Unknown)
    }

    fn octets_error(self, argument: &[u8]) -> CommandError {
        let has_controls = argument.iter().any(u8::is_ascii_control);
        match self {
            Self::Bdat => CommandError::OctetsInBdat,
            Self::Mail | Self::Rcpt if !has_controls => CommandError::AddressOctets,
            _ => CommandError::Octets,
        }
    }

    fn with(self, argument: &str) -> Result<Command<'_>, CommandError> {
        let alone = |command| {
            argument.is_empty().then_some(command).ok_or(match self {
                Self::StartTls => CommandError::StartTlsArgument,
                _ => CommandError::Argument,
            })
        };
        match self {
            Self::Bdat => Ok(Command::Bdat(argument)),
            Self::Data => alone(Command::Data),
            Self::Ehlo => Ok(Command::Ehlo(argument)),
            Self::Expn => Ok(Command::Expn),
            Self::Helo => Ok(Command::Helo(argument)),
            Self::Help => Ok(Command::Help),
            Self::Mail => after_keyword(argument, "FROM:").map(Command::Mail),
            Self::Noop => Ok(Command::Noop),
            Self::Quit => alone(Command::Quit),
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
        Ok(rest.trim_start_matches(' '))
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
        check(b"EhLo a.example", Ok(Command::Ehlo("a.example")));
        check(b"EHLO", Ok(Command::Ehlo("")));
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
        check(b"DATA now", Err(CommandError::Argument));
        check(b"STARTTLS now", Err(CommandError::StartTlsArgument));
        check(b"MAIL FROM:<k\xe4the@x>", Err(CommandError::AddressOctets));
        check(b"MAIL FROM:<a\0@x>", Err(CommandError::Octets));
        check(b"EHLO \xff", Err(CommandError::Octets));
        check(b"BDAT \xff", Err(CommandError::OctetsInBdat));
        check(b"NOOP a\tb", Err(CommandError::Octets));
        check(b"GET / HTTP/1.1", Ok(Command::Foreign));
        check(b"\x16\x03\x01", Ok(Command::Foreign));
        check(b" MAIL FROM:<a@b>", Err(CommandError::Unknown));
    }
}
