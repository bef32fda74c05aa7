//! The world around the queue: senders, sites, an operator, and virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mail::{MessageId, Moment};

use super::Random;
use super::model::{Key, Model, State};
use crate::{
    Attempt, Backoff, DestinationId, Finish, Job, Next, Queue, Resolution, Resolved, Settings,
    SiteId, Which,
};

const N_MESSAGES: u64 = 1_200;
const N_SITES: u64 = 24;
/// Some sites are where several destinations lead.
const N_DESTINATIONS: u64 = 40;
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

/// How resolving a destination goes until the world is healed.
#[derive(Clone, Copy, Debug)]
enum Lookup {
    /// At once, for good.
    AtOnce,
    /// Fails mostly.
    Failing,
    /// Gives no answer until it is given up.
    Hanging,
    /// Leads somewhere else at times, after some seconds.
    Moving,
}

const LOOKUPS: [Lookup; 4] = [
    Lookup::AtOnce,
    Lookup::Failing,
    Lookup::Hanging,
    Lookup::Moving,
];

pub(super) struct World {
    random: Random,
    settings: Settings,
    queue: Queue,
    model: Model,
    now: Moment,
    natures: Vec<Nature>,
    lookups: Vec<Lookup>,
    healed: bool,
    sites: BTreeMap<SiteId, u64>,
    destinations: BTreeMap<DestinationId, u64>,
    resolving: BTreeMap<(Moment, DestinationId), Resolution>,
    arrivals: BTreeSet<(Moment, u64)>,
    under_way: BTreeMap<(Moment, Key), Attempt>,
    /// Those that an operator took out while an attempt was under way.
    removed: BTreeSet<Key>,
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
        let mut lookup = || LOOKUPS[usize::try_from(random.between(0, 3)).unwrap()];
        let lookups = (0..N_DESTINATIONS).map(|_| lookup()).collect();
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
            lookups,
            healed: false,
            sites: BTreeMap::new(),
            destinations: BTreeMap::new(),
            resolving: BTreeMap::new(),
            arrivals,
            under_way: BTreeMap::new(),
            removed: BTreeSet::new(),
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
            self.resolving.keys().next().map(|(at, _)| *at),
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
        while let Some(first) = self.resolving.first_entry()
            && first.key().0 <= self.now
        {
            let resolution = first.remove();
            self.answer(resolution);
        }
        if !self.healed && self.random.chance(3) {
            self.operate();
        }
        self.begin_all();
        self.model.check(&self.queue, &self.settings, self.now);
        true
    }

    fn arrive(&mut self, id: MessageId) {
        // One destination gets most, and one sender sends most.
        let crowd = self.random.chance(60);
        let n = if crowd {
            0
        } else {
            self.random.between(0, N_DESTINATIONS - 1)
        };
        let sender = if self.random.chance(50) {
            1
        } else {
            self.random.next()
        };
        let second = self
            .random
            .chance(10)
            .then(|| self.random.between(0, N_DESTINATIONS - 1));
        for n in [Some(n), second.filter(|second| *second != n)]
            .into_iter()
            .flatten()
        {
            let name = format!("destination {n}");
            let destination = self.queue.destination(self.now, &name);
            self.destinations.insert(destination, n);
            self.model.named(destination, &self.queue);
            self.queue.insert(
                self.now,
                Job {
                    id,
                    destination,
                    sender,
                    due: self.now,
                },
            );
            self.model
                .set((id, destination), Some(State::Waiting(self.now)));
            self.n_queued += 1;
        }
    }

    fn begin_all(&mut self) {
        loop {
            let able = self.model.able(&self.queue, &self.settings, self.now);
            let attempt = match self.queue.next(self.now) {
                None => return,
                Some(Next::Attempt(attempt)) => attempt,
                Some(Next::Resolve(resolution)) => {
                    self.resolve(resolution);
                    continue;
                }
            };
            self.model.begin(&attempt, &able, self.now);
            let key = (attempt.id, attempt.destination);
            let site = attempt.site.expect("in its turn");
            let ends = self.now + self.duration(site);
            self.under_way.insert((ends, key), attempt);
        }
    }

    fn lookup(&self, resolution: &Resolution) -> Lookup {
        if self.healed {
            return Lookup::AtOnce;
        }
        let n = self.destinations[&resolution.destination];
        self.lookups[usize::try_from(n).unwrap()]
    }

    /// Begins to resolve a destination.
    fn resolve(&mut self, resolution: Resolution) {
        self.model.ask(&resolution, &self.queue, self.now);
        let takes = match self.lookup(&resolution) {
            Lookup::AtOnce => 0,
            Lookup::Failing | Lookup::Moving => self.random.between(1, 5_000),
            Lookup::Hanging => 30_000,
        };
        let ends = self.now + Duration::from_millis(takes);
        if takes == 0 {
            self.answer(resolution);
        } else {
            self.resolving
                .insert((ends, resolution.destination), resolution);
        }
    }

    /// Gives the answer.
    fn answer(&mut self, resolution: Resolution) {
        let lookup = self.lookup(&resolution);
        let of = resolution.destination;
        let (fails, moves) = match lookup {
            Lookup::AtOnce => (false, false),
            Lookup::Failing => (self.random.chance(80), false),
            Lookup::Hanging => (true, false),
            Lookup::Moving => (false, self.random.chance(30)),
        };
        if fails {
            self.queue.resolved(self.now, resolution, Resolved::Failed);
            return self.model.answer(of, None);
        }
        let n = match moves {
            true => self.random.between(0, N_SITES - 1),
            false => self.destinations[&of] % N_SITES,
        };
        let site = self.queue.site(self.now, &format!("site {n}"));
        self.sites.insert(site, n);
        self.model.named_site(site, &self.queue);
        let lasts = Duration::from_secs(self.random.between(1, 3600));
        let until = matches!(lookup, Lookup::Moving | Lookup::Failing).then(|| self.now + lasts);
        let resolved = Resolved::To { site, until };
        self.queue.resolved(self.now, resolution, resolved);
        self.model.answer(of, Some((site, until)));
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
        let finish = match self.nature(attempt.site.expect("in its turn")) {
            Nature::Dead => Finish::SiteDown { due },
            Nature::Deferring if self.random.chance(70) => Finish::Retry { due },
            Nature::Flaky if self.random.chance(10) => Finish::SiteDown { due },
            _ => Finish::Done,
        };
        self.queue.finish(self.now, attempt, finish);
        let state = match finish {
            _ if self.removed.remove(&key) => None,
            Finish::Done => None,
            _ => Some(State::Waiting(due)),
        };
        self.n_ended += usize::from(state.is_none());
        self.model.set(key, state);
    }

    fn attempts(&mut self) -> u32 {
        u32::try_from(self.random.between(1, 5)).unwrap()
    }

    /// An operator does something to some job.
    fn operate(&mut self) {
        let keys: Vec<Key> = self.model.jobs.keys().copied().collect();
        if keys.is_empty() {
            return;
        }
        let last = u64::try_from(keys.len() - 1).unwrap();
        let key = keys[usize::try_from(self.random.between(0, last)).unwrap()];
        let state = self.model.jobs[&key];
        let which = Which::Job(key.0, key.1);
        let done = match (self.random.between(0, 2), state) {
            (0, State::UnderWay(_)) => {
                self.removed.insert(key);
                self.queue.remove(self.now, which)
            }
            (0, State::Waiting(_)) => {
                self.model.set(key, None);
                self.n_ended += 1;
                self.queue.remove(self.now, which)
            }
            (1, State::Waiting(_)) => {
                self.model.set(key, Some(State::Waiting(self.now)));
                self.queue.retry_now(self.now, which)
            }
            (2, State::Waiting(_)) => {
                self.give_up(key);
                1
            }
            _ => 1,
        };
        assert_eq!(done, 1, "the queue knows the job");
    }

    /// Somebody gives a job up, or defers it, without going to its site.
    fn give_up(&mut self, key: Key) {
        let of = self.queue.destination_view(key.1).expect("it has jobs");
        let site = of.site;
        let state = |queue: &Queue| {
            let view = site.and_then(|site| queue.site_view(site));
            view.map(|view| (view.state, view.failures))
        };
        let before = state(&self.queue);
        let attempt = self.queue.take(self.now, key.0, key.1);
        let attempt = attempt.expect("it waits");
        assert_eq!(attempt.site, site);
        assert_eq!(self.queue.take(self.now, key.0, key.1), None);
        let later = self.now + Duration::from_secs(60);
        let due = self.random.chance(50).then_some(later);
        self.queue
            .finish(self.now, attempt, Finish::Untried { due });
        self.n_ended += usize::from(due.is_none());
        self.model.set(key, due.map(State::Waiting));
        assert_eq!(state(&self.queue), before, "nobody went there");
    }
}
