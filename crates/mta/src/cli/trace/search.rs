//! Which journeys are meant, by what they are about and by their time; with what they caused.

use std::collections::{BTreeSet, HashMap};

use events::line::Line;
use mail::TraceId;

use super::needle::Needle;
use super::when::When;

/// What journeys are meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// What one of their lines is about; anything where there is nothing.
    pub(super) needles: Vec<Needle>,
    /// They have a line since then.
    pub(super) since: Option<When>,
    /// They have a line until then.
    pub(super) until: Option<When>,
}

impl Wanted {
    fn is_in(&self, line: &Line) -> bool {
        let is_within = self.since.as_ref().is_none_or(|since| line.at >= *since)
            && self.until.as_ref().is_none_or(|until| line.at <= *until);
        let is_about = || self.needles.iter().any(|needle| needle.is_in(line));
        is_within && (self.needles.is_empty() || is_about())
    }

    /// Whether a message that waits is meant, by the time of its arrival. What arrived earlier
    /// waits now as well.
    pub(super) fn is_arrived(&self, arrived: &str) -> bool {
        let is_within = self
            .until
            .as_ref()
            .is_none_or(|until| arrived <= until.as_str());
        let is_since = || {
            self.since
                .as_ref()
                .is_none_or(|since| arrived >= since.as_str())
        };
        is_within && (!self.needles.is_empty() || is_since())
    }
}

/// Goes through the log once.
#[derive(Debug)]
pub(super) struct Search<'a> {
    wanted: &'a Wanted,
    meant: BTreeSet<TraceId>,
    /// A message and a notification about it, both ways.
    related: HashMap<TraceId, Vec<TraceId>>,
}

impl<'a> Search<'a> {
    /// Nothing seen yet.
    pub(super) fn new(wanted: &'a Wanted) -> Self {
        Self {
            wanted,
            meant: BTreeSet::new(),
            related: HashMap::new(),
        }
    }

    /// Looks at a line.
    pub(super) fn take(&mut self, line: Line) {
        let Some(trace) = line.trace else { return };
        if self.wanted.is_in(&line) {
            self.meant.insert(trace);
        }
        let notification = line.field("notification").and_then(|id| id.parse().ok());
        if let Some(notification) = notification {
            self.related.entry(trace).or_default().push(notification);
            self.related.entry(notification).or_default().push(trace);
        }
    }

    /// Takes a journey of which something waits.
    pub(super) fn add(&mut self, trace: TraceId) {
        self.meant.insert(trace);
    }

    /// Whether nothing is meant.
    pub(super) fn is_empty(&self) -> bool {
        self.meant.is_empty()
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
        let wanted = Wanted {
            needles: what.split(' ').filter_map(Needle::new).collect(),
            ..Wanted::default()
        };
        found_by(&wanted, limit)
    }

    fn found_by(wanted: &Wanted, limit: usize) -> (Vec<TraceId>, usize) {
        let mut search = Search::new(wanted);
        for (n, rest) in [
            (
                1,
                "accepted id=7 from=<Alice@example.org> message_id=<A1@x>".to_owned(),
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
            let line = format!("2026-11-23T23:50:0{n}.123Z output {} {rest}", id(n));
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
            ("output/7".to_owned(), vec![id(1), id(5)]),
            ("out*/7".to_owned(), vec![id(1), id(5)]),
            ("7".to_owned(), vec![id(1), id(5)]),
            ("input/7".to_owned(), vec![]),
            ("output/8".to_owned(), vec![]),
            ("c*@example.org".to_owned(), vec![id(3)]),
            ("*@y".to_owned(), vec![id(1), id(5)]),
            ("carol".to_owned(), vec![id(3)]),
            (format!("{} {}", id(2), id(3)), vec![id(2), id(3)]),
        ] {
            assert_eq!(search(&what, 20), (expected, 0), "{what}");
        }
    }

    #[test]
    fn journeys_are_found_by_time_with_and_without_anything_else() {
        let at = |second: u32| Some(format!("2026-11-23T23:50:0{second}.000Z"));
        let wanted = |what: &str, since, until| Wanted {
            needles: Needle::new(what).into_iter().collect(),
            since,
            until,
        };
        for (wanted, expected) in [
            (wanted("", at(3), None), vec![id(1), id(3), id(5)]),
            (wanted("", at(2), at(3)), vec![id(2)]),
            (wanted("bob@example.org", at(2), None), vec![id(3)]),
            (wanted("", at(6), None), vec![]),
        ] {
            assert_eq!(found_by(&wanted, 20).0, expected, "{wanted:?}");
        }
    }

    #[test]
    fn the_newest_journeys_are_kept() {
        assert_eq!(search("bob@example.org", 1), (vec![id(3)], 1));
    }
}
