//! One message's journey: its lines over all instances in the order of time, the verdict first.

use std::collections::{BTreeMap, BTreeSet};

use events::line::Line;
use mail::TraceId;
use serde_json::{Map, Value, json};

use super::super::output::Page;
use super::super::words;
use super::queues::Waiting;

/// The events that say where a recipient stands.
const OUTCOMES: [&str; 6] = [
    "deferred",
    "delivered",
    "dropped",
    "failed",
    "held",
    "released",
];

/// Those after which it is in the queue no longer.
const FINAL: [&str; 3] = ["delivered", "dropped", "failed"];

/// As many messages of the log are asked for in the queues.
const NAMES_MAX: usize = 500;

/// What happened to one message.
#[derive(Debug)]
pub(super) struct Journey {
    trace: TraceId,
    lines: Vec<Line>,
    /// What of it is in the queues now.
    waiting: Vec<Waiting>,
}

/// Joins lines and what waits to journeys: oldest first, each in the order of time.
pub(super) fn journeys(
    lines: Vec<Line>,
    mut waiting: BTreeMap<TraceId, Vec<Waiting>>,
) -> Vec<Journey> {
    let mut by_trace: BTreeMap<TraceId, Vec<Line>> = BTreeMap::new();
    for trace in waiting.keys() {
        by_trace.insert(*trace, Vec::new());
    }
    for line in lines {
        if let Some(trace) = line.trace {
            by_trace.entry(trace).or_default().push(line);
        }
    }
    let journey = |(trace, mut lines): (TraceId, Vec<Line>)| {
        // Of one millisecond, the order in which they were written stays.
        lines.sort_by(|a, b| a.at.cmp(&b.at));
        let waiting = waiting.remove(&trace).unwrap_or_default();
        Journey {
            trace,
            lines,
            waiting,
        }
    };
    by_trace.into_iter().map(journey).collect()
}

/// The names of messages that lines are about and that may still be queued, but for those of which
/// it is known already.
pub(super) fn names_of_unfinished(
    lines: &[Line],
    known: &BTreeMap<TraceId, Vec<Waiting>>,
) -> Vec<String> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for line in lines {
        let is_known = line.trace.is_some_and(|trace| known.contains_key(&trace));
        if let Some(id) = line.field("id").filter(|_| !is_known) {
            names.insert(format!("{}/{id}", line.instance));
        }
    }
    // The newest where there are very many.
    let mut names: Vec<String> = names.into_iter().collect();
    let n_surplus = names.len().saturating_sub(NAMES_MAX);
    names.drain(..n_surplus);
    names
}

/// The last that is known of a recipient.
struct Fate {
    state: String,
    instance: String,
    /// Where that is known from: `by output`, or `in output/12` of what is queued there.
    place: String,
    why: Option<String>,
    next: Option<String>,
}

impl Fate {
    fn of_line(state: &str, line: &Line) -> Self {
        let why = ["reply", "reason", "by"];
        Self {
            state: state.to_owned(),
            instance: line.instance.clone(),
            place: format!("by {}", line.instance),
            why: why
                .into_iter()
                .find_map(|key| line.field(key))
                .map(str::to_owned),
            next: line.field("next_due").map(str::to_owned),
        }
    }

    fn of_row(waiting: &Waiting, recipient: &Value) -> Self {
        let state = match recipient["state"].as_str().unwrap_or_default() {
            "pending" => "queued",
            state => state,
        };
        let next = recipient["next_in_seconds"]
            .as_u64()
            .map(|seconds| match seconds {
                0 => "now".to_owned(),
                seconds => format!("in {}", words::duration(seconds)),
            });
        Self {
            state: state.to_owned(),
            instance: waiting.instance.clone(),
            place: format!("in {}/{}", waiting.instance, waiting.row["id"]),
            why: ["reply", "waits_for"]
                .into_iter()
                .find_map(|key| recipient[key].as_str())
                .map(str::to_owned),
            next: next.filter(|_| state != "held"),
        }
    }

    fn words(&self, recipient: &str) -> String {
        let why = self.why.as_ref().map(|why| format!(": {why}"));
        let next = self
            .next
            .as_ref()
            .map(|next| format!("; next attempt {next}"));
        format!(
            "  <{recipient}>  {} {}{}{}",
            self.state,
            self.place,
            why.unwrap_or_default(),
            next.unwrap_or_default()
        )
    }
}

impl Journey {
    /// Shows it, the verdict first.
    pub(super) fn lines(&self, page: &mut Page) {
        page.line(format!("{}  {}", self.trace, self.verdict()));
        for (recipient, fate) in self.fates() {
            page.line(fate.words(&recipient));
        }
        for line in &self.lines {
            let fields: Vec<String> = line
                .fields
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            page.line(format!(
                "    {}  {:<12} {:<12} {}",
                line.at,
                line.instance,
                line.event,
                fields.join("  ")
            ));
        }
    }

