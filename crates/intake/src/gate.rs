//! Turns away handoffs that come too late: copies of what the sender has settled long since.
//!
//! A handoff in doubt is repeated over another connection. If the first copy is still unread in
//! the old one, it may be read after the repetition was stored, settled and forgotten. Its number
//! is below the lowest unsettled one by then, or its connection belongs to an earlier process of
//! the sender: either way it must not be stored again.

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
    newest_epoch: HashMap<SpoolId, u64>,
}

impl Gate {
    /// The sender named its live epochs on a new connection; the last is its own.
    /// Returns that epoch, by which later handoffs of the connection are judged.
    pub(crate) fn connected(&self, sender: SpoolId, epochs: &[u64]) -> u64 {
        let newest = epochs.iter().copied().max().unwrap_or(0);
        let mut state = self.state();
        state
            .lowest
            .retain(|(spool, epoch), _| *spool != sender || epochs.contains(epoch));
        let known = state.newest_epoch.entry(sender).or_insert(newest);
        *known = newest.max(*known);
        newest
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
        if state
            .newest_epoch
            .get(&key.sender)
            .is_some_and(|&newest| newest > connection_epoch)
        {
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
        let old = gate.connected(SENDER, &[3]);
        let new = gate.connected(SENDER, &[3, 4]);
        assert!(!gate.admits(&key(3, 5), 5, old));
        assert!(gate.admits(&key(3, 5), 5, new), "the repetition is");
    }
}
