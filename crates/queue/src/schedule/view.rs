//! What is queued, for who looks.

use std::ops::Bound;

use mail::MessageId;

use super::{Entry, Queue};
use crate::job::{Counts, JobView};
use crate::site::{SiteId, SiteView};

impl Queue {
    /// How many jobs stand where.
    #[must_use]
    pub const fn totals(&self) -> Counts {
        self.totals
    }

    /// One job; `None` where there is none.
    #[must_use]
    pub fn job(&self, id: MessageId, site: SiteId) -> Option<JobView> {
        self.jobs
            .get(&(id, site))
            .map(|entry| self.view((id, site), entry))
    }

    /// The jobs of one message.
    pub fn jobs_of(&self, id: MessageId) -> impl Iterator<Item = JobView> {
        self.jobs
            .range((id, SiteId(0))..=(id, SiteId(u32::MAX)))
            .map(|(&key, entry)| self.view(key, entry))
    }

    /// The jobs after `last` (from the first, without one), in the order of their messages' ids. So
    /// a list or a sweep goes on where it stopped, whatever happened in between.
    pub fn jobs_after(&self, last: Option<(MessageId, SiteId)>) -> impl Iterator<Item = JobView> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.jobs
            .range((from, Bound::Unbounded))
            .map(|(&key, entry)| self.view(key, entry))
    }

    /// All sites that are remembered, those without jobs too.
    pub fn sites(&self) -> impl Iterator<Item = SiteId> {
        self.sites.ids()
    }

    /// A site; `None` where the id is not valid.
    #[must_use]
    pub fn site_view(&self, site: SiteId) -> Option<SiteView<'_>> {
        self.sites.get(site).map(|site| site.view())
    }

    fn view(&self, (id, site): (MessageId, SiteId), entry: &Entry) -> JobView {
        JobView {
            id,
            site,
            state: entry.state.public(),
            due: entry
                .due
                .max(self.sites[site].concurrency.not_before())
                .moment(),
        }
    }
}
