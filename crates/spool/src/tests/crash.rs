//! Power cuts, failures and full disks at every operation, checked against the model.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use super::model::{Action, Trial, check, content_len, open};
use crate::inspect::{self, Inspection};
use crate::limits::SEGMENT_LEN_MIN;
use crate::simulated::{Fault, Forgotten, PowerCut, Random, SimulatedDisk};
use crate::{Recovery, Spool};

thread_local! {
    /// The syncs that are forgotten in this thread.
    static FORGOTTEN: Cell<Option<Forgotten>> = const { Cell::new(None) };
}

/// These syncs are forgotten from here on, in this thread.
pub(super) fn forget_syncs(forgotten: Forgotten) {
    FORGOTTEN.set(Some(forgotten));
}

/// Whether to try every way of losing what was not durable at every operation, which takes minutes
/// without optimisation: `POSTERN_CRASH=full cargo test -p postern-spool --release`.
/// Otherwise every operation is tried in half of the ways, in turn.
pub(super) fn is_full() -> bool {
    std::env::var_os("POSTERN_CRASH").is_some_and(|value| value == "full")
}

/// How a cut after operation `n` leaves what was not durable. The seeds follow from `n`: a failure
/// repeats.
pub(super) fn cuts(n: u64) -> Vec<PowerCut> {
    let torn = |block| PowerCut::Torn {
        block,
        seed: 0x5eed_0000 + n,
    };
    let all = [
        PowerCut::Lost,
        PowerCut::Kept,
        torn(512),
        PowerCut::NamesKept,
        torn(4096),
        PowerCut::NamesLost,
    ];
    let is_turn = |(i, _): &(u64, PowerCut)| is_full() || (i + n).is_multiple_of(2);
    (0..).zip(all).filter(is_turn).map(|(_, cut)| cut).collect()
}

/// Everything the spool does: accept with and without a key and in files, attempt, progress (put
/// off, held, dropped), done, notify of the end and of a part, forgetting of keys, and, because a
/// few messages stay for ever while others come and go, rolling, sealing, retiring, recycling,
/// moving, snapshots of keys.
fn workload(trial: &mut Trial) {
    use Action::{
        Accept, AcceptKeyed, Attempt, Done, ForgetEpochs, ForgetKeysBelow, Notify, NotifyOf,
        Progress,
    };
    let ballast = ballast(18);
    for (small, large) in (800..).zip(ballast.chunks(3)) {
        let mut actions: Vec<Action> = large.iter().map(|&n| Accept(n)).collect();
        actions.push(Accept(small));
        trial.ask(&actions);
    }
    for round in 0..ROUNDS {
        let n = round * 10;
        trial.ask(&[Accept(n), AcceptKeyed(n + 1)]);
        trial.ask(&[Accept(n + 2), AcceptKeyed(n + 3), Accept(n + 4)]);
        if round == 0 {
            continue;
        }
        let old = n - 10;
        // What ends in 2 stays in some rounds, and is put off again and again; of two attempts that
        // overlap, the outcome of one leaves the other in doubt.
        trial.ask(&[Done(old), Done(old + 1), Attempt(old + 2, 0)]);
        let r = (round % 2) as u32;
        trial.ask(&[
            Attempt(2, 1 - r),
            Progress(old + 2, 0),
            Progress(2, r),
            Done(old + 3),
        ]);
        trial.ask(&[Notify(old + 4, old + 5), NotifyOf(2, r, old + 6)]);
        if round != 3 {
            trial.ask(&[Done(old + 2), Done(old + 5)]);
        }
        trial.ask(&[Done(old + 6)]);
        trial.ask(&[Done(799 + round)]);
        if round == ROUNDS / 2 + 1 {
            let done: Vec<Action> = ballast.iter().map(|&n| Done(n)).collect();
            trial.ask(&done);
        }
        if round == ROUNDS / 2 {
            trial.ask(&[ForgetKeysBelow(old)]);
        }
        if round == ROUNDS - 1 {
            trial.ask(&[ForgetEpochs]);
        }
    }
}

/// Messages of this length stay, so that segments are not emptied at once, and what small ones in
/// them came to is needed for long.
const BALLAST: Range<usize> = 4_800..5_500;

