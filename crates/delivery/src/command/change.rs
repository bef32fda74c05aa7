//! What an operator's command changes of a message: computed here, committed elsewhere.

use std::collections::BTreeSet;

use mail::event::{About, What};
use mail::reply::table;
use mail::{Disposition, HandoffKey};
use spool::{IndexSet, RecipientState, Stored};

/// An operator's command about recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Drop,
    Hold,
    Release,
    Retry,
}

impl Command {
    pub(super) fn event(self, about: About, by: &str) -> What {
        match self {
            Self::Drop => What::Dropped {
                about,
                by: by.into(),
            },
            Self::Hold => What::Held {
                about,
                reason: format!("held by {by}").into(),
            },
            Self::Release | Self::Retry => What::Released {
                about,
                by: by.into(),
            },
        }
    }

    /// Whether a recipient that stands so is changed.
    fn applies_to(self, disposition: Disposition) -> bool {
        match self {
            Self::Drop => !disposition.is_final(),
            Self::Hold | Self::Retry => disposition == Disposition::Pending,
            Self::Release => disposition == Disposition::Held,
        }
    }
}

pub(super) fn changes(
    stored: &Stored,
    command: Command,
    recipients: Option<&[u32]>,
    by: &str,
) -> Vec<(u32, RecipientState)> {
    let wanted: Option<IndexSet> = recipients.map(|wanted| wanted.iter().copied().collect());
    let mut changes = Vec::new();
    for (index, state) in (0..).zip(&stored.recipients) {
        let named = wanted.as_ref().is_none_or(|wanted| wanted.contains(index));
        if !named || !command.applies_to(state.disposition) {
            continue;
        }
        let mut changed = state.clone();
        match command {
            Command::Drop => {
                changed.disposition = Disposition::Dropped;
                changed.handoff = None;
            }
            Command::Hold => {
                changed.disposition = Disposition::Held;
                changed.reply = Some(table::HELD.with_text(&format!("held by {by}")));
            }
            Command::Release | Command::Retry => changed.disposition = Disposition::Pending,
        }
        changes.push((index, changed));
    }
    changes
}

pub(super) fn n_open(stored: &Stored) -> u64 {
    stored
        .recipients
        .iter()
        .filter(|state| !state.disposition.is_final())
        .count() as u64
}

pub(super) fn pending(stored: &Stored) -> impl Iterator<Item = u32> {
    (0..)
        .zip(&stored.recipients)
        .filter(|(_, state)| state.disposition == Disposition::Pending)
        .map(|(index, _)| index)
}

pub(super) fn key_of(stored: &Stored, index: u32) -> Option<HandoffKey> {
    let place = usize::try_from(index).ok()?;
    stored.recipients.get(place)?.handoff
}

/// Whether the changes are to some of those that are bound to one key, and not to all: what is
/// handed on under it again would be another set.
pub(super) fn splits_a_key(stored: &Stored, changes: &[(u32, RecipientState)]) -> bool {
    let changed: IndexSet = changes.iter().map(|(index, _)| *index).collect();
    let keys: BTreeSet<_> = changes
        .iter()
        .filter_map(|(index, _)| key_of(stored, *index))
        .collect();
    (0..).zip(&stored.recipients).any(|(index, state)| {
        let bound = state.handoff.is_some_and(|key| keys.contains(&key));
        bound && !changed.contains(index)
    })
}
