//! Destinations: what jobs are queued under, and what is known of where each of them leads.

use mail::Moment;

use crate::due::Due;
use crate::job::{Counts, SiteState};
use crate::order::Promoted;
use crate::registry::Id;
use crate::site::SiteId;

/// Names a destination of one queue. It is valid while the destination has jobs, and while it is
/// remembered ([`SITE_MEMORY`](crate::limits::SITE_MEMORY) after it was asked for or had its last
/// job); then it may name another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationId(pub(crate) u32);

impl Id for DestinationId {
    fn of(slot: u32) -> Self {
        Self(slot)
    }

    fn slot(self) -> u32 {
        self.0
    }
}

/// A destination as [`Queue::destination_view`](crate::Queue::destination_view) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestinationView<'a> {
    /// The name it was asked for by.
    pub name: &'a str,
    /// How many of its jobs are where.
    pub counts: Counts,
    /// The site that it leads to, if that is known.
    pub site: Option<SiteId>,
    /// What became of resolving it: up where that worked last, down where it failed.
    pub state: SiteState,
    /// When it may be resolved again, if that failed last.
    pub down_until: Option<Moment>,
    /// When resolving it failed last, if that was the last time.
    pub failed_at: Option<Moment>,
}

/// Where a destination leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// Nobody asked yet, or not for too long.
    Unknown,
    /// That is being found out.
    Asked,
    /// To this site, until then.
    To { site: SiteId, until: Due },
}

/// Where a destination is in the order of destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// It has no jobs that wait, or it is being resolved.
    Nowhere,
    /// It is to be resolved now.
    Turns(SiteState),
    /// It is to be resolved then.
    Timer(Due),
    /// At its site.
    At {
        site: SiteId,
        /// When its earliest job is due.
        earliest: Due,
        /// When the earliest of its senders outside the round of the site is due.
        upcoming: Option<Due>,
        /// Until when it leads there.
        until: Due,
    },
}

#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) counts: Counts,
    pub(crate) leads: Leads,
    pub(crate) lane: Lane,
    /// Which of its senders are in the round of its site; see [`crate::order`].
    pub(crate) promoted: Promoted,
    /// How often resolving it failed in a row.
    pub(crate) failures: u32,
    /// When it may be resolved again.
    pub(crate) not_before: Due,
    pub(crate) failed_at: Due,
    /// Whether it was ever resolved.
    pub(crate) was_resolved: bool,
}

impl Destination {
    pub(crate) fn new() -> Self {
        Self {
            counts: Counts::default(),
            leads: Leads::Unknown,
            lane: Lane::Nowhere,
            promoted: Promoted::NOBODY,
            failures: 0,
            not_before: Due::MIN,
            failed_at: Due::MIN,
            was_resolved: false,
        }
    }

    pub(crate) const fn site(&self) -> Option<SiteId> {
        match self.leads {
            Leads::To { site, .. } => Some(site),
            Leads::Unknown | Leads::Asked => None,
        }
    }

    pub(crate) const fn state(&self) -> SiteState {
        match (self.failures, self.was_resolved) {
            (0, true) => SiteState::Up,
            (0, false) => SiteState::New,
            (1.., _) => SiteState::Down,
        }
    }

    /// Whether it can be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        self.counts.n_all() == 0 && self.leads != Leads::Asked
    }

    pub(crate) fn view<'a>(&self, name: &'a str) -> DestinationView<'a> {
        let is_down = self.failures > 0;
        DestinationView {
            name,
            counts: self.counts,
            site: self.site(),
            state: self.state(),
            down_until: is_down.then(|| self.not_before.moment()),
            failed_at: is_down.then(|| self.failed_at.moment()),
        }
    }
}
