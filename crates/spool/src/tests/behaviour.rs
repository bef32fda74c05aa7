//! What a spool does while it runs, step by step.

use std::sync::Arc;
use std::time::Duration;

use mail::{Disposition, MessageId, Reply, ReplyCode, Timestamp};

use super::fixture::{content, deferral, key, keyed, message, options, stored};
use super::model::open;
use crate::engine::{Engine, Step};
use crate::limits::EPOCH_FLOOR_MAX;
use crate::simulated::{Fault, PowerCut, SimulatedDisk};
use crate::{
    Claimed, Commit, CommitError, Content, ContentFile, Ending, IndexSet, KeyState, OpenError,
    Options, Progress, ReadError, RecipientState, Spool,
};

fn settle(engine: &mut Engine) {
    while engine.step() == Step::More {}
}

fn accept(spool: &Spool, n: u64, len: usize) -> Commit<MessageId> {
    spool.accept(&message(n, 1), Content::Bytes(content(n, len).into()))
}

/// Accepts and commits.
fn accepted(spool: &Spool, engine: &mut Engine, n: u64, len: usize) -> MessageId {
    let promise = accept(spool, n, len);
    settle(engine);
    promise.wait().expect("kept")
}

#[test]
fn what_waits_together_shares_one_batch_and_one_sync() {
    let (spool, _, mut engine) = open(&SimulatedDisk::new()).expect("opens");
    settle(&mut engine);
    let promises: Vec<_> = (0..10).map(|n| accept(&spool, n, 500)).collect();
    let before = spool.stats();
    engine.step();
    let after = spool.stats();
    assert_eq!(after.n_batches - before.n_batches, 1);
    assert_eq!(after.n_syncs - before.n_syncs, 1);
    assert!(promises.into_iter().all(|promise| promise.wait().is_ok()));
}

#[test]
fn more_messages_are_waited_for_only_behind_a_batch_of_several() {
    let (spool, _, mut engine) = open(&SimulatedDisk::new()).expect("opens");
    let id = accepted(&spool, &mut engine, 0, 100);
    let _alone = accept(&spool, 1, 100);
    assert!(!engine.is_loaded(), "behind one");
    settle(&mut engine);
    let _several: Vec<_> = (2..5).map(|n| accept(&spool, n, 100)).collect();
    settle(&mut engine);
    assert!(!engine.is_loaded(), "nothing waits");
    let _outcome = spool.done(id);
    assert!(
        !engine.is_loaded(),
        "an outcome waits for company by itself"
    );
    let _next = accept(&spool, 5, 100);
    assert!(engine.is_loaded());
}

#[test]
fn messages_that_wait_and_come_are_those_awaited_and_outcomes_are_not() {
    let (spool, _, mut engine) = open(&SimulatedDisk::new()).expect("opens");
    let id = accepted(&spool, &mut engine, 0, 100);
    let _waits = accept(&spool, 1, 100);
    engine.shared.lock().awaits(Some(3));
    let n_awaited = || engine.shared.lock().n_awaited;
    assert_eq!(n_awaited(), 2);
    let _outcome = spool.done(id);
    assert_eq!(n_awaited(), 2);
    let _comes: Vec<_> = (2..5).map(|n| accept(&spool, n, 100)).collect();
    assert_eq!(n_awaited(), 0);
    engine.shared.lock().awaits(Some(3));
    assert_eq!(n_awaited(), 0, "more wait than are expected");
}

#[test]
fn nothing_is_acknowledged_before_it_is_durable() {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    settle(&mut engine);
    let promise = accept(&spool, 1, 100);
    assert_eq!(promise.try_take(), None);
    disk.set_fault(Fault::FailFrom(1));
    settle(&mut engine);
    assert!(matches!(promise.wait(), Err(CommitError::Failed(_))));
    let later = accept(&spool, 2, 100);
    assert!(matches!(later.wait(), Err(CommitError::Failed(_))));
}

