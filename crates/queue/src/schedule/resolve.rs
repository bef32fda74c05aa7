//! Which destination is resolved next, and what its answer means.
//!
//! # Guarantees
//! A destination is resolved only when a job for it is due, once at a time. One that gets no answer
//! keeps its own jobs and one of [`RESOLUTIONS_MAX`] places; those that failed and those of which
//! nothing is known get a part of these, so that one that was resolved before finds a place.

use mail::Moment;

use super::{Queue, spread};
use crate::destination::{Destination, DestinationId, Leads};
use crate::due::Due;
use crate::job::{Resolution, Resolved};
use crate::limits::RESOLUTIONS_MAX;

impl Queue {
    pub(super) fn can_resolve(&self) -> bool {
        self.n_resolving < RESOLUTIONS_MAX && self.resolutions.next(|_| true).is_some()
    }

    /// The destination whose turn it is.
    pub(super) fn next_resolution(&mut self, now: Moment) -> Option<Resolution> {
        if self.n_resolving >= RESOLUTIONS_MAX {
            return None;
        }
        let turn = self.resolutions.next(|_| true)?;
        self.resolutions.took(turn);
        let id = turn.of();
        let state = self.destinations[id].state();
        self.resolutions.began(state);
        self.n_resolving += 1;
        self.destinations[id].leads = Leads::Asked;
        self.place(now, id);
        Some(Resolution {
            destination: id,
            state,
        })
    }

    /// What is known of where a destination leads does not hold any more.
    pub fn resolve_again(&mut self, now: Moment, id: DestinationId) {
        if let Some(site) = self.destinations.get(id).and_then(Destination::site) {
            self.unlead(now, id, site);
            self.place(now, id);
        }
    }

    /// What came of resolving a destination.
    ///
    /// # Panics
    /// When the resolution is not of this queue, or its site not valid.
    pub fn resolved(&mut self, now: Moment, resolution: Resolution, resolved: Resolved) {
        let id = resolution.destination;
        self.resolutions.ended(resolution.state);
        self.n_resolving -= 1;
        let destination = &mut self.destinations[id];
        match resolved {
            Resolved::To { site, until } => {
                destination.failures = 0;
                destination.not_before = Due::MIN;
                destination.was_resolved = true;
                // What holds for no time holds for the jobs that are due now.
                let soonest = Due::by(now).next();
                let until = until.map_or(Due::MAX, |until| Due::at(until).max(soonest));
                self.lead(id, site, until);
            }
            Resolved::Failed => {
                destination.failures = destination.failures.saturating_add(1);
                destination.failed_at = Due::by(now);
                let entropy = spread(id.0, destination.failures);
                let pause = self.settings.probes.delay(destination.failures, entropy);
                destination.not_before = Due::at(now + pause);
                destination.leads = Leads::Unknown;
            }
        }
        self.place(now, id);
    }
}
