//! `trace`: the journeys of messages through all instances, from the log.
//!
//! # Limits
//! The log is read twice, a line at a time; kept are the lines of the journeys that are shown, at
//! most [`LINES_MAX`], and the pairs of messages and their notifications.

mod files;
mod journey;
mod search;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::arguments::{SystemArguments, TraceArguments};
use super::exit::{Exit, Failure};
use super::output::{Page, print_json};
use files::LogFiles;
use journey::Journey;
use search::{Needle, Search};

/// As many lines are shown.
const LINES_MAX: usize = 100_000;

/// How long an event may take from an instance into the log.
const LOG_DELAY: Duration = Duration::from_millis(250);

/// Shows the journeys that are meant; `log` is the file that control writes now.
///
/// # Errors
/// When there is no log, it cannot be read, or nothing in it is meant.
pub(crate) fn run(
    arguments: &SystemArguments,
    trace: &TraceArguments,
    log: &Path,
) -> Result<Exit, Failure> {
    let needle = Needle::new(&trace.what);
    let mut journeys = find(log, &needle, trace.limit)?;
    if journeys.0.is_empty() {
        // What has just happened may still be on its way.
        std::thread::sleep(LOG_DELAY);
        journeys = find(log, &needle, trace.limit)?;
    }
    let (journeys, n_left_out) = journeys;
    if journeys.is_empty() {
        let text = format!(
            "nothing about {} in {} and what was put aside",
            trace.what,
            log.display()
        );
        return Err(Failure::error(text));
    }
    if arguments.json {
        let list: Vec<Value> = journeys.iter().map(Journey::json).collect();
        print_json(&json!({"journeys": list, "left_out": n_left_out}));
        return Ok(Exit::Done);
    }
    let mut page = Page::default();
    if n_left_out > 0 {
        page.line(format!(
            "{n_left_out} older journeys are left out, see --limit"
        ));
    }
    for journey in &journeys {
        journey.lines(&mut page);
    }
    page.print();
    Ok(Exit::Done)
}

fn find(log: &Path, needle: &Needle, limit: usize) -> Result<(Vec<Journey>, usize), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::error(format!("cannot read the log {}: {error}", log.display()))
    };
    let mut search = Search::new(needle);
    LogFiles::find(log)
        .map_err(cannot)?
        .each_line(|line| search.take(line))
        .map_err(cannot)?;
    let (traces, n_left_out) = search.found(limit);
    if traces.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let mut lines = Vec::new();
    let keep = |line: crate::observe::line::Line| {
        let is_meant = line.trace.is_some_and(|trace| traces.contains(&trace));
        if is_meant && lines.len() < LINES_MAX {
            lines.push(line);
        }
    };
    LogFiles::find(log)
        .map_err(cannot)?
        .each_line(keep)
        .map_err(cannot)?;
    Ok((journey::journeys(lines), n_left_out))
}
