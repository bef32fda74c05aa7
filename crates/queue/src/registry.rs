//! Things that have a name: found by it, and forgotten some time after their last job.

use std::collections::{BTreeSet, HashMap};
use std::marker::PhantomData;
use std::sync::Arc;

use mail::Moment;

use crate::due::Due;
use crate::limits::{IDLE_MAX, SITE_MEMORY};

/// Names an entry of a [`Registry`].
pub(crate) trait Id: Copy + Ord {
    fn of(slot: u32) -> Self;
    fn slot(self) -> u32;
}

/// All entries of one kind, and those that are to be forgotten.
#[derive(Debug)]
pub(crate) struct Registry<I, T> {
    slots: Vec<Option<Slot<T>>>,
    free: Vec<u32>,
    by_name: HashMap<Arc<str>, u32>,
    idle: BTreeSet<(Due, u32)>,
    ids: PhantomData<I>,
}

#[derive(Debug)]
struct Slot<T> {
    name: Arc<str>,
    /// Until when it is remembered; `None` while it is in use.
    idle_until: Option<Due>,
    value: T,
}

impl<I, T> Default for Registry<I, T> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_name: HashMap::new(),
            idle: BTreeSet::new(),
            ids: PhantomData,
        }
    }
}

impl<I: Id, T> Registry<I, T> {
    /// The entry of that name, new or known; remembered for a while from now on.
    pub(crate) fn intern(&mut self, now: Moment, name: &str, new: impl FnOnce() -> T) -> I {
        if let Some(&slot) = self.by_name.get(name) {
            if self.slot(I::of(slot)).idle_until.is_some() {
                self.rest(now, I::of(slot));
            }
            return I::of(slot);
        }
        let name: Arc<str> = name.into();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("invariant: fewer than 2^32 entries")
        });
        self.slots[slot as usize] = Some(Slot {
            name: Arc::clone(&name),
            idle_until: None,
            value: new(),
        });
        self.by_name.insert(name, slot);
        self.rest(now, I::of(slot));
        I::of(slot)
    }

    /// The entry of that name, if it is known.
    pub(crate) fn find(&self, name: &str) -> Option<I> {
        self.by_name.get(name).map(|slot| I::of(*slot))
    }

    /// The entry is not in use; it is remembered for a while.
    pub(crate) fn rest(&mut self, now: Moment, id: I) {
        self.wake(id);
        let until = Due::at(now + SITE_MEMORY);
        self.idle.insert((until, id.slot()));
        self.slot_mut(id).idle_until = Some(until);
    }

    /// The entry is in use.
    pub(crate) fn wake(&mut self, id: I) {
        if let Some(until) = self.slot_mut(id).idle_until.take() {
            self.idle.remove(&(until, id.slot()));
        }
    }

    /// Forgets an entry that has been unused for long, or one of too many; to be called until it
    /// returns `None`.
    pub(crate) fn forget(&mut self, now: Moment) -> Option<T> {
        let &(until, slot) = self.idle.first()?;
        if until > Due::by(now) && self.idle.len() <= IDLE_MAX {
            return None;
        }
        self.idle.pop_first();
        let entry = self.slots[slot as usize].take()?;
        self.by_name.remove(&entry.name);
        self.free.push(slot);
        Some(entry.value)
    }

    pub(crate) fn get(&self, id: I) -> Option<&T> {
        Some(&self.slots.get(id.slot() as usize)?.as_ref()?.value)
    }

    pub(crate) fn name(&self, id: I) -> &str {
        &self.slot(id).name
    }

    /// How many were ever known at once.
    pub(crate) const fn n_slots(&self) -> usize {
        self.slots.len()
    }

    fn slot(&self, id: I) -> &Slot<T> {
        let slot = self.slots.get(id.slot() as usize);
        slot.and_then(Option::as_ref)
            .expect("invariant: an id in use is valid; see `DestinationId` and `SiteId`")
    }

    fn slot_mut(&mut self, id: I) -> &mut Slot<T> {
        let slot = self.slots.get_mut(id.slot() as usize);
        slot.and_then(Option::as_mut)
            .expect("invariant: an id in use is valid; see `DestinationId` and `SiteId`")
    }

    #[cfg(test)]
    pub(crate) fn n_known(&self) -> usize {
        self.by_name.len()
    }
}

impl<I: Id, T> std::ops::Index<I> for Registry<I, T> {
    type Output = T;

    fn index(&self, id: I) -> &T {
        &self.slot(id).value
    }
}

impl<I: Id, T> std::ops::IndexMut<I> for Registry<I, T> {
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.slot_mut(id).value
    }
}
