//! The kill suite: what was acknowledged arrives, and nothing arrives twice because of a handoff,
//! whichever process is killed or stopped, and whenever.
//!
//! The judge stands outside: clients that note by ids of their own what they were told, and what
//! lies in the Maildirs and at another host in the end. `POSTERN_CRASH_KILLS` is the number of
//! kills, shared out among several systems where it is large; a failed run prints its seed, which
//! `POSTERN_CRASH_SEED` repeats. What the kernel and the disk do in between is not repeated by it.
//! A message that is held as a suspect, as it was under way whenever somebody died, is not lost:
//! the suite says so and releases it.
//!
//! SIGKILL leaves the page cache alone, so that what must be synced is synced is shown by power
//! cuts: a run is recorded, and the system started on what a cut could have left of it. After
//! these there must be no alarm, and nothing held. `bench/crash` runs it all in full.

#![expect(
    clippy::print_stdout,
    reason = "seeds and counts, for whoever looks at a run"
)]

mod again;
mod beside;
mod calls;
mod cuts;
mod fronts;
mod kills;
mod mailboxes;
mod power;
mod recorded;
mod reloads;
mod stopped;
mod story;
mod supervisor;
mod system;
mod victims;
