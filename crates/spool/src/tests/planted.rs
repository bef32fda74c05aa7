//! Mistakes that are made on purpose, one of each kind, are found by the crash tests.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::crash::{
    cut_after, cut_after_kill, cut_in_recovery, forget_syncs, n_operations, n_recoveries, n_tears,
    tear_what_a_kill_left,
};
use crate::planted::{Mistake, plant};
use crate::simulated::Forgotten;

/// What is done wrong.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    In(Mistake),
    Forgotten(Forgotten),
}

/// The part of a crash test that has to find it: what it does for each number up to how many.
type Finder = (fn(u64), fn() -> u64);

const CUT: Finder = (cut_after, n_operations);
const CUT_AFTER_KILL: Finder = (cut_after_kill, n_operations);
const TEAR_AFTER_KILL: Finder = (tear_what_a_kill_left, n_tears);
const CUT_IN_RECOVERY: Finder = (cut_in_recovery, n_recoveries);

/// The table of `docs/spool-format.md`.
const TABLE: [(Wrong, Finder); 17] = [
    (Wrong::Forgotten(Forgotten::Batches), CUT),
    (Wrong::Forgotten(Forgotten::Contents), CUT),
    (Wrong::Forgotten(Forgotten::Directory("")), CUT),
    (Wrong::Forgotten(Forgotten::Directory("content")), CUT),
    (Wrong::Forgotten(Forgotten::Headers), CUT),
    (Wrong::In(Mistake::ContentRemovedBeforeEnd), CUT),
    (Wrong::In(Mistake::ContentsRemovedTooEarly), CUT_AFTER_KILL),
    (Wrong::In(Mistake::DoneBeforeNotification), CUT),
    (Wrong::In(Mistake::KeysDroppedAtRestart), CUT),
    (Wrong::In(Mistake::KeysBeforeMessages), TEAR_AFTER_KILL),
    (Wrong::In(Mistake::NotificationTornFromEnd), TEAR_AFTER_KILL),
    (Wrong::In(Mistake::KeysNotWrittenAnew), CUT),
    (Wrong::In(Mistake::MoveForgetsState), CUT),
    (Wrong::In(Mistake::RecycledTooEarly), CUT),
    (Wrong::In(Mistake::StaleRecordBelieved), CUT),
    (Wrong::In(Mistake::TailLeftBehind), CUT_IN_RECOVERY),
    (Wrong::In(Mistake::TornContentBelieved), CUT),
];

/// Whether a crash test, made in this thread, finds what is done wrong.
fn is_found(wrong: Wrong, (find, n): Finder) -> bool {
    // How many there are is counted before.
    let n = n();
    match wrong {
        Wrong::In(mistake) => plant(mistake),
        Wrong::Forgotten(forgotten) => forget_syncs(forgotten),
    }
    // Backwards, because most has happened by then.
    (1..=n)
        .rev()
        .any(|n| catch_unwind(AssertUnwindSafe(|| find(n))).is_err())
}

#[test]
fn every_planted_mistake_is_found() {
    let rows = TABLE.map(|(wrong, finder)| {
        let thread = std::thread::spawn(move || is_found(wrong, finder));
        (wrong, thread)
    });
    let missed: Vec<Wrong> = rows
        .into_iter()
        .filter_map(|(wrong, thread)| (!thread.join().expect("counts")).then_some(wrong))
        .collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
