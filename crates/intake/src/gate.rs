//! Turns away handoffs that come too late: copies of what the sender has settled long since.
//!
//! A handoff in doubt is repeated over another connection. If the first copy is still unread in
//! the old one, it may be read after the repetition was stored, settled and forgotten. Its number
//! is below the lowest unsettled one by then, or its epoch is not in doubt any more, or its
//! connection belongs to an earlier process of the sender: it must not be stored again.
//!
//! # Guarantees
//! Whether a handoff is still wanted and the claim of its key are one step, and so are a list of
//! epochs and what is forgotten by it: nothing comes between them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mail::{HandoffKey, InstanceName, SpoolId};
use spool::{Claimed, Spool};

/// The most spools of one peer that are remembered: it has one, and another when that was thrown
/// away. What one peer makes up takes nothing from another.
const SPOOLS_MAX: usize = 4;

/// What each sender has settled, as far as this process heard.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// For each peer its spools, the one that was named last at the end.
    peers: HashMap<InstanceName, Vec<Sender>>,
    /// How many edges of each peer are open.
    n_edges: HashMap<InstanceName, usize>,
}

/// An edge of a peer. When the last one is closed, the peer is no instance of the system any more,
/// and its spool may have another name by now: it belongs to none then. Its keys stay.
#[derive(Debug)]
pub struct OpenEdge {
    gate: Arc<Gate>,
    peer: InstanceName,
}

impl Drop for OpenEdge {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        let n_left = match state.n_edges.get_mut(&self.peer) {
            Some(n_edges) => {
                *n_edges -= 1;
                *n_edges
            }
            None => 0,
        };
        if n_left == 0 {
            state.n_edges.remove(&self.peer);
            state.peers.remove(&self.peer);
        }
    }
}

/// What a sender said of its epochs.
#[derive(Debug)]
struct Sender {
    spool: SpoolId,
    /// Its own epoch.
    newest: u64,
    /// Those that are still in doubt, its own among them. Once one is not, it never is again.
    live: Vec<u64>,
}

/// What a sender's list of epochs came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connected {
    /// It is of an earlier process, and was read late.
    Late,
    /// Another peer has that spool: one of the two does not say the truth.
    NotItsOwn,
    /// Its own epoch, by which later handoffs of the connection are judged.
    Opened(u64),
}

impl Gate {
    /// The sender named its live epochs on a new connection; the highest is its own. Forgets in
    /// `spool` the keys that it does not name.
    pub(crate) fn connected(
        &self,
        peer: &InstanceName,
        sender: SpoolId,
        epochs: &[u64],
        spool: &Spool,
    ) -> Connected {
        let Some(&newest) = epochs.iter().max() else {
            return Connected::Late;
        };
        let mut state = self.state();
        let has = |spools: &[Sender]| spools.iter().any(|known| known.spool == sender);
        let mut others = state.peers.iter().filter(|(name, _)| *name != peer);
        if others.any(|(_, spools)| has(spools)) {
            return Connected::NotItsOwn;
        }
        let spools = state.peers.entry(peer.clone()).or_default();
        let at = spools.iter().position(|known| known.spool == sender);
        let before = at.map(|at| spools[at].newest);
        if before.is_some_and(|before| newest < before) {
            return Connected::Late;
        }
        let mut live = epochs.to_vec();
        if let Some(known) = at.map(|at| spools.remove(at)) {
            // Of two lists of one process, either may be read first.
            if before == Some(newest) {
                live.retain(|epoch| known.live.contains(epoch));
            }
        }
        if before != Some(newest) {
            spool.sender_opened(sender);
        }
        spool.forget_epochs(sender, &live);
        if spools.len() >= SPOOLS_MAX {
            // It had that one long since, and has it no more.
            spool.forget_epochs(spools.remove(0).spool, &[]);
        }
        spools.push(Sender {
            spool: sender,
            newest,
            live,
        });
        Connected::Opened(newest)
    }

    /// Claims the key of a handoff of this peer, over a connection of `connection_epoch`, where it
    /// is still wanted. What is below `lowest_unsettled` the sender has settled.
    pub(crate) fn claim(
        &self,
        peer: &InstanceName,
        key: &HandoffKey,
        lowest_unsettled: u64,
        connection_epoch: u64,
        spool: &Spool,
    ) -> Claimed {
        let state = self.state();
        let mut spools = state.peers.get(peer).into_iter().flatten();
        let sender = spools.find(|known| known.spool == key.sender);
        let is_wanted = sender.is_some_and(|sender| {
            sender.newest == connection_epoch && sender.live.contains(&key.epoch)
        });
        if !is_wanted {
            return Claimed::Settled;
        }
        spool.claim_key(key, lowest_unsettled)
    }

