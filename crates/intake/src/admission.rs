//! How many connections an instance has, in all and from one client.
//!
//! # Limits
//! The two bounds are the configuration's. One client is one IPv4 address or one IPv6 network of
//! 64 bits: whoever has one address of such a network has them all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
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
    by_client: HashMap<IpAddr, u32>,
}

/// A place that a connection has; dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    admission: Arc<Admission>,
    client: Option<IpAddr>,
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// In all.
    pub connections_max: u32,
    /// From one client.
    pub per_client_max: u32,
}

impl Admission {
    /// A place for a connection from `client` (`None`: a local program); `None` when there is
    /// none.
    pub fn admit(self: &Arc<Self>, client: Option<IpAddr>, bounds: Bounds) -> Option<Place> {
        let client = client.map(network);
        let mut state = self.state();
        let n_of_client = client
            .and_then(|c| state.by_client.get(&c))
            .copied()
            .unwrap_or(0);
        if state.n_open >= bounds.connections_max || n_of_client >= bounds.per_client_max {
            state.n_turned_away += 1;
            return None;
        }
        state.n_open += 1;
        state.n_accepted += 1;
        if let Some(client) = client {
            state.by_client.insert(client, n_of_client + 1);
        }
        drop(state);
        Some(Place {
            admission: Arc::clone(self),
            client,
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

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under this lock can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.admission.state();
        state.n_open -= 1;
        if let Some(client) = self.client
            && let Some(n) = state.by_client.get_mut(&client)
        {
            *n -= 1;
            if *n == 0 {
                state.by_client.remove(&client);
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
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
        connections_max: 3,
        per_client_max: 2,
    };

    #[test]
    fn places_are_bounded_in_all_and_by_client_and_come_back() {
        let admission = Arc::new(Admission::default());
        let of = |text: &str| Some(text.parse().unwrap());
        let first = admission.admit(of("2001:db8::1"), BOUNDS);
        let second = admission.admit(of("2001:db8::ffff:2"), BOUNDS);
        assert!(first.is_some() && second.is_some());
        assert!(
            admission.admit(of("2001:db8::3"), BOUNDS).is_none(),
            "the same network"
        );
        let third = admission.admit(of("192.0.2.1"), BOUNDS);
        assert!(third.is_some());
        assert!(
            admission.admit(None, BOUNDS).is_none(),
            "all places are taken"
        );
        drop(first);
        assert!(admission.admit(of("2001:db8::3"), BOUNDS).is_some());
        assert_eq!(admission.n_open(), 2);
        assert_eq!(admission.totals(), (4, 2));
    }
}