#[test]
fn after_a_failed_sync_the_records_are_durable_elsewhere_before_they_are_acknowledged() {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    settle(&mut engine);
    let promise = accept(&spool, 1, 100);
    // The first operation is the write of the batch, the second its sync.
    disk.set_fault(Fault::FailAt(2));
    settle(&mut engine);
    let id = promise.wait().expect("kept");
    let (spool, recovery, _engine) = open(&disk.after(PowerCut::Lost)).expect("opens");
    assert_eq!(stored(&recovery)[0].id, id);
    let read = spool.reader(id).expect("there").read_all();
    assert_eq!(read.expect("whole"), content(1, 100));
}

#[test]
fn two_changes_of_one_message_in_one_batch_build_on_each_other() {
    let (spool, _, mut engine) = open(&SimulatedDisk::new()).expect("opens");
    let promise = spool.accept(&message(1, 2), Content::Bytes(Arc::default()));
    settle(&mut engine);
    let id = promise.wait().expect("kept");
    let first = spool.progress(id, deferral(0, 1));
    let second = spool.progress(id, deferral(1, 2));
    let attempt = spool.attempt(id, IndexSet::all(1));
    let done = spool.done(id);
    let late = spool.progress(id, deferral(0, 3));
    engine.step();
    first.wait().expect("recorded");
    second.wait().expect("recorded");
    attempt.wait().expect("recorded");
    done.wait().expect("recorded");
    assert_eq!(late.wait(), Err(CommitError::Unknown));
    assert!(matches!(spool.message(id), Err(ReadError::Unknown(_))));
}

#[test]
fn a_notification_can_leave_other_recipients_of_its_original() {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    let id = accepted(&spool, &mut engine, 1, 10);
    let ending = Ending::Progress(deferral(0, 4));
    let promise = spool.notify(id, ending, &message(2, 1), Content::Bytes(Arc::default()));
    settle(&mut engine);
    promise.wait().expect("kept");
    let (_spool, recovery, _engine) = open(&disk.after(PowerCut::Lost)).expect("opens");
    let all = stored(&recovery);
    assert_eq!(all.len(), 2);
    assert_eq!(all[0].recipients[0].attempts, 4);
}

#[test]
fn a_reader_keeps_what_it_reads_while_the_segment_could_be_recycled() {
    let (spool, _, mut engine) = open(&SimulatedDisk::new()).expect("opens");
    let id = accepted(&spool, &mut engine, 1, 5_000);
    let mut reader = spool.reader(id).expect("there");
    let mut last = id;
    for n in 2..60 {
        let next = accepted(&spool, &mut engine, n, 5_000);
        let done = spool.done(last);
        settle(&mut engine);
        done.wait().expect("recorded");
        last = next;
    }
    assert_eq!(reader.read_all().expect("whole"), content(1, 5_000));
}

#[test]
fn a_message_that_waits_for_ever_moves_on_and_segments_stay_few() {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    let stays = accepted(&spool, &mut engine, 0, 3_000);
    for n in 1..200 {
        let id = accepted(&spool, &mut engine, n, 3_000);
        let done = spool.done(id);
        settle(&mut engine);
        done.wait().expect("recorded");
        let usage = spool.usage();
        let bound = 2 * usage.live_bytes + 4 * u64::from(options().segment_len);
        assert!(usage.segment_bytes <= bound, "{usage:?} after {n}");
    }
    let read = spool.reader(stays).expect("there").read_all();
    assert_eq!(read.expect("whole"), content(0, 3_000));
    let (_spool, recovery, _engine) = open(&disk.after(PowerCut::Lost)).expect("opens");
    assert_eq!(stored(&recovery).len(), 1);
}

#[test]
fn a_full_disk_refuses_messages_records_outcomes_and_recovers_by_them() {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    settle(&mut engine);
    disk.set_fault(Fault::FullFrom(0));
    let mut kept = Vec::new();
    let full = loop {
        let promise = accept(&spool, kept.len() as u64, 4_000);
        settle(&mut engine);
        match promise.wait() {
            Ok(id) => kept.push(id),
            Err(error) => break error,
        }
        assert!(kept.len() < 100, "the disk is never full");
    };
    assert_eq!(full, CommitError::Full);
    // Outcomes go into the reserve; what they leave of it is not for messages.
    for _ in 0..8 {
        let attempt = spool.attempt(kept[0], IndexSet::all(1));
        settle(&mut engine);
        attempt.wait().expect("recorded");
    }
    let small = accept(&spool, 400, 1);
    settle(&mut engine);
    assert_eq!(small.wait(), Err(CommitError::Full));
    assert_eq!(spool.stats().n_refused, 2);
    for &id in &kept {
        let attempt = spool.attempt(id, IndexSet::all(1));
        settle(&mut engine);
        attempt.wait().expect("recorded");
        let done = spool.done(id);
        settle(&mut engine);
        done.wait().expect("recorded");
    }
    accepted(&spool, &mut engine, 500, 4_000);
}

