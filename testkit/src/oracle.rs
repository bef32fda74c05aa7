//! The judge outside of the system: what its clients were told against what arrived.
//!
//! Every attempt of a client has an id of its own, in a header field, and an attempt whose outcome
//! is not known is never repeated under its id: so a client that sends again (RFC 1047) is not
//! taken for a system that delivered twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// The header field that holds an attempt's id.
pub const FIELD: &str = "X-Attempt";

/// The header field that holds how many lines its body has, all of them [`LINE`].
pub const LINES_FIELD: &str = "X-Lines";

/// Every line of a body, without its end.
pub const LINE: &str = "A line of text, as long as most lines are, and a few octets on top of it.";

/// What a client knows about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// `250` to the content: must arrive.
    Acknowledged,
    /// Refused before the content, or for good after it: must not arrive.
    Refused,
    /// The connection died, or the reply to the content was temporary: may arrive, once.
    Unknown,
}

/// A copy that was found at a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The id of its attempt.
    pub attempt: String,
    /// The trace id that the system gave it.
    pub trace: String,
    /// Whose copy it is.
    pub recipient: String,
    /// Where it was found.
    pub place: Place,
    /// Nothing of it is missing or other than it was sent.
    pub is_whole: bool,
}

/// Where a copy was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a Maildir of the system: a second copy is always a fault.
    Maildir,
    /// At another host: a crash between its reply and our record leaves a copy that may be sent
    /// twice, which the system announces.
    Remote,
}

impl Arrival {
    /// Of a delivered text; `None` for one that no client of the oracle sent.
    pub fn of(content: &str, recipient: &str, place: Place) -> Option<Self> {
        let (header, body) = content.split_once("\n\n")?;
        let field = |name: &str| {
            let value = header.split_once(&format!("\n{name}: "))?.1;
            value.split_whitespace().next().map(str::to_owned)
        };
        let received = header.split_once("Received: ")?.1;
        Some(Self {
            attempt: field(FIELD)?,
            trace: trace_of(received)?,
            recipient: recipient.to_owned(),
            place,
            is_whole: field(LINES_FIELD).is_none_or(|n_lines| {
                let lines = body.strip_suffix('\n').map(|body| body.split('\n'));
                let n = lines.clone().map_or(0, Iterator::count);
                n_lines == n.to_string() && lines.into_iter().flatten().all(|line| line == LINE)
            }),
        })
    }

    /// Of something that was found and that no client can have sent: counts as not asked for.
    pub fn unreadable(recipient: &str, place: Place) -> Self {
        Self {
            attempt: "unreadable".to_owned(),
            trace: String::new(),
            recipient: recipient.to_owned(),
            place,
            is_whole: false,
        }
    }

    /// Of a notification about a message that failed for good: as if the message had arrived.
    pub fn of_notification(content: &str, recipient: &str) -> Option<Self> {
        let part = [
            "\nContent-Type: message/rfc822",
            "\nContent-Type: text/rfc822-headers",
        ];
        let returned = part.iter().find_map(|part| content.split_once(part));
        let (_, returned) = returned?;
        let (_, original) = returned.split_once("\n\n")?;
        let (header, _) = original.split_once("\n\n").unwrap_or((original, ""));
        // The body does not come back, and need not.
        let header = header.replace(&format!("\n{LINES_FIELD}: "), "\nX: ");
        Self::of(&format!("{header}\n\n"), recipient, Place::Maildir)
    }
}

/// The id in a Received field; a semicolon follows it where no `FOR` does (RFC 5321 §4.4).
fn trace_of(received: &str) -> Option<String> {
    let id = received.split_once(" id ")?.1.split_whitespace().next()?;
    Some(id.trim_end_matches(';').to_owned())
}

/// What all clients know.
#[derive(Debug, Default)]
pub struct Oracle {
    attempts: Mutex<BTreeMap<String, Attempt>>,
}

#[derive(Clone, Debug)]
struct Attempt {
    fate: Fate,
    recipients: Vec<String>,
    /// The reply to the content, where there was one.
    reply: String,
}

impl Oracle {
    /// An attempt has ended, with this reply to its content.
    pub fn note(&self, attempt: &str, recipients: &[&str], fate: Fate, reply: &str) {
        let noted = Attempt {
            fate,
            recipients: recipients.iter().map(|name| (*name).to_owned()).collect(),
            reply: reply.to_owned(),
        };
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = attempts.insert(attempt.to_owned(), noted);
        assert!(before.is_none(), "attempt {attempt} was made twice");
    }

