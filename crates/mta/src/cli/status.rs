//! `status`: each process with pid, uptime, connections, queue and rates.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::arguments::SystemArguments;
use super::connection::{self, Answer, SILENCE_TIME};
use super::exit::{Exit, Failure};
use super::output::{Page, print_json};
use super::queue::exit_of;
use super::system::System;
use super::words;

/// Shows a system.
///
/// # Errors
/// When nothing runs there or control does not answer.
pub(crate) fn run(system: &SystemArguments, at: &System) -> Result<Exit, Failure> {
    let request = json!({"verb": "status", "args": {"instance": system.instance}});
    let answer = connection::ask(at, &request, SILENCE_TIME)?;
    if system.json {
        let mut whole = answer.end.clone();
        whole["instances"] = json!(answer.lines);
        print_json(&whole);
    } else {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        page(
            &answer,
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        )
        .print();
    }
    let has_supervisor = answer.end["processes"].is_array();
    let has_stranded = stranded(&answer).next().is_some();
    Ok(if has_supervisor && !has_stranded {
        exit_of(&answer)
    } else {
        Exit::Partial
    })
}

fn page(answer: &Answer, now_ms: u64) -> Page {
    let mut page = Page::default();
    let processes = answer.end["processes"].as_array();
    for name in ["supervisor", "control"] {
        let process = processes
            .into_iter()
            .flatten()
            .find(|process| process["role"] == name);
        match process {
            Some(process) => {
                page.line(format!(
                    "{name:<12} {}",
                    process_words(process, now_ms).join(", ")
                ));
            }
            None => page.line(format!("{name:<12} not answering")),
        }
    }
    if let Some(words) = log_words(&answer.end["log"]) {
        page.line(format!("{:<12} {words}", "log"));
    }
    for line in &answer.lines {
        instance_lines(&mut page, line, now_ms);
    }
    for spool in stranded(answer) {
        let text = |key: &str| spool[key].as_str().unwrap_or_default();
        page.line(format!(
            "{:<12} NOT IN THE CONFIGURATION, and its spool is there without settings: {}",
            text("name"),
            text("last_exit")
        ));
    }
    if answer.end["answered"] != answer.end["asked"] {
        let (asked, answered) = (&answer.end["asked"], &answer.end["answered"]);
        page.line(format!("{answered} of {asked} instances answer"));
    }
    page
}

/// How the log fares; `None` where control does not say so.
fn log_words(log: &Value) -> Option<String> {
    let state = log["state"].as_str()?;
    let mut words = log["file"]
        .as_str()
        .unwrap_or("standard error stream")
        .to_owned();
    if state != "written" {
        let seconds = log["since_seconds"].as_u64().unwrap_or_default();
        let trouble = log["trouble"].as_str().unwrap_or(state);
        words += &format!(", STUCK for {}: {trouble}", words::duration(seconds));
    }
    if let Some(n_lost @ 1..) = log["lost"].as_u64() {
        words += &format!(", {} lost", words::count(n_lost, "event"));
    }
    Some(words)
}

/// The spools that nobody can empty.
fn stranded(answer: &Answer) -> impl Iterator<Item = &Value> {
    let processes = answer.end["processes"].as_array().into_iter().flatten();
    processes.filter(|process| process["role"] == "stranded")
}

fn instance_lines(page: &mut Page, line: &Value, now_ms: u64) {
    let name = line["instance"].as_str().unwrap_or_default();
    let mut words = process_words(&line["process"], now_ms);
    let ok = &line["ok"];
    if line["no_answer"] == json!(true) {
        // One that starts cannot answer yet, and the words of its process say that it starts.
        if line["process"]["state"] != "starting" {
            words.insert(0, "NOT ANSWERING".to_owned());
        }
    } else if let Some(error) = line["error"].as_str() {
        words.insert(0, format!("error: {error}"));
    } else {
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        words.push(words::count(number(&ok["connections"]), "connection"));
        if let n @ 1.. = number(&ok["turned_away"]) {
            words.push(format!("{n} turned away"));
        }
        let queue = &ok["queue"];
        let queued = words::count(number(&queue["messages"]), "message");
        words.push(format!(
            "{queued} queued ({} active)",
            number(&queue["active"])
        ));
        words.push(format!("spool {}", words::size(number(&ok["spool_bytes"]))));
    }
    page.line(format!("{name:<12} {}", words.join(", ")));
    for (what, key) in [
        ("last minute", "last_minute"),
        ("since control started", "total"),
    ] {
        page.line(format!(
            "{:<12} {what}: {}",
            "",
            count_words(&line["counters"], key)
        ));
    }
    for note in ok["notes"].as_array().into_iter().flatten() {
        page.line(format!("{:<12} {}", "", note.as_str().unwrap_or_default()));
    }
}

