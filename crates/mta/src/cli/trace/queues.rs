//! What of the messages that are meant waits in the queues now: the log may be rotated away, or be
//! a stream that nobody can read back.
//!
//! # Limits
//! [`ROWS_MAX`] messages of each instance.
//!
//! # Failure
//! An instance that does not answer, or a system that does not run, is a note; the rest is shown.

use std::collections::BTreeMap;

use mail::TraceId;
use serde_json::{Value, json};

use super::super::connection::{self, SILENCE_TIME};
use super::super::exit::Exit;
use super::super::system::System;

/// As many messages of each instance are asked for.
const ROWS_MAX: u64 = 1000;

/// As many words a filter of ours has at most.
const N_WORDS_MAX: usize = 50;

/// A message that waits, as its instance shows it.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// The instance.
    pub(super) instance: String,
    /// The row of its queue.
    pub(super) row: Value,
}

/// What the queues have.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// By trace id.
    pub(super) found: BTreeMap<TraceId, Vec<Waiting>>,
    /// What could not be asked, in words.
    pub(super) notes: Vec<String>,
    /// How it ended: everything was answered, or not.
    pub(super) exit: Option<Exit>,
}

impl Queues {
    /// Asks for what each of these filters chooses. A system that does not answer is asked once.
    pub(super) fn ask(&mut self, at: &System, instance: Option<&str>, filters: &[Vec<String>]) {
        for words in filters.iter().flat_map(|words| chunks(words)) {
            if self.exit.is_some() {
                return;
            }
            self.ask_one(at, instance, words);
        }
    }

    fn ask_one(&mut self, at: &System, instance: Option<&str>, words: &[String]) {
        let args = json!({"filter": words, "limit": ROWS_MAX, "instance": instance});
        let request = json!({"verb": "queue.list", "args": args});
        let answer = match connection::ask(at, &request, SILENCE_TIME) {
            Ok(answer) => answer,
            // A name of an instance that is not there: nothing waits in it.
            Err(failure) if failure.text.starts_with("no such instance") => return,
            Err(failure) => {
                self.exit = Some(match failure.exit {
                    Exit::NotRunning => Exit::NotRunning,
                    _ => Exit::Partial,
                });
                let text = format!("the queues were not asked: {}", failure.text);
                return self.notes.push(text);
            }
        };
        for line in &answer.lines {
            let name = line["instance"].as_str().unwrap_or_default();
            if line["no_answer"] == json!(true) || line["error"].is_string() {
                let why = line["error"].as_str().unwrap_or("not answering");
                self.notes
                    .push(format!("the queue of {name} was not read: {why}"));
                self.exit = Some(Exit::Partial);
            }
            if line["ok"]["cut"] == json!(true) {
                let text =
                    format!("of the queue of {name} only {ROWS_MAX} messages were looked at");
                self.notes.push(text);
            }
            for row in line["rows"].as_array().into_iter().flatten() {
                self.add(name, row);
            }
        }
    }

    fn add(&mut self, instance: &str, row: &Value) {
        let Some(trace) = row["trace"].as_str().and_then(|id| id.parse().ok()) else {
            return;
        };
        let waiting = self.found.entry(trace).or_default();
        let is_known = |known: &Waiting| known.instance == instance && known.row == *row;
        if !waiting.iter().any(is_known) {
            waiting.push(Waiting {
                instance: instance.to_owned(),
                row: row.clone(),
            });
        }
    }
}

/// The words in parts that a filter may have; one part without words where there are none.
fn chunks(words: &[String]) -> Vec<&[String]> {
    if words.is_empty() {
        vec![words]
    } else {
        words.chunks(N_WORDS_MAX).collect()
    }
}
