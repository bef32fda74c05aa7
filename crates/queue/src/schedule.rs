//! The queue itself: what is done next, and what its end means.
//!
//! A job stands under its destination. A destination with a job that is due is resolved, and then
//! leads to a site. Sites that have a job which may begin stand in `turns` and take them, as
//! destinations that are to be resolved stand in `resolutions`; what waits for a time stands in
//! `timers`. Every change goes through `place` and `place_site`, which put a destination and a site
//! where they belong.

mod load;
mod operator;
mod place;
mod resolve;
mod turns;
mod view;

use std::collections::{BTreeMap, BTreeSet, btree_map};

use mail::{MessageId, Moment};

use crate::destination::{Destination, DestinationId};
use crate::due::Due;
use crate::job::{Attempt, Counts, Finish, Job, JobState, Next, SiteState};
use crate::limits::OLDEST_EVERY;
use crate::order::{self, Order, Sender, Waiting};
use crate::registry::Registry;
use crate::retry::Backoff;
use crate::site::{Site, SiteId};

use place::Timed;
use turns::{Turn, Turns};

/// What an instance decides about its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many attempts may be under way in all; at least 1.
    pub attempts_max: u32,
    /// How many attempts a site may have under way before anything is known of it; at least 1.
    pub site_attempts_initial: u32,
    /// How many attempts a site may ever have under way.
    pub site_attempts_max: u32,
    /// How long after its failures in a row a site is probed again, and a destination resolved.
    pub probes: Backoff,
}

/// All jobs of one instance; see the crate.
#[derive(Debug)]
pub struct Queue {
    settings: Settings,
    jobs: BTreeMap<Key, Entry>,
    order: Order,
    destinations: Registry<DestinationId, Destination>,
    sites: Registry<SiteId, Site>,
    turns: Turns<SiteId>,
    resolutions: Turns<DestinationId>,
    n_resolving: u32,
    timers: BTreeSet<(Due, Timed)>,
    totals: Counts,
}

type Key = (MessageId, DestinationId);

#[derive(Debug)]
struct Entry {
    due: Due,
    sender: Sender,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    UnderWay(Afterwards),
    Waiting,
}

// A job stands here and in the order; there may be millions.
const _: () = assert!(size_of::<(Key, Entry)>() <= 32);

/// What an operator asked for while an attempt was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afterwards {
    AsItEnds,
    Remove,
}

