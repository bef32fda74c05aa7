//! Disks that are full, or that others fill: messages are refused, and no outcome ever is.

use super::crash::{check_disk, for_each, run};
use super::fixture::options;
use super::model::{Action, TINY, Trial, open};
use crate::limits::SEGMENT_LEN_MIN;
use crate::simulated::{Fault, PowerCut, Random, SimulatedDisk};
use crate::{Note, Options};

/// Delivers everything that is there, one at a time, so that every record takes a batch.
fn deliver_all(trial: &mut Trial) {
    for n in trial.live() {
        trial.ask(&[Action::Attempt(n, 0)]);
        trial.ask(&[Action::Progress(n, 0)]);
        trial.ask(&[Action::Attempt(n, 0)]);
        trial.ask(&[Action::Done(n)]);
    }
}

#[test]
fn on_a_disk_that_is_full_from_any_operation_on_every_outcome_is_recorded() {
    let (disk, _) = run(Fault::None);
    for_each(disk.n_operations(), |n| {
        let (disk, trial) = run(Fault::FullFrom(n));
        check_disk(trial.as_ref(), &disk.after(PowerCut::Lost));
        let Some(mut trial) = trial else {
            return;
        };
        deliver_all(&mut trial);
        assert_eq!(trial.n_unrecorded, 0, "full from {n}");
        assert_eq!(trial.spool.usage().n_messages, 0, "full from {n}");
        check_disk(Some(&trial), &disk.after(PowerCut::Lost));
    });
}

/// What a disk of this many segments goes through, decided by a seed: messages come until there is
/// no room, others take what room the disk still has, every message is put off twice and then goes,
/// in any order, while more ask to come in, and now and then the power fails.
fn siege(seed: u64, n_segments: usize) {
    println!("seed {seed}, {n_segments} segments");
    let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut disk = SimulatedDisk::new();
    let segment_len = SEGMENT_LEN_MIN * (1 + u32::try_from(seed).expect("small") / 2 % 4);
    let options = Options {
        segment_len,
        ..options()
    };
    let mut trial = Trial::open_with(&disk, options).expect("opens");
    trial.is_tight = true;
    // The smallest need more for their outcomes than for themselves.
    let mut next = if seed.is_multiple_of(2) { 0 } else { TINY };
    disk.set_capacity(Some(n_segments * segment_len as usize + 4096));
    // Many at once lie packed; and once it is full, what is not packed is emptied for more.
    for at_once in [50, 50, 1] {
        let mut n_before = u64::MAX;
        while trial.spool.usage().n_messages != n_before {
            n_before = trial.spool.usage().n_messages;
            let asked: Vec<Action> = (next..next + at_once).map(Action::Accept).collect();
            trial.ask(&asked);
            next += at_once;
        }
    }
    disk.set_capacity(Some(disk.octets()));
    let put_off: fn(u64) -> Action = |n| Action::Progress(n, 0);
    let passes = [put_off, put_off, Action::Done, Action::Done];
    for (pass, action) in passes.into_iter().enumerate() {
        let mut live = trial.live();
        random.shuffle(&mut live);
        let mut live = &live[..];
        while !live.is_empty() {
            // One at a time, so that each takes a batch, or many, so that none waits for room.
            let n_now = 1 + random.below(2) * random.below(2_000);
            let (now, later) = live.split_at(n_now.min(live.len()));
            live = later;
            let times = if pass < 2 { 1 + random.below(3) } else { 1 };
            let asked: Vec<Action> = now.repeat(times).into_iter().map(action).collect();
            trial.ask(&asked);
            assert_eq!(trial.n_unrecorded, 0, "seed {seed}: {asked:?}");
            if pass < 3 && random.below(8) == 0 {
                trial.ask(&[Action::Accept(next)]);
                next += 1;
            }
        }
        disk = disk.after(PowerCut::Lost);
        disk.set_capacity(Some(disk.octets()));
        trial.reopen(&disk);
    }
    assert_eq!(trial.spool.usage().n_messages, 0);
}

#[test]
fn where_nothing_is_written_in_place_messages_leave_room_for_their_outcomes() {
    for n_segments in 6..12 {
        let disk = SimulatedDisk::new();
        disk.copy_on_write();
        disk.set_capacity(Some(n_segments * SEGMENT_LEN_MIN as usize));
        let mut trial = Trial::open(&disk).expect("opens");
        trial.is_tight = true;
        for n in 0..200 {
            trial.ask(&[Action::Accept(n)]);
        }
        assert!(
            trial.n_refused > 0 && trial.live().len() > 2,
            "{n_segments}"
        );
        deliver_all(&mut trial);
        assert_eq!(trial.n_unrecorded, 0);
        assert_eq!(trial.spool.failure(), None);
        assert_eq!(trial.spool.usage().n_messages, 0);
    }
}

/// As where a file system or what lies below it promised room that it does not have.
#[test]
fn housekeeping_ends_where_segments_can_be_made_and_not_written() {
    for extra in 0..24 {
        let disk = SimulatedDisk::new();
        let len = SEGMENT_LEN_MIN as usize;
        disk.set_capacity(Some(5 * len));
        let mut trial = Trial::open(&disk).expect("opens");
        for n in 0..40 {
            trial.ask(&[Action::Accept(n)]);
        }
        disk.copy_on_write();
        disk.set_capacity(Some(disk.octets() + extra * 4096));
        disk.set_fault(Fault::None);
        let rounds = 40;
        for n in 0..rounds {
            trial.ask(&[Action::Accept(100 + n)]);
        }
        let n = disk.n_operations();
        assert!(n < rounds * 20, "{n} operations with {extra} blocks");
    }
}

#[test]
fn that_nothing_is_written_in_place_is_noted_at_every_opening() {
    let disk = SimulatedDisk::new();
    assert_eq!(open(&disk).expect("opens").1.notes, []);
    disk.copy_on_write();
    for _ in 0..2 {
        let (_, recovery, _engine) = open(&disk).expect("opens");
        let file_system = "simulated";
        assert_eq!(recovery.notes, [Note::CopyOnWrite { file_system }]);
    }
}

#[test]
fn no_outcome_is_refused_on_a_disk_that_others_fill() {
    for_each(12, |seed| {
        siege(seed, 5 + usize::try_from(seed).expect("small") % 8)
    });
}
