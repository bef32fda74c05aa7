//! What programs write, made into a message: line ends, and the fields that must be there.
//!
//! # Guarantees
//! Every line of the content ends with CR LF and holds neither CR nor LF besides, nor NUL. Only a
//! line feed ends a line of the header, so a text that became part of a field cannot become
//! another. Bcc and Return-Path do not go out.
//!
//! # Standards
//! RFC 5322 §2.1, §3.6; RFC 2047 for names and subjects that are not ASCII.

use mail::Timestamp;

/// The longest line of a message, in octets without its end, and a blank less than submission takes
/// by default (`line_length`).
const LINE_LEN_MAX: usize = 64 * 1024 - 1;

/// A header section and a body, lines ended by CR LF.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    /// Each with its folded lines and their ends.
    fields: Vec<Vec<u8>>,
    body: Vec<u8>,
}

/// What of the input is the header section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The end of the input ends the message.
    AtEnd,
    /// A line with a single dot does, too.
    AtDot,
}

impl Draft {
    /// Reads what a program wrote: fields, if it begins with any, an empty line, the body.
    /// Lines may end with CR LF or LF. A CR within a line is a space in the header, where a line of
    /// its own would be a field that nobody wrote, and a line end in the body.
    pub(crate) fn read(input: &[u8], ending: Ending) -> Self {
        let mut lines = Lines(input)
            .take_while(|line| ending == Ending::AtEnd || *line != b".")
            .skip_while({
                let mut is_beginning = true;
                move |line| {
                    is_beginning &= is_separator(line);
                    is_beginning
                }
            });
        let mut draft = Self::default();
        let mut pending = None;
        for line in lines.by_ref() {
            if (line.starts_with(b" ") || line.starts_with(b"\t"))
                && let Some(field) = draft.fields.last_mut()
            {
                push_header_line(field, line);
                continue;
            }
            if !is_field(line) {
                // An empty line ends the header; any other is the first of the body.
                pending = (!line.is_empty()).then_some(line);
                break;
            }
            let mut field = Vec::new();
            push_header_line(&mut field, line);
            draft.fields.push(field);
        }
        for line in pending.into_iter().chain(lines) {
            let lines = line.split(|b| *b == b'\r');
            for piece in lines.flat_map(pieces) {
                push_line(&mut draft.body, piece.iter().copied());
            }
        }
        draft
    }

    /// Whether there is a field of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// The values of the fields of this name, with their folding.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = String> {
        self.fields.iter().filter_map(move |field| {
            let colon = field.iter().position(|b| *b == b':')?;
            let is_it = field[..colon]
                .trim_ascii_end()
                .eq_ignore_ascii_case(name.as_bytes());
            is_it.then(|| {
                String::from_utf8_lossy(&field[colon + 1..])
                    .trim()
                    .to_owned()
            })
        })
    }

    /// Takes out the fields of this name.
    pub(crate) fn remove(&mut self, name: &str) {
        self.fields.retain(|field| {
            let colon = field.iter().position(|b| *b == b':').unwrap_or(field.len());
            !field[..colon]
                .trim_ascii_end()
                .eq_ignore_ascii_case(name.as_bytes())
        });
    }

    /// Adds a field, unless there is one of this name. `value` must be fit for a field: of
    /// [`phrase`], of [`text`], or made of checked parts.
    pub(crate) fn add_missing(&mut self, name: &str, value: &str) {
        if !self.has(name) {
            let line: String = value
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect();
            self.fields.push(format!("{name}: {line}\r\n").into_bytes());
        }
    }

    /// The content, with the fields that every message must have.
    pub(crate) fn finish(mut self, from: &str, now: Timestamp, message_id: &str) -> Vec<u8> {
        for name in ["Bcc", "Resent-Bcc", "Return-Path"] {
            self.remove(name);
        }
        self.add_missing("From", from);
        self.add_missing("Date", &now.rfc5322().to_string());
        self.add_missing("Message-ID", message_id);
        let mut content = self.fields.concat();
        content.extend_from_slice(b"\r\n");
        content.extend_from_slice(&self.body);
        content
    }
}

