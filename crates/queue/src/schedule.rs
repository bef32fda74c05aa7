//! The queue itself: which job is tried next, and what its end means.
//!
//! Sites that have a job which may begin stand in `turns` and take them; the others that wait for
//! a time stand in `timers`. Every change of a site goes through [`Queue::place`], which puts it
//! where it belongs.

mod load;
mod operator;
mod turns;
mod view;

use std::collections::{BTreeMap, BTreeSet, btree_map};

use mail::{MessageId, Moment};

use crate::due::Due;
use crate::job::{Attempt, Counts, Finish, Job, JobState, Standing};
use crate::limits::OLDEST_EVERY;
use crate::order::{self, Order, Sender, Waiting};
use crate::retry::Backoff;
use crate::site::{Place, SiteId, Sites};

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
    /// How long after its failures in a row a site is probed again.
    pub probes: Backoff,
}

/// All jobs of one instance; see the crate.
#[derive(Debug)]
pub struct Queue {
    settings: Settings,
    jobs: BTreeMap<(MessageId, SiteId), Entry>,
    order: Order,
    sites: Sites,
    turns: Turns,
    timers: BTreeSet<(Due, SiteId)>,
    totals: Counts,
}

#[derive(Debug)]
struct Entry {
    due: Due,
    sender: Sender,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Held,
    UnderWay(Afterwards),
    Waiting,
}

// A job stands here and in the order; there may be millions.
const _: () = assert!(size_of::<((MessageId, SiteId), Entry)>() <= 32);

/// What an operator asked for while an attempt was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afterwards {
    AsItEnds,
    Hold,
    Remove,
}

impl State {
    const fn public(self) -> JobState {
        match self {
            Self::Held => JobState::Held,
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
            sites: Sites::default(),
            turns: Turns::new(settings.attempts_max),
            timers: BTreeSet::new(),
            totals: Counts::default(),
        }
    }

    /// The site of that name, new or known. For how long its id is valid, [`SiteId`] says.
    pub fn site(&mut self, now: Moment, name: &str) -> SiteId {
        self.sites
            .intern(now, name, self.settings.site_attempts_initial)
    }

    /// Queues a job. One that is queued already stays as it is, but becomes due by `job.due`; while
    /// an attempt of it is under way this changes nothing.
    ///
    /// # Panics
    /// When `job.site` is not valid.
    pub fn insert(&mut self, now: Moment, job: Job) {
        let key = (job.id, job.site);
        let new = Entry {
            due: Due::at(job.due),
            sender: fold(job.sender),
            state: State::Waiting,
        };
        match self.jobs.entry(key) {
            btree_map::Entry::Vacant(place) => {
                place.insert(new);
                self.sites.wake(job.site);
                self.count(job.site, |counts| counts.n_waiting += 1);
                self.add_to_order(key);
                self.place(now, job.site);
            }
            btree_map::Entry::Occupied(place) => {
                let entry = place.get();
                if entry.state == State::Waiting && new.due < entry.due {
                    self.set_due(now, key, new.due);
                }
            }
        }
    }

    /// The next attempt to begin, if one may begin now. To be called until it returns `None`.
    pub fn next(&mut self, now: Moment) -> Option<Attempt> {
        self.sites.forget(now);
        if self.totals.n_under_way >= self.settings.attempts_max.max(1) {
            return None;
        }
        let due = Due::by(now);
        while let Some(&(first, site)) = self.timers.first()
            && first <= due
        {
            self.place(now, site);
        }
        let turn = self.whose_turn()?;
        let site = turn.site();
        self.turns.took(turn);
        let job = self.pick(site, due)?;
        Some(self.begin(now, (job.id, site)))
    }

    /// Begins the attempt of a job that waits, out of turn and beyond all limits: for who gives it
    /// up without going to the site. `None` where no such job waits.
    pub fn take(&mut self, now: Moment, id: MessageId, site: SiteId) -> Option<Attempt> {
        self.waiting((id, site))?;
        Some(self.begin(now, (id, site)))
    }

    fn begin(&mut self, now: Moment, (id, site): (MessageId, SiteId)) -> Attempt {
        let concurrency = &self.sites[site].concurrency;
        let (failures_seen, standing) = (concurrency.failures(), concurrency.standing());
        self.turns.began(standing);
        self.enter(now, (id, site), State::UnderWay(Afterwards::AsItEnds));
        Attempt {
            id,
            site,
            failures_seen,
            standing,
        }
    }

