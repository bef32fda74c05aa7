//! What an operator does to jobs: retry now, take out.
//!
//! # Guarantees
//! An attempt that is under way goes on; what was asked for it holds after its end.

use mail::Moment;

use super::{Afterwards, Key, Queue, State};
use crate::destination::DestinationId;
use crate::due::Due;
use crate::job::Which;

impl Queue {
    /// Makes jobs that wait due now, lets a site that is down be probed now, and a destination that
    /// could not be resolved be resolved now. Returns how many jobs there are, waiting or not.
    pub fn retry_now(&mut self, now: Moment, which: Which) -> usize {
        self.for_each(which, |queue, key| {
            if queue.entry(key).state == State::Waiting {
                let destination = &mut queue.destinations[key.1];
                destination.not_before = destination.not_before.min(Due::by(now));
                if let Some(site) = destination.site() {
                    queue.sites[site].concurrency.probe_at(Due::by(now));
                }
                queue.set_due(now, key, Due::by(now));
            }
        })
    }

    /// Takes jobs out; one under way, after its attempt. Returns how many.
    pub fn remove(&mut self, now: Moment, which: Which) -> usize {
        self.for_each(which, |queue, key| match queue.entry(key).state {
            State::UnderWay(_) => queue.entry(key).state = State::UnderWay(Afterwards::Remove),
            State::Waiting => queue.leave(now, key),
        })
    }

    fn for_each(&mut self, which: Which, mut act: impl FnMut(&mut Self, Key)) -> usize {
        let (from, to) = match which {
            Which::Job(id, of) => ((id, of), (id, of)),
            Which::Message(id) => ((id, DestinationId(0)), (id, DestinationId(u32::MAX))),
        };
        let keys: Vec<_> = self.jobs.range(from..=to).map(|(&key, _)| key).collect();
        for &key in &keys {
            act(self, key);
        }
        keys.len()
    }
}
