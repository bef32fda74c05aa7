//! Reads log lines back, of both forms, as `trace` needs them.
//!
//! # Failure
//! A line that this program did not write so (torn by a crash, or written by something else) is
//! no line: it is passed over.

use std::str::FromStr;

use mail::TraceId;

use super::fields;

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, as RFC 3339 text: it sorts as the time does.
    pub at: String,
    /// The instance that it happened in.
    pub instance: String,
    /// The journey that it belongs to.
    pub trace: Option<TraceId>,
    /// What happened.
    pub event: String,
    /// The fields, in their order; addresses without their brackets.
    pub fields: Vec<(String, String)>,
}

impl Line {
    /// Reads a line of either form, without its line feed.
    pub fn parse(line: &str) -> Option<Self> {
        if line.starts_with('{') {
            Self::parse_json(line)
        } else {
            Self::parse_text(line)
        }
    }

    /// The value of a field.
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    fn parse_text(line: &str) -> Option<Self> {
        let mut words = line.splitn(5, ' ');
        let (at, instance) = (words.next()?, words.next()?);
        let trace = match words.next()? {
            "-" => None,
            id => Some(TraceId::from_str(id).ok()?),
        };
        let event = words.next()?;
        let mut rest = words.next().unwrap_or_default();
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let (key, after) = rest.split_once('=')?;
            let (value, after) = take_value(after)?;
            fields.push((key.to_owned(), without_brackets(key, value)?));
            rest = match after.strip_prefix(' ') {
                Some(more) if !more.is_empty() => more,
                None if after.is_empty() => "",
                Some(_) | None => return None,
            };
        }
        is_time(at).then(|| Self {
            at: at.to_owned(),
            instance: instance.to_owned(),
            trace,
            event: event.to_owned(),
            fields,
        })
    }

    fn parse_json(line: &str) -> Option<Self> {
        let serde_json::Value::Object(object) = serde_json::from_str(line).ok()? else {
            return None;
        };
        let text = |key: &str| object.get(key)?.as_str().map(str::to_owned);
        let trace = match object.get("trace") {
            Some(id) => Some(TraceId::from_str(id.as_str()?).ok()?),
            None => None,
        };
        let mut fields: Vec<_> = object
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "at" | "event" | "instance" | "trace"))
            .map(|(key, value)| {
                let text = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (key.clone(), text)
            })
            .collect();
        // Objects of JSON have no order; people want the one that they know.
        let place = |key: &str| fields::ORDER.iter().position(|known| *known == key);
        fields.sort_by_key(|(key, _)| place(key).unwrap_or(fields::ORDER.len()));
        let at = text("at").filter(|at| is_time(at))?;
        let (instance, event) = (text("instance")?, text("event")?);
        Some(Self {
            at,
            instance,
            trace,
            event,
            fields,
        })
    }
}

/// Whether a text has the form `2026-11-23T23:50:00.123Z`.
fn is_time(text: &str) -> bool {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd.dddZ";
    let fits = |(b, form): (u8, &u8)| {
        if *form == b'd' {
            b.is_ascii_digit()
        } else {
            b == *form
        }
    };
    text.len() == FORM.len() && text.bytes().zip(FORM).all(fits)
}

fn without_brackets(key: &str, value: String) -> Option<String> {
    if matches!(key, "from" | "to") {
        Some(value.strip_prefix('<')?.strip_suffix('>')?.to_owned())
    } else {
        Some(value)
    }
}

/// Takes a value, quoted or not, from the beginning of `text`; gives what follows it as well.
fn take_value(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let (value, after) = text.split_at(text.find(' ').unwrap_or(text.len()));
        return (!value.is_empty()).then(|| (value.to_owned(), after));
    };
    let mut value = String::new();
    loop {
        let at = rest.find(['"', '\\'])?;
        value.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix('"') {
            return Some((value, after));
        }
        let (c, after) = take_escape(rest)?;
        value.push(c);
        rest = after;
    }
}

fn take_escape(text: &str) -> Option<(char, &str)> {
    for (escape, c) in [("\\\"", '"'), ("\\\\", '\\')] {
        if let Some(after) = text.strip_prefix(escape) {
            return Some((c, after));
        }
    }
    let (digits, after) = text.strip_prefix("\\u{")?.split_once('}')?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    Some((char::from_u32(number)?, after))
}

#[cfg(test)]
mod tests {
    use mail::event::Event;

    use super::super::fields::Value;
    use super::super::render::{Format, Renderer};
    use super::super::samples;
    use super::*;

    /// What a reader must find, made without rendering.
    fn expected(event: &Event) -> Line {
        let mut list = Vec::new();
        fields::each(event, &mut |key, value| {
            let text = match value {
                Value::Address(text) | Value::Text(text) => text.to_owned(),
                Value::Number(number) => number.to_string(),
                Value::Reply(reply) => reply.for_operators().to_string(),
                Value::Shown(shown) => shown.to_string(),
                Value::Time(at) => at.rfc3339().to_string(),
                Value::Truth(truth) => truth.to_string(),
            };
            list.push((key.to_owned(), text));
        });
        Line {
            at: event.at.rfc3339().to_string(),
            instance: "input".to_owned(),
            trace: event.trace,
            event: fields::name(&event.what).to_owned(),
            fields: list,
        }
    }

    fn render(format: Format, event: &Event) -> String {
        let mut out = String::new();
        let instance = "input".parse().expect("a name");
        Renderer::default().render(format, &instance, event, &mut out);
        out.trim_end_matches('\n').to_owned()
    }

    #[test]
    fn a_line_reads_back_as_the_event_that_it_was_made_from() {
        for event in samples::all() {
            let expected = Some(expected(&event));
            for format in [Format::Json, Format::Text] {
                assert_eq!(Line::parse(&render(format, &event)), expected);
            }
        }
    }

    #[test]
    fn a_torn_line_is_passed_over() {
        for bad in [
            "",
            "2026-11-23T23:50:00.123Z",
            "2026-11-23T23:50:00.123Z input -",
            "2026-11-23T23:50:00.123Z input nothing accepted",
            "2026-11-23T23:50:00.12 input - accepted",
            "2026-11-23T23:50:00.123Z input - accepted x",
            "2026-11-23T23:50:00.123Z input - accepted x=",
            "2026-11-23T23:50:00.123Z input - accepted x=\"a",
            "2026-11-23T23:50:00.123Z input - accepted x=\"a\"b",
            "2026-11-23T23:50:00.123Z input - accepted x=\"\\u{d800}\"",
            "2026-11-23T23:50:00.123Z input - accepted x=\"\\u{1",
            "2026-11-23T23:50:00.123Z input - accepted x=\"\\n\"",
            "2026-11-23T23:50:00.123Z input - accepted x=1 ",
            "2026-11-23T23:50:00.123Z input - accepted from=a@b",
            "{",
            "{}",
            "{\"at\":\"2026-11-23T23:50:00.123Z\",\"instance\":1,\"event\":\"x\"}",
        ] {
            assert_eq!(Line::parse(bad), None, "{bad}");
        }
    }
}
