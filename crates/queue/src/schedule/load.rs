//! Many jobs at once, as when an instance starts with a full spool.

use mail::Moment;

use super::{Entry, Queue, State, fold};
use crate::due::Due;
use crate::job::{Job, JobState};
use crate::order::{Promoted, Waiting};

impl Queue {
    /// Queues many jobs: the same as [`insert`](Self::insert) for each. Into an empty queue it is
    /// several times quicker, and what it builds takes half the memory, as nothing in it has grown.
    ///
    /// # Panics
    /// When the destination of one is not valid.
    pub fn load(&mut self, now: Moment, mut jobs: Vec<Job>) {
        if !self.jobs.is_empty() {
            jobs.into_iter().for_each(|job| self.insert(now, job));
            return;
        }
        // Of those that are given twice the earliest counts.
        jobs.sort_unstable_by_key(|job| (job.id, job.destination, job.due));
        jobs.dedup_by_key(|job| (job.id, job.destination));
        let entries = jobs.iter().map(|job| {
            let entry = Entry {
                due: Due::at(job.due),
                sender: fold(job.sender),
                state: State::Waiting,
            };
            ((job.id, job.destination), entry)
        });
        self.jobs = entries.collect();
        let waiting = jobs.iter().map(|job| {
            let waiting = Waiting {
                sender: fold(job.sender),
                due: Due::at(job.due),
                id: job.id,
            };
            (job.destination, waiting)
        });
        self.order.load(waiting);
        for job in &jobs {
            self.destinations.wake(job.destination);
            self.destinations[job.destination].promoted = Promoted::NOBODY;
            self.count_in(job.destination, JobState::Waiting);
        }
        let mut destinations: Vec<_> = jobs.into_iter().map(|job| job.destination).collect();
        destinations.sort_unstable();
        destinations.dedup();
        destinations.into_iter().for_each(|id| self.place(now, id));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mail::MessageId;

    use crate::sim::{Random, begin};
    use crate::{Backoff, Finish, Job, Queue, Settings};

    use super::*;

    const SETTINGS: Settings = Settings {
        attempts_max: 7,
        site_attempts_initial: 2,
        site_attempts_max: 3,
        probes: Backoff::SITE,
    };

    /// Some jobs twice, some senders with many, some not due yet.
    fn jobs(queue: &mut Queue, seed: u64) -> Vec<Job> {
        let mut random = Random(seed);
        let mut job = |_| {
            let site = format!("site {}", random.between(0, 9));
            let id = random.between(0, 300);
            Job {
                id: MessageId(id),
                destination: queue.destination(Moment::START, &site),
                sender: id % 7 * (id % 3),
                due: Moment::START + Duration::from_millis(random.between(0, 90_000)),
            }
        };
        (0..500).map(&mut job).collect()
    }

    #[test]
    fn what_is_loaded_is_tried_in_the_order_of_what_is_inserted() {
        for seed in 0..20 {
            let mut loaded = Queue::new(SETTINGS);
            let mut inserted = Queue::new(SETTINGS);
            let list = jobs(&mut loaded, seed);
            assert_eq!(list, jobs(&mut inserted, seed), "seed {seed}");
            loaded.load(Moment::START, list.clone());
            list.iter()
                .for_each(|&job| inserted.insert(Moment::START, job));
            let mut now = Moment::START;
            while loaded.totals().n_all() > 0 {
                assert_eq!(loaded.totals(), inserted.totals(), "seed {seed}");
                assert_eq!(
                    loaded.poll_timeout(),
                    inserted.poll_timeout(),
                    "seed {seed}"
                );
                match (begin(&mut loaded, now), begin(&mut inserted, now)) {
                    (None, None) => now = now + Duration::from_millis(500),
                    (one, other) => {
                        assert_eq!(one, other, "seed {seed}");
                        let (one, other) = (one.unwrap(), other.unwrap());
                        loaded.finish(now, one, Finish::Done);
                        inserted.finish(now, other, Finish::Done);
                    }
                }
            }
            assert_eq!(inserted.totals().n_all(), 0, "seed {seed}");
        }
    }

    #[test]
    fn what_is_loaded_into_a_queue_that_has_jobs_is_inserted() {
        let mut queue = Queue::new(SETTINGS);
        let list = jobs(&mut queue, 1);
        queue.load(Moment::START, list[..1].to_vec());
        queue.load(Moment::START, list.clone());
        let mut keys: Vec<_> = list.iter().map(|job| (job.id, job.destination)).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(queue.keys().count(), keys.len());
    }
}