pub(super) fn ballast(n: usize) -> Vec<u64> {
    let of_length = (900..).filter(|&n| BALLAST.contains(&content_len(n)));
    of_length.take(n).collect()
}

const ROUNDS: u64 = 9;

/// Runs the workload with a fault; `None` when not even opening succeeded.
pub(super) fn run(fault: Fault) -> (SimulatedDisk, Option<Trial>) {
    run_on(SimulatedDisk::new(), fault)
}

fn run_on(disk: SimulatedDisk, fault: Fault) -> (SimulatedDisk, Option<Trial>) {
    if let Some(forgotten) = FORGOTTEN.get() {
        disk.forget_syncs(forgotten);
    }
    disk.set_fault(fault);
    let mut trial = Trial::open(&disk).ok();
    if let Some(trial) = &mut trial {
        trial.is_tight = !matches!(fault, Fault::None | Fault::PowerOffAfter(_));
        workload(trial);
    }
    (disk, trial)
}

pub(super) fn check_disk(trial: Option<&Trial>, disk: &SimulatedDisk) {
    check_disk_but_for(trial, disk, |_| false);
}

/// Checks what recovery gave back.
fn check_known(trial: Option<&Trial>, spool: &Spool, recovery: &Recovery) {
    let nothing = std::collections::BTreeMap::new();
    let known = trial.map_or(&nothing, |trial| &trial.known);
    check(known, spool, recovery);
}

/// How many operations the workload takes.
pub(super) fn n_operations() -> u64 {
    run(Fault::None).0.n_operations()
}

/// Checks what is seen from outside, but for faults that are expected, and what recovery makes of
/// it.
fn check_disk_but_for(
    trial: Option<&Trial>,
    disk: &SimulatedDisk,
    is_expected: fn(&inspect::Fault) -> bool,
) {
    let n_seen = n_messages_seen_from_outside(disk, is_expected);
    let (spool, recovery, _engine) = open(disk).expect("recovers");
    assert_eq!(n_seen, recovery.n_messages());
    check_known(trial, &spool, &recovery);
}

/// What a failure leaves is no damage to who looks at the spool before it is recovered.
fn n_messages_seen_from_outside(
    disk: &SimulatedDisk,
    is_expected: fn(&inspect::Fault) -> bool,
) -> u64 {
    let Some(inspection) = Inspection::open(Arc::new(disk.clone())).expect("readable") else {
        return 0;
    };
    let found = inspection.verify().expect("readable");
    let damage = found.findings.iter().find(|finding| {
        finding.fault.grade() == inspect::Grade::Damage && !is_expected(&finding.fault)
    });
    assert_eq!(damage, None);
    found.totals.n_messages
}