#[test]
fn an_outcome_rides_with_the_next_message_instead_of_waiting_its_delay_out() {
    let slow = Options {
        outcome_delay: Duration::from_secs(3600),
        ..options()
    };
    let (spool, _) = Spool::open(Arc::new(SimulatedDisk::new()), slow).expect("opens");
    let id = accept(&spool, 1, 10).wait().expect("kept");
    let done = spool.done(id);
    accept(&spool, 2, 10).wait().expect("kept");
    done.wait().expect("recorded");
}

#[test]
fn a_move_of_an_old_state_never_comes_after_a_newer_one() {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    let stays = accepted(&spool, &mut engine, 0, 100);
    for n in 1..150 {
        // One batch can hold the move, the progress, and so much that something is carried over.
        let progress = spool.progress(stays, deferral(0, n));
        let large: Vec<_> = (0..4)
            .map(|i| accept(&spool, u64::from(n) * 10 + i, 7_000))
            .collect();
        let again = spool.progress(stays, deferral(0, n + 1000));
        settle(&mut engine);
        progress.wait().expect("recorded");
        again.wait().expect("recorded");
        let dones: Vec<_> = large
            .into_iter()
            .map(|promise| spool.done(promise.wait().expect("kept")))
            .collect();
        settle(&mut engine);
        assert!(dones.into_iter().all(|done| done.wait().is_ok()));
        let (_spool, recovery, _engine) = open(&disk.after(PowerCut::Lost)).expect("opens");
        assert_eq!(stored(&recovery)[0].recipients[0].attempts, n + 1000);
    }
}

#[test]
fn segments_of_another_length_are_read_and_then_go() {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    let id = accepted(&spool, &mut engine, 1, 5_000);
    drop((spool, engine));
    let larger = Options {
        segment_len: 2 * options().segment_len,
        ..options()
    };
    let opened = Spool::open_unstarted(Arc::new(disk.clone()), larger);
    let (spool, recovery, mut engine) = opened.expect("opens");
    assert_eq!(stored(&recovery)[0].id, id);
    accepted(&spool, &mut engine, 2, 20_000);
    let done = spool.done(id);
    settle(&mut engine);
    done.wait().expect("recorded");
    let len = u64::from(2 * options().segment_len);
    assert!(spool.usage().segment_bytes.is_multiple_of(len));
}

#[test]
fn a_second_handoff_of_a_key_waits_for_the_first() {
    let (spool, _, mut engine) = open(&SimulatedDisk::new()).expect("opens");
    let first = spool.accept(&keyed(1, 3), Content::Bytes(Arc::default()));
    let KeyState::Pending(waiting) = spool.lookup_key(&key(1)) else {
        panic!("not pending");
    };
    settle(&mut engine);
    first.wait().expect("kept");
    waiting.wait().expect("accepted");
    assert!(matches!(spool.lookup_key(&key(1)), KeyState::Accepted(_)));
    spool.forget_epochs(key(1).sender, &[key(1).epoch]);
    assert!(matches!(spool.lookup_key(&key(1)), KeyState::Accepted(_)));
    spool.forget_epochs(key(1).sender, &[99]);
    assert!(matches!(spool.lookup_key(&key(1)), KeyState::Unknown));
}

