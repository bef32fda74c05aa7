//! `spool dump`: the log of every spool in order, or all that it says of a message, or the content
//! of one.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;

use mail::{MessageId, TraceId};
use serde_json::json;
use spool::Message;
use spool::inspect::{ContentPlace, ContentState, Entry, Inspection, Record, RecordKind, State};

use super::super::arguments::{DumpArguments, SystemArguments};
use super::super::exit::{Exit, Failure};
use super::super::output::{Lines, complain};
use super::places::{self, Place};
use super::view;
use crate::errors::with_causes;

/// Which messages.
enum Chosen {
    All,
    Id(MessageId),
    Trace(TraceId),
}

/// A message that was chosen, and all that the log says of it.
struct Found<'a> {
    place: &'a Place,
    inspection: Inspection,
    id: MessageId,
    gathered: Gathered,
}

/// Prints what was asked for.
///
/// # Errors
/// When what was asked for is nowhere, or is more than one content.
pub(super) fn run(
    arguments: &SystemArguments,
    places: &[Place],
    what: &DumpArguments,
) -> Result<Exit, Failure> {
    let (places, chosen) = choose(places, what)?;
    if what.content && matches!(chosen, Chosen::All) {
        return Err(Failure::usage("say whose content, by --id or --trace"));
    }
    let mut exit = Exit::Done;
    let mut found = Vec::new();
    let mut out = Lines::new();
    for place in places {
        let read = place.open().and_then(|inspection| match chosen {
            Chosen::All => all(arguments, place, &inspection, &mut out),
            Chosen::Id(id) => gather(place, &inspection, &|_, it| it == id, &mut found),
            Chosen::Trace(trace) => {
                let is_it = |message: &Message, _| message.provenance.trace == trace;
                gather(place, &inspection, &is_it, &mut found)
            }
        });
        if let Err(why) = read {
            complain(&format!("{}: {why}", place.name));
            exit = Exit::Partial;
        }
    }
    if matches!(chosen, Chosen::All) {
        return Ok(exit);
    }
    if what.content {
        return match &found[..] {
            [found] => content(found),
            [] => Err(nothing(exit)),
            _ => Err(Failure::usage(format!(
                "there are {} such messages: say which by --id INSTANCE/NUMBER",
                found.len()
            ))),
        };
    }
    if found.is_empty() {
        return Err(nothing(exit));
    }
    for found in &found {
        show(arguments, found, &mut out);
    }
    Ok(exit)
}

fn nothing(exit: Exit) -> Failure {
    let text = "no record of such a message is left".to_owned();
    let exit = if exit == Exit::Partial {
        exit
    } else {
        Exit::Error
    };
    Failure { exit, text }
}

fn choose<'a>(
    places: &'a [Place],
    what: &'a DumpArguments,
) -> Result<(Vec<&'a Place>, Chosen), Failure> {
    if let Some(text) = &what.id {
        let (places, number) = places::split(places, text);
        let number = number.parse().map_err(|_| {
            Failure::usage(format!(
                "`{text}` is no id of a message: write INSTANCE/NUMBER, or NUMBER"
            ))
        })?;
        let places: Vec<_> = places.collect();
        if places.is_empty() {
            return Err(Failure::usage("there is no such instance"));
        }
        return Ok((places, Chosen::Id(MessageId(number))));
    }
    let places = places.iter().collect();
    let Some(text) = &what.trace else {
        return Ok((places, Chosen::All));
    };
    let trace = text
        .parse()
        .map_err(|_| Failure::usage(format!("`{text}` is no trace id")))?;
    Ok((places, Chosen::Trace(trace)))
}

fn all(
    arguments: &SystemArguments,
    place: &Place,
    inspection: &Inspection,
    out: &mut Lines,
) -> Result<(), String> {
    let mut take = |segment: &str, entry: Entry| {
        if arguments.json {
            let mut value = view::value(segment, &entry);
            value["instance"] = json!(place.name);
            out.json(&value)
        } else {
            out.line(format!("{} {}", place.name, view::line(segment, &entry)))
        }
    };
    let read = inspection.each_entry(&mut take);
    read.map_err(|error| with_causes(&error))
}

/// All that the log says of one message.
#[derive(Default)]
struct Gathered {
    records: Vec<(String, Record)>,
    message: Option<Message>,
    content: Option<ContentPlace>,
    state: Option<State>,
    is_done: bool,
}

