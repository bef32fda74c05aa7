//! `spool quarantine list` and `show`: what could not be read and was put aside.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use mail::{MessageId, Timestamp};
use serde_json::{Value, json};
use spool::inspect::{
    ContentState, CopyOf, Inspection, Lay, Quarantined, Salvage, Salvaged, Standing,
};

use super::super::arguments::SystemArguments;
use super::super::exit::{Exit, Failure};
use super::super::output::{Page, complain, print_json};
use super::super::words;
use super::dump::state_text;
use super::places::{self, Place};
use super::view;
use crate::errors::with_causes;

/// What can be read of a file, in numbers.
#[derive(Default)]
struct Readable {
    n_records: u64,
    n_messages: u64,
    n_whole: u64,
}

/// Lists the files of all quarantines.
///
/// # Errors
/// None: what cannot be read is part of the answer.
#[expect(
    clippy::unnecessary_wraps,
    reason = "as the other verbs, so that they are called alike"
)]
pub(super) fn list(arguments: &SystemArguments, places: &[Place]) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    let (mut rows, mut page) = (Vec::new(), Page::default());
    for place in places {
        let listed = place.open().and_then(|inspection| {
            let files = inspection.quarantine();
            let files = files.map_err(|error| with_causes(&error))?;
            let each = files.into_iter().map(|file| {
                let readable = readable(&inspection, &file)?;
                Ok((file, readable))
            });
            each.collect::<Result<Vec<_>, String>>()
        });
        match listed {
            Ok(files) if arguments.json => rows.push(json!({
                "instance": place.name,
                "files": files.iter().map(|(file, r)| value(place, file, r)).collect::<Vec<_>>(),
            })),
            Ok(files) => lines(&mut page, place, &files),
            Err(why) => {
                exit = Exit::Partial;
                rows.push(json!({"instance": place.name, "error": why}));
                page.line(format!("{:<12} {why}", place.label()));
            }
        }
    }
    if arguments.json {
        print_json(&json!({"instances": rows}));
    } else {
        page.print();
    }
    Ok(exit)
}

fn readable(inspection: &Inspection, file: &Quarantined) -> Result<Readable, String> {
    let mut readable = Readable::default();
    let mut take = |salvaged: Salvaged| {
        readable.n_records += 1;
        if let Some((_, state)) = &salvaged.content {
            readable.n_messages += 1;
            readable.n_whole += u64::from(*state == ContentState::Whole);
        }
    };
    let searched = inspection.salvage(file, &mut take);
    searched.map_err(|error| with_causes(&error))?;
    Ok(readable)
}

fn lines(page: &mut Page, place: &Place, files: &[(Quarantined, Readable)]) {
    let n = words::count(files.len() as u64, "file");
    page.line(format!("{:<12} {n} in quarantine", place.label()));
    for (file, readable) in files {
        page.line(format!(
            "  {}/{}  {}  {}  {}: {}, {}, {} with a whole content",
            place.name,
            file.name,
            since(place, file).map_or_else(|| "-".to_owned(), |at| at.rfc3339().to_string()),
            words::size(file.len),
            lay_text(file.lay),
            words::count(readable.n_records, "record"),
            words::count(readable.n_messages, "message"),
            readable.n_whole,
        ));
    }
}

fn value(place: &Place, file: &Quarantined, readable: &Readable) -> Value {
    json!({
        "name": file.name,
        "len": file.len,
        "since": since(place, file).map(|at| at.rfc3339().to_string()),
        "lay": lay_text(file.lay),
        "records": readable.n_records,
        "messages": readable.n_messages,
        "whole": readable.n_whole,
    })
}

/// Since when it lies there.
fn since(place: &Place, file: &Quarantined) -> Option<Timestamp> {
    let path = place.path.join("quarantine").join(&file.name);
    let modified = Path::symlink_metadata(&path).and_then(|found| found.modified());
    let since = modified
        .unwrap_or(SystemTime::UNIX_EPOCH)
        .duration_since(UNIX_EPOCH);
    let ms = u64::try_from(since.ok()?.as_millis()).ok()?;
    (ms > 0).then_some(Timestamp::from_unix_ms(ms))
}

/// Where it lay, in words.
pub(super) fn lay_text(lay: Option<Lay>) -> String {
    match lay {
        Some(Lay::Content { number }) => {
            format!("content file {number:016x}, of a record that could not be read")
        }
        Some(Lay::Part {
            number,
            generation,
            start,
            of,
        }) => {
            let what = match of {
                CopyOf::Damage => "damaged",
                CopyOf::Torn => "not written whole",
            };
            format!("octet {start} of seg-{number:08x} in generation {generation}, {what}")
        }
        Some(Lay::Whole { number }) => format!("all of seg-{number:08x}, which lost its headers"),
        None => "its name does not say where it lay".to_owned(),
    }
}

/// A file in quarantine that was asked for.
pub(super) struct Wanted<'a> {
    pub(super) place: &'a Place,
    pub(super) inspection: Inspection,
    pub(super) file: Quarantined,
}

