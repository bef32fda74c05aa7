//! `spool verify`: is every spool as it was written?

use serde_json::{Value, json};
use spool::inspect::{Finding, Grade, Totals, Verification};

use super::super::arguments::SystemArguments;
use super::super::exit::{Exit, Failure};
use super::super::output::{Page, print_json};
use super::super::words;
use super::places::Place;
use crate::errors::with_causes;

/// Checks all of `places`.
///
/// # Errors
/// None: what cannot be read is part of the answer.
#[expect(
    clippy::unnecessary_wraps,
    reason = "as the other verbs, so that they are called alike"
)]
pub(super) fn run(arguments: &SystemArguments, places: &[Place]) -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    let (mut n_read, mut n_damaged) = (0, 0);
    for place in places {
        let found = place.open().and_then(|inspection| {
            let found = inspection.verify();
            found.map_err(|error| format!("{}: {}", place.path.display(), with_causes(&error)))
        });
        if let Ok(found) = &found {
            n_read += 1;
            n_damaged += usize::from(!found.is_clean());
        }
        if arguments.json {
            rows.push(value(place, &found));
        } else {
            let mut page = Page::default();
            lines(&mut page, place, &found);
            page.print();
        }
    }
    if arguments.json {
        print_json(&json!({"instances": rows, "asked": places.len(), "read": n_read}));
    } else if n_read < places.len() {
        let mut page = Page::default();
        page.line(format!("{n_read} of {} spools could be read", places.len()));
        page.print();
    }
    Ok(if n_read < places.len() {
        Exit::Partial
    } else if n_damaged > 0 {
        Exit::Findings
    } else {
        Exit::Done
    })
}

fn lines(page: &mut Page, place: &Place, found: &Result<Verification, String>) {
    let label = place.label();
    let found = match found {
        Ok(found) => found,
        Err(why) => return page.line(format!("{label:<12} {why}")),
    };
    let verdict = if found.is_clean() { "clean" } else { "DAMAGED" };
    let running = if found.is_running {
        " (running: what is being written was left out)"
    } else {
        ""
    };
    let totals = totals(&found.totals);
    page.line(format!("{label:<12} {verdict}: {totals}{running}"));
    for finding in &found.findings {
        let Finding {
            file,
            offset,
            fault,
        } = finding;
        let grade = grade(fault.grade());
        page.line(format!("  {grade} {file} at {offset}: {fault}"));
        page.line(format!("         {}", fault.advice()));
    }
    if found.n_more > 0 {
        page.line(format!("  and {} more", found.n_more));
    }
}

fn totals(totals: &Totals) -> String {
    format!(
        "{}, {} open; {} ({} active, {} full, {} free), {}, of which {} live; {}, {}; {} \
         remembered; {} in quarantine",
        words::count(totals.n_messages, "message"),
        words::count(totals.n_recipients, "recipient"),
        words::count(totals.n_active + totals.n_sealed + totals.n_free, "segment"),
        totals.n_active,
        totals.n_sealed,
        totals.n_free,
        words::size(totals.segment_bytes),
        words::size(totals.live_bytes),
        words::count(totals.n_content_files, "content file"),
        words::size(totals.content_file_bytes),
        words::count(totals.n_keys, "handoff"),
        words::count(totals.n_quarantined, "file"),
    )
}

const fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Damage => "damage",
        Grade::Remark => "remark",
    }
}

fn value(place: &Place, found: &Result<Verification, String>) -> Value {
    let mut value = json!({"instance": place.name, "configured": place.is_configured});
    let found = match found {
        Ok(found) => found,
        Err(why) => {
            value["error"] = json!(why);
            return value;
        }
    };
    let findings = found.findings.iter().map(|finding| {
        json!({
            "file": finding.file,
            "offset": finding.offset,
            "grade": grade(finding.fault.grade()),
            "fault": finding.fault.word(),
            "text": finding.fault.to_string(),
            "advice": finding.fault.advice(),
        })
    });
    let totals = &found.totals;
    value["clean"] = json!(found.is_clean());
    value["running"] = json!(found.is_running);
    value["findings"] = findings.collect();
    value["more_findings"] = json!(found.n_more);
    value["messages"] = json!(totals.n_messages);
    value["recipients"] = json!(totals.n_recipients);
    value["records"] = json!(totals.n_records);
    value["keys"] = json!(totals.n_keys);
    value["segments"] = json!({
        "active": totals.n_active,
        "sealed": totals.n_sealed,
        "free": totals.n_free,
        "bytes": totals.segment_bytes,
        "live_bytes": totals.live_bytes,
    });
    value["content_files"] = json!({
        "files": totals.n_content_files,
        "bytes": totals.content_file_bytes,
    });
    value["quarantined"] = json!(totals.n_quarantined);
    value
}
