//! The addresses in a To, Cc or Bcc field, for `sendmail -t`.
//!
//! # Limits
//! As many addresses as a field of the header holds; comments nest [`COMMENT_DEPTH_MAX`] deep.
//!
//! # Standards
//! RFC 5322 §3.4, with groups, comments, quoted strings and the obsolete route (which is passed
//! over). A name without a domain is completed with one, as sendmail(8) does.

use mail::{AddressError, Mailbox};

/// How deep comments may nest.
const COMMENT_DEPTH_MAX: u32 = 64;

/// What a list holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// Those that can be sent to.
    pub(crate) good: Vec<Mailbox>,
    /// What is no address, each with what is wrong with it.
    pub(crate) bad: Vec<String>,
}

/// Reads the addresses of a field's value, unfolded or not.
pub(crate) fn parse(value: &str, domain: &str) -> Addresses {
    let mut addresses = Addresses::default();
    let mut one = Entry::default();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => one.push_quoted(&mut chars),
            '(' => skip_comment(&mut chars),
            '<' => one.take_angle(&mut chars),
            '[' => one.push_literal(&mut chars),
            // The name of a group is no address.
            ':' => one = Entry::default(),
            ',' | ';' => std::mem::take(&mut one).finish(domain, &mut addresses),
            _ => one.outside.push(c),
        }
    }
    one.finish(domain, &mut addresses);
    addresses
}

/// Reads one address as it is given on a command line.
///
/// # Errors
/// When it is none.
pub(crate) fn parse_one(text: &str, domain: &str) -> Result<Mailbox, String> {
    let text = text.trim();
    let bare = text
        .strip_prefix('<')
        .and_then(|t| t.strip_suffix('>'))
        .unwrap_or(text);
    complete(bare, domain)
}

/// Reads the addresses of an argument, which has no folding: a line end in it is an attempt to make
/// more of it than an address.
pub(crate) fn parse_argument(text: &str, domain: &str) -> Addresses {
    if text.chars().any(char::is_control) {
        return Addresses {
            good: Vec::new(),
            bad: vec![format!("{text}: {}", AddressError::Character)],
        };
    }
    parse(text, domain)
}

/// Reads a sender, which programs give with a display name too.
///
/// # Errors
/// When it is not one address.
pub(crate) fn parse_sender(text: &str, domain: &str) -> Result<Mailbox, String> {
    let Addresses { good, bad } = parse_argument(text, domain);
    match (<[Mailbox; 1]>::try_from(good), bad.first()) {
        (Ok([one]), None) => Ok(one),
        (_, Some(why)) => Err(why.clone()),
        (Err(_), None) => Err(format!("{text}: not one address")),
    }
}

/// What stands between two commas.
#[derive(Debug, Default)]
struct Entry {
    /// The words outside of angle brackets: a display name, or the address itself.
    outside: String,
    angle: Option<String>,
}

impl Entry {
    fn push_quoted(&mut self, chars: &mut impl Iterator<Item = char>) {
        self.outside.push('"');
        while let Some(c) = chars.next() {
            self.outside.push(c);
            match c {
                '\\' => self.outside.extend(chars.next()),
                '"' => return,
                _ => {}
            }
        }
    }

    /// An address literal, whose colons begin nothing.
    fn push_literal(&mut self, chars: &mut impl Iterator<Item = char>) {
        self.outside.push('[');
        for c in chars {
            self.outside.push(c);
            if c == ']' {
                return;
            }
        }
    }

    fn take_angle(&mut self, chars: &mut impl Iterator<Item = char>) {
        let mut inner = String::new();
        let mut quoted = false;
        while let Some(c) = chars.next() {
            match c {
                '\\' if quoted => {
                    inner.push(c);
                    inner.extend(chars.next());
                    continue;
                }
                '"' => quoted = !quoted,
                '>' if !quoted => break,
                _ => {}
            }
            inner.push(c);
        }
        self.angle = Some(inner);
    }

    fn finish(self, domain: &str, addresses: &mut Addresses) {
        let text = match &self.angle {
            // The obsolete route: what follows its colon is the address (RFC 5322 §4.4).
            Some(angle) => match angle
                .trim()
                .strip_prefix('@')
                .and_then(|r| r.split_once(':'))
            {
                Some((_, address)) => address,
                None => angle,
            },
            None => &self.outside,
        };
        let text = without_space(text);
        if text.is_empty() {
            return;
        }
        match complete(&text, domain) {
            Ok(mailbox) => addresses.good.push(mailbox),
            Err(why) => addresses.bad.push(why),
        }
    }
}