/// Goes through the log twice: a state may stand before the only copy of its message that is left.
fn gather<'a>(
    place: &'a Place,
    inspection: &Inspection,
    is_it: &dyn Fn(&Message, MessageId) -> bool,
    found: &mut Vec<Found<'a>>,
) -> Result<(), String> {
    let mut gathered: BTreeMap<MessageId, Gathered> = BTreeMap::new();
    each_record(inspection, &mut |_, record| {
        if let Some(message) = &record.message
            && is_it(message, record.id)
        {
            gathered.entry(record.id).or_default();
        }
    })?;
    each_record(inspection, &mut |segment, record| {
        if let Some((id, state)) = &record.original
            && let Some(original) = gathered.get_mut(id)
        {
            original.is_done |= state.is_none();
            original.state = state.clone().or_else(|| original.state.take());
            original.records.push((segment.to_owned(), record.clone()));
        }
        if record.kind != RecordKind::Keys
            && let Some(of) = gathered.get_mut(&record.id)
        {
            of.take(segment, record);
        }
    })?;
    found.extend(gathered.into_iter().map(|(id, gathered)| Found {
        place,
        inspection: inspection.clone(),
        id,
        gathered,
    }));
    Ok(())
}

fn each_record(inspection: &Inspection, take: &mut dyn FnMut(&str, Record)) -> Result<(), String> {
    let read = inspection.each_entry(&mut |segment, entry| {
        if let Entry::Record(record) = entry {
            take(segment, *record);
        }
        ControlFlow::Continue(())
    });
    read.map_err(|error| with_causes(&error))
}

impl Gathered {
    fn take(&mut self, segment: &str, record: Record) {
        self.is_done |= record.kind == RecordKind::Done;
        if record.message.is_some() {
            self.message.clone_from(&record.message);
            self.content.clone_from(&record.content);
        }
        if record.state.is_some() {
            self.state.clone_from(&record.state);
        }
        self.records.push((segment.to_owned(), record));
    }

    const fn standing(&self) -> &'static str {
        if self.is_done { "done" } else { "live" }
    }
}

fn show(arguments: &SystemArguments, found: &Found<'_>, out: &mut Lines) {
    let Found {
        place,
        inspection,
        id,
        gathered,
    } = found;
    let content = gathered.content.as_ref();
    let content = content.map(|content| (content, check(inspection, content)));
    let mut lines = vec![format!("{}/{id}: {}", place.name, gathered.standing())];
    if let Some(message) = &gathered.message {
        lines.extend(view::message_lines(message, gathered.state.as_ref()));
    }
    if let Some((content, state)) = &content {
        let content = view::content_text(content);
        lines.push(format!("  content {content}: {state}"));
    }
    for (segment, record) in &gathered.records {
        if arguments.json {
            let mut value = view::record_value(record);
            value["instance"] = json!(place.name);
            value["segment"] = json!(segment);
            let _nobody_reads = out.json(&value);
        } else {
            let entry = Entry::Record(Box::new(record.clone()));
            lines.push(format!("  {}", view::line(segment, &entry)));
        }
    }
    if arguments.json {
        let state = gathered.state.as_ref();
        let message = gathered.message.as_ref();
        let _nobody_reads = out.json(&json!({
            "what": "message", "instance": place.name, "id": id.0,
            "standing": gathered.standing(),
            "message": message.map(|message| view::message_value(message, state)),
            "content": content.map(|(content, state)| {
                let mut value = view::content_value(content);
                value["state"] = json!(state);
                value
            }),
        }));
        return;
    }
    for line in lines {
        let _nobody_reads = out.line(line);
    }
}

fn check(inspection: &Inspection, content: &ContentPlace) -> String {
    match inspection.copy_content(content, &mut |_| Ok(())) {
        Ok(state) => state_text(state),
        Err(error) => error.to_string(),
    }
}

/// What a content is, in words.
pub(super) fn state_text(state: ContentState) -> String {
    match state {
        ContentState::Damaged => "damaged".to_owned(),
        ContentState::Missing => "gone".to_owned(),
        ContentState::Whole => "whole".to_owned(),
        ContentState::WrongLength(len) => format!("damaged, {len} octets are there"),
    }
}

/// Gives the octets of a content to standard output, as they are.
fn content(found: &Found<'_>) -> Result<Exit, Failure> {
    let Found {
        place,
        inspection,
        id,
        gathered,
    } = found;
    let Some(content) = &gathered.content else {
        return Err(Failure::error(format!("no content of {id} is left")));
    };
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        // Whoever sent the message must not steer it.
        return Err(Failure::usage(
            "a content goes to a file or another program, not to a terminal",
        ));
    }
    let copied = inspection.copy_content(content, &mut |piece| stdout.write_all(piece));
    let copied = copied.and_then(|state| stdout.flush().map(|()| state));
    match copied {
        Ok(ContentState::Whole) => Ok(Exit::Done),
        Ok(state) => {
            complain(&format!(
                "the content of {}/{id} is {}: what was printed is not what was sent",
                place.name,
                state_text(state)
            ));
            Ok(Exit::Findings)
        }
        Err(error) => Err(Failure::error(format!("{}: {error}", content.file))),
    }
}
