//! The addresses in a To, Cc or Bcc field, for `sendmail -t`.
//!
//! # Limits
//! As many addresses as a field of the header holds; comments nest [`COMMENT_DEPTH_MAX`] deep.
//!
//! # Standards
//! RFC 5322 §3.4, with groups, comments, quoted strings and the obsolete route (which is passed
//! over). A name without a domain is completed with one, as sendmail(8) does.

use mail::Mailbox;

/// How deep comments may nest.
const COMMENT_DEPTH_MAX: u32 = 64;

/// Reads the addresses of a field's value, unfolded or not.
///
/// # Errors
/// The part that is no address.
pub(crate) fn parse(value: &str, domain: &str) -> Result<Vec<Mailbox>, String> {
    let mut addresses = Vec::new();
    let mut one = Entry::default();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => one.push_quoted(&mut chars),
            '(' => skip_comment(&mut chars),
            '<' => one.take_angle(&mut chars),
            // The name of a group is no address.
            ':' => one = Entry::default(),
            ',' | ';' => std::mem::take(&mut one).finish(domain, &mut addresses)?,
            _ => one.outside.push(c),
        }
    }
    one.finish(domain, &mut addresses)?;
    Ok(addresses)
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

    fn finish(self, domain: &str, addresses: &mut Vec<Mailbox>) -> Result<(), String> {
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
        if !text.is_empty() {
            addresses.push(complete(&text, domain)?);
        }
        Ok(())
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
        Err(mail::AddressError::NoDomain) => Mailbox::parse(&format!("{text}@{domain}")),
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
            ("root", &["root@host.example"]),
            ("<root>", &["root@host.example"]),
            ("käthe@bücher.example", &["käthe@bücher.example"]),
        ] {
            let found = parse(value, "host.example").expect(value);
            let found: Vec<_> = found.iter().map(Mailbox::as_str).collect();
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
            let result = parse(value, "host.example");
            assert!(value == "<a" || result.is_err(), "{value}: {result:?}");
        }
        assert!(
            parse(&"(".repeat(100_000), "x")
                .expect("nothing")
                .is_empty()
        );
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
