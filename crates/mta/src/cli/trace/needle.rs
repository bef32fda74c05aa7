//! What a journey is looked for by: a trace id, a message's number, a Message-ID or an address.

use events::line::Line;
use mail::{MessageId, TraceId};

use operate::filter::Pattern;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Needle {
    /// A message by its number in the spool of an instance, or of any.
    Id(Option<Pattern>, MessageId, String),
    /// An address or a Message-ID, or a pattern of them: one may look like the other.
    Text(Pattern, String),
    /// A trace id.
    Trace(TraceId),
}

impl Needle {
    /// Reads what an operator wrote, brackets or not; `None` where it is nothing.
    pub(super) fn new(what: &str) -> Option<Self> {
        let what = what.trim();
        if let Ok(trace) = what.parse() {
            return Some(Self::Trace(trace));
        }
        let (instance, number) = match what.rsplit_once('/') {
            Some((instance, number)) => (Some(Pattern::parse(instance)?), number),
            None => (None, what),
        };
        if let Ok(number) = number.parse() {
            return Some(Self::Id(instance, MessageId(number), what.to_owned()));
        }
        let text = bare(what);
        Some(Self::Text(Pattern::parse(text)?, text.to_owned()))
    }

    /// Whether a line is about it.
    pub(super) fn is_in(&self, line: &Line) -> bool {
        match self {
            Self::Id(instance, id, _) => {
                let is_there = instance.as_ref().is_none_or(|i| i.matches(&line.instance));
                is_there && line.field("id").and_then(|n| n.parse().ok()) == Some(id.0)
            }
            Self::Text(pattern, _) => {
                let names = |key| line.field(key).is_some_and(|value| pattern.names(value));
                let is = |key| line.field(key).is_some_and(|v| pattern.matches(bare(v)));
                names("from") || names("to") || is("message_id") || is("client")
            }
            Self::Trace(trace) => line.trace == Some(*trace),
        }
    }

    /// The filters of queues that choose what any of these is about.
    pub(super) fn filters(needles: &[Self]) -> Vec<Vec<String>> {
        let (mut names, mut from, mut to) = (Vec::new(), Vec::new(), Vec::new());
        for needle in needles {
            match needle {
                Self::Id(_, _, name) => names.push(name.clone()),
                Self::Text(_, text) => {
                    from.push(format!("from={text}"));
                    to.push(format!("to={text}"));
                }
                Self::Trace(trace) => names.push(trace.to_string()),
            }
        }
        let filters = [names, from, to].into_iter();
        filters.filter(|words| !words.is_empty()).collect()
    }
}

fn bare(text: &str) -> &str {
    text.trim_matches(['<', '>'])
}
