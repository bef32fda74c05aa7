//! The one language in which messages in queues are chosen, for every verb and every instance.
//!
//! `from=*@example.org age>2h`: terms are joined by AND; `*` stands for any text; letters of
//! ASCII match in either case. Terms about recipients choose recipients: of a message to two, one
//! may be chosen.
//!
//! # Limits
//! At most [`N_TERMS_MAX`] terms. Matching takes time in proportion to pattern times text.

use std::time::Duration;

use mail::{Disposition, MessageId, Origin, Timestamp, TraceId};

use crate::instance::requests::{Brief, QueueRow, RecipientRow};
use crate::observe::fields;

/// As many terms as a filter may have.
pub(crate) const N_TERMS_MAX: usize = 64;

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FilterError {
    /// A name that is no term.
    #[error("`{0}` is no filter term; the terms are {TERMS}")]
    Name(String),
    /// A word without a name and a value.
    #[error("`{0}` is no filter term: write name=value, or an id as `queue list` shows it")]
    NoTerm(String),
    /// More terms than there may be.
    #[error("more than {N_TERMS_MAX} terms")]
    TooMany,
    /// A value that its term cannot have.
    #[error("`{term}`: {wanted}")]
    Value {
        /// The term as it was written.
        term: String,
        /// What it wants.
        wanted: &'static str,
    },
}

const TERMS: &str = "instance= from= to= domain= uid= reason= state= id= trace= age> age< size> \
                     size< (or older= younger= larger= smaller=)";

/// Which messages, and which of their recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Age(Bound, Duration),
    Domain(Pattern),
    From(Pattern),
    Id(MessageId),
    Instance(Pattern),
    Reason(Pattern),
    Size(Bound, u64),
    State(State),
    To(Pattern),
    Trace(TraceId),
    Uid(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Above,
    Below,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Tried, and to be tried again.
    Deferred,
    /// As the disposition of the recipient says.
    Is(Disposition),
}

/// What a filter chooses of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All of it: the filter says nothing about recipients.
    Message,
    /// Nothing.
    None,
    /// These recipients, by index.
    Recipients(Vec<u32>),
}

impl Filter {
    /// Reads terms, each a word. `12`, `input/12` and a trace id alone name a message.
    ///
    /// # Errors
    /// Says which term is wrong and what it wants.
    pub(crate) fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, FilterError> {
        let mut terms = Vec::new();
        for word in words {
            parse_word(word.as_ref(), &mut terms)?;
        }
        if terms.len() > N_TERMS_MAX {
            Err(FilterError::TooMany)
        } else {
            Ok(Self { terms })
        }
    }

    /// Whether it names a message by its number but not the instance whose number that is.
    pub(crate) fn is_ambiguous(&self) -> bool {
        let named = |term: &Term| matches!(term, Term::Instance(_));
        let numbered = |term: &Term| matches!(term, Term::Id(_));
        self.terms.iter().any(numbered) && !self.terms.iter().any(named)
    }

    /// Whether messages of this instance can be chosen.
    pub(crate) fn has_instance(&self, name: &str) -> bool {
        self.terms
            .iter()
            .all(|term| !matches!(term, Term::Instance(p) if !p.matches(name)))
    }

    /// The one message that can be chosen, where it is known by its number.
    pub(crate) fn only(&self) -> Option<MessageId> {
        self.terms.iter().find_map(|term| match term {
            Term::Id(id) => Some(*id),
            _ => None,
        })
    }

    /// Whether what memory has of a message is enough to [restrict](Self::restrict) it.
    pub(crate) fn is_brief(&self) -> bool {
        self.terms.iter().all(|term| match term {
            Term::Age(..) | Term::Id(_) | Term::Instance(_) | Term::Size(..) | Term::State(_) => {
                true
            }
            Term::Domain(_) | Term::From(_) | Term::Reason(_) | Term::To(_) => false,
            Term::Trace(_) | Term::Uid(_) => false,
        })
    }

    /// What is left of a message when only what is chosen of it counts.
    pub(crate) fn restrict(&self, brief: Brief, now: Timestamp) -> Option<Brief> {
        let mut terms = self.terms.iter();
        terms.try_fold(brief, |brief, term| term.restrict(brief, now))
    }

