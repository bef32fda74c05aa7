//! Simulation by seed: a queue, a model of it, and a world of sites that work, die, defer and hang,
//! in virtual time.
//!
//! After every event: each job ends exactly once or is still queued, no limit is passed, nothing
//! begins early, no site and no job is passed over beyond the bounds that the crate promises, and
//! `poll_timeout` neither forgets a wake-up nor asks for a useless one.
//!
//! `POSTERN_SIM_SEED=n` replays one seed.

mod crowd;
mod hanging;
mod model;
mod silence;
mod world;

use mail::Moment;

use crate::{Attempt, Next, Queue, Resolved};
use world::World;

const ROUNDS: u64 = 12;

#[test]
fn every_job_ends_once_and_none_is_starved_whatever_the_sites_do() {
    let replayed = std::env::var("POSTERN_SIM_SEED").map(|seed| seed.parse().unwrap());
    let seeds = replayed.map_or(0..ROUNDS, |seed: u64| seed..seed + 1);
    for seed in seeds {
        println!("to replay: POSTERN_SIM_SEED={seed}");
        World::new(seed).run();
    }
}

/// The next attempt, where each destination leads to the site of its name.
pub(crate) fn begin(queue: &mut Queue, now: Moment) -> Option<Attempt> {
    loop {
        let resolution = match queue.next(now)? {
            Next::Attempt(attempt) => return Some(attempt),
            Next::Resolve(resolution) => resolution,
        };
        let name = queue.destination_view(resolution.destination).unwrap().name;
        let name = name.to_owned();
        let site = queue.site(now, &name);
        queue.resolved(now, resolution, Resolved::To { site, until: None });
    }
}

/// SplitMix64: small, and the same everywhere for ever.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// True in `percent` of 100 cases.
    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}
