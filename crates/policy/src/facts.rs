//! The facts of a session, and how a check reads them.

use crate::fact::{Fact, FactKey, Scope};

/// The facts that were gathered in a session and still hold. There are as many at most as the
/// checks ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Vec<Fact>);

impl Facts {
    /// Takes a fact; a newer one of the same name replaces it.
    pub fn learn(&mut self, fact: Fact) {
        let key = fact.key();
        match self.0.iter_mut().find(|known| known.key() == key) {
            Some(known) => *known = fact,
            None => self.0.push(fact),
        }
    }

    /// Something new of this scope begins: the facts of the last one, and of what is within it,
    /// hold no longer.
    pub fn begin(&mut self, scope: Scope) {
        self.0.retain(|fact| !scope.contains(fact.key().scope()));
    }

    /// A fact by its name.
    #[must_use]
    pub fn find(&self, key: FactKey) -> Option<&Fact> {
        self.0.iter().find(|fact| fact.key() == key)
    }

    /// All, in the order in which they were learned first.
    pub fn iter(&self) -> impl Iterator<Item = &Fact> {
        self.0.iter()
    }
}

/// A set of names of facts. A few need no memory of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FactSet {
    few: [Option<FactKey>; FEW],
    more: Vec<FactKey>,
}

/// As many facts as nearly every check reads at most.
const FEW: usize = 3;

impl FactSet {
    /// Whether it holds `key`.
    #[must_use]
    pub fn contains(&self, key: FactKey) -> bool {
        self.iter().any(|known| known == key)
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.few[0].is_none()
    }

    /// All, in the order in which they were asked for.
    pub fn iter(&self) -> impl Iterator<Item = FactKey> {
        self.few.iter().flatten().chain(&self.more).copied()
    }

    /// Adds `key`; whether it was not there before.
    pub fn insert(&mut self, key: FactKey) -> bool {
        if self.contains(key) {
            return false;
        }
        match self.few.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(key),
            None => self.more.push(key),
        }
        true
    }
}

/// A fact was not gathered yet. The step then names it among those that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing(());

/// How a check reads facts: what it read is kept for the explanation, what is missing is asked for.
#[derive(Debug)]
pub struct Reading<'a> {
    facts: &'a Facts,
    missing: &'a mut FactSet,
    pub(crate) used: FactSet,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(facts: &'a Facts, missing: &'a mut FactSet) -> Self {
        Self {
            facts,
            missing,
            used: FactSet::default(),
        }
    }

    pub(crate) fn look_up(&mut self, key: FactKey) -> Result<&'a Fact, Missing> {
        self.used.insert(key);
        self.facts.find(key).ok_or_else(|| self.lacks(key))
    }

    pub(crate) fn lacks(&mut self, key: FactKey) -> Missing {
        self.missing.insert(key);
        Missing(())
    }
}
