//! Destinations whose resolution gives no answer until it is given up, or fails, beside others
//! that are resolved at once.

use std::collections::BTreeMap;
use std::time::Duration;

use mail::{MessageId, Moment};

use super::Random;
use crate::limits::RESOLUTIONS_MAX;
use crate::{Backoff, DestinationId, Finish, Job, Next, Queue, Resolution, Resolved, Settings};

const SETTINGS: Settings = Settings {
    attempts_max: 100,
    site_attempts_initial: 20,
    site_attempts_max: 20,
    probes: Backoff::SITE,
};
const GIVEN_UP_AFTER: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);
const NEVER: Duration = Duration::from_secs(86_400 * 365);

/// Every attempt takes a second, but for those of a stuck destination, which do not end; every
/// destination that is not hanging leads to a site of its own.
struct World {
    queue: Queue,
    now: Moment,
    /// Until when answers hold.
    until: Option<Moment>,
    under_way: BTreeMap<(Moment, MessageId), crate::Attempt>,
    resolving: BTreeMap<(Moment, DestinationId), Resolution>,
    /// When each message was tried.
    tried: BTreeMap<MessageId, Moment>,
}

impl World {
    fn new() -> Self {
        Self {
            queue: Queue::new(SETTINGS),
            now: Moment::START,
            until: None,
            under_way: BTreeMap::new(),
            resolving: BTreeMap::new(),
            tried: BTreeMap::new(),
        }
    }

    fn put(&mut self, id: u64, destination: &str, sender: u64) {
        let destination = self.queue.destination(self.now, destination);
        let job = Job {
            id: MessageId(id),
            destination,
            sender,
            due: self.now,
        };
        self.queue.insert(self.now, job);
    }

    fn begin(&mut self) {
        while let Some(next) = self.queue.next(self.now) {
            match next {
                Next::Attempt(attempt) => {
                    self.tried.entry(attempt.id).or_insert(self.now);
                    let of = self.queue.destination_view(attempt.destination);
                    let is_stuck = of.is_some_and(|of| of.name == "stuck");
                    let takes = if is_stuck { NEVER } else { SECOND };
                    let ends = (self.now + takes, attempt.id);
                    self.under_way.insert(ends, attempt);
                }
                Next::Resolve(resolution) => self.resolve(resolution),
            }
        }
        let max = usize::try_from(RESOLUTIONS_MAX).unwrap();
        assert!(self.resolving.len() <= max);
    }

    fn resolve(&mut self, resolution: Resolution) {
        let of = resolution.destination;
        let name = self.queue.destination_view(of).unwrap().name.to_owned();
        if name.starts_with("hanging") {
            let ends = (self.now + GIVEN_UP_AFTER, of);
            self.resolving.insert(ends, resolution);
        } else {
            let site = self.queue.site(self.now, &name);
            let until = self.until;
            self.queue
                .resolved(self.now, resolution, Resolved::To { site, until });
        }
    }

    /// Lives on until then.
    fn until(&mut self, end: Moment) {
        loop {
            self.begin();
            let next = [
                self.under_way.keys().next().map(|(at, _)| *at),
                self.resolving.keys().next().map(|(at, _)| *at),
                self.queue.poll_timeout(),
            ];
            let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            while let Some(first) = self.under_way.first_entry()
                && first.key().0 <= self.now
            {
                let attempt = first.remove();
                self.queue.finish(self.now, attempt, Finish::Done);
            }
            while let Some(first) = self.resolving.first_entry()
                && first.key().0 <= self.now
            {
                let resolution = first.remove();
                self.queue.resolved(self.now, resolution, Resolved::Failed);
            }
        }
    }
}

/// When each message is tried that is for somebody else, with so many hanging destinations and so
/// much mail for the stuck one.
fn times_of_others(n_hanging: u64, n_stuck: u64) -> BTreeMap<MessageId, Moment> {
    let mut world = World::new();
    for id in 0..n_hanging {
        world.put(1_000_000 + id, &format!("hanging {id}"), 1);
    }
    for id in 0..n_stuck {
        world.put(2_000_000 + id, "stuck", 1);
    }
    let mut random = Random(7);
    for id in 0..2_000 {
        let to = random.between(0, 30);
        world.put(id, &format!("other {to}"), random.between(0, 5));
        let pause = Duration::from_millis(random.between(0, 300));
        world.until(world.now + pause);
    }
    world.until(world.now + SECOND * 1_000);
    let mut tried = world.tried;
    tried.retain(|id, _| id.0 < 1_000_000);
    tried
}

#[test]
fn resolutions_that_hang_change_the_time_of_nobody_else() {
    let alone = times_of_others(0, 0);
    assert_eq!(alone.len(), 2_000);
    assert_eq!(times_of_others(1, 0), alone);
    assert_eq!(times_of_others(60, 0), alone);
}

#[test]
fn a_site_whose_attempts_do_not_end_changes_the_time_of_nobody_else() {
    // As a Maildir whose storage does not answer.
    let alone = times_of_others(0, 0);
    assert_eq!(times_of_others(0, 1), alone);
    assert_eq!(times_of_others(3, 1_000), alone);
}

#[test]
fn a_destination_that_was_resolved_is_again_however_many_hang() {
    let mut world = World::new();
    world.until = Some(Moment::START + SECOND * 3);
    world.put(0, "known", 1);
    world.until(world.now + SECOND * 2);
    for id in 1..1_000 {
        world.put(id, &format!("hanging {id}"), 1);
    }
    world.until(world.now + SECOND * 2);
    world.until = None;
    // Its answer holds no more.
    world.put(2_000, "known", 1);
    world.until(world.now + SECOND);
    assert!(world.tried.contains_key(&MessageId(2_000)));
}

#[test]
fn of_those_that_failed_each_is_tried_again_and_a_new_one_finds_a_place() {
    let mut world = World::new();
    for id in 0..1_000 {
        world.put(id, &format!("hanging {id}"), 1);
    }
    // Each of them failed once: all that are resolved now have failed before.
    world.until(world.now + GIVEN_UP_AFTER * 14);
    let has_failed = |world: &World, id: u64| {
        let mut jobs = world.queue.jobs_of(MessageId(id));
        let of = jobs.next().unwrap().destination;
        world
            .queue
            .destination_view(of)
            .unwrap()
            .failed_at
            .is_some()
    };
    assert!((0..1_000).all(|id| has_failed(&world, id)));
    for id in 2_000..2_020 {
        world.put(id, &format!("new {id}"), 1);
        world.until(world.now + SECOND);
        assert!(world.tried.contains_key(&MessageId(id)), "{id}");
    }
}
