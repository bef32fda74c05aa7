//! `trace`: the journeys of messages through all instances, from the log and from the queues.
//!
//! # Limits
//! The log is read twice, a line at a time; kept are the lines of the journeys that are shown, at
//! most [`LINES_MAX`], and the pairs of messages and their notifications.
//!
//! # Failure
//! What cannot be read or asked is reported on the standard error stream, and the rest is shown.

mod files;
mod journey;
mod needle;
mod queues;
mod search;
mod when;

use std::path::Path;
use std::time::Duration;

use events::line::Line;
use net::Clock;
use serde_json::{Value, json};

use super::arguments::{SystemArguments, TraceArguments};
use super::exit::{Exit, Failure};
use super::output::{Page, complain, print_json};
use super::system::System;
use files::LogFiles;
use journey::Journey;
use needle::Needle;
use queues::Queues;
use search::{Search, Wanted};
use when::Edge;

/// As many lines are shown.
const LINES_MAX: usize = 100_000;

/// How long an event may take from an instance into the log.
const LOG_DELAY: Duration = Duration::from_millis(250);

/// What was found.
#[derive(Default)]
struct Found {
    journeys: Vec<Journey>,
    n_left_out: usize,
    /// What could not be read or asked.
    notes: Vec<String>,
    exit: Option<Exit>,
    n_packed: usize,
}

/// Shows the journeys that are meant; `log` is the file that control writes now, where there is
/// one.
///
/// # Errors
/// When a time is none, or nothing is meant.
pub(crate) fn run(
    arguments: &SystemArguments,
    trace: &TraceArguments,
    at: &System,
    log: Option<&Path>,
) -> Result<Exit, Failure> {
    let wanted = wanted(trace)?;
    let instance = arguments.instance.as_deref();
    let mut found = find(at, instance, log, &wanted, trace.limit);
    if found.journeys.is_empty() {
        // What has just happened may still be on its way.
        std::thread::sleep(LOG_DELAY);
        found = find(at, instance, log, &wanted, trace.limit);
    }
    for note in &found.notes {
        complain(note);
    }
    if found.journeys.is_empty() {
        return Err(Failure::error(nothing(trace, log, found.n_packed)));
    }
    let exit = match found.exit {
        // The log alone has all of a system that does not run.
        None | Some(Exit::NotRunning) => Exit::Done,
        Some(exit) => exit,
    };
    if arguments.json {
        let list: Vec<Value> = found.journeys.iter().map(Journey::json).collect();
        print_json(&json!({"journeys": list, "left_out": found.n_left_out}));
        return Ok(exit);
    }
    let mut page = Page::default();
    if found.n_left_out > 0 {
        let n_left_out = found.n_left_out;
        page.line(format!(
            "{n_left_out} older journeys are left out; raise --limit"
        ));
    }
    for journey in &found.journeys {
        journey.lines(&mut page);
    }
    page.print();
    Ok(exit)
}

fn wanted(trace: &TraceArguments) -> Result<Wanted, Failure> {
    let now = Clock::start().timestamp();
    let time = |name: &str, text: &Option<String>, edge| match text {
        None => Ok(None),
        Some(text) => when::parse(text, now, edge).map(Some).ok_or_else(|| {
            Failure::usage(format!(
                "--{name} {text}: not a time; write 2h, today, 2026-11-30 or 2026-11-30T10:00"
            ))
        }),
    };
    let needle = |what: &String| {
        Needle::new(what).ok_or_else(|| Failure::usage(format!("`{what}` names no message")))
    };
    Ok(Wanted {
        needles: trace.what.iter().map(needle).collect::<Result<_, _>>()?,
        since: time("since", &trace.since, Edge::First)?,
        until: time("until", &trace.until, Edge::Last)?,
    })
}

/// That nothing was found, and where it was looked for.
fn nothing(trace: &TraceArguments, log: Option<&Path>, n_packed: usize) -> String {
    let what = if trace.what.is_empty() {
        "that time".to_owned()
    } else {
        trace.what.join(", ")
    };
    let packed = match n_packed {
        0 => String::new(),
        n => format!(" ({n} compressed ones were not read)"),
    };
    match log {
        Some(log) => format!(
            "no log entries for {what} in {} or its rotated files{packed}, and nothing in the \
             queues",
            log.display()
        ),
        None => format!("nothing in the queues for {what}"),
    }
}

fn find(
    at: &System,
    instance: Option<&str>,
    log: Option<&Path>,
    wanted: &Wanted,
    limit: usize,
) -> Found {
    let mut found = Found::default();
    let mut search = Search::new(wanted);
    match log {
        Some(log) => found.read(log, |line| search.take(line)),
        None => found.notes.push(
            "the log goes to the standard error stream, where it cannot be read back: only the \
             queues are asked"
                .to_owned(),
        ),
    }
    let mut queues = Queues::default();
    let filters = if wanted.needles.is_empty() {
        vec![Vec::new()]
    } else {
        Needle::filters(&wanted.needles)
    };
    queues.ask(at, instance, &filters);
    queues.found.retain(|_, waiting| {
        let is_meant = |row: &Value| wanted.is_arrived(row["arrived"].as_str().unwrap_or_default());
        waiting.iter().any(|waiting| is_meant(&waiting.row))
    });
    for trace in queues.found.keys() {
        search.add(*trace);
    }
    if !search.is_empty() {
        let traces;
        (traces, found.n_left_out) = search.found(limit);
        let mut lines = Vec::new();
        if let Some(log) = log {
            found.read(log, |line| {
                let is_meant = line.trace.is_some_and(|trace| traces.contains(&trace));
                if is_meant && lines.len() < LINES_MAX {
                    lines.push(line);
                }
            });
        }
        queues.ask(
            at,
            instance,
            &[journey::names_of_unfinished(&lines, &queues.found)],
        );
        queues.found.retain(|trace, _| traces.contains(trace));
        found.journeys = journey::journeys(lines, queues.found);
    }
    found.notes.append(&mut queues.notes);
    found.notes.dedup();
    found.exit = found.exit.or(queues.exit);
    found
}

impl Found {
    /// Reads all lines of the log; what cannot be read is a note.
    fn read(&mut self, log: &Path, take: impl FnMut(Line)) {
        let read = LogFiles::find(log).and_then(|files| {
            self.n_packed = files.n_packed();
            files.each_line(take)
        });
        if let Err(error) = read {
            let note = format!("cannot read the log {}: {error}", log.display());
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
            self.exit = Some(Exit::Partial);
        }
    }
}
