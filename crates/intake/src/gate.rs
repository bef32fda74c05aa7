//! Turns away handoffs that come too late: copies of what the sender has settled long since.
//!
//! A handoff in doubt is repeated over another connection. If the first copy is still unread in
//! the old one, it may be read after the repetition was stored, settled and forgotten. Its number
//! is below the lowest unsettled one by then, or its epoch is not in doubt any more, or its
//! connection belongs to an earlier process of the sender: it must not be stored again.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mail::{HandoffKey, InstanceName, SpoolId};

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
}

/// What a sender said of its epochs.
#[derive(Debug)]
struct Sender {
    spool: SpoolId,
    /// Its own epoch.
    newest: u64,
    /// Those that are still in doubt, its own among them. Once one is not, it never is again.
    live: Vec<u64>,
    /// The highest number of each of them below which all is settled.
    lowest: HashMap<u64, u64>,
}

/// What a sender's list of epochs came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Connected {
    /// Its own epoch, by which later handoffs of the connection are judged.
    pub(crate) own: u64,
    /// The epochs that are still live by all that was heard.
    pub(crate) live: Vec<u64>,
    /// A spool that the peer had long since, and has no more.
    pub(crate) gone: Option<SpoolId>,
}

impl Gate {
    /// The sender named its live epochs on a new connection; the highest is its own. `None` for a
    /// list of an earlier process, which was read late.
    pub(crate) fn connected(
        &self,
        peer: &InstanceName,
        spool: SpoolId,
        epochs: &[u64],
    ) -> Option<Connected> {
        let newest = *epochs.iter().max()?;
        let mut state = self.state();
        let spools = state.peers.entry(peer.clone()).or_default();
        let at = spools.iter().position(|sender| sender.spool == spool);
        let mut sender = match at {
            Some(at) if newest < spools[at].newest => return None,
            Some(at) => spools.remove(at),
            None => Sender {
                spool,
                newest,
                live: epochs.to_vec(),
                lowest: HashMap::new(),
            },
        };
        match newest.cmp(&sender.newest) {
            // Of two lists of one process, either may be read first.
            Ordering::Equal | Ordering::Less => {
                sender.live.retain(|epoch| epochs.contains(epoch));
            }
            Ordering::Greater => {
                sender.newest = newest;
                sender.live = epochs.to_vec();
                // Late copies of before come over connections of before, which are not heard. And
                // a sender that was restored from a backup is in doubt about more than it was.
                sender.lowest.clear();
            }
        }
        let Sender { live, lowest, .. } = &mut sender;
        lowest.retain(|epoch, _| live.contains(epoch));
        let live = sender.live.clone();
        let gone = (spools.len() >= SPOOLS_MAX).then(|| spools.remove(0).spool);
        spools.push(sender);
        Some(Connected {
            own: newest,
            live,
            gone,
        })
    }

    /// Whether a handoff of this peer under `key`, over a connection of `connection_epoch`, is
    /// still wanted. Takes note of the lowest unsettled number that it carried.
    pub(crate) fn admits(
        &self,
        peer: &InstanceName,
        key: &HandoffKey,
        lowest_unsettled: u64,
        connection_epoch: u64,
    ) -> bool {
        let mut state = self.state();
        let mut spools = state.peers.get_mut(peer).into_iter().flatten();
        let Some(sender) = spools.find(|sender| sender.spool == key.sender) else {
            return false;
        };
        if sender.newest != connection_epoch || !sender.live.contains(&key.epoch) {
            return false;
        }
        let lowest = sender.lowest.entry(key.epoch).or_insert(lowest_unsettled);
        *lowest = lowest_unsettled.max(*lowest);
        key.number >= *lowest
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under this lock can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: SpoolId = SpoolId::from_bytes([1; 16]);

    fn peer(name: &str) -> InstanceName {
        name.parse().unwrap()
    }

    fn connected(gate: &Gate, epochs: &[u64]) -> Option<(u64, Vec<u64>)> {
        let connected = gate.connected(&peer("input"), SENDER, epochs)?;
        Some((connected.own, connected.live))
    }

    fn admits(gate: &Gate, key: &HandoffKey, lowest: u64, connection_epoch: u64) -> bool {
        gate.admits(&peer("input"), key, lowest, connection_epoch)
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
        let gate = Gate::default();
        connected(&gate, &[3]);
        assert!(admits(&gate, &key(3, 5), 5, 3));
        assert!(admits(&gate, &key(3, 7), 6, 3));
        assert!(
            !admits(&gate, &key(3, 5), 5, 3),
            "5 was settled when 6 was the lowest"
        );
        assert!(admits(&gate, &key(3, 6), 5, 3));
    }

    #[test]
    fn a_connection_of_an_earlier_process_is_not_heard_any_more() {
        let gate = Gate::default();
        assert_eq!(connected(&gate, &[3]), Some((3, vec![3])));
        assert_eq!(connected(&gate, &[3, 4]), Some((4, vec![3, 4])));
        assert!(!admits(&gate, &key(3, 5), 5, 3));
        assert!(admits(&gate, &key(3, 5), 5, 4), "the repetition is");
        let late = connected(&gate, &[3]);
        assert_eq!(late, None, "its list must not make us forget epoch 4");
    }

    #[test]
    fn a_sender_that_was_restored_may_ask_for_what_it_had_settled_since() {
        let gate = Gate::default();
        connected(&gate, &[3]);
        assert!(admits(&gate, &key(3, 9), 9, 3));
        connected(&gate, &[3, 100]);
        assert!(admits(&gate, &key(3, 5), 5, 100));
        assert!(
            !admits(&gate, &key(3, 4), 4, 3),
            "not over an old connection"
        );
    }

    #[test]
    fn an_epoch_that_was_settled_does_not_come_in_again() {
        let gate = Gate::default();
        connected(&gate, &[3, 4]);
        assert!(admits(&gate, &key(3, 5), 5, 4));
        connected(&gate, &[4]);
        assert!(!admits(&gate, &key(3, 5), 5, 4));
        let read_late = connected(&gate, &[3, 4]);
        assert_eq!(read_late, Some((4, vec![4])));
        assert!(!admits(&gate, &key(3, 5), 5, 4));
    }

    #[test]
    fn a_peer_that_makes_up_spools_forgets_its_own_and_takes_nothing_from_another() {
        let gate = Gate::default();
        connected(&gate, &[3]);
        let liar = peer("liar");
        let made_up = |n: u32| {
            SpoolId::from_bytes(std::array::from_fn(|i| {
                n.to_le_bytes().get(i).copied().unwrap_or(9)
            }))
        };
        for n in 0..20_000 {
            let (epoch, spool) = (u64::from(n), made_up(n));
            let named = gate
                .connected(&liar, spool, &[epoch])
                .expect("a first list");
            let forgotten = n
                .checked_sub(u32::try_from(SPOOLS_MAX).unwrap())
                .map(made_up);
            assert_eq!(named.gone, forgotten, "and what is remembered of it goes");
            let key = HandoffKey {
                sender: spool,
                epoch,
                number: 1,
            };
            assert!(gate.admits(&liar, &key, 1, epoch));
        }
        assert_eq!(gate.state().peers[&liar].len(), SPOOLS_MAX);
        assert_eq!(
            connected(&gate, &[3, 4]),
            Some((4, vec![3, 4])),
            "after a restart"
        );
        assert!(admits(&gate, &key(4, 1), 1, 4));
        assert!(!gate.admits(&liar, &key(4, 1), 1, 4), "not its spool");
    }
}
