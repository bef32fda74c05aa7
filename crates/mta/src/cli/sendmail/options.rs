//! The options of sendmail(8), as far as programs give them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use super::super::letter::Ending;

/// What the arguments say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) mode: Mode,
    pub(super) ending: Ending,
    pub(super) recipients_from: RecipientsFrom,
    pub(super) sender: Option<String>,
    pub(super) full_name: Option<String>,
    pub(super) config: Option<OsString>,
    pub(super) recipients: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// `-bm`, and without any.
    Deliver,
    /// `-bi`: there is no alias database to be made.
    Initialise,
    /// `-bp`.
    PrintQueue,
    /// `-q` alone: the queue runs by itself.
    RunQueue,
    /// `-bs`: SMTP on standard input and output.
    Smtp,
    /// `-bv`.
    Verify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecipientsFrom {
    Arguments,
    /// `-t`.
    Header,
}

impl Options {
    /// Reads the words after the program's name.
    ///
    /// # Errors
    /// Says which word is wrong.
    pub(super) fn parse(words: Vec<OsString>) -> Result<Self, String> {
        let mut options = Self {
            mode: Mode::Deliver,
            ending: Ending::AtDot,
            recipients_from: RecipientsFrom::Arguments,
            sender: None,
            full_name: None,
            config: None,
            recipients: Vec::new(),
        };
        let mut words = words.into_iter();
        let mut only_recipients = false;
        let mut runs_queue = false;
        while let Some(word) = words.next() {
            let text = text(word);
            match text.strip_prefix('-') {
                Some("-") if !only_recipients => only_recipients = true,
                Some(option) if !only_recipients && !option.is_empty() => {
                    runs_queue |= option.starts_with('q');
                    options.take(option, &mut words)?;
                }
                Some(_) | None => options.recipients.push(text),
            }
        }
        let has_message = options.recipients_from == RecipientsFrom::Header
            || !options.recipients.is_empty()
            || options.mode != Mode::Deliver;
        if runs_queue && !has_message {
            options.mode = Mode::RunQueue;
        }
        Ok(options)
    }

    /// Takes one option, without its hyphen, and its value from it or from the next word.
    fn take(
        &mut self,
        option: &str,
        words: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), String> {
        let (letter, rest) = option.split_at(option.chars().next().map_or(0, char::len_utf8));
        let mut value = || match rest {
            "" => words
                .next()
                .ok_or_else(|| format!("-{letter} wants a value")),
            _ => Ok(rest.into()),
        };
        match (letter, rest) {
            ("b", "i") => self.mode = Mode::Initialise,
            ("b", "m") => self.mode = Mode::Deliver,
            ("b", "p") => self.mode = Mode::PrintQueue,
            ("b", "s") => self.mode = Mode::Smtp,
            ("b", "v") => self.mode = Mode::Verify,
            ("b", _) => {
                return Err(format!(
                    "-b{rest} is not offered; there are -bm, -bp, -bi, -bs and -bv"
                ));
            }
            ("C", _) => self.config = Some(value()?),
            ("F", _) => self.full_name = Some(text(value()?)),
            ("f" | "r", _) => self.sender = Some(text(value()?)),
            ("i", "") | ("o", "i") => self.ending = Ending::AtEnd,
            ("t", "") => self.recipients_from = RecipientsFrom::Header,
            // Both at once, as people write them.
            ("t", "i") | ("i", "t") => {
                self.recipients_from = RecipientsFrom::Header;
                self.ending = Ending::AtEnd;
            }
            // They have a value, which may be the next word.
            ("A" | "B" | "L" | "N" | "O" | "R" | "V" | "X" | "h" | "p", _) => {
                value()?;
            }
            // They have one only in the same word, or none.
            ("G" | "U" | "d" | "e" | "m" | "n" | "o" | "q" | "s" | "v", _) => {}
            _ => return Err(format!("-{option} is no option of sendmail")),
        }
        Ok(())
    }
}

/// An argument as text. Programs from before UTF-8 give Latin-1, in names at least.
fn text(argument: OsString) -> String {
    argument.into_string().unwrap_or_else(|argument| {
        let octets = argument.as_bytes();
        octets.iter().map(|octet| char::from(*octet)).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        Options::parse(words.iter().map(Into::into).collect())
    }

    #[track_caller]
    fn check(words: &[&str], expect: impl FnOnce(&mut Options)) {
        let mut expected = parse(&[]).expect("no options");
        expect(&mut expected);
        assert_eq!(parse(words), Ok(expected), "{words:?}");
    }

    #[test]
    fn the_options_that_programs_give_are_understood() {
        let header = |o: &mut Options| {
            o.ending = Ending::AtEnd;
            o.recipients_from = RecipientsFrom::Header;
        };
        check(&["a@b", "c@d"], |o| {
            o.recipients = vec!["a@b".into(), "c@d".into()]
        });
        check(&["-t", "-i"], header);
        check(&["-ti"], header);
        check(&["-oi", "-t"], header);
        check(&["-fme@x", "-F", "My Name", "a@b"], |o| {
            o.sender = Some("me@x".into());
            o.full_name = Some("My Name".into());
            o.recipients = vec!["a@b".into()];
        });
        check(
            &[
                "-f",
                "<>",
                "-oem",
                "-odb",
                "-B8BITMIME",
                "-N",
                "never",
                "-v",
                "-q",
                "a@b",
            ],
            |o| {
                o.sender = Some("<>".into());
                o.recipients = vec!["a@b".into()];
            },
        );
        check(&["-r", "x", "-C", "/etc/x"], |o| {
            o.sender = Some("x".into());
            o.config = Some("/etc/x".into());
        });
        check(&["-bp"], |o| o.mode = Mode::PrintQueue);
        check(&["-bi"], |o| o.mode = Mode::Initialise);
        check(&["-bs"], |o| o.mode = Mode::Smtp);
        check(&["-bv", "a@b"], |o| {
            o.mode = Mode::Verify;
            o.recipients = vec!["a@b".into()];
        });
        for words in [&["-q"][..], &["-q15m"], &["-q", "-v"]] {
            check(words, |o| o.mode = Mode::RunQueue);
        }
        check(&["-q", "-t"], |o| {
            o.recipients_from = RecipientsFrom::Header
        });
        check(&["-bm", "--", "-t"], |o| o.recipients = vec!["-t".into()]);
    }

    #[test]
    fn an_argument_that_is_no_utf8_is_latin_1() {
        let words = vec!["-F".into(), OsString::from_vec(b"K\xe4the".to_vec())];
        let options = Options::parse(words).expect("options");
        assert_eq!(options.full_name.as_deref(), Some("K\u{e4}the"));
    }

    #[test]
    fn options_that_are_not_offered_are_refused() {
        for words in [&["-bd"][..], &["-bx"], &["-f"], &["-z"], &["-N"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
