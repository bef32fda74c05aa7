//! Which handoffs are remembered.
//!
//! # Limits
//! [`KEYS_MAX`] keys, and no more than a snapshot of them has room for in a segment; beyond it a
//! claim is refused, never another key forgotten.

use std::collections::{BTreeMap, HashMap};

use mail::{HandoffKey, SpoolId};

use crate::commit::{Completer, commit};
use crate::format::keys::KeyGroup;
use crate::limits::KEYS_MAX;
use crate::{AcceptedKey, CommitError, IndexSet, KeyState};

/// The handoffs of all senders.
#[derive(Default)]
pub(crate) struct KeyTable {
    groups: HashMap<(SpoolId, u64), Group>,
    n_keys: usize,
    /// Octets that a snapshot takes at most, but for its groups.
    numbers_len: u64,
    /// Octets that it may take.
    len_max: u64,
}

#[derive(Default)]
struct Group {
    /// What is below is settled.
    lowest: u64,
    numbers: BTreeMap<u64, Entry>,
}

enum Entry {
    Accepted(IndexSet),
    /// Its commit is under way; these wait for it.
    Pending(Vec<Completer<()>>),
}

/// What a group takes in a snapshot at most, in octets: the sender, and four numbers.
const GROUP_LEN: u64 = 56;

// Of handoffs with up to 64 recipients as many fit as the limit says.
const _: () = assert!((crate::limits::SEGMENT_LEN_DEFAULT as usize / 2) > KEYS_MAX * 25);

/// What a key takes in a snapshot at most, in octets.
fn key_len(accepted: &IndexSet) -> u64 {
    const NUMBER: u64 = 10;
    const COUNT: u64 = 4;
    NUMBER + COUNT + NUMBER * accepted.words().count() as u64
}

impl Entry {
    /// What it takes in a snapshot: one that is pending nothing yet.
    fn snapshot_len(&self) -> u64 {
        match self {
            Self::Accepted(set) => key_len(set),
            Self::Pending(_) => 0,
        }
    }
}

impl KeyTable {
    pub(crate) fn lookup(&mut self, key: &HandoffKey) -> KeyState {
        let group = self.groups.get_mut(&(key.sender, key.epoch));
        match group.and_then(|group| group.numbers.get_mut(&key.number)) {
            None => KeyState::Unknown,
            Some(Entry::Accepted(set)) => KeyState::Accepted(set.clone()),
            Some(Entry::Pending(waiting)) => {
                let (completer, promise) = commit();
                waiting.push(completer);
                KeyState::Pending(promise)
            }
        }
    }

    /// From here on a snapshot takes this many octets at most.
    pub(crate) const fn limit(&mut self, len_max: u64) {
        self.len_max = len_max;
    }

    /// Reserves a key for a commit that begins.
    pub(crate) fn claim(&mut self, new: &AcceptedKey) -> Result<(), CommitError> {
        let key = &new.key;
        let group = self.groups.get(&(key.sender, key.epoch));
        if group.is_some_and(|group| group.numbers.contains_key(&key.number)) {
            return Err(CommitError::KeyKnown);
        }
        // What is on its way in is bounded by what is under way.
        let group_len = if group.is_some() { 0 } else { GROUP_LEN };
        let len = self.snapshot_len() + group_len + key_len(&new.accepted);
        if self.n_keys >= KEYS_MAX || len > self.len_max {
            return Err(CommitError::KeysFull);
        }
        let group = self.groups.entry((key.sender, key.epoch)).or_default();
        group.numbers.insert(key.number, Entry::Pending(Vec::new()));
        self.n_keys += 1;
        Ok(())
    }

    /// A claim came to nothing.
    pub(crate) fn release(&mut self, key: &HandoffKey, error: &CommitError) {
        let Some(group) = self.groups.get_mut(&(key.sender, key.epoch)) else {
            return;
        };
        if let Some(Entry::Pending(waiting)) = group.numbers.get_mut(&key.number) {
            let waiting = std::mem::take(waiting);
            group.numbers.remove(&key.number);
            self.n_keys -= 1;
            for completer in waiting {
                completer.complete(Err(error.clone()));
            }
        }
    }

    /// An accept with this key is durable, or was found so.
    pub(crate) fn accepted(&mut self, key: &HandoffKey, set: IndexSet, lowest: u64) {
        let group = self.groups.entry((key.sender, key.epoch)).or_default();
        let entry = Entry::Accepted(set);
        self.numbers_len += entry.snapshot_len();
        let before = group.numbers.insert(key.number, entry);
        self.numbers_len -= before.as_ref().map_or(0, Entry::snapshot_len);
        self.n_keys += usize::from(before.is_none());
        if let Some(Entry::Pending(waiting)) = before {
            for completer in waiting {
                completer.complete(Ok(()));
            }
        }
        let lowest = lowest.max(group.lowest);
        self.forget(key.sender, key.epoch, lowest);
    }

