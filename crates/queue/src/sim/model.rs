//! What the queue must be like, in the plainest form, and compared with what it does.

use std::collections::{BTreeMap, BTreeSet};

use mail::{MessageId, Moment};

use crate::limits::OLDEST_EVERY;
use crate::{Attempt, Counts, DestinationId, Queue, Resolution, Settings, SiteId, SiteState};

pub(super) type Key = (MessageId, DestinationId);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    UnderWay(Option<SiteId>),
    Waiting(Moment),
}

#[derive(Default)]
struct Site {
    n_under_way: u32,
    /// Attempts that others began while this site could have begun one.
    passed_over: usize,
    /// Attempts of this site since one that was the oldest due.
    since_oldest: u32,
}

#[derive(Default)]
struct Destination {
    waiting: BTreeSet<(Moment, MessageId)>,
    n_under_way: u32,
    /// Where it leads, and until when.
    leads: Option<(SiteId, Option<Moment>)>,
    is_asked: bool,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) jobs: BTreeMap<Key, State>,
    destinations: BTreeMap<DestinationId, Destination>,
    sites: BTreeMap<SiteId, Site>,
    n_under_way: u32,
    /// Attempts that began while their site was down.
    probes: BTreeSet<Key>,
    /// Attempts that began while nothing was known of their site.
    new: BTreeSet<Key>,
}

impl Destination {
    fn site(&self, now: Moment) -> Option<SiteId> {
        let (site, until) = self.leads?;
        until.is_none_or(|until| until > now).then_some(site)
    }

    fn is_due(&self, now: Moment) -> bool {
        self.waiting.first().is_some_and(|(due, _)| *due <= now)
    }
}

impl Model {
    pub(super) fn set(&mut self, (id, of): Key, state: Option<State>) {
        let destination = self.destinations.entry(of).or_default();
        match self.jobs.remove(&(id, of)) {
            Some(State::UnderWay(site)) => {
                if let Some(site) = site {
                    self.sites.get_mut(&site).expect("it has one").n_under_way -= 1;
                }
                destination.n_under_way -= 1;
                self.n_under_way -= 1;
                self.probes.remove(&(id, of));
                self.new.remove(&(id, of));
            }
            Some(State::Waiting(due)) => assert!(destination.waiting.remove(&(due, id))),
            None => {}
        }
        match state {
            Some(State::UnderWay(site)) => {
                if let Some(site) = site {
                    self.sites.entry(site).or_default().n_under_way += 1;
                }
                destination.n_under_way += 1;
                self.n_under_way += 1;
            }
            Some(State::Waiting(due)) => assert!(destination.waiting.insert((due, id))),
            None => {}
        }
        if let Some(state) = state {
            self.jobs.insert((id, of), state);
        }
    }

    /// Checks that a destination may be resolved now.
    pub(super) fn ask(&mut self, resolution: &Resolution, queue: &Queue, now: Moment) {
        let destination = self.destinations.get_mut(&resolution.destination);
        let destination = destination.expect("one with jobs is resolved");
        assert!(!destination.is_asked, "resolved twice at a time");
        assert!(destination.is_due(now), "resolved for nothing that is due");
        assert_eq!(destination.site(now), None, "resolved and known");
        let view = queue.destination_view(resolution.destination).unwrap();
        assert!(view.down_until.is_none_or(|until| until <= now));
        destination.is_asked = true;
        destination.leads = None;
    }

    pub(super) fn answer(&mut self, of: DestinationId, leads: Option<(SiteId, Option<Moment>)>) {
        let destination = self.destinations.get_mut(&of).expect("it was asked for");
        destination.is_asked = false;
        destination.leads = leads;
    }

    /// A destination is asked for by its name: without jobs it may have been forgotten meanwhile.
    pub(super) fn named(&mut self, of: DestinationId, queue: &Queue) {
        let destination = self.destinations.entry(of).or_default();
        let view = queue.destination_view(of).expect("it was asked for");
        if view.counts == Counts::default() && view.site.is_none() {
            destination.leads = None;
        }
    }

    /// Likewise a site.
    pub(super) fn named_site(&mut self, id: SiteId, queue: &Queue) {
        let view = queue.site_view(id).expect("it was asked for");
        if view.state == SiteState::New && view.counts == Counts::default() {
            self.sites.insert(id, Site::default());
        }
    }

    /// When the oldest job that waits at a site is due.
    fn oldest(&self, site: SiteId, now: Moment) -> Option<Moment> {
        let of_site = self.destinations.values();
        let of_site = of_site.filter(|destination| destination.site(now) == Some(site));
        let first = of_site.filter_map(|destination| destination.waiting.first());
        first.map(|(due, _)| *due).min()
    }

