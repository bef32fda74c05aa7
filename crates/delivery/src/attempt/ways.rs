//! Which recipients of a message an attempt carries, and by what.

use std::collections::BTreeMap;
use std::sync::Arc;

use mail::dsn::Action;
use mail::reply::table;
use mail::{Disposition, HandoffKey, Outcome};
use spool::{IndexSet, RecipientState, Stored};

use super::twins::Twins;
use crate::delivery::{Settings, fairness_key};
use crate::record::{CarriedBy, Tried};
use crate::resolver::{Destination, Via};
use crate::transport::{By, Transport};

/// Destinations of other recipients of a message by now.
#[derive(Default)]
pub(super) struct Elsewhere {
    pub(super) destinations: BTreeMap<Box<str>, Destination>,
    pub(super) sender: u64,
}

/// The recipients that have this destination, by what carries them, and the destinations of all
/// others. What carries those whose destination is resolved is in `resolved`.
///
/// Those in `away` are being tried by an earlier process.
pub(super) fn ways(
    stored: &Stored,
    destination: &str,
    resolved: Option<&Arc<Transport>>,
    settings: &Settings,
    away: &IndexSet,
) -> (Vec<Way>, Elsewhere) {
    let mut ways: BTreeMap<_, Way> = BTreeMap::new();
    let mut elsewhere = Elsewhere {
        destinations: BTreeMap::new(),
        sender: fairness_key(stored),
    };
    for (index, state) in (0..).zip(&stored.recipients) {
        if state.disposition != Disposition::Pending || away.contains(index) {
            continue;
        }
        let of = settings.destination(stored, index);
        if *of.name != *destination {
            elsewhere.destinations.insert(of.name.clone(), of);
            continue;
        }
        let (place, transport) = match settings.via(stored, index) {
            Ok(Via::Transport(transport)) => (Arc::as_ptr(&transport) as usize, transport),
            Ok(Via::Resolver(_)) => match resolved {
                Some(transport) => (Arc::as_ptr(transport) as usize, Arc::clone(transport)),
                // It was forgotten: its job is queued anew, and then it is resolved.
                None => {
                    elsewhere.destinations.insert(of.name.clone(), of);
                    continue;
                }
            },
            Err(reply) => (usize::MAX, Arc::new(Transport::Error(reply))),
        };
        // Under a key exactly those go that are bound to it.
        let handoff = transport.handoff().and(state.handoff);
        let way = ways.entry((place, handoff)).or_insert_with(|| Way {
            transport,
            handoff,
            recipients: Vec::new(),
        });
        way.recipients.push(index);
    }
    (ways.into_values().collect(), elsewhere)
}

/// Recipients that one transport carries together.
pub(super) struct Way {
    pub(super) transport: Arc<Transport>,
    /// The key that they are bound to, on their way to the next instance.
    pub(super) handoff: Option<HandoffKey>,
    pub(super) recipients: Vec<u32>,
}

impl Way {
    /// Where its recipients stand.
    pub(super) fn states<'a>(
        &'a self,
        stored: &'a Stored,
    ) -> impl Iterator<Item = (u32, &'a RecipientState)> {
        let of = |&index: &u32| {
            let place = usize::try_from(index).ok()?;
            Some((index, stored.recipients.get(place)?))
        };
        self.recipients.iter().filter_map(of)
    }

    /// The recipients among them that are one, as this transport sees them.
    pub(super) fn twins(&self, stored: &Stored) -> Twins {
        Twins::among(&self.recipients, stored, &self.transport)
    }

    pub(super) fn tried(&self, outcomes: &[Outcome]) -> Vec<Tried> {
        self.tried_with(outcomes, None, &By::Transport)
    }

    /// What came of them; `success` is what a sender is to be told of those that were delivered.
    pub(super) fn tried_with(
        &self,
        outcomes: &[Outcome],
        success: Option<Action>,
        by: &By,
    ) -> Vec<Tried> {
        // A transport that forgot one has not delivered it.
        let missing = Outcome::deferred(table::TRY_AGAIN.reply());
        let outcomes = outcomes.iter().chain(std::iter::repeat(&missing));
        let pairs = self.recipients.iter().zip(outcomes);
        let by = || match by {
            By::Exchanger(host) => CarriedBy::Exchanger { host: host.clone() },
            By::Nothing => CarriedBy::Nothing(Arc::clone(&self.transport)),
            By::Transport => CarriedBy::Here(Arc::clone(&self.transport)),
        };
        pairs
            .map(|(&index, outcome)| Tried {
                index,
                outcome: outcome.clone(),
                by: by(),
                handoff: self.handoff,
                success,
            })
            .collect()
    }
}