    /// The lowest number of the group that may still be asked for.
    pub(crate) fn lowest(&self, sender: SpoolId, epoch: u64) -> u64 {
        self.groups
            .get(&(sender, epoch))
            .map_or(0, |group| group.lowest)
    }

    pub(crate) fn forget(&mut self, sender: SpoolId, epoch: u64, below: u64) {
        let Some(group) = self.groups.get_mut(&(sender, epoch)) else {
            return;
        };
        if below <= group.lowest
            && group
                .numbers
                .first_key_value()
                .is_none_or(|(&n, _)| n >= below)
        {
            return;
        }
        group.lowest = group.lowest.max(below);
        let kept = group.numbers.split_off(&below);
        let settled = std::mem::replace(&mut group.numbers, kept);
        for (number, entry) in settled {
            match entry {
                Entry::Accepted(_) => {
                    self.n_keys -= 1;
                    self.numbers_len -= entry.snapshot_len();
                }
                // Its commit still has to find it; it goes when that is through.
                Entry::Pending(_) => {
                    group.numbers.insert(number, entry);
                }
            }
        }
    }

    pub(crate) fn forget_epochs(&mut self, sender: SpoolId, keep: &[u64]) {
        let (n_keys, numbers_len) = (&mut self.n_keys, &mut self.numbers_len);
        self.groups.retain(|(of, epoch), group| {
            let pending = |entry: &Entry| matches!(entry, Entry::Pending(_));
            let stays =
                *of != sender || keep.contains(epoch) || group.numbers.values().any(pending);
            if !stays {
                *n_keys -= group.numbers.len();
                *numbers_len -= group.numbers.values().map(Entry::snapshot_len).sum::<u64>();
            }
            stays
        });
    }

    /// Whether a key up to `number` may still be asked for.
    pub(crate) fn needs(&self, sender: SpoolId, epoch: u64, number: u64) -> bool {
        self.groups
            .get(&(sender, epoch))
            .is_some_and(|group| group.lowest <= number && !group.numbers.is_empty())
    }

    pub(crate) const fn len(&self) -> usize {
        self.n_keys
    }

    /// Octets that a snapshot takes at most.
    pub(crate) fn snapshot_len(&self) -> u64 {
        self.numbers_len + GROUP_LEN * self.groups.len() as u64
    }

    /// How many groups and numbers are held in memory.
    #[cfg(test)]
    pub(crate) fn n_held(&self) -> usize {
        let numbers: usize = self.groups.values().map(|group| group.numbers.len()).sum();
        self.groups.len() + numbers
    }

    /// Everything that is remembered and durable, in a fixed order.
    pub(crate) fn snapshot(&self) -> Vec<KeyGroup> {
        let mut groups: Vec<KeyGroup> = self
            .groups
            .iter()
            .map(|(&(sender, epoch), group)| KeyGroup {
                sender,
                epoch,
                lowest: group.lowest,
                accepted: group
                    .numbers
                    .iter()
                    .filter_map(|(&number, entry)| match entry {
                        Entry::Accepted(set) => Some((number, set.clone())),
                        Entry::Pending(_) => None,
                    })
                    .collect(),
            })
            .collect();
        groups.sort_unstable_by_key(|group| (group.sender, group.epoch));
        groups
    }

    /// What a snapshot says, in place of everything before it.
    pub(crate) fn replace(&mut self, groups: Vec<KeyGroup>) {
        *self = Self::default();
        for group in groups {
            self.n_keys += group.accepted.len();
            let numbers = group
                .accepted
                .into_iter()
                .map(|(number, set)| (number, Entry::Accepted(set)))
                .collect();
            let group_of = Group {
                lowest: group.lowest,
                numbers,
            };
            let entries = group_of.numbers.values();
            self.numbers_len += entries.map(Entry::snapshot_len).sum::<u64>();
            self.groups.insert((group.sender, group.epoch), group_of);
        }
    }

    /// Everything waits in vain: the spool failed.
    pub(crate) fn fail(&mut self, error: &CommitError) {
        for group in self.groups.values_mut() {
            for entry in group.numbers.values_mut() {
                if let Entry::Pending(waiting) = entry {
                    for completer in waiting.drain(..) {
                        completer.complete(Err(error.clone()));
                    }
                }
            }
        }
    }
}