    /// What the clients knew at an earlier moment, by whether a reply had been said by then.
    #[must_use]
    pub fn as_of(&self, was_said: impl Fn(&str) -> bool) -> Self {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut earlier = attempts.clone();
        drop(attempts);
        for attempt in earlier.values_mut() {
            if attempt.fate == Fate::Acknowledged && !was_said(&attempt.reply) {
                attempt.fate = Fate::Unknown;
            }
        }
        let attempts = Mutex::new(earlier);
        Self { attempts }
    }

    /// How many attempts were acknowledged so far.
    pub fn n_acknowledged(&self) -> usize {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut acknowledged = attempts.values().map(|attempt| attempt.fate);
        acknowledged
            .by_ref()
            .filter(|fate| *fate == Fate::Acknowledged)
            .count()
    }

    /// Compares with what arrived; `announced` holds the trace ids for which the log says that a
    /// delivery may have been made twice.
    pub fn judge(&self, arrivals: &[Arrival], announced: &BTreeSet<String>) -> Judgement {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut judgement = Judgement {
            arrived: arrivals.len(),
            ..Judgement::default()
        };
        let mut copies: BTreeMap<(&str, &str), Vec<&Arrival>> = BTreeMap::new();
        for arrival in arrivals {
            let key = (arrival.attempt.as_str(), arrival.recipient.as_str());
            copies.entry(key).or_default().push(arrival);
        }
        for (id, attempt) in &*attempts {
            judgement.count(attempt.fate);
            for recipient in &attempt.recipients {
                let copies = copies.remove(&(id, recipient)).unwrap_or_default();
                judgement.weigh(attempt.fate, id, recipient, &copies, announced);
            }
        }
        // What is left belongs to no attempt: a recipient that nobody named.
        judgement.unasked.extend(
            copies
                .keys()
                .map(|(attempt, to)| format!("{attempt} at {to}")),
        );
        judgement
    }
}

/// What the oracle found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Attempts that were acknowledged.
    pub acknowledged: usize,
    /// Attempts that were refused.
    pub refused: usize,
    /// Attempts whose outcome the client does not know.
    pub unknown: usize,
    /// Copies that arrived.
    pub arrived: usize,
    /// Acknowledged, and not there.
    pub lost: Vec<String>,
    /// There more than once without an excuse.
    pub doubled: Vec<String>,
    /// There in part.
    pub torn: Vec<String>,
    /// At another host more than once, as announced.
    pub announced: usize,
    /// At another host more than once, and the log does not say so.
    pub unannounced: Vec<String>,
    /// There although it was refused, or for somebody who was not named.
    pub unasked: Vec<String>,
}

impl Judgement {
    fn count(&mut self, fate: Fate) {
        match fate {
            Fate::Acknowledged => self.acknowledged += 1,
            Fate::Refused => self.refused += 1,
            Fate::Unknown => self.unknown += 1,
        }
    }

    fn weigh(
        &mut self,
        fate: Fate,
        attempt: &str,
        recipient: &str,
        copies: &[&Arrival],
        announced: &BTreeSet<String>,
    ) {
        let name = || format!("{attempt} at {recipient}");
        let torn = copies.iter().filter(|copy| !copy.is_whole);
        self.torn.extend(torn.map(|_| name()));
        match (fate, copies) {
            (Fate::Acknowledged, []) => self.lost.push(name()),
            (Fate::Refused | Fate::Unknown, []) | (Fate::Acknowledged | Fate::Unknown, [_]) => {}
            (Fate::Refused, [_, ..]) => self.unasked.push(name()),
            (Fate::Acknowledged | Fate::Unknown, [first, rest @ ..]) => {
                // Only a delivery may be repeated: the second copy is of the same journey.
                let excused = first.place == Place::Remote
                    && rest.iter().all(|copy| copy.trace == first.trace);
                let traces: Vec<&str> = copies.iter().map(|c| c.trace.as_str()).collect();
                let found = format!("{}: {}", name(), traces.join(" "));
                match (excused, announced.contains(&first.trace)) {
                    (true, true) => self.announced += rest.len(),
                    (true, false) => self.unannounced.push(found),
                    (false, _) => self.doubled.push(found),
                }
            }
        }
    }

    /// Whether nothing was lost, doubled, torn or not asked for.
    pub const fn is_kept(&self) -> bool {
        self.lost.is_empty()
            && self.doubled.is_empty()
            && self.torn.is_empty()
            && self.unasked.is_empty()
    }

