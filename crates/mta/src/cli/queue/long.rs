//! A list that is longer than one answer: asked for page by page, and printed as it comes.
//!
//! # Limits
//! Of each instance [`PAGE_LEN`] messages are in memory, here and wherever they pass. Between two
//! pages nobody waits for this program: it may be read by a pager, or end, whenever it likes.
//!
//! # Failure
//! A reader that went away ends the list. An instance that stops to answer ends its part, and the
//! exit status says so.

use events::escape_json;
use serde_json::{Value, json};

use super::super::connection::Answer;
use super::super::exit::{Exit, Failure};
use super::super::output::Page;
use super::super::words;
use super::exit_of;
use super::page::{Detail, Instance, Totals, heading, instances, messages_lines, total_line};

/// As many messages of each instance are asked for at a time.
pub(super) const PAGE_LEN: u64 = 1000;

/// Asks an instance: verb, name, arguments.
pub(super) type Ask<'a> = dyn Fn(&str, &str, Value) -> Result<Answer, Failure> + 'a;

/// Where the text goes; whether anybody still reads it.
pub(super) type Print<'a> = dyn FnMut(&str) -> bool + 'a;

/// Whether `first`, which asked for a page, is not all that is wanted.
pub(super) fn is_long(first: &Answer, limit: u64) -> bool {
    limit > PAGE_LEN && is_cut(first)
}

/// Whether there is more than `first` has: then what is there in all has to be counted.
pub(super) fn is_cut(first: &Answer) -> bool {
    instances(first).iter().any(Instance::is_cut)
}

/// Prints the list that begins with `first`, for people.
///
/// # Errors
/// When control can be asked no longer.
pub(super) fn print_text(
    first: &Answer,
    limit: u64,
    ask: &Ask<'_>,
    print: &mut Print<'_>,
) -> Result<Exit, Failure> {
    let (mut exit, mut total) = (exit_of(first), Totals::default());
    for instance in instances(first) {
        let mut page = Page::default();
        let totals = if instance.is_cut() {
            // They stand above the messages, of which the last are not here yet.
            counted(&ask("queue.count", instance.name, json!({}))?)
        } else {
            instance.totals()
        };
        let left_out = if totals.n_messages > limit {
            let (shown, all) = (words::grouped(limit), words::grouped(totals.n_messages));
            format!("; showing {shown} of {all}; raise --limit")
        } else {
            String::new()
        };
        heading(&mut page, &instance, &totals, &left_out);
        total.join(&totals);
        let listed = each_page(instance, limit, ask, |instance| {
            messages_lines(&mut page, instance, Detail::List);
            print(std::mem::take(&mut page).text())
        })?;
        match listed.ended {
            Ended::Unread => return Ok(exit),
            Ended::Well(_) => {}
            Ended::Without(last) => {
                exit = Exit::Partial;
                let name = last["instance"].as_str().unwrap_or_default();
                page.line(format!("{name:<12} answers no longer: there may be more"));
            }
        }
        print(page.text());
    }
    let mut page = Page::default();
    total_line(&mut page, first, &total);
    print(page.text());
    Ok(exit)
}

/// Prints the same as one value of JSON.
///
/// # Errors
/// When control can be asked no longer.
pub(super) fn print_json(
    first: &Answer,
    limit: u64,
    ask: &Ask<'_>,
    print: &mut Print<'_>,
) -> Result<Exit, Failure> {
    let mut exit = exit_of(first);
    let mut before = "{\"instances\":[";
    for instance in instances(first) {
        let (name, role) = (json!(instance.name), json!(instance.role));
        let mut text = format!("{before}{{\"instance\":{name},\"role\":{role},\"messages\":[");
        let mut separator = "";
        let listed = each_page(instance, limit, ask, |instance| {
            for message in instance.messages() {
                text.push_str(separator);
                text.push_str(&escape_json(message));
                separator = ",";
            }
            print(&std::mem::take(&mut text))
        })?;
        let mut last = match listed.ended {
            Ended::Unread => return Ok(exit),
            Ended::Well(last) => last,
            Ended::Without(last) => {
                exit = Exit::Partial;
                last
            }
        };
        if last["ok"].is_object() {
            last["ok"]["messages"] = json!(listed.n_messages);
        }
        text.push(']');
        for key in ["ok", "error", "no_answer"] {
            if let Some(value) = last.get(key) {
                text.push_str(&format!(",\"{key}\":{}", escape_json(value)));
            }
        }
        text.push('}');
        print(&text);
        before = ",";
    }
    let (asked, answered) = (&first.end["asked"], &first.end["answered"]);
    print(&format!("],\"asked\":{asked},\"answered\":{answered}}}\n"));
    Ok(exit)
}

fn counted(answer: &Answer) -> Totals {
    let instances = instances(answer);
    let counted = instances.iter().find_map(Instance::ok);
    counted.map(Totals::of_count).unwrap_or_default()
}

/// What came of listing one instance.
struct Listed {
    n_messages: u64,
    ended: Ended,
}

/// How it ended, with the line that ended the last answer.
enum Ended {
    /// Nobody reads on.
    Unread,
    Well(Value),
    /// Later pages were asked for in vain.
    Without(Value),
}

/// Gives what an instance lists to `take`, a page at a time, until `limit` or the end, or until
/// `take` says that nobody reads on.
fn each_page(
    first: Instance<'_>,
    limit: u64,
    ask: &Ask<'_>,
    mut take: impl FnMut(&Instance<'_>) -> bool,
) -> Result<Listed, Failure> {
    let name = first.name;
    let mut n_messages = first.totals().n_messages;
    let mut reads = take(&first);
    let mut is_cut = first.is_cut();
    let mut last = first.last.cloned().unwrap_or_default();
    while reads && is_cut && n_messages < limit {
        let n_wanted = PAGE_LEN.min(limit - n_messages);
        let args = json!({"limit": n_wanted, "after": last["ok"]["last"]});
        let answer = ask("queue.list", name, args)?;
        let Some(instance) = instances(&answer).pop() else {
            break;
        };
        last = instance.last.cloned().unwrap_or_default();
        if instance.ok().is_none() {
            let ended = Ended::Without(last);
            return Ok(Listed { n_messages, ended });
        }
        n_messages += instance.totals().n_messages;
        is_cut = instance.is_cut();
        reads = take(&instance);
    }
    let ended = if reads {
        Ended::Well(last)
    } else {
        Ended::Unread
    };
    Ok(Listed { n_messages, ended })
}

#[cfg(test)]
mod tests;