    /// What of a message is chosen, at the time `now`.
    pub(crate) fn select(&self, row: &QueueRow, now: Timestamp) -> Selection {
        let mut of_recipients = self
            .terms
            .iter()
            .filter(|t| t.is_about_recipients())
            .peekable();
        let mut of_message = self.terms.iter().filter(|t| !t.is_about_recipients());
        if !of_message.all(|term| term.fits_message(row, now)) {
            return Selection::None;
        }
        if of_recipients.peek().is_none() {
            return Selection::Message;
        }
        let of_recipients: Vec<_> = of_recipients.collect();
        let fits = |r: &&RecipientRow| of_recipients.iter().all(|term| term.fits_recipient(r));
        let chosen: Vec<u32> = row
            .recipients
            .iter()
            .filter(fits)
            .map(|r| r.index)
            .collect();
        if chosen.is_empty() {
            Selection::None
        } else {
            Selection::Recipients(chosen)
        }
    }
}

impl Term {
    const fn is_about_recipients(&self) -> bool {
        match self {
            Self::Domain(_) | Self::Reason(_) | Self::State(_) | Self::To(_) => true,
            Self::Age(..) | Self::From(_) | Self::Id(_) | Self::Instance(_) => false,
            Self::Size(..) | Self::Trace(_) | Self::Uid(_) => false,
        }
    }

    fn restrict(&self, brief: Brief, now: Timestamp) -> Option<Brief> {
        let fits = match self {
            Self::Age(bound, age) => bound.holds(&now.since(brief.arrived), age),
            Self::Id(id) => brief.id == *id,
            Self::Size(bound, size) => bound.holds(&brief.size_bytes, size),
            Self::State(state) => return state.restrict(brief),
            // Whether the instance is meant was asked before; the others are not brief.
            Self::Instance(_) => true,
            Self::Domain(_) | Self::From(_) | Self::Reason(_) | Self::To(_) => false,
            Self::Trace(_) | Self::Uid(_) => false,
        };
        fits.then_some(brief)
    }

    fn fits_message(&self, row: &QueueRow, now: Timestamp) -> bool {
        match self {
            Self::Age(bound, age) => bound.holds(&now.since(row.arrived), age),
            Self::From(pattern) => pattern.matches(row.from.as_str()),
            Self::Id(id) => row.id == *id,
            Self::Size(bound, size) => bound.holds(&row.size_bytes, size),
            Self::Trace(trace) => row.trace == *trace,
            Self::Uid(uid) => row.origin == Origin::Local { uid: *uid },
            // Whether the instance is meant was asked before.
            Self::Instance(_) => true,
            Self::Domain(_) | Self::Reason(_) | Self::State(_) | Self::To(_) => true,
        }
    }

    fn fits_recipient(&self, recipient: &RecipientRow) -> bool {
        match self {
            Self::Domain(pattern) => pattern.matches(recipient.address.domain()),
            Self::Reason(pattern) => recipient
                .reply
                .as_ref()
                .is_some_and(|r| pattern.occurs_in(&r.to_string())),
            Self::State(State::Deferred) => {
                recipient.disposition == Disposition::Pending && recipient.attempts > 0
            }
            Self::State(State::Is(disposition)) => recipient.disposition == *disposition,
            Self::To(pattern) => pattern.matches(recipient.address.as_str()),
            Self::Age(..) | Self::From(_) | Self::Id(_) | Self::Instance(_) => true,
            Self::Size(..) | Self::Trace(_) | Self::Uid(_) => true,
        }
    }
}

impl State {
    fn restrict(self, brief: Brief) -> Option<Brief> {
        let (n_deferred, n_held) = (brief.n_deferred, brief.n_held);
        let (n_recipients, n_deferred, n_held) = match self {
            Self::Deferred => (n_deferred, n_deferred, 0),
            Self::Is(Disposition::Held) => (n_held, 0, n_held),
            Self::Is(Disposition::Pending) => (brief.n_recipients - n_held, n_deferred, 0),
            // Who is settled is not in the queue.
            Self::Is(Disposition::Delivered | Disposition::Dropped | Disposition::Failed) => {
                return None;
            }
        };
        (n_recipients > 0).then_some(Brief {
            n_recipients,
            n_deferred,
            n_held,
            ..brief
        })
    }
}

impl Bound {
    fn holds<T: PartialOrd>(self, value: &T, limit: &T) -> bool {
        match self {
            Self::Above => value > limit,
            Self::Below => value < limit,
        }
    }
}