/// A name as it stands before an address: quoted or encoded where it must be.
pub(crate) fn phrase(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " !#$%&'*+-/=?^_`{|}~".contains(c);
    if name.chars().all(is_plain) {
        return name.trim().to_owned();
    }
    if !name.is_ascii() || name.chars().any(|c| c.is_ascii_control()) {
        return encoded(name);
    }
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A text for a field without structure, such as Subject.
pub(crate) fn text(value: &str) -> String {
    if value.is_ascii() && !value.chars().any(|c| c.is_ascii_control()) {
        value.to_owned()
    } else {
        encoded(value)
    }
}

/// Encoded words (RFC 2047 §4.2), each at most 75 characters (§2) and of whole characters (§5).
fn encoded(value: &str) -> String {
    const ROOM: usize = 75 - "=?UTF-8?Q??=".len();
    let mut words: Vec<String> = vec![String::new()];
    for c in value.chars() {
        let mut octets = [0; 4];
        let mut shown = String::new();
        for octet in c.encode_utf8(&mut octets).bytes() {
            match octet {
                b' ' => shown.push('_'),
                b if b.is_ascii_alphanumeric() => shown.push(b.into()),
                b => shown.push_str(&format!("={b:02X}")),
            }
        }
        match words.last_mut() {
            Some(word) if word.len() + shown.len() <= ROOM => word.push_str(&shown),
            Some(_) | None => words.push(shown),
        }
    }
    let words: Vec<_> = words
        .iter()
        .map(|word| format!("=?UTF-8?Q?{word}?="))
        .collect();
    words.join(" ")
}

/// Whether a line begins a field: a name of printable characters, perhaps space, a colon.
fn is_field(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|b| *b == b':') else {
        return false;
    };
    let name = line[..colon].trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

/// Whether a line is what a mailbox file puts before each message: as Postfix, which also knows it
/// quoted.
fn is_separator(line: &[u8]) -> bool {
    let n_quotes = line.iter().take_while(|b| **b == b'>').count();
    line[n_quotes..].starts_with(b"From ") && !is_field(line)
}

fn push_header_line(field: &mut Vec<u8>, line: &[u8]) {
    for (number, piece) in pieces(line).enumerate() {
        // What goes on in another line is folded (RFC 5322 §2.2.3).
        let folding = (number > 0).then_some(b' ');
        let octets = piece.iter().map(|b| if *b == b'\r' { b' ' } else { *b });
        push_line(field, folding.into_iter().chain(octets));
    }
}

/// A line that no server would take as lines that it takes, cut between characters: what a job
/// printed should arrive, whatever it is. An empty line is one piece.
fn pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    const CHAR_LEN_MAX: usize = 4;
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        if line.len() <= LINE_LEN_MAX {
            rest = None;
            return Some(line);
        }
        let is_within_char = |at: &usize| line[*at] & 0xc0 == 0x80;
        let mut ends = (LINE_LEN_MAX - CHAR_LEN_MAX..=LINE_LEN_MAX).rev();
        let end = ends.find(|at| !is_within_char(at)).unwrap_or(LINE_LEN_MAX);
        let (piece, after) = line.split_at(end);
        rest = Some(after);
        Some(piece)
    })
}

/// Appends a line. No server takes a NUL, and what stood around it must not become one word.
fn push_line(out: &mut Vec<u8>, line: impl Iterator<Item = u8>) {
    out.extend(line.map(|b| if b == 0 { b'?' } else { b }));
    out.extend_from_slice(b"\r\n");
}

