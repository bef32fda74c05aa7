//! Which handoffs are remembered.
//!
//! # Guarantees
//! Of several copies of one handoff at most one is stored: a key is claimed before anything is done
//! that can take long, the newest copy has the claim until a commit begins under it, and a number
//! that its sender has settled is claimed by none.
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
    /// How many claims there were, to tell one from the next.
    n_claims: u64,
}

#[derive(Default)]
struct Group {
    /// What is below is settled, and not held.
    lowest: u64,
    /// What is below is not claimed any more: the sender reported it settled since it opened its
    /// spool. Not recorded: copies from before a restart died with their connections.
    floor: u64,
    numbers: BTreeMap<u64, Entry>,
}

enum Entry {
    Accepted(IndexSet),
    /// This claim has it while its content arrives; a newer copy may take its place.
    Claimed(u64),
    /// Its commit is under way; these wait for it.
    Pending(Vec<Completer<()>>),
}

/// Why a key cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unclaimable {
    /// There is no room for another.
    Full,
    /// Its message is here, or its commit under way.
    Known,
    /// Its sender has settled it.
    Settled,
}

impl From<Unclaimable> for CommitError {
    fn from(why: Unclaimable) -> Self {
        match why {
            Unclaimable::Full => Self::KeysFull,
            Unclaimable::Known => Self::KeyKnown,
            Unclaimable::Settled => Self::KeySettled,
        }
    }
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
            Self::Claimed(_) | Self::Pending(_) => 0,
        }
    }
}

impl KeyTable {
    pub(crate) fn lookup(&mut self, key: &HandoffKey) -> KeyState {
        let group = self.groups.get_mut(&(key.sender, key.epoch));
        match group.and_then(|group| group.numbers.get_mut(&key.number)) {
            None | Some(Entry::Claimed(_)) => KeyState::Unknown,
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

    /// Reserves a key for a message whose content is still to come, and returns the claim. What is
    /// below `lowest` the sender has settled.
    pub(crate) fn claim(&mut self, key: &HandoffKey, lowest: u64) -> Result<u64, Unclaimable> {
        self.forget(key.sender, key.epoch, lowest);
        self.n_claims += 1;
        let claim = self.n_claims;
        self.reserve(key, &IndexSet::default(), Entry::Claimed(claim))?;
        // A group that this claim has made has not seen it yet.
        self.forget(key.sender, key.epoch, lowest);
        Ok(claim)
    }

    /// The commit under this claim begins: from here on every other copy waits for it. False where
    /// a newer copy has taken the claim, or the key was settled meanwhile.
    pub(crate) fn confirm(&mut self, key: &HandoffKey, claim: u64) -> bool {
        let group = self.groups.get_mut(&(key.sender, key.epoch));
        let Some(entry) = group.and_then(|group| group.numbers.get_mut(&key.number)) else {
            return false;
        };
        let is_its_own = matches!(entry, Entry::Claimed(has) if *has == claim);
        if is_its_own {
            *entry = Entry::Pending(Vec::new());
        }
        is_its_own
    }

    /// A claim was given up before its commit began.
    pub(crate) fn abandon(&mut self, key: &HandoffKey, claim: u64) {
        let Some(group) = self.groups.get_mut(&(key.sender, key.epoch)) else {
            return;
        };
        let entry = group.numbers.get(&key.number);
        if matches!(entry, Some(Entry::Claimed(has)) if *has == claim) {
            group.numbers.remove(&key.number);
            self.n_keys -= 1;
        }
    }

    /// Reserves a key for a commit that begins.
    pub(crate) fn claim_at_once(&mut self, new: &AcceptedKey) -> Result<(), Unclaimable> {
        self.reserve(&new.key, &new.accepted, Entry::Pending(Vec::new()))
    }

    /// Whether a snapshot has room for so many recipients of a key that is claimed.
    pub(crate) fn has_room_for(&self, accepted: &IndexSet) -> bool {
        self.snapshot_len() + key_len(accepted) <= self.len_max
    }

    fn reserve(
        &mut self,
        key: &HandoffKey,
        accepted: &IndexSet,
        entry: Entry,
    ) -> Result<(), Unclaimable> {
        let group = self.groups.get(&(key.sender, key.epoch));
        if group.is_some_and(|group| key.number < group.floor) {
            return Err(Unclaimable::Settled);
        }
        let is_claimed = match group.and_then(|group| group.numbers.get(&key.number)) {
            Some(Entry::Accepted(_) | Entry::Pending(_)) => return Err(Unclaimable::Known),
            Some(Entry::Claimed(_)) => true,
            None => false,
        };
        // What is on its way in is bounded by what is under way.
        let group_len = if group.is_some() { 0 } else { GROUP_LEN };
        let len = self.snapshot_len() + group_len + key_len(accepted);
        if !is_claimed && self.n_keys >= KEYS_MAX || len > self.len_max {
            return Err(Unclaimable::Full);
        }
        let group = self.groups.entry((key.sender, key.epoch)).or_default();
        // A sender that was restored from a backup asks for what it had settled since.
        group.lowest = group.lowest.min(key.number);
        group.numbers.insert(key.number, entry);
        self.n_keys += usize::from(!is_claimed);
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
        self.drop_below(key.sender, key.epoch, lowest);
    }

    /// The sender has opened its spool anew: copies of before come over connections of before,
    /// which are refused, and one that was restored from a backup asks for what it had settled.
    pub(crate) fn sender_opened(&mut self, sender: SpoolId) {
        let groups = self.groups.iter_mut().filter(|((of, _), _)| *of == sender);
        groups.for_each(|(_, group)| group.floor = 0);
    }

    /// The lowest number of the group that may still be asked for.
    pub(crate) fn lowest(&self, sender: SpoolId, epoch: u64) -> u64 {
        self.groups
            .get(&(sender, epoch))
            .map_or(0, |group| group.lowest)
    }

    /// The sender has settled what is below.
    pub(crate) fn forget(&mut self, sender: SpoolId, epoch: u64, below: u64) {
        if let Some(group) = self.groups.get_mut(&(sender, epoch)) {
            group.floor = group.floor.max(below);
            self.drop_below(sender, epoch, below);
        }
    }

    fn drop_below(&mut self, sender: SpoolId, epoch: u64, below: u64) {
        let Some(group) = self.groups.get_mut(&(sender, epoch)) else {
            return;
        };
        let first = group.numbers.first_key_value();
        if below <= group.lowest && first.is_none_or(|(&number, _)| number >= below) {
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
                // Nothing is committed under it, and nothing will be.
                Entry::Claimed(_) => self.n_keys -= 1,
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
                        Entry::Claimed(_) | Entry::Pending(_) => None,
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
                floor: 0,
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

#[cfg(test)]
mod tests;
