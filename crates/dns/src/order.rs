//! In which order exchangers and addresses are tried.
//!
//! # Standards
//! RFC 5321 §5.1: by preference, at random among equals. RFC 8305 §4: families by turns.

use std::net::IpAddr;

/// Sorts by preference and shuffles equals, so that they share the load. The same seed gives the
/// same order.
pub(crate) fn by_preference<T>(records: &mut [(u16, T)], seed: u64) {
    let mut random = SplitMix(seed);
    for end in (2..=records.len()).rev() {
        let n_left = u64::try_from(end).unwrap_or(u64::MAX);
        let other = usize::try_from(random.next() % n_left).unwrap_or(0);
        records.swap(end - 1, other);
    }
    records.sort_by_key(|(preference, _)| *preference);
}

/// Both families by turns, IPv6 first; a family that is dead costs one try, not all of them.
pub(crate) fn by_turns(v6: Vec<IpAddr>, v4: Vec<IpAddr>, n_max: usize) -> Vec<IpAddr> {
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut order = Vec::new();
    while order.len() < n_max {
        let pair = [v6.next(), v4.next()];
        if pair == [None, None] {
            break;
        }
        order.extend(pair.into_iter().flatten());
    }
    order.truncate(n_max);
    order
}

/// Splitmix64: spreads a seed; no secret depends on it.
struct SplitMix(u64);

impl SplitMix {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn equal_preferences_are_shuffled_and_others_keep_their_order() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let mut records = [(10, 'c'), (5, 'a'), (10, 'd'), (5, 'b'), (20, 'e')];
            by_preference(&mut records, seed);
            let order: String = records.iter().map(|(_, name)| name).collect();
            seen.insert(order);
        }
        let all = ["abcde", "abdce", "bacde", "badce"].map(String::from);
        assert_eq!(seen, BTreeSet::from(all));
    }

    #[test]
    fn each_of_many_equals_comes_first_about_as_often() {
        let mut first = [0_u32; 5];
        for seed in 0..5_000 {
            let mut records: Vec<_> = (0..5).map(|n| (0, n)).collect();
            by_preference(&mut records, seed);
            first[records[0].1] += 1;
        }
        assert!(first.iter().all(|n| (850..1_150).contains(n)), "{first:?}");
    }

    #[test]
    fn families_take_turns_and_their_number_is_bounded() {
        let v6 = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
        let v4 = |n: u8| IpAddr::from([192, 0, 2, n]);
        let order = by_turns(vec![v6(1)], (1..=9).map(v4).collect(), 4);
        assert_eq!(order, [v6(1), v4(1), v4(2), v4(3)]);
        let none = by_turns(vec![], vec![], 4);
        assert!(none.is_empty());
    }
}
