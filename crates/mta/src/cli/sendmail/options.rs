//! The options of sendmail(8), as far as programs give them.

use std::ffi::OsString;

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
        while let Some(word) = words.next() {
            let text = word
                .into_string()
                .map_err(|_| "an argument that is not UTF-8")?;
            match text.strip_prefix('-') {
                Some("-") if !only_recipients => only_recipients = true,
                Some(option) if !only_recipients && !option.is_empty() => {
                    options.take(option, &mut words)?;
                }
                Some(_) | None => options.recipients.push(text),
            }
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
        let text = |value: OsString| {
            value
                .into_string()
                .map_err(|_| format!("the value of -{letter} is not UTF-8"))
        };
        match (letter, rest) {
            ("b", "i") => self.mode = Mode::Initialise,
            ("b", "m") => self.mode = Mode::Deliver,
            ("b", "p") => self.mode = Mode::PrintQueue,
            ("b", _) => {
                return Err(format!(
                    "-b{rest} is not offered; there are -bm, -bp and -bi"
                ));
            }
            ("C", _) => self.config = Some(value()?),
            ("F", _) => self.full_name = Some(text(value()?)?),
            ("f" | "r", _) => self.sender = Some(text(value()?)?),
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

#[cfg(test)]
mod tests {
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
            ],
            |o| {
                o.sender = Some("<>".into());
            },
        );
        check(&["-r", "x", "-C", "/etc/x"], |o| {
            o.sender = Some("x".into());
            o.config = Some("/etc/x".into());
        });
        check(&["-bp"], |o| o.mode = Mode::PrintQueue);
        check(&["-bi"], |o| o.mode = Mode::Initialise);
        check(&["-bm", "--", "-t"], |o| o.recipients = vec!["-t".into()]);
    }

    #[test]
    fn options_that_are_not_offered_are_refused() {
        for words in [&["-bs"][..], &["-bd"], &["-f"], &["-z"], &["-N"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
