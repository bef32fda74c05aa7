//! What is decided, and why.

use std::fmt;

use mail::Reply;
use mail::reply::table;

use crate::facts::FactSet;
use crate::phase::Phase;

/// What becomes of what was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on.
    Accept,
    /// Refused for now, with this reply.
    Defer(Reply),
    /// The message is accepted and dropped.
    Discard,
    /// The message is accepted and held for an operator, and why.
    Hold(Box<str>),
    /// Refused permanently, with this reply.
    Reject(Reply),
    /// The message is marked with this.
    Tag(Box<str>),
}

impl Verdict {
    /// Whether it refuses, so that no check after it is asked.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Defer(_) | Self::Reject(_))
    }

    /// Of the verdicts on one message the strongest counts.
    const fn strength(&self) -> u8 {
        match self {
            Self::Accept | Self::Tag(_) => 0,
            Self::Hold(_) => 1,
            Self::Discard => 2,
            Self::Defer(_) | Self::Reject(_) => 3,
        }
    }

    /// Its name in logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Defer(_) => "defer",
            Self::Discard => "discard",
            Self::Hold(_) => "hold",
            Self::Reject(_) => "reject",
            Self::Tag(_) => "tag",
        }
    }
}

/// What is done where a check finds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// It is refused for now, whatever the check's own reply says.
    Defer,
    /// The message is accepted and dropped.
    Discard,
    /// The message is accepted and held for an operator.
    Hold,
    /// It is refused with the check's own reply.
    Refuse,
    /// The message is marked with the name of the check.
    Tag,
}

impl Action {
    pub(crate) fn verdict(
        self,
        phase: Phase,
        check: &'static str,
        reply: Reply,
        why: &str,
    ) -> Verdict {
        match self {
            Self::Defer if phase == Phase::Connect => {
                Verdict::Defer(table::CHECK_DEFERRED_CLIENT.reply())
            }
            Self::Defer => Verdict::Defer(table::CHECK_DEFERRED.reply()),
            Self::Discard => Verdict::Discard,
            Self::Hold => Verdict::Hold(format!("{check}: {why}").into()),
            Self::Refuse if reply.code.class() == mail::ReplyClass::Transient => {
                Verdict::Defer(reply)
            }
            Self::Refuse => Verdict::Reject(reply),
            Self::Tag => Verdict::Tag(check.into()),
        }
    }
}

/// Whether a check counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Its verdict is carried out.
    Enforce,
    /// Its verdict is only recorded: what it would do.
    Observe,
    /// It is not asked.
    Off,
}

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A fact could not be had, and the check lets pass what it cannot decide.
    CannotTell,
    /// It found nothing.
    Pass,
    /// This should become of it, and why.
    Verdict(Verdict, &'static str),
}

/// One entry of the trail: a check that was asked, and what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The name of the check.
    pub check: &'static str,
    /// Whether it counted.
    pub mode: Mode,
    /// What it came to.
    pub finding: Finding,
    /// The facts that it read.
    pub facts: FactSet,
}

/// A verdict and its explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The verdict; tags stand in the trail.
    pub verdict: Verdict,
    /// The checks that were asked, in their order. Where it is a refusal, the last one decided.
    pub trail: Vec<Reason>,
}

impl Decision {
    /// Out of what the checks that were asked came to.
    pub(crate) fn of(trail: Vec<Reason>) -> Self {
        let enforced = trail.iter().filter_map(Reason::enforced);
        let strongest = enforced.fold(&Verdict::Accept, |strongest, verdict| {
            if verdict.strength() > strongest.strength() {
                verdict
            } else {
                strongest
            }
        });
        let verdict = strongest.clone();
        Self { verdict, trail }
    }

    /// The marks that were set.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let enforced = self.trail.iter().filter_map(Reason::enforced);
        enforced.filter_map(|verdict| match verdict {
            Verdict::Tag(tag) => Some(&**tag),
            _ => None,
        })
    }

    /// Whether a check came to anything but a pass, in effect or observed.
    #[must_use]
    pub fn is_notable(&self) -> bool {
        let passed = |reason: &Reason| reason.finding == Finding::Pass;
        !self.trail.iter().all(passed)
    }
}

impl Reason {
    fn enforced(&self) -> Option<&Verdict> {
        match (&self.finding, self.mode) {
            (Finding::Verdict(verdict, _), Mode::Enforce) => Some(verdict),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    /// One entry as the trail shows it: `relay-control rejects (why): 550 …`, or `would reject`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, why) = match &self.finding {
            Finding::CannotTell => return write!(f, "{} cannot tell", self.check),
            Finding::Pass => return write!(f, "{} passes", self.check),
            Finding::Verdict(verdict, why) => (verdict, why),
        };
        let verb = verdict.name();
        match self.mode {
            Mode::Enforce => write!(f, "{} {verb}s ({why})", self.check)?,
            Mode::Observe | Mode::Off => write!(f, "{} would {verb} ({why})", self.check)?,
        }
        match verdict {
            Verdict::Defer(reply) | Verdict::Reject(reply) => {
                write!(f, ": {} ", reply.code.value())?;
                if let Some(enhanced) = &reply.enhanced {
                    write!(f, "{enhanced} ")?;
                }
                f.write_str(reply.text())
            }
            Verdict::Accept | Verdict::Discard | Verdict::Hold(_) | Verdict::Tag(_) => Ok(()),
        }
    }
}
