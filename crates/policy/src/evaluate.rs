//! From facts to a decision.

use crate::check::Found;
use crate::checks::Checks;
use crate::facts::{FactSet, Facts, Reading};
use crate::phase::Phase;
use crate::verdict::{Decision, Finding, Mode, Reason, Verdict};

/// What an evaluation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The verdict.
    Decided(Decision),
    /// Gather these facts, at the same time, and ask again. A fact that is not to be had is a fact
    /// as well, [`Gathered::CannotTell`](crate::Gathered::CannotTell): a caller that learned
    /// nothing gets the same answer again.
    Need(FactSet),
}

/// Asks the checks of a phase in their order. The first that counts and refuses decides; without
/// one, the strongest verdict on the message counts.
///
/// A check that lacks facts does not keep those behind it from naming theirs, so that a phase waits
/// for its slowest fact and not for the sum of all.
#[must_use]
pub fn evaluate(checks: &Checks, facts: &Facts, phase: Phase) -> Step {
    let mut trail = Vec::new();
    let mut missing = FactSet::default();
    for one in checks.in_phase(phase) {
        let mut reading = Reading::new(facts, &mut missing);
        let Ok(found) = one.check.examine(&mut reading) else {
            continue;
        };
        let (check, facts) = (one.check.name(), reading.used);
        let finding = match found {
            Found::CannotTell => Finding::CannotTell,
            Found::Fault { reply, why } => {
                Finding::Verdict(one.action.verdict(phase, check, reply, why), why)
            }
            Found::Nothing => Finding::Pass,
        };
        let refuses = one.mode == Mode::Enforce
            && matches!(&finding, Finding::Verdict(verdict, _) if Verdict::is_refusal(verdict));
        trail.push(Reason {
            check,
            mode: one.mode,
            finding,
            facts,
        });
        if refuses {
            // What is behind it is asked in no case.
            break;
        }
    }
    match missing.is_empty() {
        true => Step::Decided(Decision::of(trail)),
        false => Step::Need(missing),
    }
}

#[cfg(test)]
mod tests;
