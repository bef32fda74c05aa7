//! What the queue looks like: for people, and as one value.

use serde_json::{Value, json};

use super::super::connection::Answer;
use super::super::output::Page;
use super::super::words;

/// How much of a message is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// A line, and a line for each recipient.
    List,
    /// All that is known.
    Show,
}

/// The answer as one value: an object for each instance, its rows joined.
pub(super) fn merged(answer: &Answer) -> Value {
    let instances: Vec<Value> = instances(answer)
        .into_iter()
        .map(|instance| {
            let Instance {
                name,
                role,
                rows,
                last,
            } = instance;
            let rows: Vec<&Value> = rows
                .into_iter()
                .flat_map(|rows| rows.as_array())
                .flatten()
                .collect();
            let mut object = json!({"instance": name, "role": role, "messages": rows});
            for key in ["ok", "error", "no_answer"] {
                if let Some(value) = last.and_then(|last| last.get(key)) {
                    object[key] = value.clone();
                }
            }
            object
        })
        .collect();
    json!({
        "instances": instances,
        "asked": answer.end["asked"],
        "answered": answer.end["answered"],
    })
}

/// What one instance answered.
pub(super) struct Instance<'a> {
    pub(super) name: &'a str,
    pub(super) role: &'a str,
    rows: Vec<&'a Value>,
    /// The line that ends its answer.
    pub(super) last: Option<&'a Value>,
}

impl Instance<'_> {
    pub(super) fn messages(&self) -> impl Iterator<Item = &Value> {
        self.rows
            .iter()
            .filter_map(|rows| rows.as_array())
            .flatten()
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.messages().for_each(|row| totals.add(row));
        totals
    }

    /// Whether there are more messages than it was asked for.
    pub(super) fn is_cut(&self) -> bool {
        self.ok().is_some_and(|ok| ok["cut"] == json!(true))
    }

    pub(super) fn ok(&self) -> Option<&Value> {
        self.last.and_then(|last| last.get("ok"))
    }

    /// What is said instead of an answer.
    pub(super) fn trouble(&self) -> Option<String> {
        let last = self.last?;
        if last["no_answer"] == json!(true) {
            return Some("not answering".to_owned());
        }
        last["error"].as_str().map(str::to_owned)
    }
}

/// The lines of an answer, by instance, in the order of their names.
pub(super) fn instances(answer: &Answer) -> Vec<Instance<'_>> {
    let mut list: Vec<Instance<'_>> = Vec::new();
    for line in &answer.lines {
        let name = line["instance"].as_str().unwrap_or_default();
        let at = match list.binary_search_by_key(&name, |instance| instance.name) {
            Ok(at) => at,
            Err(at) => {
                let role = line["role"].as_str().unwrap_or_default();
                list.insert(
                    at,
                    Instance {
                        name,
                        role,
                        rows: Vec::new(),
                        last: None,
                    },
                );
                at
            }
        };
        match line.get("rows") {
            Some(rows) => list[at].rows.push(rows),
            None => list[at].last = Some(line),
        }
    }
    list
}

/// Messages and recipients, counted from what was listed.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) n_messages: u64,
    n_recipients: u64,
    n_held: u64,
    n_deferred: u64,
    size_bytes: u64,
    last_id: Option<u64>,
}

impl Totals {
    fn add(&mut self, row: &Value) {
        // A message with very many recipients comes in several rows.
        let id = row["id"].as_u64();
        if self.last_id != id {
            self.last_id = id;
            self.n_messages += 1;
            self.size_bytes += row["size"].as_u64().unwrap_or(0);
        }
        if is_unreadable(row) {
            let number = |key: &str| row[key].as_u64().unwrap_or(0);
            self.n_recipients += number("n_recipients");
            self.n_held += number("n_held");
            self.n_deferred += number("n_deferred");
        }
        for recipient in recipients(row) {
            self.n_recipients += 1;
            match recipient["state"].as_str() {
                Some("held") => self.n_held += 1,
                Some("deferred") => self.n_deferred += 1,
                Some(_) | None => {}
            }
        }
    }