impl State {
    const fn public(self) -> JobState {
        match self {
            Self::UnderWay(_) => JobState::UnderWay,
            Self::Waiting => JobState::Waiting,
        }
    }
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            jobs: BTreeMap::new(),
            order: Order::default(),
            destinations: Registry::default(),
            sites: Registry::default(),
            turns: Turns::new(settings.attempts_max),
            resolutions: Turns::new(crate::limits::RESOLUTIONS_MAX),
            n_resolving: 0,
            timers: BTreeSet::new(),
            totals: Counts::default(),
        }
    }

    /// The destination of that name, new or known. For how long its id is valid, see
    /// [`DestinationId`].
    pub fn destination(&mut self, now: Moment, name: &str) -> DestinationId {
        self.destinations.intern(now, name, Destination::new)
    }

    /// The site of that name, new or known. For how long its id is valid, see [`SiteId`].
    pub fn site(&mut self, now: Moment, name: &str) -> SiteId {
        let initial = self.settings.site_attempts_initial;
        self.sites.intern(now, name, || Site::new(initial))
    }

    /// Queues a job. One that is queued already stays as it is, but becomes due by `job.due`; while
    /// an attempt of it is under way this changes nothing.
    ///
    /// # Panics
    /// When `job.destination` is not valid.
    pub fn insert(&mut self, now: Moment, job: Job) {
        let key = (job.id, job.destination);
        let new = Entry {
            due: Due::at(job.due),
            sender: fold(job.sender),
            state: State::Waiting,
        };
        match self.jobs.entry(key) {
            btree_map::Entry::Vacant(place) => {
                place.insert(new);
                self.destinations.wake(job.destination);
                self.count_in(job.destination, JobState::Waiting);
                self.add_to_order(key);
                self.place(now, job.destination);
            }
            btree_map::Entry::Occupied(place) => {
                let entry = place.get();
                if entry.state == State::Waiting && new.due < entry.due {
                    self.set_due(now, key, new.due);
                }
            }
        }
    }

    /// What is to be done next, if anything may begin now. To be called until it returns `None`.
    pub fn next(&mut self, now: Moment) -> Option<Next> {
        self.forget(now);
        self.run_timers(now);
        if let Some(resolution) = self.next_resolution(now) {
            return Some(Next::Resolve(resolution));
        }
        if self.is_full() {
            return None;
        }
        let turn = self.whose_turn()?;
        let site = turn.of();
        self.turns.took(turn);
        let (destination, job) = self.pick(now, site)?;
        let attempt = self.begin(now, (job.id, destination), Some(site));
        Some(Next::Attempt(attempt))
    }

    /// Begins the attempt of a job that waits, out of turn and beyond all limits: for who gives it
    /// up without going to the site. `None` where no such job waits.
    pub fn take(
        &mut self,
        now: Moment,
        id: MessageId,
        destination: DestinationId,
    ) -> Option<Attempt> {
        self.waiting((id, destination))?;
        let site = self.destinations[destination].site();
        Some(self.begin(now, (id, destination), site))
    }

    /// Begins likewise the attempt of the job of a destination that has been due for longest, to
    /// record why it is not tried. `None` where none is due.
    pub fn take_oldest(&mut self, now: Moment, destination: DestinationId) -> Option<Attempt> {
        let (due, id) = self.order.oldest(destination)?;
        (due <= Due::by(now)).then(|| self.take(now, id, destination))?
    }

    fn begin(&mut self, now: Moment, key: Key, site: Option<SiteId>) -> Attempt {
        let (mut failures_seen, mut state) = (0, SiteState::Up);
        if let Some(id) = site {
            let site = &mut self.sites[id];
            site.counts.n_under_way += 1;
            failures_seen = site.concurrency.failures();
            state = site.concurrency.state();
            self.turns.began(state);
        }
        self.enter(now, key, State::UnderWay(Afterwards::AsItEnds));
        Attempt {
            id: key.0,
            destination: key.1,
            site,
            failures_seen,
            state,
        }
    }

    /// An attempt ended. Where an operator took its job out meanwhile, that holds now.
    ///
    /// # Panics
    /// When the attempt is not of this queue.
    pub fn finish(&mut self, now: Moment, attempt: Attempt, finish: Finish) {
        let due = match finish {
            Finish::Done => None,
            Finish::Retry { due } | Finish::SiteDown { due } => Some(due),
            Finish::Untried { due } => due,
        };
        if let Some(site) = attempt.site {
            self.turns.ended(attempt.state);
            self.sites[site].counts.n_under_way -= 1;
            self.learn(now, site, attempt.failures_seen, finish);
        }
        let key = (attempt.id, attempt.destination);
        let entry = self.entry(key);
        let State::UnderWay(afterwards) = entry.state else {
            panic!("invariant: an attempt is finished once, in the queue that began it");
        };
        match (due, afterwards) {
            (None, _) | (_, Afterwards::Remove) => self.leave(now, key),
            (Some(due), Afterwards::AsItEnds) => {
                entry.due = Due::at(due);
                self.enter(now, key, State::Waiting);
            }
        }
        // Its destination may lead elsewhere by now.
        if let Some(site) = attempt.site {
            self.place_site(now, site);
        }
    }

    /// What an attempt that began after so many failures shows of its site.
    fn learn(&mut self, now: Moment, id: SiteId, failures_seen: u32, finish: Finish) {
        let site = &mut self.sites[id].concurrency;
        match finish {
            Finish::Done => site.succeeded(self.settings.site_attempts_max),
            Finish::Retry { .. } => site.answered(),
            Finish::SiteDown { .. } => {
                if site.failed(Due::by(now), failures_seen) {
                    let entropy = spread(id.0, site.failures());
                    let pause = self.settings.probes.delay(site.failures(), entropy);
                    site.probe_at(Due::at(now + pause));
                }
            }
            Finish::Untried { .. } => {}
        }
    }

    /// When [`next`](Self::next) should be asked again, if nothing else happens before; a moment
    /// that is past means now. `None`: only a change can give it something to return.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        if self.can_resolve() {
            Some(Moment::START)
        } else if self.is_full() {
            None
        } else if self.whose_turn().is_some() {
            Some(Moment::START)
        } else {
            self.timers.first().map(|(due, _)| due.moment())
        }
    }

    fn is_full(&self) -> bool {
        self.totals.n_under_way >= self.settings.attempts_max.max(1)
    }

    /// The site that begins the next attempt.
    fn whose_turn(&self) -> Option<Turn<SiteId>> {
        self.turns.next(|site| self.leaves_room(site))
    }

    /// Whether a site may take another place: if it has none, or while more are free than it has,
    /// and twice as many where nothing is known of it. So those that are slow share what there is,
    /// and leave something to who comes after them.
    fn leaves_room(&self, id: SiteId) -> bool {
        let n_free = self.settings.attempts_max.max(1) - self.totals.n_under_way;
        let site = &self.sites[id];
        let n_under_way = site.counts.n_under_way;
        n_under_way == 0
            || match site.concurrency.state() {
                SiteState::New => 2 * n_under_way <= n_free.min(self.turns.n_unsure_left()),
                SiteState::Down | SiteState::Up => n_under_way < n_free,
            }
    }

    /// The job of an open site whose turn it is.
    fn pick(&mut self, now: Moment, id: SiteId) -> Option<(DestinationId, Waiting)> {
        self.promote(now, id);
        let n_destinations = u32::try_from(self.destinations.n_slots()).unwrap_or(u32::MAX);
        let site = &mut self.sites[id];
        site.turns = site.turns.wrapping_add(1);
        let turn = if site.turns.is_multiple_of(OLDEST_EVERY) {
            order::Turn::Oldest
        } else {
            order::Turn::NextSender {
                after: site.last_sender,
                from: anywhere(site.turns, n_destinations),
            }
        };
        let (destinations, due) = (&self.destinations, Due::by(now));
        let leads_there = |of| {
            let destination = destinations.get(of);
            destination.and_then(Destination::site) == Some(id)
        };
        let (destination, job) = self.order.pick(id, turn, due, leads_there)?;
        debug_assert!(job.due <= due, "an open site has a due job");
        self.sites[id].last_sender = job.sender;
        Some((destination, job))
    }

    /// Moves a job to another state.
    fn enter(&mut self, now: Moment, key: Key, state: State) {
        self.take_from_order(key);
        let entry = self.entry(key);
        let old = std::mem::replace(&mut entry.state, state).public();
        self.count_out(key.1, old);
        self.count_in(key.1, state.public());
        self.add_to_order(key);
        self.place(now, key.1);
    }

    /// Takes a job out.
    fn leave(&mut self, now: Moment, key: Key) {
        self.take_from_order(key);
        if let Some(entry) = self.jobs.remove(&key) {
            self.count_out(key.1, entry.state.public());
        }
        self.place(now, key.1);
    }

    fn set_due(&mut self, now: Moment, key: Key, due: Due) {
        self.take_from_order(key);
        self.entry(key).due = due;
        self.add_to_order(key);
        self.place(now, key.1);
    }

    fn add_to_order(&mut self, key: Key) {
        if let Some(job) = self.waiting(key) {
            let of = &self.destinations[key.1];
            self.order.insert(key.1, job, of.site(), of.promoted);
        }
    }

    fn take_from_order(&mut self, key: Key) {
        if let Some(job) = self.waiting(key) {
            let of = &self.destinations[key.1];
            self.order.remove(key.1, job, of.site(), of.promoted);
        }
    }

    fn waiting(&self, key: Key) -> Option<Waiting> {
        let entry = self.jobs.get(&key)?;
        (entry.state == State::Waiting).then_some(Waiting {
            sender: entry.sender,
            due: entry.due,
            id: key.0,
        })
    }

    fn entry(&mut self, key: Key) -> &mut Entry {
        self.jobs
            .get_mut(&key)
            .expect("invariant: the key is of a job that is queued")
    }
}

/// Half of the bits are enough to tell senders apart.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the upper half is folded into the lower"
)]
const fn fold(sender: u64) -> Sender {
    (sender ^ (sender >> 32)) as Sender
}

/// Differs from site to site, so that what went down together is not probed together.
fn spread(slot: u32, failures: u32) -> u64 {
    (u64::from(slot) << 32 | u64::from(failures)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

/// One destination after the other, in no order: where a sender has jobs for several, each gets a
/// turn.
fn anywhere(turn: u32, n: u32) -> DestinationId {
    let place = spread(0, turn) % u64::from(n.max(1));
    DestinationId(u32::try_from(place).unwrap_or(0))
}

#[cfg(test)]
mod tests;
