//! `queue` and `mailq`: all instances, labelled, with totals, also when empty.

mod long;
mod page;

use clap::Subcommand as _;
use config::nearest::nearest;
use operate::filter::{Filter, FilterError};
use serde_json::{Value, json};

use super::arguments::{FilterArguments, ListArguments, QueueVerb, StepArguments, SystemArguments};
use super::connection::{self, Answer, SILENCE_TIME};
use super::exit::{Exit, Failure};
use super::output::{Page, complain, print_json, print_line, print_raw};
use super::system::System;
use page::{Detail, Instance, counts_page, instances, list_page, merged, steps_page};

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
            let missing = not_there(system, at, &filter, &answer)?;
            let exit = show(system, &answer, |answer| list_page(answer, Detail::Show));
            Ok(with_missing(&missing, exit))
        }
    }
}

fn list(system: &SystemArguments, at: &System, wanted: &ListArguments) -> Result<Exit, Failure> {
    let ListArguments { filter, limit } = wanted;
    let ask_all = |verb: &str, args| ask(system, at, verb, filter, args);
    let first = ask_all("queue.list", json!({"limit": long::PAGE_LEN.min(*limit)}))?;
    let is_whole = if system.json {
        !long::is_long(&first, *limit)
    } else {
        !long::is_cut(&first)
    };
    if is_whole {
        return Ok(show(system, &first, |answer| {
            list_page(answer, Detail::List)
        }));
    }
    let ask_one = |verb: &str, name: &str, args| {
        let system = SystemArguments {
            instance: Some(name.to_owned()),
            ..system.clone()
        };
        ask(&system, at, verb, filter, args)
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
        return Err(Failure::usage(
            "name messages by id or filter, or all of them by --all",
        ));
    }
    let answer = ask(
        system,
        at,
        verb,
        &step.filter,
        json!({"dry_run": step.dry_run}),
    )?;
    let missing = not_there(system, at, &step.filter, &answer)?;
    let exit = show(system, &answer, |answer| steps_page(answer, verb));
    let sum = |key: &str| -> u64 {
        let numbers = answer.lines.iter().map(|line| line["ok"][key].as_u64());
        numbers.flatten().sum()
    };
    if sum("n_errors") > 0 {
        return Ok(Exit::Error);
    }
    if sum("messages") == 0 && !system.json && missing.is_empty() {
        let count = ask(system, at, "queue.count", &step.filter, json!({}))?;
        print_line(nothing_done(verb, &count));
    }
    Ok(with_missing(&missing, exit))
}

/// Why a step touched nothing.
fn nothing_done(verb: &str, count: &Answer) -> String {
    let sum = |key: &str| -> u64 {
        let instances = instances(count);
        let numbers = instances.iter().filter_map(|i| i.ok()?[key].as_u64());
        numbers.sum()
    };
    let (n_messages, n_recipients, n_held) = (sum("messages"), sum("recipients"), sum("held"));
    let verb = verb.trim_start_matches("queue.");
    let why = match verb {
        _ if n_messages == 0 => "no message matches",
        "release" if n_held == 0 => "the matching messages are not held",
        "retry" if n_held == n_recipients => "the matching messages are held",
        "hold" if n_held == n_recipients => "the matching messages are held already",
        _ => "the matching messages are being delivered now, or have left the queue",
    };
    format!("nothing to {verb}: {why}")
}

/// Reports the messages that were named and are not there.
fn with_missing(missing: &[String], exit: Exit) -> Exit {
    for text in missing {
        complain(text);
    }
    if missing.is_empty() {
        exit
    } else {
        Exit::Error
    }
}

fn ask(
    system: &SystemArguments,
    at: &System,
    verb: &str,
    filter: &FilterArguments,
    mut args: Value,
) -> Result<Answer, Failure> {
    Filter::parse(&filter.filter).map_err(|error| wrong(&error))?;
    args["filter"] = json!(filter.filter);
    args["instance"] = json!(system.instance);
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

/// Where `answer` is about messages that were named: which of them are not there, in words.
///
/// # Errors
/// The same words, where only one was named.
fn not_there(
    system: &SystemArguments,
    at: &System,
    filter: &FilterArguments,
    answer: &Answer,
) -> Result<Vec<String>, Failure> {
    let names = &filter.filter;
    let n_messages = |answer: &Answer| -> u64 {
        let number = |ok: &Value| ok["messages"].as_u64().unwrap_or_default();
        let instances = instances(answer);
        instances.iter().filter_map(Instance::ok).map(number).sum()
    };
    let is_name = |word: &String| !word.contains(['=', '<', '>']);
    if !names.iter().all(is_name) || n_messages(answer) >= names.len() as u64 {
        return Ok(Vec::new());
    }
    let mut missing = Vec::new();
    for name in names {
        // A step touches nothing, too, where there was nothing to do.
        let one = FilterArguments {
            filter: vec![name.clone()],
        };
        let count = ask(system, at, "queue.count", &one, json!({}))?;
        if n_messages(&count) > 0 || exit_of(&count) != Exit::Done {
            continue;
        }
        let (command, what) = match name.rsplit_once('/') {
            Some(_) => (format!("spool dump --id {name}"), "is left of its records"),
            None => (format!("trace {name}"), "became of it"),
        };
        let command = at.command(&command);
        missing.push(format!(
            "no message {name} is queued; {command} shows what {what}"
        ));
    }
    match (&missing[..], names.len()) {
        ([text], 1) => Err(Failure::error(text.clone())),
        _ => Ok(missing),
    }
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
