//! Sites: their names, their counts, and what was learned of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use mail::Moment;

use crate::concurrency::Concurrency;
use crate::due::Due;
use crate::job::{Counts, Standing};
use crate::limits::{SITE_MEMORY, SITES_IDLE_MAX};
use crate::order::{Promoted, Sender};

/// Names a site of one queue. It is valid while the site has jobs, and while it is remembered
/// ([`SITE_MEMORY`] after it was asked for or had its last job); then it may name another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(pub(crate) u32);

/// A site as [`Queue::site_view`](crate::Queue::site_view) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteView<'a> {
    /// The name it was asked for by.
    pub name: &'a str,
    /// How many of its jobs stand where.
    pub counts: Counts,
    /// How many attempts it may have under way while it is up.
    pub attempts_max: u32,
    /// What is known of it.
    pub standing: Standing,
    /// How often it failed in a row.
    pub failures: u32,
    /// When its next probe may begin, if it is down.
    pub down_until: Option<Moment>,
    /// When it failed last, if it is down.
    pub failed_at: Option<Moment>,
}

/// Where a site stands in the order of sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It has no jobs, and is forgotten then.
    Idle(Due),
    /// It has jobs, and none that may begin whatever the time: all held or under way, or its limit
    /// is reached.
    Nowhere,
    /// It has a job that may begin now.
    Ready(Standing),
    /// It has a job that may begin then.
    Timer(Due),
}

#[derive(Debug)]
pub(crate) struct Site {
    name: Arc<str>,
    pub(crate) counts: Counts,
    pub(crate) concurrency: Concurrency,
    pub(crate) place: Place,
    /// Which senders are in the round; see [`crate::order`].
    pub(crate) promoted: Promoted,
    /// The sender who had the last turn.
    pub(crate) last_sender: Sender,
    /// How many attempts it began, wrapping.
    pub(crate) turns: u32,
}

/// All sites, and those that are to be forgotten.
#[derive(Debug, Default)]
pub(crate) struct Sites {
    slots: Vec<Option<Site>>,
    free: Vec<u32>,
    by_name: HashMap<Arc<str>, SiteId>,
    idle: BTreeSet<(Due, SiteId)>,
}

impl Sites {
    pub(crate) fn intern(&mut self, now: Moment, name: &str, attempts_initial: u32) -> SiteId {
        if let Some(&id) = self.by_name.get(name) {
            if matches!(self[id].place, Place::Idle(_)) {
                self.rest(now, id);
            }
            return id;
        }
        let name: Arc<str> = name.into();
        let site = Site {
            name: Arc::clone(&name),
            counts: Counts::default(),
            concurrency: Concurrency::new(attempts_initial),
            place: Place::Nowhere,
            promoted: Promoted::NOBODY,
            last_sender: Sender::MAX,
            turns: 0,
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("invariant: fewer than 2^32 sites")
        });
        let id = SiteId(slot);
        self.slots[slot as usize] = Some(site);
        self.by_name.insert(name, id);
        self.rest(now, id);
        id
    }

    /// Remembers a site without jobs for a while.
    pub(crate) fn rest(&mut self, now: Moment, id: SiteId) {
        self.wake(id);
        let due = Due::at(now + SITE_MEMORY);
        self.idle.insert((due, id));
        self[id].place = Place::Idle(due);
    }

    /// The site has jobs again.
    pub(crate) fn wake(&mut self, id: SiteId) {
        if let Place::Idle(due) = self[id].place {
            self.idle.remove(&(due, id));
            self[id].place = Place::Nowhere;
        }
    }

    /// Forgets sites that have been without jobs for long, or that are too many. A few at a time,
    /// so that no call is slow.
    pub(crate) fn forget(&mut self, now: Moment) {
        const AT_ONCE: usize = 4;
        for _ in 0..AT_ONCE {
            let Some(&(due, id)) = self.idle.first() else {
                return;
            };
            if due > Due::by(now) && self.idle.len() <= SITES_IDLE_MAX {
                return;
            }
            self.idle.pop_first();
            if let Some(site) = self.slots[id.0 as usize].take() {
                self.by_name.remove(&site.name);
                self.free.push(id.0);
            }
        }
    }

    pub(crate) fn get(&self, id: SiteId) -> Option<&Site> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = SiteId> + '_ {
        (0..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.is_some())
            .map(|(i, _)| SiteId(i))
    }
}

impl std::ops::Index<SiteId> for Sites {
    type Output = Site;

    fn index(&self, id: SiteId) -> &Site {
        self.get(id)
            .expect("invariant: a site id in use is valid; see SiteId")
    }
}

impl std::ops::IndexMut<SiteId> for Sites {
    fn index_mut(&mut self, id: SiteId) -> &mut Site {
        self.slots
            .get_mut(id.0 as usize)
            .and_then(Option::as_mut)
            .expect("invariant: a site id in use is valid; see SiteId")
    }
}

impl Site {
    pub(crate) fn view(&self) -> SiteView<'_> {
        let failures = self.concurrency.failures();
        SiteView {
            name: &self.name,
            counts: self.counts,
            attempts_max: self.concurrency.limit(),
            standing: self.concurrency.standing(),
            failures,
            down_until: (failures > 0).then(|| self.concurrency.not_before().moment()),
            failed_at: self.concurrency.failed_at().map(Due::moment),
        }
    }
}
