//! The power is cut, at once for all instances, and the system starts on what is left.

use testkit::random::Random;

use crate::cuts;
use crate::recorded::Run;
use crate::system::{Turn, images_wanted, seed};

/// How many images, where neither `POSTERN_CRASH_IMAGES` nor `POSTERN_CRASH=full` says so.
const IMAGES: usize = 40;

#[test]
fn what_was_acknowledged_arrives_once_wherever_the_power_is_cut() {
    let turn = Turn::take();
    let Some(run) = Run::shared(&turn) else {
        return;
    };
    let seed = seed();
    let mut cuts = cuts::all(&run.recording, seed);
    let n_cuts = cuts.len();
    cuts = match images_wanted(IMAGES) {
        None => cuts::distinct(&run.recording, &cuts),
        // Most of them from when there was something to lose.
        Some(n) => {
            let random = Random::new(seed);
            let (before, after) = cuts::divided(&run.recording, &cuts);
            let before = cuts::some(before, n / 8, &random);
            [before, cuts::some(after, n - n / 8, &random)].concat()
        }
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

/// That the suite finds nothing says something only if it finds what is there.
#[test]
fn a_sync_that_is_forgotten_is_found_wherever_it_is() {
    let turn = Turn::take();
    let Some(run) = Run::shared(&turn) else {
        return;
    };
    let looks = cuts::spread(&cuts::acknowledgements(&run.recording), LOOKS);
    for (what, is_forgotten) in FORGETTABLE {
        let (recording, n_forgotten) = run.recording.without_syncs(is_forgotten);
        assert_ne!(
            n_forgotten, 0,
            "{what}: nothing is synced, or the paths are others now"
        );
        let found = run.loss_in(&recording, &looks);
        let found = found.unwrap_or_else(|| panic!("{what}: not found"));
        println!("{what}: {n_forgotten} syncs forgotten: {found}");
    }
}