/// Does `check` for each number up to `n`, on all processors.
pub(super) fn for_each(n: u64, check: impl Fn(u64) + Sync) {
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

/// The power is cut after operation `n`.
pub(super) fn cut_after(n: u64) {
    let (disk, trial) = run(Fault::PowerOffAfter(n));
    for cut in cuts(n) {
        check_disk(trial.as_ref(), &disk.after(cut));
    }
}

#[test]
fn a_power_cut_after_any_operation_loses_nothing_and_repeats_nothing() {
    for_each(n_operations(), cut_after);
}

#[test]
fn a_power_cut_loses_nothing_where_segments_cannot_be_allocated() {
    let run = |fault| {
        let disk = SimulatedDisk::new();
        disk.forbid_allocating();
        run_on(disk, fault)
    };
    let every = if is_full() { 1 } else { 7 };
    for_each(run(Fault::None).0.n_operations() / every, |n| {
        let (disk, trial) = run(Fault::PowerOffAfter(every * n));
        for cut in cuts(n) {
            check_disk(trial.as_ref(), &disk.after(cut));
        }
    });
}

/// From so many points of the workload on, recovery is tried; each stands for a stretch of it.
pub(super) fn n_recoveries() -> u64 {
    if is_full() { 64 } else { 13 }
}

/// What is on the disk when the power is back, for one of the recoveries.
fn recoveries(n: u64) -> (Option<Trial>, Vec<SimulatedDisk>) {
    let step = n_operations() / n_recoveries();
    let (disk, trial) = run(Fault::PowerOffAfter(n * step));
    let n_first = if is_full() { 6 } else { 1 };
    let first = cuts(n).into_iter().take(n_first);
    (trial, first.map(|cut| disk.after(cut)).collect())
}

/// How many operations recovery takes.
fn n_of_recovery(left: &SimulatedDisk) -> u64 {
    let disk = left.killed();
    disk.set_fault(Fault::None);
    drop(open(&disk).expect("recovers"));
    disk.n_operations()
}

/// The power is cut after every operation of recovery `n`.
pub(super) fn cut_in_recovery(n: u64) {
    let (trial, disks) = recoveries(n);
    for left in disks {
        for m in 1..=n_of_recovery(&left) {
            let disk = left.after(PowerCut::Kept);
            disk.set_fault(Fault::PowerOffAfter(m));
            drop(open(&disk));
            for cut in cuts(m).into_iter().take(if is_full() { 6 } else { 1 }) {
                check_disk(trial.as_ref(), &disk.after(cut));
            }
        }
    }
}

#[test]
fn a_power_cut_after_any_operation_of_recovery_loses_nothing() {
    for_each(n_recoveries(), cut_in_recovery);
}

/// The process is killed after operation `n` of the workload, and the power is cut after operations
/// of the recovery from that: what the kill left in the page cache only is lost then.
pub(super) fn cut_after_kill(n: u64) {
    let (disk, trial) = run(Fault::PowerOffAfter(n));
    let left = disk.killed();
    let in_turn = |m: &u64| is_full() || (n + m).is_multiple_of(7);
    for m in (0..=n_of_recovery(&left)).filter(in_turn) {
        let disk = left.killed();
        disk.set_fault(Fault::PowerOffAfter(m));
        drop(open(&disk));
        let cuts = cuts(n + m);
        let of_turn = usize::try_from(m).expect("small") % cuts.len();
        let tried = if is_full() {
            0..cuts.len()
        } else {
            of_turn..of_turn + 1
        };
        for &cut in &cuts[tried] {
            check_disk(trial.as_ref(), &disk.after(cut));
        }
    }
}

#[test]
fn a_power_cut_while_recovering_from_a_kill_loses_nothing() {
    for_each(n_operations(), cut_after_kill);
}

/// Messages with keys and notifications lie in the page cache only, and the records in which
/// recovery repeats them are torn in many ways.
pub(super) fn tear_what_a_kill_left(n: u64) {
    let disk = SimulatedDisk::new();
    let mut trial = Trial::open(&disk).expect("opens");
    trial.ask(&[Action::AcceptKeyed(1), Action::Accept(4), Action::Accept(5)]);
    disk.set_fault(Fault::PowerOffAfter(1));
    trial.ask(&[
        Action::AcceptKeyed(2),
        Action::AcceptKeyed(3),
        Action::Done(1),
        Action::Notify(4, 13),
        Action::NotifyOf(5, 0, 14),
    ]);
    let left = disk.killed();
    for m in 0..=n_of_recovery(&left) {
        let disk = left.killed();
        disk.set_fault(Fault::PowerOffAfter(m));
        drop(open(&disk));
        let block = if n.is_multiple_of(2) { 512 } else { 4096 };
        let seed = 0x5eed_0000 + n * 64 + m;
        check_disk(Some(&trial), &disk.after(PowerCut::Torn { block, seed }));
    }
}

pub(super) fn n_tears() -> u64 {
    if is_full() { 1_000 } else { 40 }
}

#[test]
fn what_a_kill_left_comes_back_with_all_that_belongs_to_it_or_not_at_all() {
    for_each(n_tears(), tear_what_a_kill_left);
}

/// The process is killed, the next one recovers, and then the power is cut: what recovery read from
/// the page cache only, also where a sync had failed, must be durable by then.
fn check_kill_and_cut(trial: Option<&Trial>, disk: &SimulatedDisk) {
    let left = disk.killed();
    let (spool, recovery, engine) = open(&left).expect("recovers");
    check_known(trial, &spool, &recovery);
    drop((spool, recovery, engine));
    check_disk(trial, &left.after(PowerCut::Lost));
}

/// Recovery `n` is cut or killed at some operation, and so is the recovery from that, and so on.
fn cut_again_and_again(n: u64) {
    let mut random = Random::new(n * 0x9e37_79b9);
    let step = n_operations() / n_recoveries();
    let (mut disk, trial) = run(Fault::PowerOffAfter(n % n_recoveries() * step));
    for _ in 0..5 {
        let all = cuts(n);
        disk = match all.get(random.below(2 * all.len())) {
            Some(&cut) => disk.after(cut),
            None => disk.killed(),
        };
        disk.set_fault(Fault::PowerOffAfter(1 + random.below(30) as u64));
        drop(open(&disk));
    }
    check_disk(trial.as_ref(), &disk.after(PowerCut::Lost));
}

#[test]
fn a_recovery_that_is_cut_again_and_again_loses_nothing() {
    for_each(if is_full() { 4_000 } else { 60 }, |seed| {
        println!("seed {seed}");
        cut_again_and_again(seed);
    });
}

/// Each operation of recovery `n` fails, or there is no space from there on, or a reading fails.
fn fail_in_recovery(n: u64) {
    let (trial, disks) = recoveries(n);
    for left in disks {
        let whole = left.after(PowerCut::Kept);
        whole.set_fault(Fault::None);
        drop(open(&whole).expect("recovers"));
        let n_operations = whole.n_operations();
        let operations = (1..=n_operations)
            .flat_map(|m| [Fault::FailAt(m), Fault::FailLateAt(m), Fault::FullFrom(m)]);
        let readings = (1..=whole.n_reads()).map(Fault::FailReadAt);
        for (m, fault) in (0..).zip(operations.chain(readings)) {
            if !is_full() && !(m + n).is_multiple_of(3) {
                continue;
            }
            let disk = left.after(PowerCut::Kept);
            disk.set_fault(fault);
            if let Ok((spool, recovery, _engine)) = open(&disk) {
                check_known(trial.as_ref(), &spool, &recovery);
            }
            let left = disk.after(PowerCut::Lost);
            let (spool, recovery, _engine) = open(&left).expect("recovers");
            check_known(trial.as_ref(), &spool, &recovery);
            if is_full() {
                check_kill_and_cut(trial.as_ref(), &disk);
            }
        }
    }
}

#[test]
fn a_recovery_in_which_something_fails_loses_nothing() {
    for_each(n_recoveries(), fail_in_recovery);
}

/// Operation `n` fails.
pub(super) fn fail_at(n: u64) {
    let (disk, trial) = run(Fault::FailAt(n));
    // A write that fails has written its first half, of a header too.
    let is_expected = |fault: &_| *fault == inspect::Fault::HeaderSlot;
    check_disk_but_for(trial.as_ref(), &disk.after(cuts(n)[0]), is_expected);
    check_kill_and_cut(trial.as_ref(), &disk);
}

#[test]
fn a_failure_of_any_one_operation_is_survived_or_ends_in_a_state_that_acknowledges_nothing() {
    for_each(n_operations(), fail_at);
}

/// Operation `n` takes effect, and is said to have failed.
fn fail_late_at(n: u64) {
    let (disk, trial) = run(Fault::FailLateAt(n));
    check_disk(trial.as_ref(), &disk.after(cuts(n)[0]));
    check_kill_and_cut(trial.as_ref(), &disk);
}

#[test]
fn an_operation_that_fails_after_it_took_effect_loses_nothing_and_repeats_nothing() {
    for_each(n_operations(), fail_late_at);
}

#[test]
fn a_disk_that_fails_for_ever_ends_in_a_state_that_acknowledges_nothing() {
    let every = if is_full() { 1 } else { 5 };
    for_each(n_operations() / every, |n| {
        let (disk, trial) = run(Fault::FailFrom(every * n));
        check_disk(trial.as_ref(), &disk.after(PowerCut::Lost));
        check_kill_and_cut(trial.as_ref(), &disk);
    });
}

#[test]
fn a_reading_that_fails_while_records_are_moved_loses_nothing() {
    let (disk, _) = run(Fault::None);
    for_each(disk.n_reads(), |n| {
        let (disk, trial) = run(Fault::FailReadAt(n));
        check_disk(trial.as_ref(), &disk.after(PowerCut::Lost));
    });
}
