//! What is queued, for who looks.

use mail::MessageId;

use super::{Entry, Key, Queue};
use crate::destination::{DestinationId, DestinationView};
use crate::due::Due;
use crate::job::{Counts, JobView};
use crate::site::{SiteId, SiteView};

impl Queue {
    /// How many jobs there are.
    #[must_use]
    pub const fn totals(&self) -> Counts {
        self.totals
    }

    /// One job; `None` where there is none.
    #[must_use]
    pub fn job(&self, id: MessageId, destination: DestinationId) -> Option<JobView> {
        let key = (id, destination);
        self.jobs.get(&key).map(|entry| self.view(key, entry))
    }

    /// The jobs of one message.
    pub fn jobs_of(&self, id: MessageId) -> impl Iterator<Item = JobView> {
        self.jobs
            .range((id, DestinationId(0))..=(id, DestinationId(u32::MAX)))
            .map(|(&key, entry)| self.view(key, entry))
    }

    /// A destination; `None` where the id is not valid.
    #[must_use]
    pub fn destination_view(&self, id: DestinationId) -> Option<DestinationView<'_>> {
        let destination = self.destinations.get(id)?;
        Some(destination.view(self.destinations.name(id)))
    }

    /// A site; `None` where the id is not valid.
    #[must_use]
    pub fn site_view(&self, id: SiteId) -> Option<SiteView<'_>> {
        let site = self.sites.get(id)?;
        Some(site.view(self.sites.name(id)))
    }

    /// How many jobs wait for what has this name, or are under way there: a site, or a destination
    /// of which is not known where it leads.
    #[must_use]
    pub fn counts_of(&self, name: &str) -> Counts {
        let site = self.sites.find(name).map(|id| self.sites[id].counts);
        let of = self.destinations.find(name);
        site.or_else(|| of.map(|id| self.destinations[id].counts))
            .unwrap_or_default()
    }

    fn view(&self, (id, destination): Key, entry: &Entry) -> JobView {
        let of = &self.destinations[destination];
        let site = of.site().map(|site| &self.sites[site].concurrency);
        let not_before = site.map_or(Due::MIN, |site| site.not_before());
        JobView {
            id,
            destination,
            state: entry.state.public(),
            due: entry.due.max(of.not_before).max(not_before).moment(),
        }
    }

    #[cfg(test)]
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.jobs.keys().copied()
    }
}
