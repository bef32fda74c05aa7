//! Recipients that may have a copy of which nobody knows, as their attempt was cut short.

use mail::event::What;
use spool::{IndexSet, Stored};

use crate::delivery::{Delivery, Settings};

impl Delivery {
    /// Tells which of these recipients may have a copy of which nobody knows, before another is
    /// made. True when there was one whose last attempt was cut short.
    pub(crate) fn note_doubt(
        &self,
        stored: &Stored,
        tried: &IndexSet,
        settings: &Settings,
    ) -> bool {
        let in_doubt = self
            .state()
            .messages
            .get(&stored.id)
            .map(|entry| entry.in_doubt);
        if in_doubt != Some(true) {
            return false;
        }
        let mut is_cut_short = false;
        for (index, state) in (0..).zip(&stored.recipients) {
            if !tried.contains(index) {
                continue;
            }
            // It began in an earlier process, or panicked: all others end before another begins.
            is_cut_short |= is_in_doubt(stored, index);
            // A key makes repetitions harmless, as long as there is who remembers it.
            let doubted = match state.handoff {
                Some(_) => settings.routes.handoff().is_none() && !state.disposition.is_final(),
                None => is_in_doubt(stored, index),
            };
            if !doubted {
                continue;
            }
            let about = self.about(stored, index, "", state.attempts, state.disposition);
            if let Some(about) = about {
                let trace = Some(stored.message.provenance.trace);
                self.emit(trace, What::PossibleDuplicate { about });
            }
        }
        is_cut_short
    }
}

/// Whether, after a crash, a recipient may already have its copy.
pub(crate) fn is_in_doubt(stored: &Stored, index: u32) -> bool {
    let place = usize::try_from(index).unwrap_or(usize::MAX);
    let state = stored.recipients.get(place);
    state.is_some_and(|state| !state.disposition.is_final()) && stored.under_way.contains(index)
}
