//! Log lines: one event, one line, as text or as JSON.
//!
//! Text is `time instance trace event key=value …`; a value that is more than plain ASCII without
//! spaces stands in quotes, with `\"`, `\\` and `\u{…}` in it. `super::line` reads both forms.
//!
//! # Guarantees
//! Whatever an event holds, a line is one line, its fields are those of the event, and a terminal
//! shows it without being steered.

use std::fmt::{self, Write};

use mail::InstanceName;
use mail::event::Event;

use super::fields::{self, Value};
use super::neutral::{push_escaped, push_json_escaped};

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON object a line.
    Json,
    /// Words and `key=value`.
    Text,
}

/// Writes lines, and keeps what it needs for it.
#[derive(Debug, Default)]
pub(crate) struct Renderer {
    value: String,
}

impl Renderer {
    /// Appends the line of an event, with its line feed.
    pub(crate) fn render(
        &mut self,
        format: Format,
        instance: &InstanceName,
        event: &Event,
        out: &mut String,
    ) {
        // Writing to a `String` cannot fail; the parts that are written here do not either.
        let _infallible = match format {
            Format::Json => Self::json(instance, event, out),
            Format::Text => self.text(instance, event, out),
        };
    }

    fn text(&mut self, instance: &InstanceName, event: &Event, out: &mut String) -> fmt::Result {
        write!(out, "{} {instance} ", event.at.rfc3339())?;
        match event.trace {
            Some(trace) => write!(out, "{trace}")?,
            None => out.push('-'),
        }
        write!(out, " {}", fields::name(&event.what))?;
        let mut result = Ok(());
        fields::each(event, &mut |key, value| {
            self.value.clear();
            let written = write_text_value(&mut self.value, value);
            result = result.and(written).and_then(|()| write!(out, " {key}="));
            push_text_value(out, &self.value);
        });
        out.push('\n');
        result
    }

    fn json(instance: &InstanceName, event: &Event, out: &mut String) -> fmt::Result {
        write!(
            out,
            "{{\"at\":\"{}\",\"instance\":\"{instance}\"",
            event.at.rfc3339()
        )?;
        if let Some(trace) = event.trace {
            write!(out, ",\"trace\":\"{trace}\"")?;
        }
        write!(out, ",\"event\":\"{}\"", fields::name(&event.what))?;
        let mut result = Ok(());
        fields::each(event, &mut |key, value| {
            let written = write!(out, ",\"{key}\":").and_then(|()| write_json_value(out, value));
            result = result.and(written);
        });
        out.push_str("}\n");
        result
    }
}

fn write_text_value(out: &mut String, value: Value<'_>) -> fmt::Result {
    match value {
        Value::Address(address) => write!(out, "<{address}>"),
        Value::Number(number) => write!(out, "{number}"),
        Value::Shown(shown) => write!(out, "{shown}"),
        Value::Text(text) => out.write_str(text),
        Value::Time(at) => write!(out, "{}", at.rfc3339()),
        Value::Truth(truth) => write!(out, "{truth}"),
    }
}

/// Whether a value stands without quotes: nothing in it can be taken for anything else.
fn is_plain(value: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'=');
    !value.is_empty() && value.bytes().all(plain)
}

fn push_text_value(out: &mut String, value: &str) {
    if is_plain(value) {
        out.push_str(value);
        return;
    }
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            _ => push_escaped(out, c),
        }
    }
    out.push('"');
}

fn write_json_value(out: &mut String, value: Value<'_>) -> fmt::Result {
    match value {
        Value::Number(number) => return write!(out, "{number}"),
        Value::Truth(truth) => return write!(out, "{truth}"),
        Value::Address(_) | Value::Shown(_) | Value::Text(_) | Value::Time(_) => out.push('"'),
    }
    let mut string = JsonString(out);
    match value {
        Value::Address(text) | Value::Text(text) => string.write_str(text)?,
        Value::Shown(shown) => write!(string, "{shown}")?,
        Value::Time(at) => write!(string, "{}", at.rfc3339())?,
        Value::Number(_) | Value::Truth(_) => {}
    }
    out.push('"');
    Ok(())
}

/// Escapes what is written to it as the inside of a JSON string.
struct JsonString<'a>(&'a mut String);

impl Write for JsonString<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                _ => push_json_escaped(self.0, c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::neutral::is_harmful;
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
                "2026-11-23T23:50:00.123Z input {trace} handed-off next=output from=<a@b> \
                 n_recipients=1 size=0 spooled=false via=\"x\\\" event=delivered\\u{{d}}\\u{{a}}\
                 2026-01-01T00:00:00.000Z in\\u{{1b}}[2J\\u{{202e}}\\\\ é\\u{{9b}}\"\n"
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
    fn json_lines_are_json() {
        for event in samples::all() {
            let line = render(Format::Json, &event);
            let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(value["event"], fields::name(&event.what));
            assert_eq!(value["instance"], "input");
        }
    }
}
