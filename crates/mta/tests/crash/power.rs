//! The power is cut, at once for all instances, and the system starts on what is left.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use testkit::power::{PowerCut, Recording};
use testkit::random::Random;

use crate::recorded::Run;
use crate::system::{Turn, is_full, seed};

/// How many images, where neither `POSTERN_CRASH_IMAGES` nor `POSTERN_CRASH=full` says so.
const IMAGES: usize = 40;

/// The run that all tests here look at; `None` without strace.
fn run(turn: &Turn) -> Option<&'static Run> {
    static RUN: OnceLock<Option<Run>> = OnceLock::new();
    RUN.get_or_init(|| Run::record(turn, seed())).as_ref()
}

/// What another host says when it has taken a message.
const TAKEN: &str = "taken as ";

/// Each cut that may leave something of its own, and the last moment at which it does before
/// another host takes something: that is when most had been acknowledged. In the order of time.
fn all_cuts(recording: &Recording, seed: u64) -> Vec<(usize, PowerCut)> {
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
fn distinct(recording: &Recording, cuts: &[(usize, PowerCut)]) -> Vec<(usize, PowerCut)> {
    let mut last = BTreeMap::new();
    let mut cuts = cuts.iter().peekable();
    recording.visit(|moment| {
        while let Some(&(number, cut)) = cuts.next_if(|(number, _)| *number == moment.number) {
            last.insert((moment.digest(cut), moment.n_heard(TAKEN)), (number, cut));
        }
    });
    in_time(last)
}

fn in_time<K>(cuts: BTreeMap<K, (usize, PowerCut)>) -> Vec<(usize, PowerCut)> {
    let mut cuts: Vec<_> = cuts.into_values().collect();
    cuts.sort_by_key(|(number, _)| *number);
    cuts
}

/// The moments at which somebody is told that a message is safe.
fn acknowledgements(recording: &Recording) -> Vec<usize> {
    let (mut numbers, mut n_said) = (Vec::new(), 0);
    recording.visit(|moment| {
        let n = moment.n_said("accepted as ");
        if n > n_said {
            numbers.push(moment.number);
        }
        n_said = n;
    });
    numbers
}

/// `n` of `cuts`, most of them from when there was something to lose.
fn some(
    cuts: &[(usize, PowerCut)],
    n: usize,
    first_acknowledgement: usize,
    seed: u64,
) -> Vec<(usize, PowerCut)> {
    let before = cuts.partition_point(|(number, _)| *number < first_acknowledgement);
    let random = Random::new(seed);
    let pick = |from: usize, to: usize| {
        from + usize::try_from(random.below((to - from) as u64)).expect("below a length")
    };
    let first = (0..n / 8).map(|_| pick(0, before));
    let rest = (0..n - n / 8).map(|_| pick(before, cuts.len()));
    first.chain(rest).map(|index| cuts[index]).collect()
}

#[test]
fn what_was_acknowledged_arrives_once_wherever_the_power_is_cut() {
    let turn = Turn::take();
    let Some(run) = run(&turn) else {
        return;
    };
    let seed = seed();
    let mut cuts = all_cuts(&run.recording, seed);
    let n_cuts = cuts.len();
    let wanted = std::env::var("POSTERN_CRASH_IMAGES").ok();
    let wanted = wanted.map(|text| text.parse().expect("a number of images"));
    cuts = if wanted.is_none() && is_full() {
        distinct(&run.recording, &cuts)
    } else {
        let first = acknowledgements(&run.recording)[0];
        some(&cuts, wanted.unwrap_or(IMAGES), first, seed)
    };
    println!("{} images of {n_cuts} power cuts", cuts.len());
    let wrong = run.judge_all(&cuts);
    println!("{} images, {} of them wrong", cuts.len(), wrong.len());
    assert!(wrong.is_empty(), "the first of these:\n{}", wrong[0]);
}

/// Which paths are meant.
type Wanted = fn(&str) -> bool;

/// What a program may forget to sync.
const FORGETTABLE: [(&str, Wanted); 5] = [
    ("what output accepts", |path| {
        path.contains("/spool/output/seg-")
    }),
    ("large contents", |path| folder(path) == "content"),
    ("letters", |path| {
        path.contains("/mail/") && folder(path) == "tmp"
    }),
    ("names of letters", |path| path.ends_with("/new")),
    ("the spools' own names", |path| {
        path.ends_with("/state/spool")
    }),
];

fn folder(path: &str) -> &str {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    parent.rsplit_once('/').map_or("", |(_, name)| name)
}

/// How many acknowledgements are looked at, from the first to the last, until one shows the loss.
const LOOKS: usize = 8;

/// After how long what is queued counts as stuck: contents that are not there are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// That the suite finds nothing says something only if it finds what is there.
#[test]
fn a_sync_that_is_forgotten_is_found_wherever_it_is() {
    let turn = Turn::take();
    let Some(run) = run(&turn) else {
        return;
    };
    let all = acknowledgements(&run.recording);
    let chosen: Vec<usize> = (0..LOOKS)
        .map(|n| all[n * (all.len() - 1) / (LOOKS - 1)])
        .collect();
    for (what, is_forgotten) in FORGETTABLE {
        let (recording, n_forgotten) = run.recording.without_syncs(is_forgotten);
        assert_ne!(
            n_forgotten, 0,
            "{what}: nothing is synced, or the paths are others now"
        );
        let mut found = None;
        recording.visit(|moment| {
            if found.is_none() && chosen.contains(&moment.number) {
                let mut system = run.start_after(moment, PowerCut::Lost);
                found = match system.judge_within(PATIENCE) {
                    Some(judgement) if judgement.is_kept() => None,
                    Some(judgement) => Some(judgement.to_string()),
                    None => Some("something stays in the queue for ever".to_owned()),
                };
            }
        });
        let found = found.unwrap_or_else(|| panic!("{what}: not found"));
        println!("{what}: {n_forgotten} syncs forgotten: {found}");
    }
}
