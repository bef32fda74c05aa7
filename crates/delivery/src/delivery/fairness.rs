//! Whose turn an attempt counts as.

use mail::Provenance;
use spool::Stored;

/// Whose turn an attempt for this message counts as.
pub(crate) fn fairness_key(stored: &Stored) -> u64 {
    key_of(&stored.message.provenance)
}

fn key_of(provenance: &Provenance) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};

    let mut hasher = DefaultHasher::new();
    provenance.origin.hash(&mut hasher);
    if !provenance.origin.is_ours() {
        provenance
            .client
            .as_ref()
            .map(|c| c.address)
            .hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use mail::{Client, Origin, Security, Timestamp, TraceId};

    use super::*;

    fn key(origin: Origin, address: &str) -> u64 {
        let now = Timestamp::from_unix_ms(1);
        key_of(&Provenance {
            trace: TraceId::new(now, 1),
            origin,
            arrived: now,
            client: Some(Client {
                address: Some(address.parse().unwrap()),
                port: 1,
                helo: "h".into(),
                name: None,
                security: Security::Plain,
                extended: true,
            }),
            visited: Vec::new(),
            about: None,
        })
    }

    #[test]
    fn a_sender_of_our_own_has_one_turn_wherever_it_connects_from() {
        let alice = || Origin::Authenticated("alice".into());
        assert_eq!(key(alice(), "192.0.2.1"), key(alice(), "192.0.2.2"));
        let bob = Origin::Authenticated("bob".into());
        assert_ne!(key(alice(), "192.0.2.1"), key(bob, "192.0.2.1"));
        let (one, two) = (Origin::Local { uid: 1 }, Origin::Local { uid: 2 });
        assert_ne!(key(one, "192.0.2.1"), key(two, "192.0.2.1"));
    }

    #[test]
    fn mail_from_outside_takes_turns_by_the_address_of_its_client() {
        let outside = |address| key(Origin::Outside, address);
        assert_eq!(outside("192.0.2.1"), outside("192.0.2.1"));
        assert_ne!(outside("192.0.2.1"), outside("192.0.2.2"));
    }
}
