//! The checks, and their list.

mod recipient_validity;
mod relay_control;

use crate::fact::{FactKey, Reading};
use crate::phase::Phase;
use crate::verdict::{Finding, Mode};

/// One question asked of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Check {
    /// Does the recipient exist?
    RecipientValidity,
    /// May this origin send to this recipient?
    RelayControl,
}

impl Check {
    /// Its name in logs, trails and configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RecipientValidity => "recipient-validity",
            Self::RelayControl => "relay-control",
        }
    }

    /// When it is asked.
    #[must_use]
    pub const fn phase(self) -> Phase {
        match self {
            Self::RecipientValidity | Self::RelayControl => Phase::Rcpt,
        }
    }

    /// Asks it; `Err` names a fact that it needs first.
    pub(crate) fn find(self, facts: &mut Reading<'_>) -> Result<Finding, FactKey> {
        match self {
            Self::RecipientValidity => recipient_validity::find(facts),
            Self::RelayControl => relay_control::find(facts),
        }
    }
}

/// A check, and whether it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configured {
    /// The check.
    pub check: Check,
    /// Whether it counts.
    pub mode: Mode,
}

/// The checks of an instance, in the order in which they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks(Vec<Configured>);

impl Checks {
    /// A list in this order, behind relay control, which is always there and always enforced
    /// whatever the list says of it.
    #[must_use]
    pub fn new(list: impl IntoIterator<Item = Configured>) -> Self {
        let first = Configured {
            check: Check::RelayControl,
            mode: Mode::Enforce,
        };
        let others = list
            .into_iter()
            .filter(|configured| configured.check != first.check);
        Self(std::iter::once(first).chain(others).collect())
    }

    /// The checks that are to be asked in `phase`.
    pub(crate) fn in_phase(&self, phase: Phase) -> impl Iterator<Item = Configured> {
        let asked = move |one: &Configured| one.mode != Mode::Off && one.check.phase() == phase;
        self.0.iter().copied().filter(asked)
    }
}

impl Default for Checks {
    /// What an instance asks without being told: every check, enforced.
    fn default() -> Self {
        Self::new([Configured {
            check: Check::RecipientValidity,
            mode: Mode::Enforce,
        }])
    }
}
