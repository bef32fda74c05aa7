//! What a write does to the octets of a file, whole or in part.

use super::super::octets::Octets;
use super::super::operation::Data;

#[derive(Clone, Debug)]
pub(super) enum Changed {
    Length(u64),
    Octets(u64, Vec<Data>),
}

impl Changed {
    pub(super) fn len_after(&self, len: u64) -> u64 {
        match self {
            Self::Length(len) => *len,
            Self::Octets(offset, data) => len.max(offset + total(data)),
        }
    }

    /// How many octets that are not all zeros are written.
    pub(super) fn n_octets(&self) -> u64 {
        match self {
            Self::Length(_) => 0,
            Self::Octets(_, data) => data
                .iter()
                .filter_map(Data::octets)
                .map(|o| o.len() as u64)
                .sum(),
        }
    }

    pub(super) fn apply(&self, to: &mut Octets) {
        self.apply_blocks(to, u64::MAX, |_| true);
    }

    pub(super) fn apply_blocks(
        &self,
        to: &mut Octets,
        block: u64,
        mut keeps: impl FnMut(u64) -> bool,
    ) {
        let (offset, data) = match self {
            Self::Length(len) => {
                if keeps(0) {
                    to.set_len(*len);
                }
                return;
            }
            Self::Octets(offset, data) => (*offset, data),
        };
        let mut at = offset;
        let mut last = None;
        for data in data {
            let mut done = 0;
            while done < data.n_octets() {
                let number = at / block;
                let n = (data.n_octets() - done).min(block - at % block);
                // A block may be written by several slices: it is kept or not, as one.
                let is_kept = match last {
                    Some((before, is_kept)) if before == number => is_kept,
                    _ => keeps(number),
                };
                last = Some((number, is_kept));
                if is_kept {
                    data.apply(done, n, at, to);
                }
                (at, done) = (at + n, done + n);
            }
        }
    }
}

pub(super) fn total(data: &[Data]) -> u64 {
    data.iter().map(Data::n_octets).sum()
}

impl Data {
    /// Puts `n` octets from `from` on at `offset`.
    fn apply(&self, from: u64, n: u64, offset: u64, to: &mut Octets) {
        match self {
            Self::Octets(octets) => {
                let [from, n] =
                    [from, n].map(|n| usize::try_from(n).expect("a write fits into memory"));
                to.write(offset, &octets[from..from + n]);
            }
            Self::Zeros(_) => to.fill(offset, n),
        }
    }
}