/// Finds a file by `INSTANCE/NAME`, or by its name if only one instance has such a file.
///
/// # Errors
/// When there is none, or more than one.
pub(super) fn find<'a>(places: &'a [Place], text: &'a str) -> Result<Wanted<'a>, Failure> {
    let (places, name) = places::split(places, text);
    let mut found = Vec::new();
    for place in places {
        let inspection = match place.open() {
            Ok(inspection) => inspection,
            Err(why) => {
                complain(&format!("{}: {why}", place.name));
                continue;
            }
        };
        let files = inspection.quarantine();
        let files = files.map_err(|error| Failure::error(with_causes(&error)))?;
        if let Some(file) = files.into_iter().find(|file| file.name == name) {
            found.push(Wanted {
                place,
                inspection,
                file,
            });
        }
    }
    match found.len() {
        0 => Err(Failure::error(format!(
            "there is no `{text}` in quarantine; `postern spool quarantine list` shows what is"
        ))),
        1 => Ok(found.remove(0)),
        _ => Err(Failure::usage(format!(
            "more than one instance has `{text}` in quarantine: write INSTANCE/NAME"
        ))),
    }
}

impl Wanted<'_> {
    /// What the spool knows of the messages in the file.
    ///
    /// # Errors
    /// When file or spool cannot be read.
    pub(super) fn standings(&self) -> Result<HashMap<MessageId, Standing>, Failure> {
        let mut ids = HashSet::new();
        self.each(&mut |salvaged| {
            ids.insert(salvaged.id);
        })?;
        let standings = self.inspection.standings(&ids);
        standings.map_err(|error| Failure::error(with_causes(&error)))
    }

    /// Gives each record that can be read to `take`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn each(&self, take: &mut dyn FnMut(Salvaged)) -> Result<Salvage, Failure> {
        let end = self.inspection.salvage(&self.file, take);
        end.map_err(|error| Failure::error(with_causes(&error)))
    }
}

/// Shows what can be read of a file.
///
/// # Errors
/// When there is no such file, or it cannot be read.
pub(super) fn show(
    arguments: &SystemArguments,
    places: &[Place],
    name: &str,
) -> Result<Exit, Failure> {
    let wanted = find(places, name)?;
    let standings = wanted.standings()?;
    let (mut page, mut rows) = (Page::default(), Vec::new());
    let Wanted { place, file, .. } = &wanted;
    page.line(format!(
        "{}/{}: {}",
        place.name,
        file.name,
        lay_text(file.lay)
    ));
    let mut n = 0;
    let end = wanted.each(&mut |salvaged| {
        n += 1;
        let standing = standing_word(standings.get(&salvaged.id));
        if arguments.json {
            rows.push(salvaged_value(&salvaged, standing));
        } else {
            salvaged_lines(&mut page, &salvaged, standing);
        }
    })?;
    if arguments.json {
        print_json(&json!({
            "instance": place.name, "name": file.name, "len": file.len,
            "lay": lay_text(file.lay), "complete": end == Salvage::Complete, "records": rows,
        }));
        return Ok(Exit::Done);
    }
    if n == 0 {
        page.line("  no record can be read");
    }
    if end == Salvage::GaveUp {
        page.line("  not all of it was looked through: it is full of what looks like records");
    }
    page.print();
    Ok(Exit::Done)
}

/// What the spool knows of a message, in words.
pub(super) const fn standing_word(standing: Option<&Standing>) -> &'static str {
    match standing {
        Some(Standing::Ended) => "done in the spool",
        Some(Standing::Live) => "live in the spool",
        Some(Standing::Unknown) | None => "not known to the spool any more",
    }
}

fn salvaged_lines(page: &mut Page, salvaged: &Salvaged, standing: &str) {
    let vouched = if salvaged.is_vouched {
        ""
    } else {
        ", which nobody vouches for: its header is damaged"
    };
    page.line(format!(
        "at {}: {} {}{vouched}",
        salvaged.at,
        salvaged.kind.word(),
        salvaged.id
    ));
    if let Some((content, state)) = &salvaged.content {
        let state = state_text(*state);
        page.line(format!("  message {}: {standing}", salvaged.id));
        page.line(format!(
            "  content {}: {state}",
            view::content_text(content)
        ));
    }
    match &salvaged.record {
        None => page.line("  its envelope is damaged"),
        Some(record) => {
            if let Some(message) = &record.message {
                let lines = view::message_lines(message, record.state.as_ref());
                lines.into_iter().for_each(|line| page.line(line));
            }
        }
    }
}

/// What was got back of a message, as one value.
pub(super) fn salvaged_value(salvaged: &Salvaged, standing: &str) -> Value {
    let record = salvaged.record.as_ref();
    let message = record.and_then(|record| {
        let message = record.message.as_ref()?;
        Some(view::message_value(message, record.state.as_ref()))
    });
    json!({
        "at": salvaged.at,
        "what": salvaged.kind.word(),
        "id": salvaged.id.0,
        "vouched": salvaged.is_vouched,
        "standing": standing,
        "message": message,
        "content": salvaged.content.as_ref().map(|(place, state)| {
            let mut value = view::content_value(place);
            value["state"] = json!(state_text(*state));
            value
        }),
    })
}