fn parse_word(word: &str, terms: &mut Vec<Term>) -> Result<(), FilterError> {
    let Some(at) = word.find(['=', '<', '>']) else {
        return parse_bare(word, terms);
    };
    let (name, value) = (&word[..at], &word[at + 1..]);
    let wanted = |wanted| FilterError::Value {
        term: word.to_owned(),
        wanted,
    };
    let pattern = || Pattern::parse(value).ok_or_else(|| wanted("wants a text"));
    let age = || parse_age(value).ok_or_else(|| wanted("wants a time, such as 90s, 30m, 2h, 5d"));
    let size = || parse_size(value).ok_or_else(|| wanted("wants a size, such as 500, 20k, 5M"));
    terms.push(match (name, &word[at..=at]) {
        ("age", ">") | ("older", "=") => Term::Age(Bound::Above, age()?),
        ("age", "<") | ("younger", "=") => Term::Age(Bound::Below, age()?),
        ("age", _) => return Err(wanted("write age>2h or age<2h (or older=2h, younger=2h)")),
        ("size", ">") | ("larger", "=") => Term::Size(Bound::Above, size()?),
        ("size", "<") | ("smaller", "=") => Term::Size(Bound::Below, size()?),
        ("size", _) => {
            return Err(wanted(
                "write size>5M or size<5M (or larger=5M, smaller=5M)",
            ));
        }
        ("domain", "=") => Term::Domain(pattern()?),
        ("from", "=") => {
            Term::From(Pattern::parse(value.trim_matches(['<', '>'])).unwrap_or_default())
        }
        ("id", "=") => Term::Id(parse_id(value).ok_or_else(|| wanted("wants a number"))?),
        ("instance", "=") => Term::Instance(pattern()?),
        ("reason", "=") => Term::Reason(pattern()?),
        ("state", "=") => Term::State(parse_state(value).ok_or_else(|| {
            wanted("wants pending, deferred, held, delivered, failed or dropped")
        })?),
        ("to", "=") => Term::To(pattern()?),
        ("trace", "=") => Term::Trace(value.parse().map_err(|_| wanted("wants a trace id"))?),
        ("uid", "=") => Term::Uid(
            value
                .parse()
                .map_err(|_| wanted("wants the number of a user"))?,
        ),
        _ => return Err(FilterError::Name(word[..=at].to_owned())),
    });
    Ok(())
}

fn parse_bare(word: &str, terms: &mut Vec<Term>) -> Result<(), FilterError> {
    if let Ok(trace) = word.parse() {
        terms.push(Term::Trace(trace));
        return Ok(());
    }
    let no_term = || FilterError::NoTerm(word.to_owned());
    let (instance, id) = word
        .rsplit_once('/')
        .map_or((None, word), |(i, id)| (Some(i), id));
    if let Some(instance) = instance {
        terms.push(Term::Instance(
            Pattern::parse(instance).ok_or_else(no_term)?,
        ));
    }
    terms.push(Term::Id(parse_id(id).ok_or_else(no_term)?));
    Ok(())
}

fn parse_id(text: &str) -> Option<MessageId> {
    text.parse().ok().map(MessageId)
}

fn parse_age(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..at].parse().ok().map(|number| (number, &text[at..]))
}

fn parse_state(text: &str) -> Option<State> {
    if text == "deferred" {
        return Some(State::Deferred);
    }
    let all = [
        Disposition::Delivered,
        Disposition::Dropped,
        Disposition::Failed,
        Disposition::Held,
        Disposition::Pending,
    ];
    all.into_iter()
        .find(|d| fields::disposition(*d) == text)
        .map(State::Is)
}

/// A text in which `*` stands for any text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pattern(Box<str>);

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// Whether the whole text is as the pattern says.
    fn matches(&self, text: &str) -> bool {
        matches_glob(self.0.as_bytes(), text.as_bytes())
    }

    /// Whether the pattern stands anywhere in the text.
    fn occurs_in(&self, text: &str) -> bool {
        matches_glob(format!("*{}*", self.0).as_bytes(), text.as_bytes())
    }
}

/// Goes back to the last `*` only: never more steps than pattern times text.
fn matches_glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b) if *b == text[t].to_ascii_lowercase() => {
                p += 1;
                t += 1;
            }
            Some(_) | None => {
                let Some((at, tried)) = star else {
                    return false;
                };
                star = Some((at, tried + 1));
                p = at + 1;
                t = tried + 1;
            }
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests;