    /// The same as a value.
    pub(super) fn json(&self) -> Value {
        let recipients: Vec<Value> = self
            .fates()
            .iter()
            .map(|(recipient, fate)| {
                json!({"to": recipient, "state": fate.state, "instance": fate.instance})
            })
            .collect();
        let events = self.lines.iter().map(|line| {
            let mut event = Map::new();
            event.insert("at".to_owned(), json!(line.at));
            event.insert("instance".to_owned(), json!(line.instance));
            event.insert("event".to_owned(), json!(line.event));
            for (key, value) in &line.fields {
                event.insert(key.clone(), json!(value));
            }
            Value::Object(event)
        });
        let queued = self.waiting.iter().map(|waiting| {
            let mut row = waiting.row.clone();
            row["instance"] = json!(waiting.instance);
            row
        });
        json!({
            "trace": self.trace.to_string(),
            "verdict": self.verdict(),
            "recipients": recipients,
            "events": events.collect::<Vec<_>>(),
            "queued": queued.collect::<Vec<_>>(),
        })
    }

    /// What became of it, in a line.
    fn verdict(&self) -> String {
        let fates = self.fates();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for fate in fates.values() {
            *counts.entry(&fate.state).or_default() += 1;
        }
        let counted: Vec<String> = counts
            .iter()
            .map(|(state, number)| format!("{number} {state}"))
            .collect();
        let is_in = self
            .lines
            .iter()
            .any(|l| matches!(&*l.event, "accepted" | "handed-off"));
        let mut words = match (fates.len(), is_in) {
            (0, true) => "accepted, not tried yet".to_owned(),
            (0, false) => self.refusal(),
            (1, _) => counts.keys().next().copied().unwrap_or_default().to_owned(),
            (n, _) if counts.len() == 1 => {
                format!(
                    "{} to all {n} recipients",
                    counts.keys().next().copied().unwrap_or_default()
                )
            }
            (n, _) => format!("of {n} recipients {}", counted.join(", ")),
        };
        let n_untried = self.n_recipients().saturating_sub(fates.len());
        if n_untried > 0 && !fates.is_empty() {
            words += &format!(", {n_untried} not tried yet");
        }
        for line in self.lines.iter().filter(|line| line.event == "notified") {
            let notification = line.field("notification").unwrap_or_default();
            words += &format!("; sender notified: {notification}");
        }
        if self
            .lines
            .iter()
            .any(|line| line.event == "possible-duplicate")
        {
            words += "; possibly delivered twice";
        }
        words
    }

    fn refusal(&self) -> String {
        let refused = self.lines.iter().rfind(|line| line.event == "refused");
        refused.map_or_else(
            || "nothing is known of its end".to_owned(),
            |line| {
                let field = |key| line.field(key).unwrap_or_default();
                format!("refused at {}: {}", field("phase"), field("reply"))
            },
        )
    }

    /// How many recipients the message had where it entered.
    fn n_recipients(&self) -> usize {
        let counted = self
            .lines
            .iter()
            .filter_map(|line| line.field("n_recipients")?.parse().ok());
        counted.max().unwrap_or(0)
    }

    /// Whether the log has the final outcome of a recipient of a message in a queue.
    fn has_ended(&self, waiting: &Waiting, to: &str) -> bool {
        let id = waiting.row["id"].as_u64();
        self.lines.iter().any(|line| {
            FINAL.contains(&line.event.as_str())
                && line.instance == waiting.instance
                && line.field("id").and_then(|id| id.parse().ok()) == id
                && line.field("to") == Some(to)
        })
    }

