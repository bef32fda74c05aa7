//! Which journeys are meant by a trace id, a Message-ID or an address; with what they caused.

use std::collections::{BTreeSet, HashMap};

use mail::TraceId;

use crate::observe::line::Line;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Needle {
    /// An address or a Message-ID, lower case: one may look like the other.
    Text(String),
    /// A trace id.
    Trace(TraceId),
}

impl Needle {
    /// Reads what an operator wrote, brackets or not.
    pub(super) fn new(what: &str) -> Self {
        let what = what.trim();
        match what.parse() {
            Ok(trace) => Self::Trace(trace),
            Err(_) => Self::Text(bare(what)),
        }
    }

    fn is_in(&self, line: &Line) -> bool {
        match self {
            Self::Text(text) => ["from", "to", "message_id"]
                .into_iter()
                .filter_map(|key| line.field(key))
                .any(|value| bare(value) == *text),
            Self::Trace(trace) => line.trace == Some(*trace),
        }
    }
}

fn bare(text: &str) -> String {
    text.trim_matches(['<', '>']).to_ascii_lowercase()
}

/// Goes through the log once.
#[derive(Debug)]
pub(super) struct Search<'a> {
    needle: &'a Needle,
    meant: BTreeSet<TraceId>,
    /// A message and a notification about it, both ways.
    related: HashMap<TraceId, Vec<TraceId>>,
}

impl<'a> Search<'a> {
    /// Nothing seen yet.
    pub(super) fn new(needle: &'a Needle) -> Self {
        Self {
            needle,
            meant: BTreeSet::new(),
            related: HashMap::new(),
        }
    }

    /// Looks at a line.
    pub(super) fn take(&mut self, line: Line) {
        let Some(trace) = line.trace else { return };
        if self.needle.is_in(&line) {
            self.meant.insert(trace);
        }
        let notification = line.field("notification").and_then(|id| id.parse().ok());
        if let Some(notification) = notification {
            self.related.entry(trace).or_default().push(notification);
            self.related.entry(notification).or_default().push(trace);
        }
    }

    /// The `limit` newest journeys that are meant, with those that they caused or that caused
    /// them; and how many were left out.
    pub(super) fn found(mut self, limit: usize) -> (BTreeSet<TraceId>, usize) {
        let n_left_out = self.meant.len().saturating_sub(limit);
        // Trace ids sort by the time of their making.
        let mut found: BTreeSet<TraceId> = self.meant.iter().rev().take(limit).copied().collect();
        let mut to_follow: Vec<TraceId> = found.iter().copied().collect();
        while let Some(trace) = to_follow.pop() {
            for related in self.related.remove(&trace).unwrap_or_default() {
                if found.insert(related) {
                    to_follow.push(related);
                }
            }
        }
        (found, n_left_out)
    }
}

#[cfg(test)]
mod tests {
    use mail::Timestamp;

    use super::*;

    fn id(n: u64) -> TraceId {
        TraceId::new(Timestamp::from_unix_ms(n), 0)
    }

    fn search(what: &str, limit: usize) -> (Vec<TraceId>, usize) {
        let needle = Needle::new(what);
        let mut search = Search::new(&needle);
        for (n, rest) in [
            (
                1,
                "accepted from=<Alice@example.org> message_id=<A1@x>".to_owned(),
            ),
            (
                1,
                "failed from=<alice@example.org> to=<bob@example.org>".to_owned(),
            ),
            (
                1,
                format!("notified notification={} to=<alice@example.org>", id(5)),
            ),
            (2, "accepted from=<> message_id=<a2@x>".to_owned()),
            (
                3,
                "delivered from=<carol@example.org> to=<bob@example.org>".to_owned(),
            ),
            (5, "accepted from=<> message_id=<n@y>".to_owned()),
        ] {
            let line = format!("2026-11-23T23:50:00.123Z output {} {rest}", id(n));
            search.take(Line::parse(&line).expect("a line"));
        }
        let (found, n_left_out) = search.found(limit);
        (found.into_iter().collect(), n_left_out)
    }

    #[test]
    fn journeys_are_found_by_id_message_id_and_address_with_their_notifications() {
        for (what, expected) in [
            (id(2).to_string(), vec![id(2)]),
            (id(5).to_string().to_lowercase(), vec![id(1), id(5)]),
            ("<a1@X>".to_owned(), vec![id(1), id(5)]),
            ("a2@x".to_owned(), vec![id(2)]),
            ("ALICE@example.org".to_owned(), vec![id(1), id(5)]),
            ("bob@example.org".to_owned(), vec![id(1), id(3), id(5)]),
            ("nobody@example.org".to_owned(), vec![]),
        ] {
            assert_eq!(search(&what, 20), (expected, 0), "{what}");
        }
    }

    #[test]
    fn the_newest_journeys_are_kept() {
        assert_eq!(search("bob@example.org", 1), (vec![id(3)], 1));
    }
}
