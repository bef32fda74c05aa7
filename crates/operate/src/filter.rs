//! The one language in which messages in queues are chosen, for every verb and every instance.
//!
//! `from=*@example.org age>2h`: different terms must all hold; of a term that is given several
//! times one must; `input/12 input/15`: of several names each names a message. `*` stands for any
//! text; letters of ASCII match in either case. Terms about recipients choose recipients: of a
//! message to two, one may be chosen.
//!
//! # Limits
//! At most [`N_TERMS_MAX`] terms. Matching takes time in proportion to pattern times text.

use std::mem::discriminant;
use std::time::Duration;

use events::fields;
use mail::{Disposition, DomainKey, MessageId, Origin, Timestamp, TraceId};

use crate::{Brief, QueueRow, RecipientRow};

/// As many terms as a filter may have.
pub const N_TERMS_MAX: usize = 64;

/// What is wrong with a filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A name that is no term.
    #[error("unknown filter `{0}`; the filters are {TERMS}")]
    Name(String),
    /// A word without a name and a value.
    #[error("unknown filter `{0}`: write name=value, or an id as `queue list` shows it")]
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
pub struct Filter {
    /// Messages by name; where there are any, others are not chosen.
    names: Vec<Name>,
    terms: Vec<Term>,
}

/// The name of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    instance: Option<Pattern>,
    what: Named,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Id(MessageId),
    Trace(TraceId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Age(Bound, Duration),
    Domain(Pattern),
    From(Pattern),
    Instance(Pattern),
    Reason(Pattern),
    Size(Bound, u64),
    State(State),
    To(Pattern),
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
pub enum Selection {
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
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, FilterError> {
        let mut filter = Self::default();
        for word in words {
            parse_word(word.as_ref(), &mut filter)?;
        }
        if filter.names.len() + filter.terms.len() > N_TERMS_MAX {
            Err(FilterError::TooMany)
        } else {
            Ok(filter)
        }
    }

    /// Whether it names a message by its number but not the instance whose number that is.
    pub fn is_ambiguous(&self) -> bool {
        let is_instance = |term: &Term| matches!(term, Term::Instance(_));
        let is_bare = |name: &Name| name.instance.is_none() && matches!(name.what, Named::Id(_));
        self.names.iter().any(is_bare) && !self.terms.iter().any(is_instance)
    }

    /// Whether messages of this instance can be chosen.
    pub fn has_instance(&self, instance: &str) -> bool {
        let is_named = self.names.is_empty() || self.names.iter().any(|n| n.is_in(instance));
        is_named
            && self.all_hold(
                |term| matches!(term, Term::Instance(_)),
                |term| matches!(term, Term::Instance(pattern) if pattern.matches(instance)),
            )
    }

    /// What of it is meant for one of the instances that it [has](Self::has_instance).
    pub fn for_instance(mut self, instance: &str) -> Self {
        self.names.retain(|name| name.is_in(instance));
        self
    }

    /// The messages that alone can be chosen, where these are known by their numbers; else none.
    pub fn ids(&self) -> Vec<MessageId> {
        let id = |name: &Name| match name.what {
            Named::Id(id) => Some(id),
            Named::Trace(_) => None,
        };
        let ids: Option<Vec<_>> = self.names.iter().map(id).collect();
        let mut ids = ids.unwrap_or_default();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Whether what memory has of a message is enough to [restrict](Self::restrict) it.
    pub fn is_brief(&self) -> bool {
        let is_id = |name: &Name| matches!(name.what, Named::Id(_));
        self.names.iter().all(is_id)
            && self.terms.iter().all(|term| match term {
                Term::Age(..) | Term::Instance(_) | Term::Size(..) | Term::State(_) => true,
                Term::Domain(_) | Term::From(_) | Term::Reason(_) => false,
                Term::To(_) | Term::Uid(_) => false,
            })
    }

    /// What is left of a message when only what is chosen of it counts.
    pub fn restrict(&self, brief: Brief, now: Timestamp) -> Option<Brief> {
        let is_named = |name: &Name| name.what == Named::Id(brief.id);
        let fits = |term: &Term| term.fits_brief(&brief, now);
        if !(self.names.is_empty() || self.names.iter().any(is_named))
            || !self.all_hold(|_| true, fits)
        {
            return None;
        }
        let states = self.terms.iter().filter_map(|term| match term {
            Term::State(state) => Some(*state),
            _ => None,
        });
        restrict_to(&states.collect::<Vec<_>>(), brief)
    }

    /// What of a message is chosen, at the time `now`.
    pub fn select(&self, row: &QueueRow, now: Timestamp) -> Selection {
        let is_named = |name: &Name| name.names(row);
        let is_of_message = |term: &Term| !term.is_about_recipients();
        if !(self.names.is_empty() || self.names.iter().any(is_named))
            || !self.all_hold(is_of_message, |term| term.fits_message(row, now))
        {
            return Selection::None;
        }
        if !self.terms.iter().any(Term::is_about_recipients) {
            return Selection::Message;
        }
        let fits = |r: &&RecipientRow| {
            self.all_hold(Term::is_about_recipients, |term| term.fits_recipient(r))
        };
        let recipients = row.recipients.iter().filter(fits);
        let chosen: Vec<u32> = recipients.map(|r| r.index).collect();
        if chosen.is_empty() {
            Selection::None
        } else {
            Selection::Recipients(chosen)
        }
    }

    /// Whether of those `among` the terms each bound holds, and of each other kind one term.
    fn all_hold(&self, among: impl Fn(&Term) -> bool, fits: impl Fn(&Term) -> bool) -> bool {
        let mut terms = self.terms.iter().filter(|term| among(term));
        terms.all(|term| {
            let is_alike = |other: &&Term| discriminant(*other) == discriminant(term);
            match term {
                Term::Age(..) | Term::Size(..) => fits(term),
                _ => self.terms.iter().filter(is_alike).any(&fits),
            }
        })
    }
}

impl Name {
    fn is_in(&self, instance: &str) -> bool {
        let pattern = self.instance.as_ref();
        pattern.is_none_or(|pattern| pattern.matches(instance))
    }

    fn names(&self, row: &QueueRow) -> bool {
        match self.what {
            Named::Id(id) => row.id == id,
            Named::Trace(trace) => row.trace == trace,
        }
    }
}

impl Term {
    const fn is_about_recipients(&self) -> bool {
        match self {
            Self::Domain(_) | Self::Reason(_) | Self::State(_) | Self::To(_) => true,
            Self::Age(..) | Self::From(_) | Self::Instance(_) => false,
            Self::Size(..) | Self::Uid(_) => false,
        }
    }

    fn fits_brief(&self, brief: &Brief, now: Timestamp) -> bool {
        match self {
            Self::Age(bound, age) => bound.holds(&now.since(brief.arrived), age),
            Self::Size(bound, size) => bound.holds(&brief.size_bytes, size),
            // Whether the instance is meant was asked before; states are counted afterwards.
            Self::Instance(_) | Self::State(_) => true,
            Self::Domain(_) | Self::From(_) | Self::Reason(_) => false,
            Self::To(_) | Self::Uid(_) => false,
        }
    }

    fn fits_message(&self, row: &QueueRow, now: Timestamp) -> bool {
        match self {
            Self::Age(bound, age) => bound.holds(&now.since(row.arrived), age),
            Self::From(pattern) => pattern.names(row.from.as_str()),
            Self::Size(bound, size) => bound.holds(&row.size_bytes, size),
            Self::Uid(uid) => row.origin == Origin::Local { uid: *uid },
            // Whether the instance is meant was asked before.
            Self::Instance(_) => true,
            Self::Domain(_) | Self::Reason(_) | Self::State(_) | Self::To(_) => true,
        }
    }

    fn fits_recipient(&self, recipient: &RecipientRow) -> bool {
        match self {
            Self::Domain(pattern) => pattern.names_domain(recipient.address.domain()),
            Self::Reason(pattern) => recipient
                .reply
                .as_ref()
                .is_some_and(|r| pattern.occurs_in(&r.for_operators().to_string())),
            Self::State(State::Deferred) => {
                recipient.disposition == Disposition::Pending && recipient.attempts > 0
            }
            Self::State(State::Is(disposition)) => recipient.disposition == *disposition,
            Self::To(pattern) => pattern.names(recipient.address.as_str()),
            Self::Age(..) | Self::From(_) | Self::Instance(_) => true,
            Self::Size(..) | Self::Uid(_) => true,
        }
    }
}

/// What is left of a message when only recipients in one of these states count; all where none is
/// asked for.
fn restrict_to(states: &[State], brief: Brief) -> Option<Brief> {
    let (n_deferred, n_held) = (brief.n_deferred, brief.n_held);
    let has = |state: State| states.is_empty() || states.contains(&state);
    let n_pending = if has(State::Is(Disposition::Pending)) {
        brief.n_recipients - n_held
    } else if has(State::Deferred) {
        n_deferred
    } else {
        0
    };
    // Who is settled is not in the queue.
    let n_held = if has(State::Is(Disposition::Held)) {
        n_held
    } else {
        0
    };
    let n_recipients = n_pending + n_held;
    (n_recipients > 0).then_some(Brief {
        n_recipients,
        n_deferred: n_deferred.min(n_pending),
        n_held,
        ..brief
    })
}

impl Bound {
    fn holds<T: PartialOrd>(self, value: &T, limit: &T) -> bool {
        match self {
            Self::Above => value > limit,
            Self::Below => value < limit,
        }
    }
}

fn parse_word(word: &str, filter: &mut Filter) -> Result<(), FilterError> {
    let Some(at) = word.find(['=', '<', '>']) else {
        let name = Name::parse(word).ok_or_else(|| FilterError::NoTerm(word.to_owned()))?;
        filter.names.push(name);
        return Ok(());
    };
    let (name, value) = (&word[..at], &word[at + 1..]);
    let wanted = |wanted| FilterError::Value {
        term: word.to_owned(),
        wanted,
    };
    let pattern = || Pattern::parse(value).ok_or_else(|| wanted("wants a text"));
    let age = || parse_age(value).ok_or_else(|| wanted("wants a time, such as 90s, 30m, 2h, 5d"));
    let size = || parse_size(value).ok_or_else(|| wanted("wants a size, such as 500, 20k, 5M"));
    let address = || Pattern::parse(without_brackets(value)).ok_or_else(|| wanted("wants a text"));
    if let ("id" | "trace", "=") = (name, &word[at..=at]) {
        let named = Name::parse(value).filter(|named| match named.what {
            Named::Id(_) => name == "id",
            Named::Trace(_) => name == "trace",
        });
        let wants = if name == "id" {
            "wants a number"
        } else {
            "wants a trace id"
        };
        filter.names.push(named.ok_or_else(|| wanted(wants))?);
        return Ok(());
    }
    filter.terms.push(match (name, &word[at..=at]) {
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
        ("domain", "=") => {
            let domain = value.trim_start_matches('@');
            Term::Domain(Pattern::parse(domain).ok_or_else(|| wanted("wants a text"))?)
        }
        ("from", "=") => Term::From(Pattern::parse(without_brackets(value)).unwrap_or_default()),
        ("instance", "=") => Term::Instance(pattern()?),
        ("reason", "=") => Term::Reason(pattern()?),
        ("state", "=") => Term::State(parse_state(value).ok_or_else(|| {
            wanted("wants pending, deferred, held, delivered, failed or dropped")
        })?),
        ("to", "=") => Term::To(address()?),
        ("uid", "=") => Term::Uid(
            value
                .parse()
                .map_err(|_| wanted("wants the number of a user"))?,
        ),
        _ => return Err(FilterError::Name(word[..=at].to_owned())),
    });
    Ok(())
}

impl Name {
    /// `12`, `input/12`, or a trace id.
    fn parse(word: &str) -> Option<Self> {
        if let Ok(trace) = word.parse() {
            let (instance, what) = (None, Named::Trace(trace));
            return Some(Self { instance, what });
        }
        let (instance, id) = match word.rsplit_once('/') {
            Some((instance, id)) => (Some(Pattern::parse(instance)?), id),
            None => (None, word),
        };
        let what = Named::Id(MessageId(id.parse().ok()?));
        Some(Self { instance, what })
    }
}

fn without_brackets(text: &str) -> &str {
    text.trim_matches(['<', '>'])
}

/// Reads `90s`, `30m`, `2h`, `5d`, `1w`.
pub fn parse_age(text: &str) -> Option<Duration> {
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
    let text = text.to_ascii_lowercase();
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
pub struct Pattern {
    text: Box<str>,
    /// With the labels of a domain, or of what follows the `@`, as A-labels where no `*` is in
    /// them.
    in_a_labels: Box<str>,
    /// With these in lower case also beyond ASCII.
    in_unicode: Box<str>,
}

impl Pattern {
    /// Reads it; an empty text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let at = text.rfind('@').map_or(0, |at| at + 1);
        let (before, domain) = text.split_at(at);
        let labels: Vec<_> = domain.split('.').map(DomainKey::of).collect();
        let labels: Vec<_> = labels.iter().map(DomainKey::as_str).collect();
        (!text.is_empty()).then(|| Self {
            in_a_labels: format!("{before}{}", labels.join(".")).into(),
            in_unicode: format!("{before}{}", domain.to_lowercase()).into(),
            text: text.as_str().into(),
        })
    }

    /// Whether the whole text is as the pattern says.
    pub fn matches(&self, text: &str) -> bool {
        matches_glob(self.text.as_bytes(), text.as_bytes())
    }

    /// Whether a domain, in any of its forms, is as the pattern says.
    fn names_domain(&self, domain: &str) -> bool {
        self.names_after("", domain)
    }

    /// Whether an address is as the pattern says, or its local part where the pattern has no `@`.
    pub fn names(&self, address: &str) -> bool {
        let Some((local_part, domain)) = address.rsplit_once('@') else {
            return self.matches(address);
        };
        let local_part_alone = !self.text.contains('@') && self.matches(local_part);
        local_part_alone || self.names_after(&format!("{local_part}@"), domain)
    }

    /// Whether the text with one of the forms of the domain after it is as the pattern says.
    fn names_after(&self, text: &str, domain: &str) -> bool {
        let key = DomainKey::of(domain);
        let matches = |pattern: &str, domain: &str| {
            matches_glob(pattern.as_bytes(), format!("{text}{domain}").as_bytes())
        };
        matches(&self.text, domain)
            || matches(&self.in_a_labels, key.as_str())
            || matches(&self.in_unicode, &key.to_unicode())
    }

    /// Whether the pattern stands anywhere in the text.
    fn occurs_in(&self, text: &str) -> bool {
        matches_glob(format!("*{}*", self.text).as_bytes(), text.as_bytes())
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