fn process_words(process: &Value, now_ms: u64) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(pid) = process["pid"].as_u64() {
        words.push(format!("pid {pid}"));
    }
    if let Some(started) = process["started_unix_ms"].as_u64() {
        words.push(format!(
            "up {}",
            words::duration(now_ms.saturating_sub(started) / 1000)
        ));
    }
    if let Some(generation) = process["generation"]
        .as_u64()
        .filter(|generation| *generation > 1)
    {
        words.push(format!("generation {generation}"));
    }
    if let Some(state) = process["state"].as_str().filter(|state| *state != "ready") {
        words.push(state.to_owned());
    }
    if let Some(silent_ms) = process["not_answering_ms"].as_u64() {
        words.push(format!("silent for {}", words::duration(silent_ms / 1000)));
    }
    if let Some(restarts @ 1..) = process["restarts"].as_u64() {
        let last = process["last_exit"].as_str().unwrap_or("unknown");
        words.push(format!(
            "{} (last: {last})",
            words::count(restarts, "restart")
        ));
    }
    if let Some(retiring @ 1..) = process["retiring_pids"].as_array().map(Vec::len) {
        words.push(format!("{retiring} of an earlier generation finishing"));
    }
    words
}

/// What was counted, in the order in which control gives it; nothing where nothing was.
fn count_words(counters: &Value, key: &str) -> String {
    const SHOWN: [&str; 13] = [
        "accepted",
        "handed_off",
        "delivered",
        "deferred",
        "failed",
        "refused",
        "held",
        "released",
        "dropped",
        "notified",
        "possible_duplicates",
        "connections",
        "protocol_errors",
    ];
    let words: Vec<String> = SHOWN
        .iter()
        .filter_map(|name| {
            let number = counters[name][key].as_u64().filter(|number| *number > 0)?;
            Some(format!("{number} {}", name.replace('_', " ")))
        })
        .collect();
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_cannot_be_written_is_shown_with_the_reason_and_since_when() {
        let log = json!({
            "file": "/var/log/postern.log", "state": "stuck", "since_seconds": 125, "lost": 3,
            "trouble": "the log /var/log/postern.log cannot be written: No space left on device",
        });
        assert_eq!(
            log_words(&log).expect("words"),
            "/var/log/postern.log, STUCK for 2 min: the log /var/log/postern.log cannot be \
             written: No space left on device, 3 events lost"
        );
        let log = json!({"file": null, "state": "written", "lost": 0});
        assert_eq!(log_words(&log).expect("words"), "standard error stream");
        assert_eq!(log_words(&Value::Null), None);
    }

    #[test]
    fn every_process_is_shown_and_the_silent_one_as_such() {
        let processes = json!([
            {"name": "supervisor", "role": "supervisor", "pid": 10, "generation": 1,
             "state": "ready", "restarts": 0},
            {"name": "control", "role": "control", "pid": 11, "generation": 1, "state": "ready",
             "restarts": 2, "last_exit": "signal 9", "started_unix_ms": 1_000_000},
        ]);
        let lines = vec![
            json!({
                "instance": "output", "role": "output",
                "process": {"pid": 12, "generation": 2, "state": "ready", "restarts": 0,
                            "started_unix_ms": 940_000},
                "counters": {"accepted": {"total": 7, "last_minute": 1},
                             "possible_duplicates": {"total": 1, "last_minute": 0}},
                "ok": {"connections": 1, "spool_bytes": 0, "notes": ["handoff is off"],
                       "queue": {"messages": 2, "active": 1, "waiting": 1}},
            }),
            json!({
                "instance": "input", "role": "input", "no_answer": true,
                "process": {"pid": 13, "state": "not answering", "not_answering_ms": 12_000},
                "counters": {},
            }),
            json!({
                "instance": "submission", "role": "submission", "no_answer": true,
                "process": {"pid": 14, "state": "starting"},
                "counters": {},
            }),
        ];
        let end = json!({"asked": 3, "answered": 1, "processes": processes});
        let page = page(&Answer { lines, end }, 1_000_000);
        assert_eq!(
            page.text(),
            "\
supervisor   pid 10
control      pid 11, up 0 s, 2 restarts (last: signal 9)
output       pid 12, up 1 min, generation 2, 1 connection, 2 messages queued (1 active), spool 0 B
             last minute: 1 accepted
             since control started: 7 accepted, 1 possible duplicates
             handoff is off
input        NOT ANSWERING, pid 13, not answering, silent for 12 s
             last minute: nothing
             since control started: nothing
submission   pid 14, starting
             last minute: nothing
             since control started: nothing
1 of 3 instances answer
"
        );
    }
}
