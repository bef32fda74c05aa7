//! What the queue must be like, said in the plainest way, and compared with what it does.

use std::collections::{BTreeMap, BTreeSet};

use mail::{MessageId, Moment};

use crate::limits::OLDEST_EVERY;
use crate::{Attempt, Counts, Queue, Settings, SiteId, Standing};

pub(super) type Key = (MessageId, SiteId);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Held,
    UnderWay,
    Waiting(Moment),
}

#[derive(Default)]
struct Site {
    waiting: BTreeSet<(Moment, MessageId)>,
    n_held: u32,
    n_under_way: u32,
    /// Attempts that others began while this site could have begun one.
    passed_over: usize,
    /// Attempts of this site since one that was the oldest due.
    since_oldest: u32,
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) jobs: BTreeMap<Key, State>,
    sites: BTreeMap<SiteId, Site>,
    n_under_way: u32,
    /// Attempts that began while their site was down.
    probes: BTreeSet<Key>,
    /// Attempts that began while nothing was known of their site.
    new: BTreeSet<Key>,
}

impl Model {
    pub(super) fn set(&mut self, (id, site_id): Key, state: Option<State>) {
        let site = self.sites.entry(site_id).or_default();
        match self.jobs.remove(&(id, site_id)) {
            Some(State::Held) => site.n_held -= 1,
            Some(State::UnderWay) => {
                site.n_under_way -= 1;
                self.n_under_way -= 1;
                self.probes.remove(&(id, site_id));
                self.new.remove(&(id, site_id));
            }
            Some(State::Waiting(due)) => assert!(site.waiting.remove(&(due, id))),
            None => {}
        }
        match state {
            Some(State::Held) => site.n_held += 1,
            Some(State::UnderWay) => {
                site.n_under_way += 1;
                self.n_under_way += 1;
            }
            Some(State::Waiting(due)) => assert!(site.waiting.insert((due, id))),
            None => {}
        }
        if let Some(state) = state {
            self.jobs.insert((id, site_id), state);
        }
    }

    /// The sites that could begin an attempt now, by what the queue says of them.
    pub(super) fn able(&self, queue: &Queue, settings: &Settings, now: Moment) -> Vec<SiteId> {
        let n_free = settings.attempts_max - self.n_under_way;
        let count = |keys: &BTreeSet<Key>| u32::try_from(keys.len()).expect("small");
        let (n_probes, n_new) = (count(&self.probes), count(&self.new));
        let probes_max = (settings.attempts_max / 2).max(1);
        let unsure_max = settings.attempts_max - settings.attempts_max / 5;
        // What an operator takes is beyond all limits.
        let n_unsure_left = unsure_max.saturating_sub(n_probes + n_new);
        let could = |(&id, site): (&SiteId, &Site)| {
            let oldest = site.waiting.first()?;
            let view = queue.site_view(id).expect("a site with jobs is known");
            let n = site.n_under_way;
            let room = match view.standing {
                Standing::Down => {
                    let comes = view.down_until.is_some_and(|until| until <= now);
                    comes && n == 0 && n_probes < probes_max && n_unsure_left > 0
                }
                Standing::New => {
                    let share = n == 0 || 2 * n <= n_free.min(n_unsure_left);
                    share && n < view.attempts_max && n_unsure_left > 0
                }
                Standing::Up => (n == 0 || n < n_free) && n < view.attempts_max,
            };
            (oldest.0 <= now && room).then_some(id)
        };
        self.sites.iter().filter_map(could).collect()
    }

    /// Checks an attempt against all promises and follows it; `able` is from just before it.
    pub(super) fn begin(&mut self, attempt: &Attempt, able: &[SiteId], now: Moment) {
        let key = (attempt.id, attempt.site);
        let Some(&State::Waiting(due)) = self.jobs.get(&key) else {
            panic!("{key:?} begins and is {:?}", self.jobs.get(&key));
        };
        assert!(due <= now, "{key:?} begins before it is due");
        assert!(able.contains(&attempt.site), "a site begins that may not");
        let n_sites = self.sites.len();
        for id in able {
            let site = self.sites.entry(*id).or_default();
            site.passed_over = if *id == attempt.site {
                0
            } else {
                site.passed_over + 1
            };
            assert!(
                site.passed_over < n_sites,
                "another site has two turns before this one"
            );
        }
        for (_, site) in self.sites.iter_mut().filter(|(id, _)| !able.contains(id)) {
            site.passed_over = 0;
        }
        let site = self.sites.entry(attempt.site).or_default();
        let oldest = site.waiting.first().expect("it has this one").0;
        site.since_oldest = if due == oldest {
            0
        } else {
            site.since_oldest + 1
        };
        assert!(
            site.since_oldest < OLDEST_EVERY,
            "the oldest job is passed over too often"
        );
        self.set(key, Some(State::UnderWay));
        match attempt.standing {
            Standing::Down => self.probes.insert(key),
            Standing::New => self.new.insert(key),
            Standing::Up => true,
        };
    }

    /// Compares what both say when nothing more begins at `now`.
    pub(super) fn check(&self, queue: &Queue, settings: &Settings, now: Moment) {
        let count = |n: usize| u32::try_from(n).expect("a small simulation");
        let mut totals = Counts::default();
        for (&id, site) in &self.sites {
            let counts = Counts {
                n_held: site.n_held,
                n_under_way: site.n_under_way,
                n_waiting: count(site.waiting.len()),
            };
            totals.n_held += counts.n_held;
            totals.n_waiting += counts.n_waiting;
            if counts != Counts::default() {
                assert_eq!(queue.site_view(id).map(|view| view.counts), Some(counts));
            }
            assert!(site.n_under_way <= settings.site_attempts_max);
        }
        totals.n_under_way = self.n_under_way;
        assert_eq!(queue.totals(), totals);
        assert!(self.n_under_way <= settings.attempts_max);
        let full = self.n_under_way == settings.attempts_max;
        assert!(
            full || self.able(queue, settings, now).is_empty(),
            "an attempt that could begin does not"
        );
        match queue.poll_timeout() {
            Some(wake) => assert!(wake > now, "a wake-up for nothing"),
            None => assert!(
                totals.n_waiting == 0 || self.n_under_way > 0,
                "mail is forgotten"
            ),
        }
    }

    pub(super) fn same_jobs(&self, queue: &Queue) {
        let queued: Vec<Key> = queue
            .jobs_after(None)
            .map(|job| (job.id, job.site))
            .collect();
        assert!(self.jobs.keys().eq(&queued), "jobs were lost or made");
    }
}
