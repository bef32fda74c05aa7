//! The world around the queue: senders, sites, an operator, and virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mail::{MessageId, Moment};

use super::Random;
use super::model::{Key, Model, State};
use crate::{Attempt, Backoff, Finish, Job, Queue, Settings, SiteId, Which};

const N_MESSAGES: u64 = 1_200;
const N_SITES: u64 = 24;
const ARRIVALS_SECONDS: u64 = 4 * 3600;

/// How a site behaves until the world is healed.
#[derive(Clone, Copy, Debug)]
enum Nature {
    /// Never answers.
    Dead,
    /// Answers, mostly to defer.
    Deferring,
    /// Loses a connection in ten.
    Flaky,
    /// Takes mail at once.
    Healthy,
    /// Is up and down for an hour each.
    Recurring,
    /// Takes minutes for each attempt.
    Tarpit,
}

const NATURES: [Nature; 6] = [
    Nature::Dead,
    Nature::Deferring,
    Nature::Flaky,
    Nature::Healthy,
    Nature::Recurring,
    Nature::Tarpit,
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Hold,
    Remove,
}

pub(super) struct World {
    random: Random,
    settings: Settings,
    queue: Queue,
    model: Model,
    now: Moment,
    natures: Vec<Nature>,
    healed: bool,
    sites: BTreeMap<SiteId, u64>,
    arrivals: BTreeSet<(Moment, u64)>,
    under_way: BTreeMap<(Moment, Key), Attempt>,
    wishes: BTreeMap<Key, Wish>,
    n_queued: usize,
    n_ended: usize,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let settings = Settings {
            attempts_max: u32::try_from(random.between(1, 60)).unwrap(),
            site_attempts_initial: u32::try_from(random.between(1, 5)).unwrap(),
            site_attempts_max: u32::try_from(random.between(5, 20)).unwrap(),
            probes: Backoff::SITE,
        };
        let mut nature = || NATURES[usize::try_from(random.between(0, 5)).unwrap()];
        let natures = (0..N_SITES).map(|_| nature()).collect();
        let mut arrival = |id| {
            let second = random.between(0, ARRIVALS_SECONDS);
            (Moment::START + Duration::from_secs(second), id)
        };
        let arrivals = (0..N_MESSAGES).map(&mut arrival).collect();
        Self {
            random,
            settings,
            queue: Queue::new(settings),
            model: Model::default(),
            now: Moment::START,
            natures,
            healed: false,
            sites: BTreeMap::new(),
            arrivals,
            under_way: BTreeMap::new(),
            wishes: BTreeMap::new(),
            n_queued: 0,
            n_ended: 0,
        }
    }

    /// Lives through the arrivals, a night more, and the time that it takes a healed world to take
    /// all that is left.
    pub(super) fn run(mut self) {
        let night = Moment::START + Duration::from_secs(ARRIVALS_SECONDS + 8 * 3600);
        while self.step(night) {}
        self.model.same_jobs(&self.queue);
        self.healed = true;
        let held: Vec<Key> = self.keys(|state| state == State::Held);
        for (id, site) in held {
            self.queue.release(self.now, Which::Job(id, site));
            self.model.set((id, site), Some(State::Waiting(self.now)));
        }
        self.wishes.retain(|_, wish| *wish == Wish::Remove);
        let under_way = self.keys(|state| state == State::UnderWay);
        for (id, site) in under_way {
            self.queue.release(self.now, Which::Job(id, site));
        }
        while self.step(night + Duration::from_secs(86_400)) {}
        assert_eq!(
            self.queue.totals().n_all(),
            0,
            "a healed world takes all mail within a day"
        );
        assert_eq!(self.n_ended, self.n_queued);
        assert!(self.under_way.is_empty());
    }

    /// Goes on to the next event before `end`; false when there is none.
    fn step(&mut self, end: Moment) -> bool {
        let next = [
            self.arrivals.first().map(|(at, _)| *at),
            self.under_way.keys().next().map(|(at, _)| *at),
            self.queue.poll_timeout(),
        ];
        let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
            return false;
        };
        self.now = self.now.max(at);
        while self.arrivals.first().is_some_and(|(at, _)| *at <= self.now) {
            let (_, id) = self.arrivals.pop_first().unwrap();
            self.arrive(MessageId(id));
        }
        while self
            .under_way
            .keys()
            .next()
            .is_some_and(|(at, _)| *at <= self.now)
        {
            let ((_, key), attempt) = self.under_way.pop_first().unwrap();
            self.end(key, attempt);
        }
        if !self.healed && self.random.chance(3) {
            self.operate();
        }
        self.begin_all();
        self.model.check(&self.queue, &self.settings, self.now);
        true
    }

    fn arrive(&mut self, id: MessageId) {
        // One site gets most, and one sender sends most.
        let crowd = self.random.chance(60);
        let n = if crowd {
            0
        } else {
            self.random.between(0, N_SITES - 1)
        };
        let sender = if self.random.chance(50) {
            1
        } else {
            self.random.next()
        };
        let second = self
            .random
            .chance(10)
            .then(|| self.random.between(0, N_SITES - 1));
        for n in [Some(n), second.filter(|second| *second != n)]
            .into_iter()
            .flatten()
        {
            let site = self.queue.site(self.now, &format!("site {n}"));
            self.sites.insert(site, n);
            self.queue.insert(
                self.now,
                Job {
                    id,
                    site,
                    sender,
                    due: self.now,
                },
            );
            self.model.set((id, site), Some(State::Waiting(self.now)));
            self.n_queued += 1;
        }
    }

    fn begin_all(&mut self) {
        loop {
            let able = self.model.able(&self.queue, &self.settings, self.now);
            let Some(attempt) = self.queue.next(self.now) else {
                return;
            };
            self.model.begin(&attempt, &able, self.now);
            let key = (attempt.id, attempt.site);
            let ends = self.now + self.duration(attempt.site);
            self.under_way.insert((ends, key), attempt);
        }
    }

    fn nature(&self, site: SiteId) -> Nature {
        if self.healed {
            return Nature::Healthy;
        }
        let hour = self.now.since_start().as_secs() / 3600;
        match self.natures[usize::try_from(self.sites[&site]).unwrap()] {
            Nature::Recurring if hour.is_multiple_of(2) => Nature::Healthy,
            Nature::Recurring => Nature::Dead,
            nature => nature,
        }
    }

    fn duration(&mut self, site: SiteId) -> Duration {
        let (low, high) = match self.nature(site) {
            Nature::Dead | Nature::Recurring => (1, 30_000),
            Nature::Deferring | Nature::Flaky | Nature::Healthy => (1, 2_000),
            Nature::Tarpit => (60_000, 600_000),
        };
        Duration::from_millis(self.random.between(low, high))
    }

    fn end(&mut self, key: Key, attempt: Attempt) {
        let delay = Backoff::WORLD.delay(self.attempts(), self.random.next());
        // Whole milliseconds, which is what the queue can tell apart.
        let due = self.now + delay;
        let finish = match self.nature(key.1) {
            Nature::Dead => Finish::SiteDown { due },
            Nature::Deferring if self.random.chance(70) => Finish::Retry { due },
            Nature::Flaky if self.random.chance(10) => Finish::SiteDown { due },
            _ => Finish::Done,
        };
        self.queue.finish(self.now, attempt, finish);
        let wish = self.wishes.remove(&key);
        let state = match (finish, wish) {
            (Finish::Done, _) | (_, Some(Wish::Remove)) => None,
            (_, Some(Wish::Hold)) => Some(State::Held),
            (_, None) => Some(State::Waiting(due)),
        };
        self.n_ended += usize::from(state.is_none());
        self.model.set(key, state);
    }

    fn attempts(&mut self) -> u32 {
        u32::try_from(self.random.between(1, 5)).unwrap()
    }

    /// An operator does something to some job.
    fn operate(&mut self) {
        let keys = self.keys(|_| true);
        if keys.is_empty() {
            return;
        }
        let last = u64::try_from(keys.len() - 1).unwrap();
        let key = keys[usize::try_from(self.random.between(0, last)).unwrap()];
        let state = self.model.jobs[&key];
        let which = Which::Job(key.0, key.1);
        let done = match (self.random.between(0, 4), state) {
            (0, State::UnderWay) => {
                self.wishes.entry(key).or_insert(Wish::Hold);
                self.queue.hold(self.now, which)
            }
            (0, _) => {
                self.model.set(key, Some(State::Held));
                self.queue.hold(self.now, which)
            }
            (1, State::UnderWay) => {
                self.wishes.insert(key, Wish::Remove);
                self.queue.remove(self.now, which)
            }
            (1, _) => {
                self.model.set(key, None);
                self.n_ended += 1;
                self.queue.remove(self.now, which)
            }
            (2, State::Held) => {
                self.model.set(key, Some(State::Waiting(self.now)));
                self.queue.release(self.now, which)
            }
            (3, State::Waiting(_)) => {
                self.model.set(key, Some(State::Waiting(self.now)));
                self.queue.retry_now(self.now, which)
            }
            (4, State::Waiting(_)) => {
                self.give_up(key);
                1
            }
            _ => 1,
        };
        assert_eq!(done, 1, "the queue knows the job");
    }

    /// Somebody gives a job up, or puts it off, without going to its site.
    fn give_up(&mut self, key: Key) {
        let before = self.queue.site_view(key.1).map(|view| view.standing);
        let attempt = self.queue.take(self.now, key.0, key.1);
        let attempt = attempt.expect("it waits");
        assert_eq!(self.queue.take(self.now, key.0, key.1), None);
        let later = self.now + Duration::from_secs(60);
        let due = self.random.chance(50).then_some(later);
        self.queue
            .finish(self.now, attempt, Finish::Untried { due });
        self.n_ended += usize::from(due.is_none());
        self.model.set(key, due.map(State::Waiting));
        let after = self.queue.site_view(key.1).map(|view| view.standing);
        assert_eq!(after, before, "nobody went there");
    }

    fn keys(&self, wanted: impl Fn(State) -> bool) -> Vec<Key> {
        let jobs = self.model.jobs.iter();
        jobs.filter(|(_, state)| wanted(**state))
            .map(|(key, _)| *key)
            .collect()
    }
}
