//! Input: faces the world, does all the checking, keeps nothing that the next instance can take.

use intake::{Claims, LocalPrograms};
use mail::Origin;
use queue::Backoff;

use super::Composition;

/// Everybody who connects is the world, this machine's own programs included: trust belongs to a
/// listener, never to an address.
pub(super) const COMPOSITION: Composition = Composition {
    origin: Origin::Outside,
    local: LocalPrograms::LikeAll,
    picks_up: false,
    claims: Claims::World,
    backoff: Backoff::EDGE,
    probes: Backoff::EDGE,
};