#[test]
fn a_key_is_claimed_before_its_message_and_given_back_by_who_drops_it() {
    let (spool, _, mut engine) = open(&SimulatedDisk::new()).expect("opens");
    let claim = || match spool.claim_key(&key(1), 1) {
        Claimed::Held(claim) => claim,
        other => panic!("{other:?}"),
    };
    let mut dropped = claim();
    assert!(dropped.confirm());
    let KeyState::Pending(waiting) = spool.lookup_key(&key(1)) else {
        panic!("others are to wait");
    };
    drop(dropped);
    assert!(waiting.wait().is_err(), "nothing came of it");
    let mut held = claim();
    assert!(held.confirm());
    let twin = spool.accept(&keyed(1, 1), Content::Bytes(Arc::default()));
    assert_eq!(twin.wait(), Err(CommitError::KeyKnown));
    assert!(matches!(spool.lookup_key(&key(1)), KeyState::Pending(_)));
    let promise = spool.accept_claimed(held, &keyed(1, 1), Content::Bytes(Arc::default()));
    settle(&mut engine);
    promise.wait().expect("kept");
    assert!(matches!(spool.lookup_key(&key(1)), KeyState::Accepted(_)));
    spool.forget_keys(key(1).sender, key(1).epoch, 2);
    let late = spool.accept(&keyed(1, 1), Content::Bytes(Arc::default()));
    assert_eq!(late.wait(), Err(CommitError::KeySettled));
}

#[test]
fn a_copy_that_comes_while_the_spool_closes_leaves_the_claim_of_the_first() {
    let (spool, _, mut engine) = open(&SimulatedDisk::new()).expect("opens");
    let first = spool.accept(&keyed(1, 1), Content::Bytes(Arc::default()));
    spool.close();
    let second = spool.accept(&keyed(1, 1), Content::Bytes(Arc::default()));
    assert_eq!(second.wait(), Err(CommitError::Closed));
    assert!(matches!(spool.lookup_key(&key(1)), KeyState::Pending(_)));
    settle(&mut engine);
    first.wait().expect("kept");
}

#[test]
fn an_epoch_is_durable_before_anything_is_done_in_it() {
    let mut disk = SimulatedDisk::new();
    let mut epochs = Vec::new();
    for _ in 0..4 {
        let (spool, _, mut engine) = open(&disk).expect("opens");
        epochs.push(spool.epoch());
        // As many segments are there as before, so nothing else writes the superblocks.
        while engine.step() == Step::More {}
        engine.close();
        drop(spool);
        disk = disk.after(PowerCut::Lost);
        for name in ["superblock", "superblock.copy"] {
            let bytes = disk.contents(name).expect("there");
            let epoch = bytes[48..56].try_into().expect("eight");
            assert_eq!(
                u64::from_le_bytes(epoch),
                epochs[epochs.len() - 1],
                "{name}"
            );
        }
    }
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let disk = SimulatedDisk::new();
    drop(open(&disk).expect("opens"));
    let mut superblock = disk.contents("superblock").expect("there");
    superblock[8] = 2;
    let crc = crate::format::crc32c(&superblock[..64]).to_le_bytes();
    superblock[64..].copy_from_slice(&crc);
    disk.put("superblock", superblock);
    disk.set_fault(Fault::FailFrom(1));
    let refused = Spool::open(Arc::new(disk.clone()), options());
    assert!(matches!(
        refused,
        Err(OpenError::NewerFormat { found: 2, known: 1 })
    ));
}

#[test]
fn a_lost_superblock_is_made_good_by_its_copy_and_no_epoch_comes_twice() {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    let id = accepted(&spool, &mut engine, 1, 10);
    drop((spool, engine));
    disk.put("superblock", vec![0; 68]);
    let (spool, recovery, engine) = open(&disk).expect("opens");
    assert_eq!(spool.epoch(), 3);
    assert_eq!(stored(&recovery)[0].id, id);
    drop((spool, recovery, engine));
    disk.put("superblock", Vec::new());
    disk.put("superblock.copy", Vec::new());
    assert!(matches!(open(&disk), Err(OpenError::NoSuperblock)));
}

