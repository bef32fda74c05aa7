//! What is decided, and why.

use std::fmt;

use mail::Reply;

use crate::fact::FactKeys;

/// What becomes of what was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on, and nothing more is asked in this phase.
    Accept,
    /// Refused for now, with this reply.
    Defer(Reply),
    /// Accepted and thrown away.
    Discard,
    /// Accepted and kept for an operator, and why.
    Hold(Box<str>),
    /// Refused for good, with this reply.
    Reject(Reply),
    /// Marked with this; other checks go on.
    Tag(Box<str>),
}

impl Verdict {
    /// Whether no check after it is asked.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        !matches!(self, Self::Tag(_))
    }
}

/// Whether a check counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Its verdict is carried out.
    Enforce,
    /// Its verdict is only written down: what it would do.
    Observe,
    /// It is not asked.
    Off,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing to say.
    Passes,
    /// This should become of it.
    Says(Verdict),
}

/// One entry of the trail: a check that was asked, and what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The name of the check.
    pub check: &'static str,
    /// Whether it counted.
    pub mode: Mode,
    /// What it found.
    pub finding: Finding,
    /// The facts that it looked at.
    pub facts: FactKeys,
}

/// A verdict and its explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of it.
    pub verdict: Verdict,
    /// The checks that were asked, in their order; the last one that counted decided.
    pub because: Vec<Reason>,
}

impl Decision {
    /// The marks that were set.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.because
            .iter()
            .filter_map(|reason| match (&reason.finding, reason.mode) {
                (Finding::Says(Verdict::Tag(tag)), Mode::Enforce) => Some(&**tag),
                _ => None,
            })
    }
}

impl fmt::Display for Reason {
    /// One entry as the trail shows it: `relay-control rejects: 550 …`, or `would reject`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding::Says(verdict) = &self.finding else {
            return write!(f, "{} passes", self.check);
        };
        let (verb, detail): (_, Option<&dyn fmt::Display>) = match verdict {
            Verdict::Accept => ("accept", None),
            Verdict::Defer(reply) => ("defer", Some(reply)),
            Verdict::Discard => ("discard", None),
            Verdict::Hold(why) => ("hold", Some(why)),
            Verdict::Reject(reply) => ("reject", Some(reply)),
            Verdict::Tag(tag) => ("tag", Some(tag)),
        };
        match self.mode {
            Mode::Enforce => write!(f, "{} {verb}s", self.check)?,
            Mode::Observe | Mode::Off => write!(f, "{} would {verb}", self.check)?,
        }
        detail.map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}
