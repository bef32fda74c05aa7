//! A set of recipient indexes.

/// Which recipients of a handoff, by their index in it.
///
/// Takes 64 of them without an allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IndexSet {
    first: u64,
    /// No trailing zero words, so that equal sets compare equal.
    rest: Vec<u64>,
}

impl IndexSet {
    /// The set of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            first: 0,
            rest: Vec::new(),
        }
    }

    /// The first `n` indexes: all recipients of a handoff that has `n`.
    #[must_use]
    pub fn all(n: u32) -> Self {
        (0..n).collect()
    }

    /// Puts an index in.
    pub fn insert(&mut self, index: u32) {
        let (word, bit) = (index as usize / 64, 1u64 << (index % 64));
        if word == 0 {
            self.first |= bit;
        } else {
            if self.rest.len() < word {
                self.rest.resize(word, 0);
            }
            self.rest[word - 1] |= bit;
        }
    }

    /// Takes an index out.
    pub fn remove(&mut self, index: u32) {
        let (word, bit) = (index as usize / 64, 1u64 << (index % 64));
        if word == 0 {
            self.first &= !bit;
        } else if let Some(bits) = self.rest.get_mut(word - 1) {
            *bits &= !bit;
            self.trim();
        }
    }

    /// Puts all of another set in.
    pub fn extend(&mut self, other: &Self) {
        self.first |= other.first;
        if self.rest.len() < other.rest.len() {
            self.rest.resize(other.rest.len(), 0);
        }
        for (bits, more) in self.rest.iter_mut().zip(&other.rest) {
            *bits |= more;
        }
    }

    /// Whether an index is in.
    #[must_use]
    pub fn contains(&self, index: u32) -> bool {
        let word = match index as usize / 64 {
            0 => self.first,
            n => self.rest.get(n - 1).copied().unwrap_or(0),
        };
        word & (1 << (index % 64)) != 0
    }

    /// Whether an index is in both sets.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        self.words().zip(other.words()).any(|(a, b)| a & b != 0)
    }

    /// How many are in.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.words().map(u64::count_ones).sum()
    }

    /// Whether nothing is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// At least one word, the last of several never zero.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.first).chain(self.rest.iter().copied())
    }

    pub(crate) fn from_words(words: &[u64]) -> Self {
        let mut set = Self {
            first: words.first().copied().unwrap_or(0),
            rest: words.get(1..).unwrap_or_default().to_vec(),
        };
        set.trim();
        set
    }

    fn trim(&mut self) {
        while self.rest.last() == Some(&0) {
            self.rest.pop();
        }
    }
}

impl FromIterator<u32> for IndexSet {
    fn from_iter<I: IntoIterator<Item = u32>>(indexes: I) -> Self {
        let mut set = Self::new();
        for index in indexes {
            set.insert(index);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_go_in_and_are_found_beyond_the_first_word() {
        let set: IndexSet = [0, 63, 64, 200].into_iter().collect();
        assert_eq!(set.len(), 4);
        assert!(set.contains(63) && set.contains(64) && set.contains(200));
        assert!(!set.contains(1) && !set.contains(1000));
        let words: Vec<u64> = set.words().collect();
        assert_eq!(IndexSet::from_words(&words), set);
        assert_eq!(IndexSet::from_words(&[5, 0, 0]), IndexSet::from_words(&[5]));
        assert_eq!(IndexSet::all(65).len(), 65);
    }

    #[test]
    fn sets_grow_and_shrink_and_equal_ones_are_equal() {
        let mut set: IndexSet = [0, 64, 200].into_iter().collect();
        set.remove(200);
        set.remove(500);
        assert_eq!(set, [0, 64].into_iter().collect());
        set.extend(&[3, 130].into_iter().collect());
        assert_eq!(set, [0, 3, 64, 130].into_iter().collect());
        assert!(set.intersects(&[7, 130].into_iter().collect()));
        assert!(!set.intersects(&[7, 131].into_iter().collect()));
        for index in [0, 3, 64, 130] {
            set.remove(index);
        }
        assert_eq!(set, IndexSet::new());
    }
}
