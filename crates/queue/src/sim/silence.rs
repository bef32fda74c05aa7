//! Destinations that take connections and say nothing until an attempt is given up, and one that
//! answers, to which a message comes now and then.

use std::collections::BTreeMap;
use std::time::Duration;

use mail::{MessageId, Moment};

use super::{Random, begin};
use crate::{Attempt, Backoff, DestinationId, Finish, Job, Queue, Settings};

const SETTINGS: Settings = Settings {
    attempts_max: 100,
    site_attempts_initial: 20,
    site_attempts_max: 20,
    probes: Backoff::SITE,
};
/// How long an attempt at a silent one lasts.
const SILENCE: Duration = Duration::from_secs(300);
const HOURS: Duration = Duration::from_secs(3 * 3600);
const JOBS_EACH: u64 = 30;
const ANSWERING: &str = "answering";

struct World {
    queue: Queue,
    answering: DestinationId,
    now: Moment,
    under_way: BTreeMap<(Moment, MessageId, DestinationId), Attempt>,
}

impl World {
    fn new() -> Self {
        let mut queue = Queue::new(SETTINGS);
        let now = Moment::START;
        let answering = queue.destination(now, ANSWERING);
        Self {
            queue,
            answering,
            now,
            under_way: BTreeMap::new(),
        }
    }

    /// As many silent ones come, each with its mail.
    fn come(&mut self, n_silent: u64, random: &mut Random) {
        let (queue, now) = (&mut self.queue, self.now);
        for n in 0..n_silent {
            let site = queue.destination(now, &format!("silent {n}"));
            for id in 0..JOBS_EACH {
                let job = Job {
                    id: MessageId(n * JOBS_EACH + id),
                    destination: site,
                    sender: random.between(0, 50),
                    // One after the other they take what they can get: nothing is worse.
                    due: now + Duration::from_secs(n),
                };
                queue.insert(now, job);
            }
        }
    }

    /// Lives on until then.
    fn until(&mut self, until: Moment) {
        loop {
            self.begin();
            let ends = self.under_way.keys().next().map(|(at, ..)| *at);
            let next = [ends, self.queue.poll_timeout()];
            let Some(at) = next.into_iter().flatten().min().filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(at);
            while let Some(first) = self.under_way.first_entry()
                && first.key().0 <= self.now
            {
                let attempt = first.remove();
                let due = self.now + Duration::from_secs(600);
                let finish = match attempt.destination == self.answering {
                    true => Finish::Done,
                    false => Finish::SiteDown { due },
                };
                self.queue.finish(self.now, attempt, finish);
            }
        }
        self.now = until;
    }

    fn begin(&mut self) {
        while let Some(attempt) = begin(&mut self.queue, self.now) {
            let takes = match attempt.destination == self.answering {
                true => Duration::from_secs(1),
                false => SILENCE,
            };
            let key = (self.now + takes, attempt.id, attempt.destination);
            self.under_way.insert(key, attempt);
        }
    }

    /// Whether a message to who answers that comes in now is tried at once.
    fn is_tried_at_once(&mut self, id: MessageId) -> bool {
        // It is forgotten when nothing comes for long.
        self.answering = self.queue.destination(self.now, ANSWERING);
        let (site, due) = (self.answering, self.now);
        let job = Job {
            id,
            destination: site,
            sender: 1,
            due,
        };
        self.queue.insert(self.now, job);
        self.begin();
        self.under_way.keys().any(|(_, begun, _)| *begun == id)
    }
}

#[test]
fn a_destination_that_answers_finds_a_place_however_many_say_nothing() {
    for seed in 0..4 {
        println!("seed {seed}");
        let mut random = Random(seed);
        for (n_silent, from) in [(5, 0), (8, 0), (40, 700), (150, 1500)] {
            let mut world = World::new();
            world.come(n_silent, &mut random);
            let mut n_tried = 0;
            let end = Moment::START + HOURS;
            // More than nine of which nothing is known can take all places, until each was tried.
            let mut at = Moment::START + Duration::from_secs(from);
            while at < end {
                at = at + Duration::from_secs(random.between(2, 90));
                world.until(at);
                let id = MessageId(1_000_000 + n_tried);
                assert!(
                    world.is_tried_at_once(id),
                    "{n_silent} silent ones, seed {seed}: {at:?}"
                );
                n_tried += 1;
            }
            assert!(n_tried > 100);
        }
    }
}

#[test]
fn a_destination_that_has_answered_finds_a_place_also_while_nothing_is_known_of_the_silent_ones() {
    for seed in 0..4 {
        println!("seed {seed}");
        let mut random = Random(seed);
        for n_silent in [8, 40, 150, 1000] {
            let mut world = World::new();
            assert!(world.is_tried_at_once(MessageId(2_000_000)));
            world.until(Moment::START + Duration::from_secs(2));
            world.come(n_silent, &mut random);
            let end = Moment::START + HOURS / 3;
            while world.now < end {
                world.until(world.now + Duration::from_secs(random.between(2, 90)));
                let id = MessageId(1_000_000 + world.now.since_start().as_secs());
                assert!(
                    world.is_tried_at_once(id),
                    "{n_silent} silent ones, seed {seed}: {:?}",
                    world.now
                );
            }
        }
    }
}