/// Folding and space around dots and the at sign mean nothing; those within quotes are kept.
fn without_space(text: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let mut kept = String::new();
    for c in text.trim().chars() {
        if quoted {
            if c == '"' && !escaped {
                quoted = false;
            }
            escaped = c == '\\' && !escaped;
        } else if c == '"' {
            quoted = true;
        } else if is_idle_space(c, &kept) {
            continue;
        } else if matches!(c, '.' | '@') {
            kept.truncate(kept.trim_end().len());
        }
        kept.push(c);
    }
    kept
}

fn is_idle_space(c: char, before: &str) -> bool {
    match c {
        '\r' | '\n' | '\t' => true,
        ' ' => before.is_empty() || before.ends_with(['.', '@']),
        _ => false,
    }
}

fn complete(text: &str, domain: &str) -> Result<Mailbox, String> {
    let parsed = match Mailbox::parse(text) {
        Err(AddressError::NoDomain) => Mailbox::parse(&format!("{text}@{domain}")),
        parsed => parsed,
    };
    parsed.map_err(|error| format!("{text}: {error}"))
}

fn skip_comment(chars: &mut impl Iterator<Item = char>) {
    let mut depth = 1_u32;
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '(' => depth = (depth + 1).min(COMMENT_DEPTH_MAX),
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_the_standard_are_found() {
        for (value, expected) in [
            ("a@b", &["a@b"][..]),
            ("", &[]),
            (" , ,", &[]),
            ("a@b, c@d ,e@f", &["a@b", "c@d", "e@f"]),
            ("John Q. Public <jq@x.example>", &["jq@x.example"]),
            (
                "\"Public, John\" <jq@x.example>, b@y",
                &["jq@x.example", "b@y"],
            ),
            ("\"a \\\" <b@c>\" <jq@x>", &["jq@x"]),
            ("Pete(A nice \\) (very) chap) <p@x>", &["p@x"]),
            ("a@b (comment, with comma)", &["a@b"]),
            ("Friends: a@b, C <c@d>;, e@f", &["a@b", "c@d", "e@f"]),
            ("undisclosed-recipients:;", &[]),
            ("<@route.example,@b:c@d>", &["c@d"]),
            ("a@b,\r\n\tc@d", &["a@b", "c@d"]),
            ("a . b @ c", &["a.b@c"]),
            ("\"a b\"@c", &["\"a b\"@c"]),
            (
                "a@[IPv6:2001:db8::1], b@c",
                &["a@[IPv6:2001:db8::1]", "b@c"],
            ),
            (
                "A <a@[IPv6:::1]>, G: b@[IPv6:::2];",
                &["a@[IPv6:::1]", "b@[IPv6:::2]"],
            ),
            ("root", &["root@host.example"]),
            ("<root>", &["root@host.example"]),
            ("käthe@bücher.example", &["käthe@bücher.example"]),
        ] {
            let found = parse(value, "host.example");
            assert!(found.bad.is_empty(), "{found:?}");
            let found: Vec<_> = found.good.iter().map(Mailbox::as_str).collect();
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        for value in [
            "a b",
            "a@",
            "<a",
            "a@b c@d",
            "\"a",
            "a@b\u{0}",
            "<a@b\r\nRCPT TO:<c@d>",
        ] {
            let found = parse(value, "host.example");
            let good = usize::from(value == "<a");
            assert_eq!(found.good.len(), good, "{value}: {found:?}");
            assert_eq!(found.bad.len(), 1 - good, "{value}: {found:?}");
        }
        let found = parse("a@b, c d, <e@f", "host.example");
        assert_eq!((found.good.len(), found.bad.len()), (2, 1), "{found:?}");
        assert_eq!(parse(&"(".repeat(100_000), "x"), Addresses::default());
        assert_eq!(parse(&"[".repeat(100_000), "x").bad.len(), 1);
    }

    #[test]
    fn a_sender_is_one_address_with_or_without_a_name() {
        for (text, expected) in [
            ("a@b", Ok("a@b".to_owned())),
            ("My Name <a@b>", Ok("a@b".to_owned())),
            ("root", Ok("root@x".to_owned())),
            ("a@b, c@d", Err(())),
            ("a@b\r\nDATA", Err(())),
            ("", Err(())),
        ] {
            let found = parse_sender(text, "x").map(|one| one.to_string());
            assert_eq!(found.map_err(drop), expected, "{text}");
        }
    }

    #[test]
    fn an_argument_is_one_address() {
        assert_eq!(
            parse_one("<a@b>", "x").map(|m| m.to_string()),
            Ok("a@b".to_owned())
        );
        assert_eq!(
            parse_one("root", "x").map(|m| m.to_string()),
            Ok("root@x".to_owned())
        );
        assert!(parse_one("a,b", "x").is_err());
        assert!(parse_one("a@b\r\nDATA", "x").is_err());
        assert!(parse_one("", "x").is_err());
    }
}
