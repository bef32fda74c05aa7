//! Power cuts, failures and full disks at every operation, checked against the model.

use super::model::{Action, Trial, check, open};
use crate::limits::SEGMENT_LEN_MIN;
use crate::simulated::{Fault, PowerCut, SimulatedDisk};

/// How a cut leaves what was not durable. The seeds are fixed: a failure repeats.
const CUTS: [PowerCut; 6] = [
    PowerCut::Kept,
    PowerCut::Lost,
    PowerCut::NamesKept,
    PowerCut::NamesLost,
    PowerCut::Torn {
        block: 512,
        seed: 0x5eed_0001,
    },
    PowerCut::Torn {
        block: 4096,
        seed: 0x5eed_0002,
    },
];

/// Everything the spool does: accept with and without a key and in files, attempt, progress, done,
/// notify, and, because a few messages stay for ever while others come and go, rolling, sealing,
/// retiring, recycling, moving, snapshots of keys.
fn workload(trial: &mut Trial) {
    use Action::{Accept, AcceptKeyed, Attempt, Done, ForgetKeysBelow, Notify, Progress};
    for round in 0..ROUNDS {
        let n = round * 10;
        trial.ask(&[Accept(n), AcceptKeyed(n + 1)]);
        trial.ask(&[Accept(n + 2), AcceptKeyed(n + 3), Accept(n + 4)]);
        if round == 0 {
            continue;
        }
        let old = n - 10;
        // What ends in 2 stays in some rounds, and is put off again and again.
        trial.ask(&[Done(old), Done(old + 1), Attempt(old + 2)]);
        trial.ask(&[Progress(old + 2), Progress(2), Done(old + 3)]);
        trial.ask(&[Notify(old + 4, old + 5)]);
        if round % 3 != 0 {
            trial.ask(&[Done(old + 2), Done(old + 5)]);
        }
        if round == ROUNDS / 2 {
            trial.ask(&[ForgetKeysBelow(old)]);
        }
    }
}

const ROUNDS: u64 = 9;

/// Runs the workload with a fault; `None` when not even opening succeeded.
fn run(fault: Fault) -> (SimulatedDisk, Option<Trial>) {
    let disk = SimulatedDisk::new();
    disk.set_fault(fault);
    let mut trial = Trial::open(disk.clone()).ok();
    if let Some(trial) = &mut trial {
        workload(trial);
    }
    (disk, trial)
}

fn check_disk(trial: Option<&Trial>, disk: &SimulatedDisk) {
    let nothing = std::collections::BTreeMap::new();
    let (spool, recovery, _engine) = open(disk).expect("recovers");
    let known = trial.map_or(&nothing, |trial| &trial.known);
    check(known, &spool, &recovery);
}

/// Does `check` for each number up to `n`, on all processors.
fn for_each(n: u64, check: impl Fn(u64) + Sync) {
    let next = std::sync::atomic::AtomicU64::new(1);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if i > n {
                        return;
                    }
                    check(i);
                }
            });
        }
    });
}

#[test]
fn the_workload_recycles_and_moves_and_keeps_within_the_space_bound() {
    let (disk, trial) = run(Fault::None);
    let trial = trial.expect("opens");
    let usage = trial.spool.usage();
    let bound = 2 * usage.live_bytes + 4 * u64::from(SEGMENT_LEN_MIN);
    assert!(usage.segment_bytes <= bound, "{usage:?}");
    let written = trial.spool.stats().bytes_written;
    assert!(
        written > 3 * usage.segment_bytes,
        "nothing was recycled: {usage:?}, {written}"
    );
    check_disk(Some(&trial), &disk.after(PowerCut::Kept));
}

#[test]
fn a_power_cut_after_any_operation_loses_nothing_and_repeats_nothing() {
    let (disk, _) = run(Fault::None);
    for_each(disk.n_operations(), |n| {
        let (disk, trial) = run(Fault::PowerOffAfter(n));
        for cut in CUTS {
            check_disk(trial.as_ref(), &disk.after(cut));
        }
    });
}

/// The workload after which recovery is tried: cut at this operation, with what a kill leaves, so
/// that there is something unsealed, and something in the page cache only.
const RECOVERIES: u64 = 8;

#[test]
fn a_power_cut_after_any_operation_of_recovery_loses_nothing() {
    let (disk, _) = run(Fault::None);
    let step = disk.n_operations() / RECOVERIES;
    for_each(RECOVERIES, |n| {
        let (disk, trial) = run(Fault::PowerOffAfter(n * step));
        let left = |cut| disk.after(cut);
        for first in [PowerCut::Kept, PowerCut::Lost, CUTS[4]] {
            let whole = left(first);
            whole.set_fault(Fault::None);
            drop(open(&whole).expect("recovers"));
            for m in 1..=whole.n_operations() {
                let disk = left(first);
                disk.set_fault(Fault::PowerOffAfter(m));
                // What a first, cut recovery gave out must be there in the second.
                drop(open(&disk));
                for cut in [PowerCut::Kept, PowerCut::Lost, CUTS[4], CUTS[5]] {
                    check_disk(trial.as_ref(), &disk.after(cut));
                }
            }
        }
    });
}

#[test]
fn a_failure_of_any_one_operation_is_survived_or_ends_in_a_state_that_acknowledges_nothing() {
    let (disk, _) = run(Fault::None);
    for_each(disk.n_operations(), |n| {
        let (disk, trial) = run(Fault::FailAt(n));
        disk.set_fault(Fault::None);
        check_disk(trial.as_ref(), &disk.after(PowerCut::Kept));
        check_disk(trial.as_ref(), &disk.after(PowerCut::Lost));
    });
}

#[test]
fn a_disk_that_fails_for_ever_ends_in_a_state_that_acknowledges_nothing() {
    let (disk, _) = run(Fault::None);
    for_each(disk.n_operations() / 5, |n| {
        let (disk, trial) = run(Fault::FailFrom(5 * n));
        check_disk(trial.as_ref(), &disk.after(PowerCut::Lost));
    });
}

#[test]
fn on_a_disk_that_is_full_messages_are_refused_and_outcomes_are_recorded() {
    let (disk, _) = run(Fault::None);
    for_each(disk.n_operations() / 5, |n| {
        let (disk, trial) = run(Fault::FullFrom(5 * n));
        check_disk(trial.as_ref(), &disk.after(PowerCut::Lost));
    });
}
