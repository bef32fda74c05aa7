//! Which power cuts of a recorded run are looked at.

use std::collections::{BTreeMap, BTreeSet};

use testkit::power::{PowerCut, Recording};
use testkit::random::Random;

/// A moment of a recording, by its number, and what a loss of power leaves then.
pub(crate) type Cut = (usize, PowerCut);

/// What another host says when it has taken a message.
const TAKEN: &str = "taken as ";

/// What clients are told when a message is safe.
pub(crate) const ACCEPTED: &str = "accepted as ";

/// Each cut that may leave something of its own, and the last moment at which it does before
/// another host takes something: that is when most had been acknowledged. In the order of time.
pub(crate) fn all(recording: &Recording, seed: u64) -> Vec<Cut> {
    let kinds = |number: u64| {
        let seed = seed ^ number;
        [
            PowerCut::Lost,
            PowerCut::Torn { block: 512, seed },
            PowerCut::Kept,
            PowerCut::NamesKept,
            PowerCut::Torn { block: 4096, seed },
            PowerCut::NamesLost,
            PowerCut::LastTorn(512),
            PowerCut::LastTorn(4096),
        ]
    };
    let mut last = BTreeMap::new();
    recording.visit(|moment| {
        for (kind, cut) in kinds(moment.number as u64).into_iter().enumerate() {
            let key = (moment.version(cut), kind, moment.n_heard(TAKEN));
            last.insert(key, (moment.number, cut));
        }
    });
    in_time(last)
}

/// Those of `cuts` that leave something of their own: of several after which the disk is the same
/// to the octet and another host has taken the same, the last.
pub(crate) fn distinct(recording: &Recording, cuts: &[Cut]) -> Vec<Cut> {
    let mut last = BTreeMap::new();
    let mut cuts = cuts.iter().peekable();
    recording.visit(|moment| {
        while let Some(&(number, cut)) = cuts.next_if(|(number, _)| *number == moment.number) {
            last.insert((moment.digest(cut), moment.n_heard(TAKEN)), (number, cut));
        }
    });
    in_time(last)
}

fn in_time<K>(cuts: BTreeMap<K, Cut>) -> Vec<Cut> {
    let mut cuts: Vec<_> = cuts.into_values().collect();
    cuts.sort_by_key(|(number, _)| *number);
    cuts
}

/// The moments at which somebody is told that a message is safe.
pub(crate) fn acknowledgements(recording: &Recording) -> Vec<usize> {
    let (mut numbers, mut n_before) = (Vec::new(), None);
    recording.visit(|moment| {
        let n = moment.n_said(ACCEPTED);
        // What was said before the recording is there at its first moment.
        if n > *n_before.get_or_insert(n) {
            numbers.push(moment.number);
        }
        n_before = Some(n);
    });
    numbers
}

/// Those of `cuts` that come before the first acknowledgement of the recording, and the others.
pub(crate) fn divided<'a>(recording: &Recording, cuts: &'a [Cut]) -> (&'a [Cut], &'a [Cut]) {
    let first = acknowledgements(recording)[0];
    cuts.split_at(cuts.partition_point(|(number, _)| *number < first))
}

/// Any `n` of `cuts`, or fewer where one is drawn twice.
pub(crate) fn some(cuts: &[Cut], n: usize, random: &Random) -> Vec<Cut> {
    let pick = |_| usize::try_from(random.below(cuts.len() as u64)).expect("below a length");
    let chosen: BTreeSet<usize> = (0..n).map(pick).collect();
    chosen.into_iter().map(|index| cuts[index]).collect()
}

/// `n` of `moments`, from the first to the last of them.
pub(crate) fn spread(moments: &[usize], n: usize) -> Vec<usize> {
    let nth = |index| moments[index * (moments.len() - 1) / (n - 1)];
    (0..n).map(nth).collect()
}