    /// The last that is known of each recipient: what a queue has now, else what was logged last.
    fn fates(&self) -> BTreeMap<String, Fate> {
        let mut fates = BTreeMap::new();
        for line in &self.lines {
            let state = line.event.as_str();
            if !OUTCOMES.contains(&state) {
                continue;
            }
            if let Some(to) = line.field("to") {
                fates.insert(to.to_owned(), Fate::of_line(state, line));
            }
        }
        for waiting in &self.waiting {
            let recipients = waiting.row["recipients"].as_array();
            for recipient in recipients.into_iter().flatten() {
                let to = recipient["to"].as_str().unwrap_or_default();
                // The queue may have been read before the outcome was logged.
                if !self.has_ended(waiting, to) {
                    fates.insert(to.to_owned(), Fate::of_row(waiting, recipient));
                }
            }
        }
        fates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journey(lines: &[&str]) -> Journey {
        let parse = |(n, rest): (usize, &&str)| {
            let line = format!(
                "2026-11-23T23:50:0{n}.000Z {}",
                rest.replacen('#', "01KATQ2CD0000000000000000A", 1)
            );
            Line::parse(&line).expect(rest)
        };
        let mut lines: Vec<_> = lines.iter().enumerate().map(parse).collect();
        // The files of a log are not always in order.
        lines.reverse();
        journeys(lines, BTreeMap::new()).remove(0)
    }

    #[test]
    fn a_journey_over_two_instances_is_told_in_order_with_the_verdict_first() {
        let journey = journey(&[
            "output # accepted id=1 from=<a@b> n_recipients=2",
            "input # handed-off next=output from=<a@b> n_recipients=2",
            "output # deferred to=<x@y> next_due=2026-11-23T23:51:00.000Z reply=\"451 later\"",
            "output # delivered to=<z@y> reply=\"250 OK\"",
        ]);
        let mut page = Page::default();
        journey.lines(&mut page);
        assert_eq!(
            page.text(),
            "\
01KATQ2CD0000000000000000A  of 2 recipients 1 deferred, 1 delivered
  <x@y>  deferred by output: 451 later; next attempt 2026-11-23T23:51:00.000Z
  <z@y>  delivered by output: 250 OK
    2026-11-23T23:50:00.000Z  output       accepted     id=1  from=a@b  n_recipients=2
    2026-11-23T23:50:01.000Z  input        handed-off   next=output  from=a@b  n_recipients=2
    2026-11-23T23:50:02.000Z  output       deferred     to=x@y  \
next_due=2026-11-23T23:51:00.000Z  reply=451 later
    2026-11-23T23:50:03.000Z  output       delivered    to=z@y  reply=250 OK
"
        );
        assert_eq!(journey.json()["recipients"][1]["state"], "delivered");
    }

    #[test]
    fn what_waits_is_shown_as_its_queue_has_it_also_without_a_line() {
        let trace: TraceId = "01KATQ2CD0000000000000000A".parse().expect("an id");
        let recipients = json!([
            {"to": "x@y", "state": "deferred", "reply": "451 later", "next_in_seconds": 52},
            {"to": "z@y", "state": "pending", "reply": null, "next_in_seconds": 0},
        ]);
        let waiting = Waiting {
            instance: "output".to_owned(),
            row: json!({"id": 12, "trace": trace.to_string(), "recipients": recipients}),
        };
        let journeys = journeys(Vec::new(), BTreeMap::from([(trace, vec![waiting])]));
        let mut page = Page::default();
        journeys[0].lines(&mut page);
        assert_eq!(
            page.text(),
            "\
01KATQ2CD0000000000000000A  of 2 recipients 1 deferred, 1 queued
  <x@y>  deferred in output/12: 451 later; next attempt in 52 s
  <z@y>  queued in output/12; next attempt now
"
        );
        assert_eq!(journeys[0].json()["recipients"][1]["instance"], "output");
        assert_eq!(journeys[0].json()["queued"][0]["id"], 12);
    }

    #[test]
    fn an_outcome_in_the_log_is_later_than_what_its_queue_said() {
        let lines = [
            "output # delivered id=12 to=<x@y> reply=\"250 OK\"",
            "output # delivered id=11 to=<z@y> reply=\"250 OK\"",
        ];
        let mut journey = journey(&lines);
        let recipients = json!([
            {"to": "x@y", "state": "pending"},
            {"to": "z@y", "state": "pending"},
        ]);
        journey.waiting = vec![Waiting {
            instance: "output".to_owned(),
            row: json!({"id": 12, "recipients": recipients}),
        }];
        assert_eq!(journey.verdict(), "of 2 recipients 1 delivered, 1 queued");
    }

    #[test]
    fn the_verdict_is_the_last_that_is_known() {
        for (lines, verdict) in [
            (
                &["input # accepted n_recipients=1"][..],
                "accepted, not tried yet",
            ),
            (
                &["input # refused phase=rcpt to=<x@y> reply=\"550 5.1.1 no such user\""],
                "refused at rcpt: 550 5.1.1 no such user",
            ),
            (&["output # held to=<x@y> reason=why"], "held"),
            (
                &[
                    "output # held to=<x@y> reason=why",
                    "output # released to=<x@y>",
                ],
                "released",
            ),
            (
                &[
                    "output # accepted n_recipients=3",
                    "output # delivered to=<x@y>",
                ],
                "delivered, 2 not tried yet",
            ),
            (
                &["output # delivered to=<x@y>", "output # delivered to=<z@y>"],
                "delivered to all 2 recipients",
            ),
            (
                &[
                    "output # failed to=<x@y>",
                    "output # notified notification=01A to=<a@b>",
                ],
                "failed; sender notified: 01A",
            ),
            (
                &[
                    "output # possible-duplicate to=<x@y>",
                    "output # delivered to=<x@y>",
                ],
                "delivered; possibly delivered twice",
            ),
            (
                &["output # breaker state=open"],
                "nothing is known of its end",
            ),
        ] {
            assert_eq!(journey(lines).verdict(), verdict, "{lines:?}");
        }
    }
}
