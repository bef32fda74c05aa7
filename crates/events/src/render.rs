//! Log lines: one event, one line, as text or as JSON.
//!
//! Text is `time instance trace event key=value …`; a value that is more than plain ASCII without
//! spaces stands in quotes, with `\"`, `\\` and `\u{…}` in it. `super::line` reads both forms.
//!
//! Every message costs a few lines, so what every line has is written without the formatting
//! machinery, and the second of the last line is kept.
//!
//! # Guarantees
//! Whatever an event holds, a line is one line, its fields are those of the event, and a terminal
//! shows it without being steered.

use std::fmt::{Display, Write};

use mail::event::Event;
use mail::{InstanceName, Timestamp, TraceId};

use super::escape::{push_escaped, push_json_escaped};
use super::fields::{self, Value};

/// The fields that programs act upon, such as those that ban addresses: no value can imitate them.
const FORGEABLE: [&str; 2] = ["client", "uid"];

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Words and `key=value`.
    Text,
}

/// Writes lines, and keeps what it needs for it.
#[derive(Debug, Default)]
pub struct Renderer {
    times: Times,
    value: String,
}

impl Renderer {
    /// Appends the line of an event, with its line feed.
    pub fn render(
        &mut self,
        format: Format,
        instance: &InstanceName,
        event: &Event,
        out: &mut String,
    ) {
        match format {
            Format::Json => self.json(instance, event, out),
            Format::Text => self.text(instance, event, out),
        }
    }

    fn text(&mut self, instance: &InstanceName, event: &Event, out: &mut String) {
        self.times.push(out, event.at);
        out.push(' ');
        out.push_str(instance.as_str());
        out.push(' ');
        match event.trace {
            Some(trace) => push_trace(out, trace),
            None => out.push('-'),
        }
        out.push(' ');
        out.push_str(fields::name(&event.what));
        fields::each(event, &mut |key, value| {
            out.push(' ');
            out.push_str(key);
            out.push('=');
            self.push_text_value(out, value);
        });
        out.push('\n');
    }

    fn push_text_value(&mut self, out: &mut String, value: Value<'_>) {
        match value {
            Value::Address(address) if is_plain(address) => {
                out.push('<');
                out.push_str(address);
                out.push('>');
            }
            Value::Address("") => out.push_str("<>"),
            Value::Address(address) => {
                out.push_str("\"<");
                push_quoted(out, address);
                out.push_str(">\"");
            }
            Value::Number(number) => push_number(out, number),
            Value::Reply(reply) => push_text(out, self.shown(&reply.for_operators())),
            Value::Shown(shown) => push_text(out, self.shown(shown)),
            Value::Text(text) => push_text(out, text),
            Value::Time(at) => self.times.push(out, at),
            Value::Truth(truth) => out.push_str(if truth { "true" } else { "false" }),
        }
    }

    fn json(&mut self, instance: &InstanceName, event: &Event, out: &mut String) {
        out.push_str("{\"at\":\"");
        self.times.push(out, event.at);
        out.push_str("\",\"instance\":\"");
        out.push_str(instance.as_str());
        if let Some(trace) = event.trace {
            out.push_str("\",\"trace\":\"");
            push_trace(out, trace);
        }
        out.push_str("\",\"event\":\"");
        out.push_str(fields::name(&event.what));
        out.push('"');
        fields::each(event, &mut |key, value| {
            out.push_str(",\"");
            out.push_str(key);
            out.push_str("\":");
            self.push_json_value(out, value);
        });
        out.push_str("}\n");
    }

    fn push_json_value(&mut self, out: &mut String, value: Value<'_>) {
        match value {
            Value::Address(text) | Value::Text(text) => push_json_string(out, text),
            Value::Number(number) => push_number(out, number),
            Value::Reply(reply) => push_json_string(out, self.shown(&reply.for_operators())),
            Value::Shown(shown) => push_json_string(out, self.shown(shown)),
            Value::Time(at) => {
                out.push('"');
                self.times.push(out, at);
                out.push('"');
            }
            Value::Truth(truth) => out.push_str(if truth { "true" } else { "false" }),
        }
    }

    fn shown(&mut self, shown: &dyn Display) -> &str {
        self.value.clear();
        let _infallible = write!(self.value, "{shown}");
        &self.value
    }
}

/// Writes times, most of which fall into the second of the one before.
#[derive(Debug, Default)]
struct Times {
    second: u64,
    /// `2026-11-23T23:50:00.`, or nothing before the first.
    text: String,
}

