//! Whom a message is for.

use std::collections::HashSet;

use super::super::address_list::{self, Addresses};
use super::super::letter::Draft;
use super::options::{Options, RecipientsFrom};

/// The recipients of the command line and, with `-t`, of the header, once each.
pub(super) fn find(options: &Options, draft: &Draft, domain: &str) -> Addresses {
    let mut found = Addresses::default();
    let mut add = |Addresses { good, bad }| {
        found.good.extend(good);
        found.bad.extend(bad);
    };
    for word in &options.recipients {
        add(address_list::parse_argument(word, domain));
    }
    if options.recipients_from == RecipientsFrom::Header {
        // A message that is sent again goes to those whom it is sent to now (RFC 5322 §3.6.6).
        let resent = ["Resent-To", "Resent-Cc", "Resent-Bcc"];
        let is_resent = resent.iter().any(|name| draft.has(name));
        for name in if is_resent {
            resent
        } else {
            ["To", "Cc", "Bcc"]
        } {
            for value in draft.values(name) {
                add(address_list::parse(&value, domain));
            }
        }
    }
    let mut seen = HashSet::new();
    found
        .good
        .retain(|mailbox| seen.insert(mailbox.as_str().to_owned()));
    found
}

#[cfg(test)]
mod tests {
    use super::super::super::letter::Ending;
    use super::*;

    fn parse(words: &[&str]) -> Options {
        Options::parse(words.iter().map(Into::into).collect()).expect("options")
    }

    fn found(words: &[&str], input: &str) -> (String, usize) {
        let draft = Draft::read(input.as_bytes(), Ending::AtEnd);
        let list = find(&parse(words), &draft, "host.example");
        let good: Vec<_> = list.good.iter().map(ToString::to_string).collect();
        (good.join(" "), list.bad.len())
    }

    #[test]
    fn recipients_come_from_arguments_and_header_once_each() {
        let input = "To: a@x, b@x\nCc: \"C\" <c@x>\nBcc: d\n\nbody";
        let all = "b@x root@host.example a@x c@x d@host.example".to_owned();
        assert_eq!(found(&["-t", "b@x", "root"], input), (all, 0));
        assert_eq!(found(&["b@x,c@y"], input), ("b@x c@y".to_owned(), 0));
        let resent = found(&["-t"], "To: a@x\nResent-To: e@x\n\n");
        assert_eq!(resent, ("e@x".to_owned(), 0));
    }

    #[test]
    fn one_bad_address_keeps_the_others_from_nothing() {
        let input = "To: a b@x, c@x\nCc: d@, e@x, @x\n\n";
        assert_eq!(found(&["-t"], input), ("c@x e@x".to_owned(), 3));
    }

    #[test]
    fn text_in_a_header_or_an_argument_becomes_no_recipient() {
        for text in [
            "\rBcc: e@x",
            "\0Bcc: e@x",
            "\n Bcc: e@x",
            "\r\n\tTo: e@x",
            "\r, e@x",
        ] {
            let input = format!("Subject: a{text}\nTo: b@x\n\nCc: f@x\n");
            assert_eq!(found(&["-t"], &input), ("b@x".to_owned(), 0), "{text:?}");
        }
        for argument in ["a@x\nRCPT TO:<e@x>", "a@x\rb@x", "a@x\0", "a@x> <e@x"] {
            let (good, _) = found(&[argument], "");
            assert!(!good.contains("a@x"), "{argument:?}: {good}");
        }
    }
}