    /// Another edge of this peer is served, as long as what this returns lives.
    #[must_use]
    pub fn open(self: &Arc<Self>, peer: &InstanceName) -> OpenEdge {
        *self.state().n_edges.entry(peer.clone()).or_default() += 1;
        OpenEdge {
            gate: Arc::clone(self),
            peer: peer.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under this lock can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use mail::{BodyType, Envelope, Origin, Provenance, Timestamp, TraceId};
    use spool::simulated::SimulatedDisk;
    use spool::{AcceptedKey, Content, KeyState, Message, Options};

    use super::*;

    const SENDER: SpoolId = SpoolId::from_bytes([1; 16]);

    /// A receiver: what it has in its spool, and what it turns away.
    struct Receiver {
        gate: Arc<Gate>,
        spool: Spool,
    }

    impl Receiver {
        fn new() -> Self {
            let disk = Arc::new(SimulatedDisk::new());
            let (spool, _) = Spool::open(disk, Options::new([7; 32])).unwrap();
            let gate = Arc::default();
            Self { gate, spool }
        }

        fn connected(&self, name: &str, sender: SpoolId, epochs: &[u64]) -> Connected {
            self.gate
                .connected(&peer(name), sender, epochs, &self.spool)
        }

        /// A list of the honest sender.
        fn hears(&self, epochs: &[u64]) -> Connected {
            self.connected("input", SENDER, epochs)
        }

        fn claim(&self, key: &HandoffKey, lowest: u64, connection_epoch: u64) -> Claimed {
            let Self { gate, spool } = self;
            gate.claim(&peer("input"), key, lowest, connection_epoch, spool)
        }

        /// Whether a handoff of the honest sender is still wanted.
        fn admits(&self, key: &HandoffKey, lowest: u64, connection_epoch: u64) -> bool {
            !matches!(self.claim(key, lowest, connection_epoch), Claimed::Settled)
        }

        fn remembers(&self, key: &HandoffKey) -> bool {
            matches!(self.spool.lookup_key(key), KeyState::Accepted(_))
        }

        /// Stores a message under a key that is claimed.
        fn stores(&self, claimed: Claimed, key: HandoffKey) {
            let Claimed::Held(mut claim) = claimed else {
                panic!("{claimed:?}");
            };
            assert!(claim.confirm());
            let stored =
                self.spool
                    .accept_claimed(claim, &message(key), Content::Bytes(Arc::default()));
            stored.wait().unwrap();
        }
    }

    fn message(key: HandoffKey) -> Message {
        let arrived = Timestamp::from_unix_ms(0);
        Message {
            key: Some(AcceptedKey {
                key,
                accepted: [0].into_iter().collect(),
            }),
            provenance: Provenance {
                trace: TraceId::new(arrived, 1),
                origin: Origin::Outside,
                arrived,
                client: None,
                visited: Vec::new(),
                about: None,
            },
            envelope: Envelope {
                sender: mail::ReversePath::Null,
                recipients: vec![mail::Recipient {
                    address: mail::Mailbox::parse("a@x.org").unwrap(),
                    notify: mail::Notify::UNSPECIFIED,
                    orcpt: None,
                }],
                body: BodyType::default(),
                smtputf8: false,
                ret: None,
                envid: None,
            },
            handoff: None,
            next_due: arrived,
        }
    }

    fn peer(name: &str) -> InstanceName {
        name.parse().unwrap()
    }

    fn key(epoch: u64, number: u64) -> HandoffKey {
        HandoffKey {
            sender: SENDER,
            epoch,
            number,
        }
    }

    #[test]
    fn a_settled_number_does_not_come_in_again() {
        let receiver = Receiver::new();
        receiver.hears(&[3]);
        assert!(receiver.admits(&key(3, 5), 5, 3));
        assert!(receiver.admits(&key(3, 7), 6, 3));
        assert!(
            !receiver.admits(&key(3, 5), 5, 3),
            "5 was settled when 6 was the lowest"
        );
        assert!(receiver.admits(&key(3, 6), 5, 3));
    }

    #[test]
    fn a_number_that_is_settled_after_its_claim_is_not_stored() {
        let receiver = Receiver::new();
        receiver.hears(&[3]);
        let Claimed::Held(mut late) = receiver.claim(&key(3, 5), 5, 3) else {
            panic!("unknown so far");
        };
        assert!(receiver.admits(&key(3, 7), 6, 3));
        assert!(!late.confirm());
    }

    #[test]
    fn the_newest_copy_of_a_handoff_has_its_claim_until_a_commit_begins() {
        let receiver = Receiver::new();
        receiver.hears(&[3]);
        let claim = || match receiver.claim(&key(3, 5), 5, 3) {
            Claimed::Held(claim) => claim,
            other => panic!("{other:?}"),
        };
        let (mut first, mut second) = (claim(), claim());
        assert!(!first.confirm() && second.confirm());
        assert!(matches!(receiver.claim(&key(3, 5), 5, 3), Claimed::Known));
        drop(first);
        assert!(matches!(receiver.claim(&key(3, 5), 5, 3), Claimed::Known));
        drop(second);
        assert!(claim().confirm(), "nothing came of them");
    }

    #[test]
    fn a_connection_of_an_earlier_process_is_not_heard_any_more() {
        let receiver = Receiver::new();
        assert_eq!(receiver.hears(&[3]), Connected::Opened(3));
        assert_eq!(receiver.hears(&[3, 4]), Connected::Opened(4));
        assert!(!receiver.admits(&key(3, 5), 5, 3));
        assert!(receiver.admits(&key(3, 5), 5, 4), "the repetition is");
        receiver.stores(receiver.claim(&key(4, 1), 1, 4), key(4, 1));
        assert_eq!(receiver.hears(&[3]), Connected::Late);
        assert!(
            receiver.remembers(&key(4, 1)),
            "a late list forgets nothing"
        );
    }

    #[test]
    fn a_sender_that_was_restored_may_ask_for_what_it_had_settled_since() {
        let receiver = Receiver::new();
        receiver.hears(&[3]);
        assert!(receiver.admits(&key(3, 9), 9, 3));
        receiver.hears(&[3, 100]);
        receiver.stores(receiver.claim(&key(3, 5), 5, 100), key(3, 5));
        assert!(receiver.remembers(&key(3, 5)));
        assert!(
            !receiver.admits(&key(3, 4), 4, 3),
            "not over an old connection"
        );
    }

    #[test]
    fn an_epoch_that_was_settled_does_not_come_in_again() {
        let receiver = Receiver::new();
        receiver.hears(&[3, 4]);
        assert!(receiver.admits(&key(3, 5), 5, 4));
        receiver.hears(&[4]);
        assert!(!receiver.admits(&key(3, 5), 5, 4));
        assert_eq!(receiver.hears(&[3, 4]), Connected::Opened(4), "read late");
        assert!(!receiver.admits(&key(3, 5), 5, 4));
    }

    #[test]
    fn a_list_takes_the_claim_of_a_handoff_in_an_epoch_that_it_does_not_name() {
        let receiver = Receiver::new();
        receiver.hears(&[3]);
        let Claimed::Held(mut late) = receiver.claim(&key(3, 5), 5, 3) else {
            panic!("unknown so far");
        };
        receiver.hears(&[4]);
        assert!(!late.confirm());
    }

    #[test]
    fn a_peer_that_names_the_spool_of_another_forgets_and_stores_nothing_there() {
        let receiver = Receiver::new();
        let edges = [0, 1].map(|_| receiver.gate.open(&peer("input")));
        receiver.hears(&[3]);
        receiver.stores(receiver.claim(&key(3, 1), 1, 3), key(3, 1));
        let named = receiver.connected("liar", SENDER, &[99]);
        assert_eq!(named, Connected::NotItsOwn);
        assert!(receiver.remembers(&key(3, 1)));
        let Receiver { gate, spool } = &receiver;
        let claimed = gate.claim(&peer("liar"), &key(3, 2), 1, 3, spool);
        assert!(matches!(claimed, Claimed::Settled));
        for (edge, expected) in edges
            .into_iter()
            .zip([Connected::NotItsOwn, Connected::Opened(4)])
        {
            drop(edge);
            let named = receiver.connected("renamed", SENDER, &[3, 4]);
            assert_eq!(named, expected, "an instance with a new name");
        }
        assert!(receiver.remembers(&key(3, 1)));
    }

    #[test]
    fn a_peer_that_makes_up_spools_forgets_its_own_and_takes_nothing_from_another() {
        let receiver = Receiver::new();
        receiver.hears(&[3]);
        let made_up = |n: u32| {
            SpoolId::from_bytes(std::array::from_fn(|i| {
                n.to_le_bytes().get(i).copied().unwrap_or(9)
            }))
        };
        let made_up_key = |n: u32| HandoffKey {
            sender: made_up(n),
            epoch: u64::from(n),
            number: 1,
        };
        let liar = peer("liar");
        let n_kept = u32::try_from(SPOOLS_MAX).unwrap();
        for n in 0..500 {
            let (epoch, key) = (u64::from(n), made_up_key(n));
            let opened = receiver.connected("liar", made_up(n), &[epoch]);
            assert_eq!(opened, Connected::Opened(epoch), "a first list");
            let Receiver { gate, spool } = &receiver;
            receiver.stores(gate.claim(&liar, &key, 1, epoch, spool), key);
            if let Some(before) = n.checked_sub(n_kept) {
                assert!(!receiver.remembers(&made_up_key(before)), "it goes");
            }
        }
        assert_eq!(receiver.gate.state().peers[&liar].len(), SPOOLS_MAX);
        assert_eq!(receiver.hears(&[3, 4]), Connected::Opened(4));
        assert!(receiver.admits(&key(4, 1), 1, 4));
        let Receiver { gate, spool } = &receiver;
        let claimed = gate.claim(&liar, &key(4, 1), 1, 4, spool);
        assert!(matches!(claimed, Claimed::Settled), "not its spool");
    }
}