impl Times {
    fn push(&mut self, out: &mut String, at: Timestamp) {
        if self.text.is_empty() || self.second != at.unix_seconds() {
            self.second = at.unix_seconds();
            self.text = at.rfc3339().to_string();
            self.text.truncate(self.text.len() - "000Z".len());
        }
        out.push_str(&self.text);
        let ms = at.unix_ms() % 1000;
        for digit in [ms / 100, ms / 10 % 10, ms % 10] {
            push_digit(out, digit);
        }
        out.push('Z');
    }
}

fn push_digit(out: &mut String, digit: u64) {
    out.push(char::from(b'0' + (digit % 10) as u8));
}

fn push_number(out: &mut String, number: u64) {
    if number >= 10 {
        push_number(out, number / 10);
    }
    push_digit(out, number % 10);
}

fn push_trace(out: &mut String, trace: TraceId) {
    let text = trace.to_text();
    out.push_str(std::str::from_utf8(&text).unwrap_or_default());
}

/// Whether a value stands without quotes: nothing in it can be taken for anything else.
fn is_plain(value: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'=');
    !value.is_empty() && value.bytes().all(plain)
}

/// Whether a text stands in quotes as it is.
fn needs_no_escape(text: &str) -> bool {
    text.bytes()
        .all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\'))
}

fn push_text(out: &mut String, value: &str) {
    if is_plain(value) {
        out.push_str(value);
    } else {
        out.push('"');
        push_quoted(out, value);
        out.push('"');
    }
}

fn push_quoted(out: &mut String, value: &str) {
    let imitates = || value.contains('=') && FORGEABLE.iter().any(|name| value.contains(name));
    if needs_no_escape(value) && !imitates() {
        out.push_str(value);
        return;
    }
    for (at, c) in value.char_indices() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '=' if is_forged(&value[..at]) => out.push_str("\\u{3d}"),
            _ => push_escaped(out, c),
        }
    }
}

/// Whether a `=` after this would look like a field that programs act upon.
fn is_forged(before: &str) -> bool {
    FORGEABLE.iter().any(|name| before.ends_with(name))
}

fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    if needs_no_escape(text) {
        out.push_str(text);
    } else {
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                _ => push_json_escaped(out, c),
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::escape::is_harmful;
    use mail::event::What;

    use super::super::samples;
    use super::*;

    fn render(format: Format, event: &Event) -> String {
        let mut out = String::new();
        let instance = "input".parse().expect("a name");
        Renderer::default().render(format, &instance, event, &mut out);
        out
    }

    #[test]
    fn a_plain_event_reads_as_an_administrator_expects() {
        let mut events = samples::all();
        let line = render(Format::Text, &events.remove(11));
        let trace = samples::trace(9);
        assert_eq!(
            line,
            format!(
                "2026-11-23T23:50:00.123Z input {trace} handed-off helo=\"x\\\" event=delivered\
                 \\u{{d}}\\u{{a}}2026-01-01T00:00:00.000Z in\\u{{1b}}[2J\\u{{202e}}\\\\ \
                 é\\u{{9b}}\" \
                 pid=4711 next=output from=<a@b> n_recipients=1 size=0 uid=0 spooled=false\n"
            )
        );
    }

    #[test]
    fn nothing_that_a_peer_sends_ends_a_line_or_steers_a_terminal() {
        for event in samples::all() {
            for format in [Format::Json, Format::Text] {
                let line = render(format, &event);
                let line = line.strip_suffix('\n').expect("ends with a line feed");
                assert!(!line.chars().any(is_harmful), "{line}");
            }
        }
    }

    #[test]
    fn the_address_comes_first_and_no_other_field_can_imitate_it() {
        let source = || Box::new(samples::client());
        let reply = mail::reply::table::SYNTAX_ARGUMENT.reply();
        let from = samples::mailbox("\"x client=203.0.113.9 \"@example.org");
        for what in [
            What::ProtocolError {
                source: source(),
                reply: reply.clone(),
            },
            What::Refused {
                phase: "rcpt",
                from: Some(mail::ReversePath::Mailbox(from.clone())),
                to: Some(from),
                reply,
                source: source(),
            },
        ] {
            let event = samples::event(None, what);
            let line = render(Format::Text, &event);
            let (_, said) = line.split_once(" - ").expect("a line without a trace id");
            let (_, fields) = said.split_once(' ').expect("fields");
            assert!(
                fields.starts_with("client=::1 helo=\"x client\\u{3d}203"),
                "{line}"
            );
            assert_eq!(line.matches("client=").count(), 1, "{line}");
            assert_eq!(line.matches("uid=").count(), 0, "{line}");
        }
    }

    #[test]
    fn json_lines_are_json() {
        for event in samples::all() {
            let line = render(Format::Json, &event);
            let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(value["event"], fields::name(&event.what));
            assert_eq!(value["instance"], "input");
        }
    }
}
