//! Submission: takes mail from the programs of this machine, each known by the kernel's word.

use intake::{Claims, LocalPrograms};
use mail::Origin;
use queue::Backoff;

use super::Composition;

/// The origin is what the kernel says about the program at the other end; the one named here
/// belongs to nobody and is never used while that is so.
pub(super) const COMPOSITION: Composition = Composition {
    origin: Origin::Outside,
    local: LocalPrograms::ByUid,
    picks_up: true,
    claims: Claims::Ours,
    backoff: Backoff::EDGE,
    probes: Backoff::EDGE,
};
