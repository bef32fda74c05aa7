//! When to try what: due times, fair turns, and how many attempts at once.
//!
//! Owns the order of attempts and nothing else: messages are in the spool, recipients and replies
//! in the crate that delivers. A *job* is the recipients of one message that have one
//! *destination*: what a route resolves at once, such as a domain. It is queued under that. When a
//! job is due its destination is *resolved* to a *site*, the hosts behind it, where the jobs of all
//! destinations that lead there wait for their turn. [`Queue`] is a pure value: time comes in as
//! [`mail::Moment`], randomness as entropy, and nothing is ever waited for.
//!
//! # Guarantees
//! - No attempt begins before its job is due and its destination resolved, none beyond the limit of
//!   its site or of the queue.
//! - Of a job at most one attempt is under way.
//! - Sites take turns, and within a site senders do, over all destinations that lead there, so that
//!   neither a site with 900,000 jobs nor a sender of as many holds up another.
//! - Every fourth attempt of a site is its oldest due job: no job waits for ever while its site
//!   takes mail.
//! - A site that is down costs one attempt at a time, at growing intervals; all such sites together
//!   half of the attempts. With those of which nothing is known they have four fifths at most: what
//!   answers finds a place, however many say nothing.
//! - A site with attempts under way begins another only while more places are free than it has, and
//!   one of which nothing is known only while there are twice as many. So a few slow sites, however
//!   many jobs they have, leave places to a site that has none.
//! - A destination whose resolution takes long or fails delays its own jobs and no others. Those
//!   that fail share the places for resolutions with the others as sites that are down do.
//!
//! # Limits
//! Each operation on one job costs O(log n), amortised, and so does resolving a destination,
//! however many jobs it has. A job takes 100 to 150 octets. A destination, and a site, is forgotten
//! some minutes after its last job; see [`limits`].
//!
//! # Failure
//! Nothing here survives the process: who recovers a spool inserts its jobs again.

mod clock_jump;
mod concurrency;
mod destination;
mod due;
mod expiry;
mod job;
pub mod limits;
mod order;
mod registry;
mod retry;
mod schedule;
#[cfg(test)]
mod sim;
mod site;

pub use clock_jump::{ClockWatch, Jump};
pub use destination::{DestinationId, DestinationView};
pub use expiry::Lifetime;
pub use job::{
    Attempt, Counts, Finish, Job, JobState, JobView, Next, Resolution, Resolved, SiteState, Which,
};
pub use retry::Backoff;
pub use schedule::{Queue, Settings};
pub use site::{SiteId, SiteView};
