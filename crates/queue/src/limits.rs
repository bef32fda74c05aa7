//! The bounds of what the queue keeps, and the constants of its order.

use std::time::Duration;

/// How many sites without jobs are remembered, and how many destinations. Each costs about 250
/// octets with its name, and forgetting one loses no more than its learned concurrency, or costs
/// that it is resolved again.
pub const IDLE_MAX: usize = 10_000;

/// How many destinations may be resolved at the same time. Those that failed, and those of which
/// nothing is known, get a part of them, as with attempts: see [`PROBES_PART`], [`ANSWERING_PART`].
pub const RESOLUTIONS_MAX: u32 = 100;

/// How long a site or destination without jobs is remembered: longer than the gap between two
/// messages to a busy host, shorter than the time in which what was learned of it goes stale.
pub const SITE_MEMORY: Duration = Duration::from_secs(10 * 60);

/// Of so many jobs that a site begins, one is the oldest that is due, whoever sent it. The others
/// go round its senders. So a sender of one message waits for no other's thousand, and yet no job
/// waits for more than this many times the jobs that were due before it.
pub const OLDEST_EVERY: u32 = 4;

/// Of all attempts that may be under way, one in so many may be a probe of a site that is down: so
/// hundreds of sites that say nothing leave the other half to those that are up.
pub const PROBES_PART: u32 = 2;

/// Of all attempts that may be under way, one in so many is kept for sites that have answered: so
/// however many say nothing of which nothing was known, none of these waits behind them.
pub const ANSWERING_PART: u32 = 5;

const _: () = assert!(OLDEST_EVERY > 1 && IDLE_MAX > 0);
