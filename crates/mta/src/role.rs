//! The three roles: which parts an instance is composed of.
//!
//! All instances run the same pipeline (listen, accept, spool, schedule, deliver). A role says only
//! what differs; everything else follows from the configuration.

mod input;
mod output;
mod submission;

use intake::{Claims, LocalPrograms};
use mail::Origin;
use queue::Backoff;

use config::Role;

/// What a role decides about an instance.
#[derive(Clone, Debug)]
pub(crate) struct Composition {
    /// The origin of mail that comes in by a listener.
    pub(crate) origin: Origin,
    /// Whether programs of this machine are known by their user id at a listener.
    pub(crate) local: LocalPrograms,
    /// Whether it picks up what local programs left in the maildrop.
    pub(crate) picks_up: bool,
    /// What origins it may claim when it hands on.
    pub(crate) claims: Claims,
    /// How soon what lies in its spool is tried again.
    pub(crate) backoff: Backoff,
    /// How soon a site that is down is probed again.
    pub(crate) probes: Backoff,
}

impl Composition {
    /// What the role is composed of.
    pub(crate) const fn of(role: Role) -> Self {
        match role {
            Role::Input => input::COMPOSITION,
            Role::Output => output::COMPOSITION,
            Role::Submission => submission::COMPOSITION,
        }
    }
}