    /// Fails unless every promise was kept. Whether every duplicate was announced is another
    /// question: an instance that is killed takes the events of its last milliseconds with it.
    ///
    /// # Panics
    /// When something was lost, doubled, torn or not asked for.
    #[track_caller]
    pub fn assert_kept(&self) {
        assert!(self.is_kept(), "{self}: {self:#?}");
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "attempts: {} acknowledged, {} refused, {} unknown; copies arrived: {}; lost: {}; \
             doubled by us: {}; doubled at other hosts: {} announced, {} not; torn: {}; \
             unasked: {}",
            self.acknowledged,
            self.refused,
            self.unknown,
            self.arrived,
            self.lost.len(),
            self.doubled.len(),
            self.announced,
            self.unannounced.len(),
            self.torn.len(),
            self.unasked.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(attempt: &str, trace: &str, place: Place) -> Arrival {
        let content = format!(
            "Received: from c\n\tby m with SMTP id {trace};\n\tMon\n{FIELD}: {attempt}\n\nx"
        );
        Arrival::of(&content, "a@b", place).expect("it has both fields")
    }

    fn judged(fate: Fate, arrivals: &[Arrival], announced: &[&str]) -> Judgement {
        let oracle = Oracle::default();
        oracle.note("1", &["a@b"], fate, "250 t");
        oracle.judge(
            arrivals,
            &announced.iter().map(|trace| (*trace).to_owned()).collect(),
        )
    }

    #[test]
    fn what_was_acknowledged_and_is_not_there_is_lost() {
        assert_eq!(judged(Fate::Acknowledged, &[], &[]).lost, ["1 at a@b"]);
        for fate in [Fate::Refused, Fate::Unknown] {
            judged(fate, &[], &[]).assert_kept();
        }
    }

    #[test]
    fn one_copy_is_right_unless_it_was_refused() {
        let copy = [arrival("1", "t", Place::Maildir)];
        judged(Fate::Acknowledged, &copy, &[]).assert_kept();
        judged(Fate::Unknown, &copy, &[]).assert_kept();
        assert_eq!(judged(Fate::Refused, &copy, &[]).unasked.len(), 1);
        let other = [arrival("2", "t", Place::Maildir)];
        assert_eq!(judged(Fate::Refused, &other, &[]).unasked, ["2 at a@b"]);
    }

    #[test]
    fn what_is_cut_short_or_changed_is_torn() {
        let content = |body: &str| {
            let header = format!("Received: by m id t;\n{FIELD}: 1\n{LINES_FIELD}: 2\n");
            Arrival::of(&format!("{header}\n{body}"), "a@b", Place::Maildir).expect("all is there")
        };
        let torn = |body: &str| judged(Fate::Acknowledged, &[content(body)], &[]).torn.len();
        assert_eq!(torn(&format!("{LINE}\n{LINE}\n")), 0);
        for body in [
            "",
            LINE,
            "\n\n",
            "\0\0\0",
            &format!("{LINE}\n"),
            &format!("{LINE}\n{LINE}"),
        ] {
            assert_eq!(torn(body), 1, "{body}");
        }
    }

    #[test]
    fn what_was_acknowledged_later_may_or_may_not_be_there_earlier() {
        let oracle = Oracle::default();
        oracle.note("1", &["a@b"], Fate::Acknowledged, "250 first");
        oracle.note("2", &["a@b"], Fate::Acknowledged, "250 second");
        let earlier = oracle.as_of(|reply| reply == "250 first");
        assert_eq!(earlier.judge(&[], &BTreeSet::new()).lost, ["1 at a@b"]);
    }

    #[test]
    fn only_another_host_may_have_two_copies_of_a_journey() {
        let two = |place| [arrival("1", "t", place), arrival("1", "t", place)];
        let found = judged(Fate::Unknown, &two(Place::Remote), &["t"]);
        assert_eq!(
            (
                found.announced,
                found.doubled.len(),
                found.unannounced.len()
            ),
            (1, 0, 0)
        );
        let found = judged(Fate::Unknown, &two(Place::Remote), &[]);
        assert_eq!(
            (
                found.announced,
                found.doubled.len(),
                found.unannounced.len()
            ),
            (0, 0, 1)
        );
        let journeys = [
            arrival("1", "t", Place::Remote),
            arrival("1", "u", Place::Remote),
        ];
        for copies in [two(Place::Maildir), journeys] {
            let found = judged(Fate::Acknowledged, &copies, &["t", "u"]);
            assert_eq!((found.announced, found.doubled.len()), (0, 1));
        }
    }
}
