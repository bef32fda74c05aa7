//! `queue` and `mailq`: all instances, labelled, with totals, also when empty.

mod long;
mod page;

use serde_json::{Value, json};

use super::arguments::{FilterArguments, ListArguments, QueueVerb, StepArguments, SystemArguments};
use super::connection::{self, Answer, SILENCE_TIME};
use super::exit::{Exit, Failure};
use super::output::{Page, print_json, print_raw};
use super::system::Place;
use crate::control::filter::Filter;
use page::{Detail, counts_page, list_page, merged, steps_page};

/// As many messages are shown whole.
const SHOW_LIMIT: u64 = 50;

/// Carries out a verb on the queues of a system.
///
/// # Errors
/// When the filter is wrong, nobody answers, or control refuses.
pub(crate) fn run(
    system: &SystemArguments,
    place: &Place,
    verb: QueueVerb,
) -> Result<Exit, Failure> {
    match verb {
        QueueVerb::Count(filter) => {
            let answer = ask(system, place, "queue.count", &filter, json!({}))?;
            Ok(show(system, &answer, counts_page))
        }
        QueueVerb::Drop(step) => steer(system, place, "queue.drop", &step),
        QueueVerb::Hold(step) => steer(system, place, "queue.hold", &step),
        QueueVerb::List(wanted) => list(system, place, &wanted),
        QueueVerb::Release(step) => steer(system, place, "queue.release", &step),
        QueueVerb::Retry(step) => steer(system, place, "queue.retry", &step),
        QueueVerb::Show(filter) => {
            let answer = ask(
                system,
                place,
                "queue.show",
                &filter,
                json!({"limit": SHOW_LIMIT}),
            )?;
            Ok(show(system, &answer, |answer| {
                list_page(answer, Detail::Show)
            }))
        }
    }
}

fn list(system: &SystemArguments, place: &Place, wanted: &ListArguments) -> Result<Exit, Failure> {
    let ListArguments { filter, limit } = wanted;
    let ask_all = |verb: &str, args| ask(system, place, verb, filter, args);
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
        ask(system, place, verb, &filter, args)
    };
    if system.json {
        long::print_json(&first, *limit, &ask_one, &mut print_raw)
    } else {
        long::print_text(&first, *limit, &ask_one, &mut print_raw)
    }
}

fn steer(
    system: &SystemArguments,
    place: &Place,
    verb: &str,
    step: &StepArguments,
) -> Result<Exit, Failure> {
    if step.filter.filter.is_empty() && !step.all {
        return Err(Failure::usage("say which messages, or --all"));
    }
    let answer = ask(
        system,
        place,
        verb,
        &step.filter,
        json!({"dry_run": step.dry_run}),
    )?;
    let exit = show(system, &answer, |answer| steps_page(answer, verb));
    let has_errors = answer
        .lines
        .iter()
        .any(|line| line["ok"]["n_errors"].as_u64() > Some(0));
    Ok(if has_errors { Exit::Error } else { exit })
}

fn ask(
    system: &SystemArguments,
    place: &Place,
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
    Filter::parse(&words).map_err(|error| Failure::usage(error.to_string()))?;
    args["filter"] = json!(words);
    connection::ask(place, &json!({"verb": verb, "args": args}), SILENCE_TIME)
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
