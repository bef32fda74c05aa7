//! Output: alone delivers; it is handed messages by the other instances.

use intake::{Claims, LocalPrograms};
use mail::Origin;
use queue::Backoff;

use super::Composition;

/// A listener of its own, where it has one, serves other mail transfer agents, which are the world
/// unless the configuration names them as peers.
pub(super) const COMPOSITION: Composition = Composition {
    origin: Origin::Outside,
    local: LocalPrograms::LikeAll,
    picks_up: false,
    claims: Claims::Any,
    backoff: Backoff::WORLD,
    probes: Backoff::SITE,
};
