//! One destination of a thousand holds nine tenths of the queue, and does not take it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mail::{MessageId, Moment};

use super::{Random, begin};
use crate::{Attempt, Backoff, DestinationId, Finish, Job, Queue, Settings};

const N_JOBS: u64 = 20_000;
const N_OTHERS: u64 = 999;
const SECOND: Duration = Duration::from_secs(1);
const SETTINGS: Settings = Settings {
    attempts_max: 100,
    site_attempts_initial: 20,
    site_attempts_max: 20,
    probes: Backoff::SITE,
};
/// At this destination letters arrive while all that is going on.
const NEW: &str = "site 1";

/// What the crowded destination does with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    /// Refuses the connection.
    Dead,
    /// Says nothing until the attempt is given up after five minutes.
    Silent,
    /// Takes a message in half a minute.
    Slow,
}

impl Nature {
    const fn takes(self) -> Duration {
        match self {
            Self::Dead => Duration::from_millis(1),
            Self::Silent => Duration::from_secs(300),
            Self::Slow => Duration::from_secs(30),
        }
    }
}

/// A queue with everything due at once; every other destination takes a message in a second.
struct Crowd {
    queue: Queue,
    nature: Nature,
    crowded: DestinationId,
    now: Moment,
    /// What is under way, by when it ends.
    under_way: BTreeMap<(Moment, MessageId), Attempt>,
    /// Other destinations where something has begun.
    begun: BTreeSet<DestinationId>,
    n_crowded_begun: u32,
    n_others_left: usize,
}

impl Crowd {
    fn new(nature: Nature, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut queue = Queue::new(SETTINGS);
        let crowded = queue.destination(Moment::START, "site 0");
        let jobs: Vec<Job> = (0..N_JOBS)
            .map(|id| {
                // Each of the others has one at least.
                let n = match id {
                    1..=N_OTHERS => id,
                    _ if random.chance(94) => 0,
                    _ => random.between(1, N_OTHERS),
                };
                let site = queue.destination(Moment::START, &format!("site {n}"));
                let sender = random.between(0, 500);
                let id = MessageId(id);
                let due = Moment::START;
                Job {
                    id,
                    destination: site,
                    sender,
                    due,
                }
            })
            .collect();
        let n_others_left = jobs.iter().filter(|job| job.destination != crowded).count();
        assert!(n_others_left < 3_000, "most are for the first");
        queue.load(Moment::START, jobs);
        Self {
            queue,
            nature,
            crowded,
            now: Moment::START,
            under_way: BTreeMap::new(),
            begun: BTreeSet::new(),
            n_crowded_begun: 0,
            n_others_left,
        }
    }

    fn begin(&mut self) {
        while let Some(attempt) = begin(&mut self.queue, self.now) {
            let takes = if attempt.destination == self.crowded {
                self.n_crowded_begun += 1;
                self.nature.takes()
            } else {
                self.begun.insert(attempt.destination);
                SECOND
            };
            let ends = (self.now + takes, attempt.id);
            self.under_way.insert(ends, attempt);
        }
    }

    /// Lives on to the next end of an attempt.
    fn step(&mut self) {
        let ((at, _), attempt) = self.under_way.pop_first().expect("something is under way");
        self.now = at;
        let due = self.now + Duration::from_secs(60);
        let finish = match (attempt.destination == self.crowded, self.nature) {
            (true, Nature::Dead | Nature::Silent) => Finish::SiteDown { due },
            (true, Nature::Slow) => Finish::Done,
            (false, _) => {
                self.n_others_left -= 1;
                Finish::Done
            }
        };
        self.queue.finish(self.now, attempt, finish);
        self.begin();
    }
}

#[test]
fn nobody_waits_behind_a_crowd_for_a_destination_that_does_not_take_it() {
    for (nature, n_tried_max) in [(Nature::Dead, 30), (Nature::Silent, 20), (Nature::Slow, 60)] {
        let mut crowd = Crowd::new(nature, 1);
        crowd.begin();
        let mut at_first = None;
        while crowd.n_others_left > 0 {
            crowd.step();
            if crowd.begun.len() == usize::try_from(N_OTHERS).unwrap() {
                at_first.get_or_insert(crowd.now);
            }
        }
        // 80 places are left beside the crowd, and each is taken for a second.
        let since = |at: Moment| at.since_start().as_secs();
        assert!(
            at_first.is_some_and(|at| since(at) <= N_OTHERS / 80 + 1),
            "{nature:?}"
        );
        assert!(since(crowd.now) <= 3_000 / 80 + 1, "{nature:?}");
        assert!(
            crowd.n_crowded_begun <= n_tried_max,
            "{nature:?}: {}",
            crowd.n_crowded_begun
        );
    }
}

#[test]
fn what_comes_in_later_does_not_wait_behind_the_crowd() {
    for nature in [Nature::Dead, Nature::Silent, Nature::Slow] {
        let mut crowd = Crowd::new(nature, 2);
        crowd.begin();
        let mut new = 0;
        while crowd.n_others_left > 500 {
            (0..20).for_each(|_| crowd.step());
            new += 1;
            let id = MessageId(N_JOBS + new);
            let site = crowd.queue.destination(crowd.now, NEW);
            let sender = 7_777;
            let due = crowd.now;
            let came = crowd.now;
            crowd.n_others_left += 1;
            crowd.queue.insert(
                crowd.now,
                Job {
                    id,
                    destination: site,
                    sender,
                    due,
                },
            );
            crowd.begin();
            while crowd.under_way.keys().all(|(_, begun)| *begun != id) {
                crowd.step();
            }
            // One turn of all destinations, at most, of which each takes a second.
            let waited = crowd.now.since(came).as_secs();
            assert!(waited <= N_OTHERS / 80 + 1, "{nature:?}: {waited} s");
        }
        assert!(new > 1, "{nature:?}: {new} came in");
    }
}