/// Lines without their ends: LF, and all CR before it.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = self
            .0
            .iter()
            .position(|b| *b == b'\n')
            .unwrap_or(self.0.len());
        let (mut line, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix(b"\n").unwrap_or(rest);
        while let Some(shorter) = line.strip_suffix(b"\r") {
            line = shorter;
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(input: &str, ending: Ending) -> String {
        let now = Timestamp::from_unix_ms(1_795_477_800_000);
        let content = Draft::read(input.as_bytes(), ending).finish("A <a@b>", now, "<id@b>");
        String::from_utf8(content).expect("UTF-8")
    }

    const ADDED: &str =
        "From: A <a@b>\r\nDate: Mon, 23 Nov 2026 23:50:00 +0000\r\nMessage-ID: <id@b>\r\n";

    #[test]
    fn a_body_alone_gets_a_header() {
        assert_eq!(
            finish("Good morning.\n", Ending::AtEnd),
            format!("{ADDED}\r\nGood morning.\r\n")
        );
        assert_eq!(finish("", Ending::AtEnd), format!("{ADDED}\r\n"));
        assert_eq!(
            finish("\nhttp://x: y\n", Ending::AtEnd),
            format!("{ADDED}\r\nhttp://x: y\r\n")
        );
    }

    #[test]
    fn fields_that_are_there_are_kept_and_hidden_ones_taken_out() {
        let input = "From me Mon\nSubject: a\n folded\nBCC: c@d,\n e@f\nFROM: x@y\n\nbody\n.\nmore";
        let added = ADDED.replace("From: A <a@b>\r\n", "");
        assert_eq!(
            finish(input, Ending::AtEnd),
            format!("Subject: a\r\n folded\r\nFROM: x@y\r\n{added}\r\nbody\r\n.\r\nmore\r\n")
        );
        assert_eq!(
            finish(input, Ending::AtDot),
            format!("Subject: a\r\n folded\r\nFROM: x@y\r\n{added}\r\nbody\r\n")
        );
    }

    #[test]
    fn whatever_ends_a_line_it_becomes_cr_lf() {
        assert_eq!(
            finish("\na\rb\nc\r\nd\n\re", Ending::AtEnd),
            format!("{ADDED}\r\na\r\nb\r\nc\r\nd\r\n\r\ne\r\n")
        );
    }

    /// What a web form lets through must not become a field, or a recipient of `sendmail -t`.
    #[test]
    fn only_a_line_feed_begins_a_field() {
        for text in [
            "\rBcc: e@x",
            "\0Bcc: e@x",
            "\r\0Bcc: e@x\r",
            "\u{b}Bcc: e@x",
            "\u{85}Bcc: e@x",
        ] {
            let input = format!("Subject: a{text}\nTo: b@x\n\nbody\n");
            let draft = Draft::read(input.as_bytes(), Ending::AtEnd);
            assert_eq!(draft.fields.len(), 2, "{text:?}");
            assert!(!draft.has("Bcc"), "{text:?}");
            let content = finish(&input, Ending::AtEnd);
            let lines = content.replace("\r\n", "\n");
            assert!(!lines.contains(['\r', '\0']), "{content:?}");
            assert!(
                lines.starts_with("Subject: a") && lines.contains("\nTo: b@x\n"),
                "{content:?}"
            );
        }
        let folded = Draft::read(b"Subject: a\n \n\tBcc: e@x\n\nBcc: e@x\n", Ending::AtEnd);
        assert_eq!((folded.fields.len(), folded.has("Bcc")), (1, false));
        let doubled = Draft::read(b"Subject: a\r\r\nBcc: e@x\r\r\n\r\r\nbody", Ending::AtEnd);
        assert_eq!(doubled.fields[0], b"Subject: a\r\n");
        assert!(
            doubled.has("Bcc"),
            "it is a line of its own, however it ends"
        );
        assert_eq!(doubled.body, b"body\r\n");
    }

    #[test]
    fn a_line_that_no_server_takes_becomes_several() {
        let long = "ä".repeat(LINE_LEN_MAX);
        for input in [format!("\n{long}\n"), format!("Subject: {long}\n\nbody\n")] {
            let content = finish(&input, Ending::AtEnd);
            assert!(
                content
                    .split("\r\n")
                    .all(|line| line.len() <= LINE_LEN_MAX + 1)
            );
            assert_eq!(content.matches('ä').count(), LINE_LEN_MAX);
            let header = Draft::read(content.as_bytes(), Ending::AtEnd).fields;
            assert_eq!(header.len(), 3 + usize::from(input.starts_with('S')));
        }
        let broken = [b"\n", &b"\x80".repeat(3 * LINE_LEN_MAX)[..]].concat();
        let body = Draft::read(&broken, Ending::AtEnd).body;
        assert_eq!(body.len(), 3 * (LINE_LEN_MAX + 2));
    }

    #[test]
    fn lines_of_a_mailbox_file_before_the_header_are_no_part_of_it() {
        for before in [
            "From me Mon Nov 23\n",
            ">From me Mon\n",
            "From me\n>From you\r\n",
        ] {
            let content = finish(&format!("{before}Subject: a\n\nFrom here\n"), Ending::AtEnd);
            assert_eq!(content, format!("Subject: a\r\n{ADDED}\r\nFrom here\r\n"));
        }
        let added = ADDED.replace("From: A <a@b>\r\n", "");
        let content = finish("From : x@y\n\nbody\n", Ending::AtEnd);
        assert_eq!(content, format!("From : x@y\r\n{added}\r\nbody\r\n"));
    }

    #[test]
    fn a_value_cannot_become_a_second_field() {
        let mut draft = Draft::default();
        draft.add_missing("Subject", "a\r\nBcc: evil@x\0");
        assert_eq!(draft.fields, [b"Subject: a  Bcc: evil@x \r\n".to_vec()]);
    }

    #[test]
    fn names_and_subjects_are_quoted_or_encoded_where_they_must_be() {
        for (name, expected) in [
            ("John Doe", "John Doe"),
            ("Doe, \"J\"", "\"Doe, \\\"J\\\"\""),
            ("Käthe", "=?UTF-8?Q?K=C3=A4the?="),
            ("a\r\nb", "=?UTF-8?Q?a=0D=0Ab?="),
        ] {
            assert_eq!(phrase(name), expected);
        }
        assert_eq!(text("Hello, \"world\""), "Hello, \"world\"");
        let long = text(&"ä".repeat(40));
        assert!(long.split(' ').count() > 1 && long.split(' ').all(|word| word.len() <= 75));
    }
}