#[test]
fn an_outcome_at_one_site_leaves_the_attempt_at_another_in_doubt() {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    let promise = spool.accept(&message(1, 3), Content::Bytes(Arc::default()));
    settle(&mut engine);
    let id = promise.wait().expect("kept");
    let all = (0..3).map(|r| spool.progress(id, deferral(r, 1)));
    let all: Vec<_> = all.collect();
    let again = spool.attempt(id, [0, 2].into_iter().collect());
    let of_one = spool.progress(id, deferral(0, 2));
    settle(&mut engine);
    all.iter()
        .for_each(|p| assert_eq!(p.try_take(), Some(Ok(()))));
    assert_eq!(again.try_take(), Some(Ok(())));
    assert_eq!(of_one.try_take(), Some(Ok(())));
    let (_, recovery, _engine) = open(&disk.after(PowerCut::Lost)).expect("opens");
    assert_eq!(
        stored(&recovery)[0].under_way,
        [2].into_iter().collect::<IndexSet>()
    );
}

#[test]
fn a_change_without_an_attempt_leaves_in_doubt_what_was() {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    let promise = spool.accept(&message(1, 1), Content::Bytes(Arc::default()));
    settle(&mut engine);
    let id = promise.wait().expect("kept");
    let held = spool.progress(id, deferral(0, 0));
    settle(&mut engine);
    held.wait().expect("recorded");
    assert_eq!(
        spool.message(id).expect("there").under_way,
        IndexSet::all(1)
    );
}

#[test]
fn attempts_that_were_cut_short_are_counted_until_one_has_an_outcome() {
    let (spool, _, mut engine) = open(&SimulatedDisk::new()).expect("opens");
    let promise = spool.accept(&message(1, 2), Content::Bytes(Arc::default()));
    settle(&mut engine);
    let id = promise.wait().expect("kept");
    let mut cut_short = |attempted: &[u32], outcome: &[(u32, u32)]| {
        let attempted: Vec<_> = attempted
            .iter()
            .map(|r| [*r].into_iter().collect())
            .collect();
        let attempts = attempted.into_iter().map(|r| spool.attempt(id, r));
        let attempts: Vec<_> = attempts.collect();
        let outcomes = outcome
            .iter()
            .map(|(r, n)| spool.progress(id, deferral(*r, *n)));
        let outcomes: Vec<_> = outcomes.collect();
        settle(&mut engine);
        assert!(
            attempts
                .iter()
                .chain(&outcomes)
                .all(|p| p.try_take() == Some(Ok(())))
        );
        spool.message(id).expect("there").cut_short
    };
    assert_eq!(cut_short(&[0, 1], &[]), 2);
    assert_eq!(cut_short(&[], &[(0, 1)]), 2, "the other is still in doubt");
    assert_eq!(cut_short(&[0], &[]), 2, "it had an outcome");
    assert_eq!(cut_short(&[1], &[]), 3);
    assert_eq!(cut_short(&[], &[(0, 2), (1, 1)]), 0);
}

#[test]
fn a_key_stays_with_its_recipients_whatever_becomes_of_the_others() {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    let promise = spool.accept(&keyed(1, 3), Content::Bytes(Arc::default()));
    settle(&mut engine);
    let id = promise.wait().expect("kept");
    let of_one = spool.progress(id, deferral(1, 1));
    settle(&mut engine);
    of_one.wait().expect("recorded");
    let (_, recovery, _engine) = open(&disk.after(PowerCut::Lost)).expect("opens");
    let found = &stored(&recovery)[0];
    let keys: Vec<_> = found.recipients.iter().map(|r| r.handoff).collect();
    let as_accepted = keyed(1, 3).handoff;
    assert_eq!(keys, [as_accepted, Some(key(101)), as_accepted]);
}

#[test]
fn a_spool_restored_from_a_backup_repeats_no_epoch_and_no_file_name() {
    let disk = SimulatedDisk::new();
    let open_at = |disk: &SimulatedDisk, seconds| {
        let options = Options {
            epoch_floor: seconds,
            ..options()
        };
        let opened = Spool::open_unstarted(Arc::new(disk.clone()), options);
        let (spool, _, engine) = opened.expect("opens");
        let file = spool.content_file().and_then(ContentFile::commit);
        let number = file.expect("durable").number;
        drop(engine);
        (spool.epoch(), number)
    };
    let first = open_at(&disk, 1_795_000_000);
    assert_eq!(first.0, 1_795_000_000);
    let backup = disk.after(PowerCut::Kept);
    let lost = [open_at(&disk, 1_795_000_100), open_at(&disk, 1_795_000_100)];
    assert_eq!(lost[1].0, 1_795_000_101, "a floor is not a time");
    let restored = open_at(&backup, 1_795_000_200);
    assert_eq!(restored.0, 1_795_000_200);
    assert!(lost.iter().all(|lost| lost.1 != restored.1));
    let later = open_at(&backup, 5);
    assert_eq!(later.0, 1_795_000_201, "a clock that goes back");
    assert_eq!(open_at(&backup, u64::MAX).0, EPOCH_FLOOR_MAX);
}

