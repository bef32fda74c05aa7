//! The checks that exist, and the list of those that are asked.

pub(crate) mod bounce_recipients;
pub(crate) mod early_talker;
pub(crate) mod hello_identity;
pub(crate) mod own_sender;
pub(crate) mod recipient_validity;
pub(crate) mod relay_control;
pub(crate) mod repeated_field;

use std::sync::Arc;

use crate::check::Check;
use crate::phase::Phase;
use crate::verdict::{Action, Mode};
use recipient_validity::RecipientValidity;
use relay_control::RelayControl;

/// A check, whether it counts, and what is done where it finds something.
#[derive(Clone, Debug)]
pub struct Configured {
    /// The check.
    pub check: Arc<dyn Check>,
    /// Whether it counts.
    pub mode: Mode,
    /// What is done where it finds something.
    pub action: Action,
}

impl Configured {
    /// A check that refuses what it finds.
    pub fn new(check: impl Check + 'static, mode: Mode) -> Self {
        Self {
            check: Arc::new(check),
            mode,
            action: Action::Refuse,
        }
    }

    /// The same, with another action.
    #[must_use]
    pub fn with_action(self, action: Action) -> Self {
        Self { action, ..self }
    }
}

/// The checks of an entry, in the order in which they are asked.
#[derive(Clone, Debug)]
pub struct Checks {
    list: Vec<Configured>,
    /// By phase: whether any is asked in it.
    asks: [bool; Phase::ALL.len()],
}

impl Checks {
    /// A list in this order, behind relay control, which is always there and always enforced
    /// whatever the list says of it. What is off is left out.
    #[must_use]
    pub fn new(list: impl IntoIterator<Item = Configured>) -> Self {
        let first = Configured::new(RelayControl, Mode::Enforce);
        let name = first.check.name();
        let others = list
            .into_iter()
            .filter(|one| one.check.name() != name && one.mode != Mode::Off);
        let list: Vec<_> = std::iter::once(first).chain(others).collect();
        let asks = Phase::ALL.map(|phase| list.iter().any(|one| one.check.phase() == phase));
        Self { list, asks }
    }

    /// Whether any check is asked in `phase`.
    #[must_use]
    pub const fn asks_in(&self, phase: Phase) -> bool {
        self.asks[phase as usize]
    }

    /// The checks that are to be asked in `phase`.
    pub(crate) fn in_phase(&self, phase: Phase) -> impl Iterator<Item = &Configured> {
        self.list
            .iter()
            .filter(move |one| one.check.phase() == phase)
    }
}

impl Default for Checks {
    /// What other instances of ours are asked, whose clients were checked where they came in: who
    /// may send to whom.
    fn default() -> Self {
        Self::new([Configured::new(RecipientValidity, Mode::Enforce)])
    }
}
