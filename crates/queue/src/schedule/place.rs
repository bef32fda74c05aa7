//! Where a destination and a site belong after a change, or when their time has come.

use mail::Moment;

use super::Queue;
use crate::destination::{DestinationId, Lane, Leads};
use crate::due::Due;
use crate::job::JobState;
use crate::order::Promoted;
use crate::site::{SiteId, SitePlace};

/// What waits for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timed {
    Destination(DestinationId),
    Site(SiteId),
}

impl Queue {
    /// Forgets what was unused for long. A few at a time, so that no call is slow.
    pub(super) fn forget(&mut self, now: Moment) {
        const AT_ONCE: usize = 4;
        for _ in 0..AT_ONCE {
            if let Some(destination) = self.destinations.forget(now)
                && let Some(site) = destination.site()
            {
                self.sites[site].n_destinations -= 1;
                self.place_site(now, site);
            }
            self.sites.forget(now);
        }
    }

    /// Puts where they belong those whose time has come.
    pub(super) fn run_timers(&mut self, now: Moment) {
        while let Some(&(first, timed)) = self.timers.first()
            && first <= Due::by(now)
        {
            match timed {
                Timed::Destination(id) => self.place(now, id),
                Timed::Site(id) => self.place_site(now, id),
            }
        }
    }

    /// A destination leads to this site.
    pub(super) fn lead(&mut self, id: DestinationId, site: SiteId, until: Due) {
        let destination = &mut self.destinations[id];
        destination.leads = Leads::To { site, until };
        destination.promoted = Promoted::NOBODY;
        let n_waiting = destination.counts.n_waiting;
        self.sites.wake(site);
        let site = &mut self.sites[site];
        site.n_destinations += 1;
        site.counts.n_waiting += n_waiting;
    }

    /// It does not lead anywhere any more.
    pub(super) fn unlead(&mut self, now: Moment, id: DestinationId, site: SiteId) {
        self.leave_lane(id);
        let destination = &mut self.destinations[id];
        destination.leads = Leads::Unknown;
        destination.promoted = Promoted::NOBODY;
        let n_waiting = destination.counts.n_waiting;
        let of_site = &mut self.sites[site];
        of_site.n_destinations -= 1;
        of_site.counts.n_waiting -= n_waiting;
        self.place_site(now, site);
    }

    /// Puts a destination where it belongs, and the site that it leads to.
    pub(super) fn place(&mut self, now: Moment, id: DestinationId) {
        if let Leads::To { site, until } = self.destinations[id].leads
            && until <= Due::by(now)
        {
            self.unlead(now, id, site);
        }
        let new = self.lane_of(now, id);
        if self.destinations[id].lane != new {
            self.leave_lane(id);
            self.enter_lane(id, new);
        }
        if self.destinations[id].is_over() {
            self.destinations.rest(now, id);
        }
        if let Some(site) = self.destinations[id].site() {
            self.place_site(now, site);
        }
    }

    fn lane_of(&self, now: Moment, id: DestinationId) -> Lane {
        let destination = &self.destinations[id];
        let Some(earliest) = self.order.earliest(id) else {
            return Lane::Nowhere;
        };
        match destination.leads {
            Leads::Asked => Lane::Nowhere,
            Leads::To { site, until } => Lane::At {
                site,
                earliest,
                upcoming: self.order.upcoming(id, destination.promoted),
                until,
            },
            Leads::Unknown => {
                let due = earliest.max(destination.not_before);
                if due > Due::by(now) {
                    Lane::Timer(due)
                } else {
                    Lane::Turns(destination.state())
                }
            }
        }
    }

    fn leave_lane(&mut self, id: DestinationId) {
        let lane = &mut self.destinations[id].lane;
        match std::mem::replace(lane, Lane::Nowhere) {
            Lane::Nowhere => {}
            Lane::Turns(state) => self.resolutions.remove(state, id),
            Lane::Timer(due) => {
                self.timers.remove(&(due, Timed::Destination(id)));
            }
            Lane::At {
                site,
                earliest,
                upcoming,
                until,
            } => {
                self.order.leave_site(site, id, earliest, upcoming);
                self.timers.remove(&(until, Timed::Destination(id)));
            }
        }
    }

    fn enter_lane(&mut self, id: DestinationId, lane: Lane) {
        match lane {
            Lane::Nowhere => {}
            Lane::Turns(state) => self.resolutions.insert(state, id),
            Lane::Timer(due) => {
                self.timers.insert((due, Timed::Destination(id)));
            }
            Lane::At {
                site,
                earliest,
                upcoming,
                until,
            } => {
                self.order.enter_site(site, id, earliest, upcoming);
                if until < Due::MAX {
                    self.timers.insert((until, Timed::Destination(id)));
                }
            }
        }
        self.destinations[id].lane = lane;
    }

    /// Puts a site where it belongs.
    pub(super) fn place_site(&mut self, now: Moment, id: SiteId) {
        let (old, new) = (self.sites[id].place, self.place_of(now, id));
        if old != new {
            match old {
                SitePlace::Nowhere => {}
                SitePlace::Ready(state) => self.turns.remove(state, id),
                SitePlace::Timer(due) => {
                    self.timers.remove(&(due, Timed::Site(id)));
                }
            }
            match new {
                SitePlace::Nowhere => {}
                SitePlace::Ready(state) => self.turns.insert(state, id),
                SitePlace::Timer(due) => {
                    self.timers.insert((due, Timed::Site(id)));
                }
            }
            self.sites[id].place = new;
        }
        if self.sites[id].is_over() {
            self.sites.rest(now, id);
        }
    }

    fn place_of(&self, now: Moment, id: SiteId) -> SitePlace {
        let site = &self.sites[id];
        let Some(earliest) = self.order.earliest_at(id) else {
            return SitePlace::Nowhere;
        };
        if !site.concurrency.has_room(site.counts.n_under_way) {
            return SitePlace::Nowhere;
        }
        let due = earliest.max(site.concurrency.not_before());
        if due > Due::by(now) {
            SitePlace::Timer(due)
        } else {
            SitePlace::Ready(site.concurrency.state())
        }
    }

    /// Brings into the round of a site who came due, a part at a time.
    pub(super) fn promote(&mut self, now: Moment, site: SiteId) {
        const AT_ONCE: usize = 64;
        let due = Due::by(now);
        for _ in 0..AT_ONCE {
            let Some(id) = self.order.next_upcoming(site, due) else {
                return;
            };
            let promoted = self.destinations[id].promoted;
            let promoted = self.order.promote(id, site, promoted, due);
            self.destinations[id].promoted = promoted;
            self.place(now, id);
        }
    }

    pub(super) fn count_in(&mut self, id: DestinationId, state: JobState) {
        *self.totals.count_mut(state) += 1;
        *self.destinations[id].counts.count_mut(state) += 1;
        if let (JobState::Waiting, Some(site)) = (state, self.destinations[id].site()) {
            self.sites[site].counts.n_waiting += 1;
        }
    }

    pub(super) fn count_out(&mut self, id: DestinationId, state: JobState) {
        *self.totals.count_mut(state) -= 1;
        *self.destinations[id].counts.count_mut(state) -= 1;
        if let (JobState::Waiting, Some(site)) = (state, self.destinations[id].site()) {
            self.sites[site].counts.n_waiting -= 1;
        }
    }
}
