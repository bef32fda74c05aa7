//! One message's journey: its lines over all instances in the order of time, the verdict first.

use std::collections::BTreeMap;

use mail::TraceId;
use serde_json::{Map, Value, json};

use super::super::output::Page;
use crate::observe::line::Line;

/// What happened to one message.
#[derive(Debug)]
pub(super) struct Journey {
    trace: TraceId,
    lines: Vec<Line>,
}

/// Joins lines to journeys: oldest first, each in the order of time.
pub(super) fn journeys(lines: Vec<Line>) -> Vec<Journey> {
    let mut by_trace: BTreeMap<TraceId, Vec<Line>> = BTreeMap::new();
    for line in lines {
        if let Some(trace) = line.trace {
            by_trace.entry(trace).or_default().push(line);
        }
    }
    let journey = |(trace, mut lines): (TraceId, Vec<Line>)| {
        // Of one millisecond, the order in which they were written stays.
        lines.sort_by(|a, b| a.at.cmp(&b.at));
        Journey { trace, lines }
    };
    by_trace.into_iter().map(journey).collect()
}

/// The last that is known of a recipient.
struct Fate<'a> {
    state: &'a str,
    line: &'a Line,
}

impl Journey {
    /// Shows it, the verdict first.
    pub(super) fn lines(&self, page: &mut Page) {
        page.line(format!("{}  {}", self.trace, self.verdict()));
        for (recipient, fate) in self.fates() {
            let why = ["reply", "reason", "by"]
                .into_iter()
                .find_map(|key| fate.line.field(key));
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            let next = fate
                .line
                .field("next_due")
                .map(|at| format!(", next try {at}"));
            page.line(format!(
                "  <{recipient}>  {} by {}{}{why}",
                fate.state,
                fate.line.instance,
                next.unwrap_or_default()
            ));
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
                json!({"to": recipient, "state": fate.state, "instance": fate.line.instance})
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
        json!({
            "trace": self.trace.to_string(),
            "verdict": self.verdict(),
            "recipients": recipients,
            "events": events.collect::<Vec<_>>(),
        })
    }

    /// What became of it, in a line.
    fn verdict(&self) -> String {
        let fates = self.fates();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for fate in fates.values() {
            *counts.entry(fate.state).or_default() += 1;
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
            words += &format!("; the sender was told: {notification}");
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

    /// The last that is known of each recipient.
    fn fates(&self) -> BTreeMap<&str, Fate<'_>> {
        let mut fates = BTreeMap::new();
        for line in &self.lines {
            let state = match line.event.as_str() {
                "deferred" => "deferred",
                "delivered" => "delivered",
                "dropped" => "dropped",
                "failed" => "failed",
                "held" => "held",
                "released" => "released",
                _ => continue,
            };
            if let Some(to) = line.field("to") {
                fates.insert(to, Fate { state, line });
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
        journeys(lines).remove(0)
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
  <x@y>  deferred by output, next try 2026-11-23T23:51:00.000Z: 451 later
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
                "failed; the sender was told: 01A",
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