    pub(super) fn of_count(value: &Value) -> Self {
        let number = |key: &str| value[key].as_u64().unwrap_or(0);
        Self {
            n_messages: number("messages"),
            n_recipients: number("recipients"),
            n_held: number("held"),
            n_deferred: number("deferred"),
            size_bytes: number("size"),
            last_id: None,
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.n_messages += other.n_messages;
        self.n_recipients += other.n_recipients;
        self.n_held += other.n_held;
        self.n_deferred += other.n_deferred;
        self.size_bytes += other.size_bytes;
    }

    fn words(&self) -> String {
        if self.n_messages == 0 {
            return "empty".to_owned();
        }
        let mut states = Vec::new();
        if self.n_held > 0 {
            states.push(format!("{} held", self.n_held));
        }
        if self.n_deferred > 0 {
            states.push(format!("{} deferred", self.n_deferred));
        }
        let states = if states.is_empty() {
            String::new()
        } else {
            format!(" ({})", states.join(", "))
        };
        format!(
            "{}, {}{states}, {}",
            words::count(self.n_messages, "message"),
            words::count(self.n_recipients, "recipient"),
            words::size(self.size_bytes)
        )
    }
}

/// Whether no more is known of a message than what memory has.
fn is_unreadable(row: &Value) -> bool {
    row["unreadable"] == json!(true)
}

fn recipients(row: &Value) -> impl Iterator<Item = &Value> {
    row["recipients"].as_array().into_iter().flatten()
}

/// Each message of each instance.
pub(super) fn list_page(answer: &Answer, detail: Detail) -> Page {
    let mut page = Page::default();
    let mut total = Totals::default();
    for instance in instances(answer) {
        let totals = instance.totals();
        let left_out = match (instance.is_cut(), detail) {
            (true, Detail::List) => "; more are there, raise --limit",
            (true, Detail::Show) => "; more are there, narrow the filter",
            (false, _) => "",
        };
        heading(&mut page, &instance, &totals, left_out);
        messages_lines(&mut page, &instance, detail);
        total.join(&totals);
    }
    total_line(&mut page, answer, &total);
    page
}

/// The line above the messages of an instance.
pub(super) fn heading(page: &mut Page, instance: &Instance<'_>, totals: &Totals, left_out: &str) {
    let name = instance.name;
    match instance.trouble() {
        Some(trouble) => page.line(format!("{name:<12} {trouble}")),
        None => page.line(format!("{name:<12} {}{left_out}", totals.words())),
    }
}

/// The messages of an instance.
pub(super) fn messages_lines(page: &mut Page, instance: &Instance<'_>, detail: Detail) {
    let mut last_id = None;
    for row in instance.messages() {
        if last_id != Some(&row["id"]) {
            message_lines(page, instance.name, row, detail);
        }
        last_id = Some(&row["id"]);
        for recipient in recipients(row) {
            recipient_lines(page, recipient, detail);
        }
    }
}

pub(super) fn total_line(page: &mut Page, answer: &Answer, total: &Totals) {
    let (asked, answered) = (&answer.end["asked"], &answer.end["answered"]);
    let missing = if asked == answered {
        String::new()
    } else {
        format!(" in the {answered} of {asked} instances that answer")
    };
    page.line(format!("{:<12} {}{missing}", "total", total.words()));
}

fn message_lines(page: &mut Page, instance: &str, row: &Value, detail: Detail) {
    let text = |key: &str| row[key].as_str().unwrap_or_default();
    let number = |key: &str| row[key].as_u64().unwrap_or_default();
    if is_unreadable(row) {
        let id = format!("{instance}/{}", row["id"]);
        page.line(format!(
            "  {id}  CANNOT BE READ  {}  {}",
            words::count(number("n_recipients"), "recipient"),
            words::size(number("size")),
        ));
        page.line(format!(
            "      `postern spool verify` says what is damaged; `postern queue drop {id}` gives it \
             up"
        ));
        return;
    }
    page.line(format!(
        "  {instance}/{}  {}  from <{}>  {}  {} old",
        row["id"],
        text("trace"),
        text("from"),
        words::size(number("size")),
        words::duration(number("age_seconds")),
    ));
    if detail == Detail::Show {
        let origin = match (row["uid"].as_u64(), row["identity"].as_str()) {
            (Some(uid), _) => format!("local uid {uid}"),
            (None, Some(identity)) => format!("authenticated as {identity}"),
            (None, None) => text("origin").to_owned(),
        };
        page.line(format!("    arrived {}, origin {origin}", text("arrived")));
    }
}

fn recipient_lines(page: &mut Page, recipient: &Value, detail: Detail) {
    let text = |key: &str| recipient[key].as_str().unwrap_or_default();
    if detail == Detail::List && text("state") == "held" {
        // Why is what matters; neither tries nor destination do.
        let why = without_codes(text("reply"));
        let why = why.strip_prefix("held: ").unwrap_or(why);
        page.line(format!("      <{}>  held: {why}", text("to")));
        return;
    }
    let n_attempts = recipient["attempts"].as_u64().unwrap_or_default();
    let mut states = Vec::new();
    if n_attempts > 0 {
        states.push(match n_attempts {
            1 => "tried once".to_owned(),
            n => format!("tried {n} times"),
        });
    }
    match recipient["next_in_seconds"].as_u64() {
        Some(0) => states.push("due now".to_owned()),
        Some(seconds) => states.push(format!("next attempt in {}", words::duration(seconds))),
        None => {}
    }
    if detail == Detail::Show && !text("next_due").is_empty() {
        states.push(format!("at {}", text("next_due")));
    }
    if !text("destination").is_empty() {
        states.push(format!("to {}", text("destination")));
    }
    let reason = match (without_codes(text("reply")), text("waits_for")) {
        ("", "") => String::new(),
        ("", reason) | (reason, _) => format!(": {reason}"),
    };
    let states = match (states.is_empty(), reason.is_empty()) {
        (true, _) => String::new(),
        (false, true) => format!(", {}", states.join(", ")),
        (false, false) => format!("; {}", states.join(", ")),
    };
    let (to, state) = (text("to"), text("state"));
    page.line(format!("      <{to}>  {state}{reason}{states}"));
}

/// The text of a reply.
fn without_codes(reply: &str) -> &str {
    let is_code = |word: &str| word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let mut rest = reply;
    while let Some((_, after)) = rest.split_once(' ').filter(|(word, _)| is_code(word)) {
        rest = after;
    }
    rest
}

/// A line for each instance.
pub(super) fn counts_page(answer: &Answer) -> Page {
    let mut page = Page::default();
    let mut total = Totals::default();
    for instance in instances(answer) {
        let totals = instance.ok().map(Totals::of_count).unwrap_or_default();
        let words = instance.trouble().unwrap_or_else(|| totals.words());
        page.line(format!("{:<12} {words}", instance.name));
        total.join(&totals);
    }
    total_line(&mut page, answer, &total);
    page
}

/// What a step did, or would do.
pub(super) fn steps_page(answer: &Answer, verb: &str) -> Page {
    let mut page = Page::default();
    for instance in instances(answer) {
        for row in instance.messages() {
            message_lines(&mut page, instance.name, row, Detail::List);
            for recipient in recipients(row) {
                recipient_lines(&mut page, recipient, Detail::List);
            }
        }
        let ok = instance.ok().unwrap_or(&Value::Null);
        let number = |key: &str| ok[key].as_u64().unwrap_or_default();
        let n_shown = instance.totals().n_messages;
        if n_shown > 0 && number("messages") > n_shown {
            let n_more = number("messages") - n_shown;
            page.line(format!("  … and {}", words::count(n_more, "more message")));
        }
        let words = instance.trouble().unwrap_or_else(|| {
            let touched = format!(
                "{} of {}",
                words::count(number("recipients"), "recipient"),
                words::count(number("messages"), "message")
            );
            if ok["dry_run"] == json!(true) {
                format!("would {}: {touched}", verb.trim_start_matches("queue."))
            } else {
                format!("{}: {touched}", done_word(verb))
            }
        });
        page.line(format!("{:<12} {words}", instance.name));
        for error in ok["errors"].as_array().into_iter().flatten() {
            page.line(format!("  failed: {}", error.as_str().unwrap_or_default()));
        }
    }
    page
}

fn done_word(verb: &str) -> &'static str {
    match verb {
        "queue.drop" => "dropped",
        "queue.hold" => "held",
        "queue.release" => "released",
        _ => "due now",
    }
}

#[cfg(test)]
mod tests;