#[test]
fn outcomes_whose_texts_make_them_longer_than_a_segment_are_recorded_without_them() {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    const N: u32 = 100;
    let promise = spool.accept(&message(1, N), Content::Bytes(Arc::default()));
    settle(&mut engine);
    let id = promise.wait().expect("kept");
    // As a hostile host says it to each recipient.
    let refused = |index: u32| {
        let text = format!("{index:03} {}", "no ".repeat(150));
        let state = RecipientState {
            disposition: Disposition::Failed,
            attempts: 1,
            reply: Some(Reply::new(ReplyCode::new(550), None, &text)),
            handoff: None,
        };
        (index, state)
    };
    let progress = Progress {
        recipients: (0..N).map(refused).collect(),
        next_due: Timestamp::from_unix_ms(5),
    };
    let recorded = spool.progress(id, progress);
    settle(&mut engine);
    recorded.wait().expect("recorded");
    let (_spool, recovery, _engine) = open(&disk.after(PowerCut::Lost)).expect("opens");
    for recipient in &stored(&recovery)[0].recipients {
        assert_eq!(recipient.disposition, Disposition::Failed);
        let reply = recipient.reply.as_ref().expect("its code");
        assert_eq!((reply.code.value(), reply.text()), (550, ""));
    }
}

#[test]
fn more_recipients_than_an_outcome_has_room_for_are_refused() {
    let (spool, _, _engine) = open(&SimulatedDisk::new()).expect("opens");
    let promise = spool.accept(&message(1, 130), Content::Bytes(Arc::default()));
    assert_eq!(promise.try_take(), Some(Err(CommitError::TooLarge)));
}

#[test]
fn when_the_committer_is_gone_everything_that_waits_and_comes_fails() {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    let id = accepted(&spool, &mut engine, 1, 100);
    let waiting = spool.accept(&keyed(2, 1), Content::Bytes(Arc::default()));
    let KeyState::Pending(twin) = spool.lookup_key(&key(2)) else {
        panic!("its commit is under way");
    };
    let outcome = spool.done(id);
    drop(engine);
    let failed = |error: Option<CommitError>| matches!(error, Some(CommitError::Failed(_)));
    assert!(failed(waiting.try_take().and_then(Result::err)));
    assert!(failed(twin.try_take().and_then(Result::err)));
    assert!(failed(outcome.try_take().and_then(Result::err)));
    assert!(failed(
        accept(&spool, 3, 10).try_take().and_then(Result::err)
    ));
    assert!(failed(spool.failure()), "the process is to start anew");
}

#[test]
fn keys_never_take_more_than_a_segment_has_room_for() {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    let mut last = 0;
    for n in 1..400 {
        let mut handed = keyed(n, 1);
        // As of a handoff of a thousand recipients.
        handed.key.as_mut().expect("keyed").accepted = IndexSet::all(1_000);
        let promise = spool.accept(&handed, Content::Bytes(Arc::default()));
        settle(&mut engine);
        match promise.wait() {
            Ok(id) => {
                drop(spool.done(id));
                last = n;
            }
            Err(error) => assert_eq!(error, CommitError::KeysFull),
        }
    }
    assert!(last > 30, "{last}");
    let (spool, _, mut engine) = open(&disk.after(PowerCut::Lost)).expect("opens");
    settle(&mut engine);
    assert!(matches!(
        spool.lookup_key(&key(last)),
        KeyState::Accepted(_)
    ));
    spool.forget_keys(key(1).sender, key(1).epoch, last + 1);
    let promise = spool.accept(&keyed(last + 1, 1), Content::Bytes(Arc::default()));
    settle(&mut engine);
    promise.wait().expect("there is room again");
}
