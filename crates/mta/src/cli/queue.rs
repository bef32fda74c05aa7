//! `queue` and `mailq`: all instances, labelled, with totals, also when empty.

mod long;
mod page;

use clap::Subcommand as _;
use serde_json::{Value, json};

use super::arguments::{FilterArguments, ListArguments, QueueVerb, StepArguments, SystemArguments};
use super::connection::{self, Answer, SILENCE_TIME};
use super::exit::{Exit, Failure};
use super::output::{Page, print_json, print_raw};
use super::system::System;
use crate::control::filter::{Filter, FilterError};
use crate::nearest::nearest;
use page::{Detail, counts_page, instances, list_page, merged, steps_page};

/// As many messages are shown whole.
const SHOW_LIMIT: u64 = 50;

/// Carries out a verb on the queues of a system.
///
/// # Errors
/// When the filter is wrong, nobody answers, or control refuses.
pub(crate) fn run(system: &SystemArguments, at: &System, verb: QueueVerb) -> Result<Exit, Failure> {
    match verb {
        QueueVerb::Count(filter) => {
            let answer = ask(system, at, "queue.count", &filter, json!({}))?;
            Ok(show(system, &answer, counts_page))
        }
        QueueVerb::Drop(step) => steer(system, at, "queue.drop", &step),
        QueueVerb::Hold(step) => steer(system, at, "queue.hold", &step),
        QueueVerb::List(wanted) => list(system, at, &wanted),
        QueueVerb::Release(step) => steer(system, at, "queue.release", &step),
        QueueVerb::Retry(step) => steer(system, at, "queue.retry", &step),
        QueueVerb::Show(filter) => {
            let answer = ask(
                system,
                at,
                "queue.show",
                &filter,
                json!({"limit": SHOW_LIMIT}),
            )?;
            not_there(system, at, &filter, &answer)?;
            Ok(show(system, &answer, |answer| {
                list_page(answer, Detail::Show)
            }))
        }
    }
}

fn list(system: &SystemArguments, at: &System, wanted: &ListArguments) -> Result<Exit, Failure> {
    let ListArguments { filter, limit } = wanted;
    let ask_all = |verb: &str, args| ask(system, at, verb, filter, args);
    let first = ask_all("queue.list", json!({"limit": long::PAGE_LEN.min(*limit)}))?;
    if !long::is_long(&first, *limit) {
        return Ok(show(system, &first, |answer| {
            list_page(answer, Detail::List)
        }));
    }
    let ask_one = |verb: &str, name: &str, args| {
        let mut filter = FilterArguments {
            filter: filter.filter.clone(),
        };
        filter.filter.push(format!("instance={name}"));
        ask(system, at, verb, &filter, args)
    };
    if system.json {
        long::print_json(&first, *limit, &ask_one, &mut print_raw)
    } else {
        long::print_text(&first, *limit, &ask_one, &mut print_raw)
    }
}

fn steer(
    system: &SystemArguments,
    at: &System,
    verb: &str,
    step: &StepArguments,
) -> Result<Exit, Failure> {
    if step.filter.filter.is_empty() && !step.all {
        return Err(Failure::usage("say which messages, or --all"));
    }
    let answer = ask(
        system,
        at,
        verb,
        &step.filter,
        json!({"dry_run": step.dry_run}),
    )?;
    not_there(system, at, &step.filter, &answer)?;
    let exit = show(system, &answer, |answer| steps_page(answer, verb));
    let has_errors = answer
        .lines
        .iter()
        .any(|line| line["ok"]["n_errors"].as_u64() > Some(0));
    Ok(if has_errors { Exit::Error } else { exit })
}

fn ask(
    system: &SystemArguments,
    at: &System,
    verb: &str,
    filter: &FilterArguments,
    mut args: Value,
) -> Result<Answer, Failure> {
    let mut words = filter.filter.clone();
    words.extend(
        system
            .instance
            .iter()
            .map(|name| format!("instance={name}")),
    );
    Filter::parse(&words).map_err(|error| wrong(&error))?;
    args["filter"] = json!(words);
    connection::ask(at, &json!({"verb": verb, "args": args}), SILENCE_TIME)
}

/// What is wrong with a filter, which may have been meant to be a verb.
fn wrong(error: &FilterError) -> Failure {
    let FilterError::NoTerm(word) = error else {
        return Failure::usage(error.to_string());
    };
    let verbs = QueueVerb::augment_subcommands(clap::Command::new("queue"));
    let verbs = verbs.get_subcommands().map(clap::Command::get_name);
    let hint = nearest(word, verbs).map(|verb| format!("; did you mean `queue {verb}`?"));
    Failure::usage(format!("{error}{}", hint.unwrap_or_default()))
}

/// Where `answer` is about one message that was named, and has none: that it is not there.
fn not_there(
    system: &SystemArguments,
    at: &System,
    filter: &FilterArguments,
    answer: &Answer,
) -> Result<(), Failure> {
    let [name] = &filter.filter[..] else {
        return Ok(());
    };
    let is_empty = |answer: &Answer| {
        let number = |ok: &Value| ok["messages"].as_u64().unwrap_or_default();
        instances(answer)
            .iter()
            .all(|instance| instance.ok().map_or(0, number) == 0)
    };
    if name.contains(['=', '<', '>']) || !is_empty(answer) {
        return Ok(());
    }
    // A step touches nothing, too, where there was nothing to do.
    let count = ask(system, at, "queue.count", filter, json!({}))?;
    if !is_empty(&count) || exit_of(&count) != Exit::Done {
        return Ok(());
    }
    let (command, what) = match name.rsplit_once('/') {
        Some(_) => (format!("spool dump --id {name}"), "is left of its records"),
        None => (format!("trace {name}"), "became of it"),
    };
    let command = at.command(&command);
    Err(Failure::error(format!(
        "no message {name} is queued; {command} shows what {what}"
    )))
}

fn show(system: &SystemArguments, answer: &Answer, page: impl Fn(&Answer) -> Page) -> Exit {
    if system.json {
        print_json(&merged(answer));
    } else {
        page(answer).print();
    }
    exit_of(answer)
}

/// Partial when an instance gave no whole answer.
pub(crate) fn exit_of(answer: &Answer) -> Exit {
    if answer.end["answered"] == answer.end["asked"] {
        Exit::Done
    } else {
        Exit::Partial
    }
}