    /// An attempt ended. Where an operator took its job out or held it meanwhile, that holds now.
    ///
    /// # Panics
    /// When the attempt is not of this queue.
    pub fn finish(&mut self, now: Moment, attempt: Attempt, finish: Finish) {
        self.turns.ended(attempt.standing);
        let site = &mut self.sites[attempt.site].concurrency;
        let due = match finish {
            Finish::Done => {
                site.succeeded(self.settings.site_attempts_max);
                None
            }
            Finish::Retry { due } => {
                site.answered();
                Some(due)
            }
            Finish::SiteDown { due } => {
                if site.failed(Due::by(now), attempt.failures_seen) {
                    let entropy = spread(attempt.site, site.failures());
                    let pause = self.settings.probes.delay(site.failures(), entropy);
                    site.probe_at(Due::at(now + pause));
                }
                Some(due)
            }
            Finish::Untried { due } => due,
        };
        let key = (attempt.id, attempt.site);
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
            (Some(due), Afterwards::Hold) => {
                entry.due = Due::at(due);
                self.enter(now, key, State::Held);
            }
        }
    }

    /// When [`next`](Self::next) should be asked again, if nothing else happens before; a moment
    /// that is past means now. `None`: only a change can give it something to return.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        if self.totals.n_under_way >= self.settings.attempts_max.max(1) {
            None
        } else if self.whose_turn().is_some() {
            Some(Moment::START)
        } else {
            self.timers.first().map(|(due, _)| due.moment())
        }
    }

    /// The site that begins the next attempt.
    fn whose_turn(&self) -> Option<Turn> {
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
            || match site.concurrency.standing() {
                Standing::New => 2 * n_under_way <= n_free.min(self.turns.n_unsure_left()),
                Standing::Down | Standing::Up => n_under_way < n_free,
            }
    }

    /// The job of an open site whose turn it is.
    fn pick(&mut self, id: SiteId, now: Due) -> Option<Waiting> {
        let site = &mut self.sites[id];
        site.promoted = self.order.promote(id, site.promoted, now);
        site.turns = site.turns.wrapping_add(1);
        let turn = if site.turns.is_multiple_of(OLDEST_EVERY) {
            order::Turn::Oldest
        } else {
            order::Turn::NextSender(site.last_sender)
        };
        let job = self.order.pick(id, turn);
        debug_assert!(
            job.is_some_and(|job| job.due <= now),
            "an open site has a due job"
        );
        site.last_sender = job?.sender;
        job
    }

    /// Moves a job to another state.
    fn enter(&mut self, now: Moment, key: (MessageId, SiteId), state: State) {
        self.take_from_order(key);
        let entry = self.entry(key);
        let old = std::mem::replace(&mut entry.state, state).public();
        self.count(key.1, |counts| {
            *counts.count_mut(old) -= 1;
            *counts.count_mut(state.public()) += 1;
        });
        self.add_to_order(key);
        self.place(now, key.1);
    }

    /// Takes a job out.
    fn leave(&mut self, now: Moment, key: (MessageId, SiteId)) {
        self.take_from_order(key);
        if let Some(entry) = self.jobs.remove(&key) {
            self.count(key.1, |counts| *counts.count_mut(entry.state.public()) -= 1);
        }
        self.place(now, key.1);
    }

    fn set_due(&mut self, now: Moment, key: (MessageId, SiteId), due: Due) {
        self.take_from_order(key);
        self.entry(key).due = due;
        self.add_to_order(key);
        self.place(now, key.1);
    }

    fn add_to_order(&mut self, key: (MessageId, SiteId)) {
        if let Some(job) = self.waiting(key) {
            self.order.insert(key.1, job, self.sites[key.1].promoted);
        }
    }

    fn take_from_order(&mut self, key: (MessageId, SiteId)) {
        if let Some(job) = self.waiting(key) {
            self.order.remove(key.1, job, self.sites[key.1].promoted);
        }
    }

    fn waiting(&self, key: (MessageId, SiteId)) -> Option<Waiting> {
        let entry = self.jobs.get(&key)?;
        (entry.state == State::Waiting).then_some(Waiting {
            sender: entry.sender,
            due: entry.due,
            id: key.0,
        })
    }

    /// Puts a site where it belongs after a change or when its time has come.
    fn place(&mut self, now: Moment, id: SiteId) {
        let (old, new) = (self.sites[id].place, self.place_of(now, id));
        let is_over = self.sites[id].counts.n_all() == 0;
        if old == new && !is_over {
            return;
        }
        match old {
            Place::Idle(_) | Place::Nowhere => {}
            Place::Ready(standing) => self.turns.remove(standing, id),
            Place::Timer(due) => {
                self.timers.remove(&(due, id));
            }
        }
        self.sites[id].place = new;
        match new {
            Place::Idle(_) | Place::Nowhere => {}
            Place::Ready(standing) => self.turns.insert(standing, id),
            Place::Timer(due) => {
                self.timers.insert((due, id));
            }
        }
        if is_over {
            self.sites.rest(now, id);
        }
    }

    /// Where a site belongs; nowhere if it has no jobs.
    fn place_of(&self, now: Moment, id: SiteId) -> Place {
        let site = &self.sites[id];
        let Some(earliest) = self.order.earliest(id) else {
            return Place::Nowhere;
        };
        if !site.concurrency.has_room(site.counts.n_under_way) {
            return Place::Nowhere;
        }
        let due = earliest.max(site.concurrency.not_before());
        if due > Due::by(now) {
            Place::Timer(due)
        } else {
            Place::Ready(site.concurrency.standing())
        }
    }

    fn count(&mut self, site: SiteId, change: impl Fn(&mut Counts)) {
        change(&mut self.sites[site].counts);
        change(&mut self.totals);
    }

    fn entry(&mut self, key: (MessageId, SiteId)) -> &mut Entry {
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
fn spread(site: SiteId, failures: u32) -> u64 {
    (u64::from(site.0) << 32 | u64::from(failures)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

#[cfg(test)]
mod tests;
