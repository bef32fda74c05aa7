//! What an operator does to jobs: hold, release, retry now, take out.
//!
//! # Guarantees
//! An attempt that is under way goes on; what was asked for it holds after its end.

use mail::{MessageId, Moment};

use super::{Afterwards, Queue, State};
use crate::due::Due;
use crate::job::Which;
use crate::site::SiteId;

impl Queue {
    /// Keeps jobs until they are released; one under way, after its attempt. Returns how many.
    pub fn hold(&mut self, now: Moment, which: Which) -> usize {
        self.for_each(which, |queue, key| match queue.entry(key).state {
            State::UnderWay(Afterwards::AsItEnds) => {
                queue.entry(key).state = State::UnderWay(Afterwards::Hold);
            }
            State::Held | State::UnderWay(_) => {}
            State::Waiting => queue.enter(now, key, State::Held),
        })
    }

    /// Lets held jobs go, due now. Returns how many jobs there are, held or not.
    pub fn release(&mut self, now: Moment, which: Which) -> usize {
        self.for_each(which, |queue, key| match queue.entry(key).state {
            State::Held => {
                queue.entry(key).due = Due::by(now);
                queue.enter(now, key, State::Waiting);
            }
            State::UnderWay(Afterwards::Hold) => {
                queue.entry(key).state = State::UnderWay(Afterwards::AsItEnds);
            }
            State::UnderWay(_) | State::Waiting => {}
        })
    }

    /// Makes jobs that wait due now, and lets a site that is down be probed now. Returns how many
    /// jobs there are, waiting or not.
    pub fn retry_now(&mut self, now: Moment, which: Which) -> usize {
        self.for_each(which, |queue, key| {
            if queue.entry(key).state == State::Waiting {
                queue.sites[key.1].concurrency.probe_at(Due::by(now));
                queue.set_due(now, key, Due::by(now));
            }
        })
    }

    /// Takes jobs out; one under way, after its attempt. Returns how many.
    pub fn remove(&mut self, now: Moment, which: Which) -> usize {
        self.for_each(which, |queue, key| match queue.entry(key).state {
            State::UnderWay(_) => queue.entry(key).state = State::UnderWay(Afterwards::Remove),
            State::Held | State::Waiting => queue.leave(now, key),
        })
    }

    fn for_each(
        &mut self,
        which: Which,
        mut act: impl FnMut(&mut Self, (MessageId, SiteId)),
    ) -> usize {
        let (from, to) = match which {
            Which::Job(id, site) => ((id, site), (id, site)),
            Which::Message(id) => ((id, SiteId(0)), (id, SiteId(u32::MAX))),
        };
        let keys: Vec<_> = self.jobs.range(from..=to).map(|(&key, _)| key).collect();
        for &key in &keys {
            act(self, key);
        }
        keys.len()
    }
}
