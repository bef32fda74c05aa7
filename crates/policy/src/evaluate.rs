//! From facts to a decision.

use crate::check::Checks;
use crate::fact::{FactKey, Facts, Reading};
use crate::phase::Phase;
use crate::verdict::{Decision, Finding, Mode, Reason, Verdict};

/// What an evaluation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The verdict.
    Decided(Decision),
    /// Gather this fact and ask again. A fact that is not to be had is a fact as well, such as
    /// [`Standing::NoAnswer`](crate::Standing::NoAnswer): who asks again without having learned it
    /// asks for ever.
    Need(FactKey),
}

/// Asks the checks of a phase in their order. The first that counts and gives a final verdict
/// decides; if none does, the transaction goes on.
#[must_use]
pub fn evaluate(checks: &Checks, facts: &Facts, phase: Phase) -> Step {
    let mut because = Vec::new();
    for one in checks.in_phase(phase) {
        let mut reading = Reading::of(facts);
        let finding = match one.check.find(&mut reading) {
            Ok(finding) => finding,
            Err(key) => return Step::Need(key),
        };
        let decides = match &finding {
            Finding::Says(verdict) if one.mode == Mode::Enforce && verdict.is_final() => {
                Some(verdict.clone())
            }
            Finding::Passes | Finding::Says(_) => None,
        };
        because.push(Reason {
            check: one.check.name(),
            mode: one.mode,
            finding,
            facts: reading.used,
        });
        if let Some(verdict) = decides {
            return Step::Decided(Decision { verdict, because });
        }
    }
    Step::Decided(Decision {
        verdict: Verdict::Accept,
        because,
    })
}

#[cfg(test)]
mod tests;
