//! How many connections an instance has: in all, from one client, from one user of this machine.
//!
//! # Guarantees
//! Neither a client nor a user takes all places, and an operator finds one whatever the others do.
//!
//! # Limits
//! The bounds are the configuration's. One client is one IPv4 address or one IPv6 network of 64
//! bits: whoever has one address of such a network has them all. The addresses of the loopback are
//! one client.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the connections of an instance.
#[derive(Debug, Default)]
pub struct Admission {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    n_open: u32,
    n_accepted: u64,
    n_turned_away: u64,
    last_turned_away: Option<TurnedAway>,
    by_caller: HashMap<Caller, u32>,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A client that is known by its address.
    Client(IpAddr),
    /// Root, or the user that runs the system: has as many as there are, and the last ones.
    Operator(u32),
    /// A program of this machine that runs as that user.
    User(u32),
}

/// A connection that found no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnedAway {
    /// Whose it was.
    pub caller: Caller,
    /// Which bound it met.
    pub bound: Bound,
}

/// Which bound was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Of all connections.
    All,
    /// Of those of one client or user.
    Own,
}

/// A place that a connection has; dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    caller: Caller,
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// In all.
    pub connections_max: u32,
    /// Of these, so many are for operators alone.
    pub operators_reserve: u32,
    /// From one client.
    pub per_client_max: u32,
    /// From one user of this machine.
    pub per_user_max: u32,
}

impl Admission {
    /// A place for a connection; `None` when there is none.
    pub fn admit(self: &Arc<Self>, caller: Caller, bounds: Bounds) -> Option<Place> {
        let caller = caller.as_counted();
        let mut state = self.state();
        let n_own = state.by_caller.get(&caller).copied().unwrap_or(0);
        let for_others = bounds
            .connections_max
            .saturating_sub(bounds.operators_reserve);
        let (all_max, own_max) = match caller {
            Caller::Client(_) => (for_others, bounds.per_client_max),
            Caller::Operator(_) => (bounds.connections_max, u32::MAX),
            Caller::User(_) => (for_others, bounds.per_user_max),
        };
        let bound = if n_own >= own_max {
            Some(Bound::Own)
        } else if state.n_open >= all_max {
            Some(Bound::All)
        } else {
            None
        };
        if let Some(bound) = bound {
            state.n_turned_away += 1;
            state.last_turned_away = Some(TurnedAway { caller, bound });
            return None;
        }
        state.n_open += 1;
        state.n_accepted += 1;
        state.by_caller.insert(caller, n_own + 1);
        drop(state);
        Some(Place {
            admission: Arc::clone(self),
            caller,
        })
    }

    /// Connections that are open now.
    #[must_use]
    pub fn n_open(&self) -> u32 {
        self.state().n_open
    }

    /// Connections that were accepted, and that were turned away, since the start.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        let state = self.state();
        (state.n_accepted, state.n_turned_away)
    }

    /// The connection that was turned away last.
    #[must_use]
    pub fn last_turned_away(&self) -> Option<TurnedAway> {
        self.state().last_turned_away
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under this lock can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// Of all addresses that one client has, the one under which they are counted.
    fn as_counted(self) -> Self {
        match self {
            Self::Client(address) => Self::Client(network(address)),
            Self::Operator(_) | Self::User(_) => self,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.n_open -= 1;
        if let Some(n) = state.by_caller.get_mut(&self.caller) {
            *n -= 1;
            if *n == 0 {
                state.by_caller.remove(&self.caller);
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        address if address.is_loopback() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        connections_max: 5,
        operators_reserve: 1,
        per_client_max: 2,
        per_user_max: 3,
    };

    fn client(text: &str) -> Caller {
        Caller::Client(text.parse().unwrap())
    }

    #[test]
    fn places_are_bounded_in_all_and_by_client_and_come_back() {
        let admission = Arc::new(Admission::default());
        let admit = |caller| admission.admit(caller, BOUNDS);
        let first = admit(client("2001:db8::1"));
        let second = admit(client("2001:db8::ffff:2"));
        assert!(first.is_some() && second.is_some());
        assert!(admit(client("2001:db8::3")).is_none(), "the same network");
        let turned_away = admission.last_turned_away().unwrap();
        assert_eq!(turned_away.caller, client("2001:db8::"));
        assert_eq!(turned_away.bound, Bound::Own);
        let others = [admit(client("192.0.2.1")), admit(client("192.0.2.2"))];
        assert!(others.iter().all(Option::is_some));
        assert!(admit(Caller::User(1)).is_none(), "all places are taken");
        assert_eq!(admission.last_turned_away().unwrap().bound, Bound::All);
        drop(first);
        assert!(admit(client("2001:db8::3")).is_some());
        assert_eq!(admission.n_open(), 3);
        assert_eq!(admission.totals(), (5, 2));
    }

    #[test]
    fn one_user_leaves_places_to_others_and_all_users_to_operators() {
        let admission = Arc::new(Admission::default());
        let admit = |caller| admission.admit(caller, BOUNDS);
        let mut taken = Vec::new();
        let mut n_of = |caller, wanted: usize| {
            let found: Vec<_> = (0..wanted).filter_map(|_| admit(caller)).collect();
            let n = found.len();
            taken.extend(found);
            n
        };
        assert_eq!(n_of(Caller::User(33), 9), 3);
        assert_eq!(n_of(Caller::User(34), 9), 1);
        assert_eq!(n_of(client("127.0.0.1"), 9), 0);
        assert_eq!(n_of(Caller::Operator(0), 9), 1);
        taken.clear();
        // Another client for each address of the loopback would be no bound.
        let of_loopback = ["127.0.0.1", "127.0.0.2", "::1", "::ffff:127.0.0.3"];
        let found = of_loopback.map(|address| admit(client(address)));
        assert_eq!(found.iter().flatten().count(), 2);
        drop(found);
        assert!(admission.state().by_caller.is_empty());
    }
}
