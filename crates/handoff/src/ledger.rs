//! Which handoff numbers are drawn, and which of them are still in doubt.
//!
//! # Guarantees
//! A number is drawn once. The lowest unsettled number never passes one whose outcome this side
//! still needs to ask for; the other side forgets everything below it.

use std::collections::{BTreeMap, BTreeSet};

use mail::{HandoffKey, SpoolId};

/// The sender's book of handoff numbers, over all epochs that still have one in doubt.
#[derive(Debug)]
pub struct Ledger {
    sender: SpoolId,
    epoch: u64,
    next_number: u64,
    unsettled: BTreeMap<u64, BTreeSet<u64>>,
}

impl Ledger {
    /// An empty book for this opening of a spool.
    #[must_use]
    pub const fn new(sender: SpoolId, epoch: u64) -> Self {
        Self {
            sender,
            epoch,
            next_number: 1,
            unsettled: BTreeMap::new(),
        }
    }

    /// Draws a number, unsettled from now on.
    pub fn draw(&mut self) -> HandoffKey {
        let number = self.next_number;
        self.next_number += 1;
        self.unsettled.entry(self.epoch).or_default().insert(number);
        HandoffKey {
            sender: self.sender,
            epoch: self.epoch,
            number,
        }
    }

    /// Takes in a key that a message recovered from the spool still holds.
    pub fn adopt(&mut self, key: &HandoffKey) {
        self.unsettled
            .entry(key.epoch)
            .or_default()
            .insert(key.number);
    }

    /// The outcome under this key is known and, where this side's spool holds the message,
    /// recorded there: the other side may forget the key.
    pub fn settle(&mut self, key: &HandoffKey) {
        if let Some(numbers) = self.unsettled.get_mut(&key.epoch) {
            numbers.remove(&key.number);
            if numbers.is_empty() {
                self.unsettled.remove(&key.epoch);
            }
        }
    }

    /// The lowest number of the key's epoch that is still in doubt; at most its own.
    #[must_use]
    pub fn lowest_unsettled(&self, key: &HandoffKey) -> u64 {
        let lowest = self
            .unsettled
            .get(&key.epoch)
            .and_then(BTreeSet::first)
            .copied();
        lowest.unwrap_or(key.number).min(key.number)
    }

    /// How many numbers were drawn in this epoch since the lowest that is in doubt, which the other
    /// side has to remember all; 0 where none is.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let lowest = self.unsettled.get(&self.epoch).and_then(BTreeSet::first);
        lowest.map_or(0, |lowest| self.next_number - lowest)
    }

    /// The spool that hands off.
    #[must_use]
    pub const fn sender(&self) -> SpoolId {
        self.sender
    }

    /// The epoch in which numbers are drawn now.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The epochs with a number in doubt, and the present one, in order.
    #[must_use]
    pub fn live_epochs(&self) -> Vec<u64> {
        let mut epochs: Vec<_> = self.unsettled.keys().copied().collect();
        if epochs.last() != Some(&self.epoch) {
            epochs.push(self.epoch);
        }
        epochs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_number_waits_for_the_slowest_handoff() {
        let mut ledger = Ledger::new(SpoolId::from_bytes([1; 16]), 4);
        let (a, b, c) = (ledger.draw(), ledger.draw(), ledger.draw());
        assert_eq!((a.number, b.number, c.number), (1, 2, 3));
        ledger.settle(&b);
        assert_eq!(ledger.lowest_unsettled(&c), 1);
        assert_eq!(ledger.lag(), 3);
        ledger.settle(&a);
        assert_eq!(ledger.lowest_unsettled(&c), 3);
        ledger.settle(&c);
        assert_eq!(ledger.lowest_unsettled(&c), 3);
        assert_eq!(ledger.lag(), 0);
        assert_eq!(ledger.draw().number, 4);
    }

    #[test]
    fn numbers_of_earlier_epochs_live_until_they_are_settled() {
        let mut ledger = Ledger::new(SpoolId::from_bytes([1; 16]), 4);
        let old = HandoffKey {
            sender: ledger.sender(),
            epoch: 2,
            number: 9,
        };
        ledger.adopt(&old);
        assert_eq!(ledger.live_epochs(), [2, 4]);
        assert_eq!(ledger.lowest_unsettled(&old), 9);
        ledger.settle(&old);
        assert_eq!(ledger.live_epochs(), [4]);
    }
}
