//! Turns away handoffs that come too late: copies of what the sender has settled long since.
//!
//! A handoff in doubt is repeated over another connection. If the first copy is still unread in
//! the old one, it may be read after the repetition was stored, settled and forgotten. Its number
//! is below the lowest unsettled one by then, or its epoch is not in doubt any more, or its
//! connection belongs to an earlier process of the sender: it must not be stored again.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mail::{HandoffKey, SpoolId};

/// The most (sender, epoch) pairs that are remembered; a sender has few epochs in doubt.
pub(crate) const EPOCHS_MAX: usize = 10_000;

/// What each sender has settled, as far as this process heard.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lowest: HashMap<(SpoolId, u64), u64>,
    senders: HashMap<SpoolId, Sender>,
}

/// What a sender said of its epochs.
#[derive(Debug)]
struct Sender {
    /// Its own.
    newest: u64,
    /// Those that are still in doubt, its own among them. Once one is not, it never is again.
    live: Vec<u64>,
}

impl Gate {
    /// The sender named its live epochs on a new connection; the highest is its own, by which later
    /// handoffs of the connection are judged. Returns it and the epochs that are still live by all
    /// that was heard; `None` for a list of an earlier process, which was read late.
    pub(crate) fn connected(&self, sender: SpoolId, epochs: &[u64]) -> Option<(u64, Vec<u64>)> {
        let newest = *epochs.iter().max()?;
        let mut state = self.state();
        let State { lowest, senders } = &mut *state;
        if senders.len() >= EPOCHS_MAX && !senders.contains_key(&sender) {
            return None;
        }
        let known = senders.entry(sender).or_insert_with(|| Sender {
            newest,
            live: epochs.to_vec(),
        });
        match newest.cmp(&known.newest) {
            Ordering::Less => return None,
            // Of two lists of one process, either may be read first.
            Ordering::Equal => known.live.retain(|epoch| epochs.contains(epoch)),
            Ordering::Greater => {
                known.newest = newest;
                known.live = epochs.to_vec();
                // Late copies of before come over connections of before, which are not heard. And
                // a sender that was restored from a backup is in doubt about more than it was.
                lowest.retain(|(spool, _), _| *spool != sender);
            }
        }
        lowest.retain(|(spool, epoch), _| *spool != sender || known.live.contains(epoch));
        Some((newest, known.live.clone()))
    }

    /// Whether a handoff under `key`, over a connection of `connection_epoch`, is still wanted.
    /// Takes note of the lowest unsettled number that it carried.
    pub(crate) fn admits(
        &self,
        key: &HandoffKey,
        lowest_unsettled: u64,
        connection_epoch: u64,
    ) -> bool {
        let mut state = self.state();
        let wanted = state.senders.get(&key.sender).is_some_and(|sender| {
            sender.newest == connection_epoch && sender.live.contains(&key.epoch)
        });
        if !wanted {
            return false;
        }
        if state.lowest.len() >= EPOCHS_MAX && !state.lowest.contains_key(&(key.sender, key.epoch))
        {
            return false;
        }
        let lowest = state
            .lowest
            .entry((key.sender, key.epoch))
            .or_insert(lowest_unsettled);
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
        gate.connected(SENDER, &[3]);
        assert!(gate.admits(&key(3, 5), 5, 3));
        assert!(gate.admits(&key(3, 7), 6, 3));
        assert!(
            !gate.admits(&key(3, 5), 5, 3),
            "5 was settled when 6 was the lowest"
        );
        assert!(gate.admits(&key(3, 6), 5, 3));
    }

    #[test]
    fn a_connection_of_an_earlier_process_is_not_heard_any_more() {
        let gate = Gate::default();
        assert_eq!(gate.connected(SENDER, &[3]), Some((3, vec![3])));
        assert_eq!(gate.connected(SENDER, &[3, 4]), Some((4, vec![3, 4])));
        assert!(!gate.admits(&key(3, 5), 5, 3));
        assert!(gate.admits(&key(3, 5), 5, 4), "the repetition is");
        let late = gate.connected(SENDER, &[3]);
        assert_eq!(late, None, "its list must not make us forget epoch 4");
    }

    #[test]
    fn a_sender_that_was_restored_may_ask_for_what_it_had_settled_since() {
        let gate = Gate::default();
        gate.connected(SENDER, &[3]);
        assert!(gate.admits(&key(3, 9), 9, 3));
        gate.connected(SENDER, &[3, 100]);
        assert!(gate.admits(&key(3, 5), 5, 100));
        assert!(!gate.admits(&key(3, 4), 4, 3), "not over an old connection");
    }

    #[test]
    fn an_epoch_that_was_settled_does_not_come_in_again() {
        let gate = Gate::default();
        gate.connected(SENDER, &[3, 4]);
        assert!(gate.admits(&key(3, 5), 5, 4));
        gate.connected(SENDER, &[4]);
        assert!(!gate.admits(&key(3, 5), 5, 4));
        let read_late = gate.connected(SENDER, &[3, 4]);
        assert_eq!(read_late, Some((4, vec![4])));
        assert!(!gate.admits(&key(3, 5), 5, 4));
    }
}
