//! Sites: their counts, and what was learned of them.

use mail::Moment;

use crate::concurrency::Concurrency;
use crate::due::Due;
use crate::job::{Counts, SiteState};
use crate::order::Sender;
use crate::registry::Id;

/// Names a site of one queue. It is valid while a destination leads there or an attempt is under
/// way, and while it is remembered ([`SITE_MEMORY`](crate::limits::SITE_MEMORY) from then on); then
/// it may name another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub(crate) u32);

impl Id for SiteId {
    fn of(slot: u32) -> Self {
        Self(slot)
    }

    fn slot(self) -> u32 {
        self.0
    }
}

/// A site as [`Queue::site_view`](crate::Queue::site_view) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteView<'a> {
    /// The name it was asked for by.
    pub name: &'a str,
    /// The attempts under way there, and the jobs that wait whose destination leads there.
    pub counts: Counts,
    /// How many attempts it may have under way while it is up.
    pub attempts_max: u32,
    /// What is known of it.
    pub state: SiteState,
    /// How often it failed in a row.
    pub failures: u32,
    /// When its next probe may begin, if it is down.
    pub down_until: Option<Moment>,
    /// When it failed last, if it is down.
    pub failed_at: Option<Moment>,
}

/// Where a site is in the order of sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SitePlace {
    /// No job of it may begin whatever the time: there is none, or its limit is reached.
    Nowhere,
    /// It has a job that may begin now.
    Ready(SiteState),
    /// It has a job that may begin then.
    Timer(Due),
}

#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) counts: Counts,
    /// How many destinations lead here.
    pub(crate) n_destinations: u32,
    pub(crate) concurrency: Concurrency,
    pub(crate) place: SitePlace,
    /// The sender who had the last turn.
    pub(crate) last_sender: Sender,
    /// How many attempts it began, wrapping.
    pub(crate) turns: u32,
}

impl Site {
    pub(crate) fn new(attempts_initial: u32) -> Self {
        Self {
            counts: Counts::default(),
            n_destinations: 0,
            concurrency: Concurrency::new(attempts_initial),
            place: SitePlace::Nowhere,
            last_sender: Sender::MAX,
            turns: 0,
        }
    }

    /// Whether it can be forgotten.
    pub(crate) const fn is_over(&self) -> bool {
        self.counts.n_under_way == 0 && self.n_destinations == 0
    }

    pub(crate) fn view<'a>(&self, name: &'a str) -> SiteView<'a> {
        let failures = self.concurrency.failures();
        SiteView {
            name,
            counts: self.counts,
            attempts_max: self.concurrency.limit(),
            state: self.concurrency.state(),
            failures,
            down_until: (failures > 0).then(|| self.concurrency.not_before().moment()),
            failed_at: self.concurrency.failed_at().map(Due::moment),
        }
    }
}