    /// The sites that could begin an attempt now, by what the queue says of them.
    pub(super) fn able(&mut self, queue: &Queue, settings: &Settings, now: Moment) -> Vec<SiteId> {
        let lead = self.destinations.values().filter_map(|of| of.site(now));
        for site in lead.collect::<Vec<_>>() {
            self.sites.entry(site).or_default();
        }
        let n_free = settings.attempts_max.saturating_sub(self.n_under_way);
        let count = |keys: &BTreeSet<Key>| u32::try_from(keys.len()).expect("small");
        let (n_probes, n_new) = (count(&self.probes), count(&self.new));
        let probes_max = (settings.attempts_max / 2).max(1);
        let unsure_max = settings.attempts_max - settings.attempts_max / 5;
        // What an operator takes is beyond all limits.
        let n_unsure_left = unsure_max.saturating_sub(n_probes + n_new);
        let could = |(&id, site): (&SiteId, &Site)| {
            let oldest = self.oldest(id, now)?;
            let view = queue.site_view(id).expect("a site with jobs is known");
            let n = site.n_under_way;
            let room = match view.state {
                SiteState::Down => {
                    let comes = view.down_until.is_some_and(|until| until <= now);
                    comes && n == 0 && n_probes < probes_max && n_unsure_left > 0
                }
                SiteState::New => {
                    let share = n == 0 || 2 * n <= n_free.min(n_unsure_left);
                    share && n < view.attempts_max && n_unsure_left > 0
                }
                SiteState::Up => (n == 0 || n < n_free) && n < view.attempts_max,
            };
            (oldest <= now && room).then_some(id)
        };
        self.sites.iter().filter_map(could).collect()
    }

    /// Checks an attempt against all promises and follows it; `able` is from just before it.
    pub(super) fn begin(&mut self, attempt: &Attempt, able: &[SiteId], now: Moment) {
        let key = (attempt.id, attempt.destination);
        let site = attempt.site.expect("an attempt in its turn has a site");
        let Some(&State::Waiting(due)) = self.jobs.get(&key) else {
            panic!("{key:?} begins and is {:?}", self.jobs.get(&key));
        };
        assert!(due <= now, "{key:?} begins before it is due");
        let leads = self.destinations[&attempt.destination].site(now);
        assert_eq!(leads, Some(site), "{key:?} goes where it does not belong");
        assert!(able.contains(&site), "a site begins that may not");
        let n_sites = self.sites.len();
        for id in able {
            let other = self.sites.entry(*id).or_default();
            other.passed_over = if *id == site {
                0
            } else {
                other.passed_over + 1
            };
            assert!(
                other.passed_over < n_sites,
                "another site has two turns before this one"
            );
        }
        for (_, site) in self.sites.iter_mut().filter(|(id, _)| !able.contains(id)) {
            site.passed_over = 0;
        }
        let oldest = self.oldest(site, now).expect("it has this one");
        let begun = self.sites.entry(site).or_default();
        begun.since_oldest = if due == oldest {
            0
        } else {
            begun.since_oldest + 1
        };
        assert!(
            begun.since_oldest < OLDEST_EVERY,
            "the oldest job is passed over too often"
        );
        self.set(key, Some(State::UnderWay(Some(site))));
        match attempt.state {
            SiteState::Down => self.probes.insert(key),
            SiteState::New => self.new.insert(key),
            SiteState::Up => true,
        };
    }

    /// Compares both when nothing more begins at `now`.
    pub(super) fn check(&mut self, queue: &Queue, settings: &Settings, now: Moment) {
        let count = |n: usize| u32::try_from(n).expect("a small simulation");
        let mut totals = Counts::default();
        let mut of_sites: BTreeMap<SiteId, Counts> = BTreeMap::new();
        for (&id, destination) in &self.destinations {
            let counts = Counts {
                n_under_way: destination.n_under_way,
                n_waiting: count(destination.waiting.len()),
            };
            totals.n_waiting += counts.n_waiting;
            let view = queue.destination_view(id);
            if counts != Counts::default() {
                assert_eq!(view.map(|view| view.counts), Some(counts));
            }
            if let Some(site) = destination.site(now) {
                of_sites.entry(site).or_default().n_waiting += counts.n_waiting;
            } else if destination.is_due(now) && !destination.is_asked {
                let until = view.and_then(|view| view.down_until);
                assert!(until.is_some_and(|until| until > now), "it is not resolved");
            }
        }
        for (&id, site) in &self.sites {
            of_sites.entry(id).or_default().n_under_way = site.n_under_way;
            assert!(site.n_under_way <= settings.site_attempts_max);
        }
        for (id, counts) in of_sites {
            if counts != Counts::default() {
                assert_eq!(queue.site_view(id).map(|view| view.counts), Some(counts));
            }
        }
        totals.n_under_way = self.n_under_way;
        assert_eq!(queue.totals(), totals);
        assert!(self.n_under_way <= settings.attempts_max);
        let full = self.n_under_way == settings.attempts_max;
        assert!(
            full || self.able(queue, settings, now).is_empty(),
            "an attempt that could begin does not"
        );
        let is_asked = self.destinations.values().any(|of| of.is_asked);
        match queue.poll_timeout() {
            Some(wake) => assert!(wake > now, "a wake-up for nothing"),
            None => assert!(
                totals.n_waiting == 0 || self.n_under_way > 0 || is_asked,
                "mail is forgotten"
            ),
        }
    }

    pub(super) fn same_jobs(&self, queue: &Queue) {
        assert!(
            self.jobs.keys().copied().eq(queue.keys()),
            "jobs were lost or made"
        );
    }
}
