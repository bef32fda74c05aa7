//! On the disk of the operating system, with the committer's thread.

use std::path::PathBuf;
use std::sync::Arc;

use mail::MessageId;

use super::fixture::{content, deferral, key, keyed, message, open, stored};
use crate::{CommitError, Content, Disk, Ending, IndexSet, KeyState, OpenError, RealDisk, Spool};

/// A directory that goes when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> (Self, Arc<dyn Disk>) {
        let path =
            std::env::temp_dir().join(format!("postern-spool-{}-{name}", std::process::id()));
        let disk = RealDisk::open(&path).expect("a directory");
        (Self(path), Arc::new(disk))
    }
}

impl Scratch {
    /// Removes it under a committer that may be about to make a file in it.
    fn remove(&self) {
        let is_removed = || std::fs::remove_dir_all(&self.0).is_ok();
        assert!((0..1_000).any(|_| is_removed()), "it cannot be removed");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_was_acknowledged_is_there_after_an_orderly_end_and_what_is_done_is_not() {
    let (_scratch, disk) = Scratch::new("orderly");
    let (spool, recovery) = open(&disk);
    assert!(stored(&recovery).is_empty() && recovery.notes.is_empty());
    let accept = |n, len| spool.accept(&message(n, 2), Content::Bytes(content(n, len).into()));
    let promises: Vec<_> = (0..40).map(|n| accept(n, 3_000)).collect();
    let ids: Vec<MessageId> = promises
        .into_iter()
        .map(|p| p.wait().expect("kept"))
        .collect();
    spool.done(ids[3]).wait().expect("recorded");
    let first = IndexSet::all(1);
    spool.attempt(ids[4], first).wait().expect("recorded");
    spool
        .progress(ids[5], deferral(1, 1))
        .wait()
        .expect("recorded");
    assert_eq!(spool.done(ids[3]).wait(), Err(CommitError::Unknown));
    spool.close();
    assert_eq!(spool.done(ids[0]).wait(), Err(CommitError::Closed));
    drop((spool, recovery));

    let (spool, recovery) = open(&disk);
    let all = stored(&recovery);
    assert_eq!(recovery.notes, []);
    assert_eq!(spool.epoch(), 2);
    assert_eq!(all.len(), 39);
    assert!(all.iter().all(|stored| stored.id != ids[3]));
    for found in &all {
        let n = found.message.next_due.unix_ms();
        let mut reader = spool.reader(found.id).expect("there");
        if found.id == ids[5] {
            assert_eq!(found.recipients[1].attempts, 1);
            assert_eq!(found.recipients[1].handoff, Some(key(101)));
            assert_eq!(found.under_way, IndexSet::all(1));
        } else {
            assert_eq!(found.message, message(n, 2));
            assert_eq!(found.under_way, IndexSet::all(2));
            assert_eq!(reader.read_all().expect("whole"), content(n, 3_000));
        }
    }
    let id = spool.accept(&message(99, 1), Content::Bytes(Arc::default()));
    assert!(id.wait().expect("kept") > ids[39], "ids are not used again");
}

#[test]
fn nothing_is_acknowledged_any_more_when_the_directory_was_removed() {
    let (scratch, disk) = Scratch::new("removed");
    let (spool, _recovery) = open(&disk);
    let accept = |n| spool.accept(&message(n, 1), Content::Bytes(content(n, 100).into()));
    accept(1).wait().expect("kept");
    scratch.remove();
    let after = accept(2).wait();
    assert!(matches!(after, Err(CommitError::Failed(_))), "{after:?}");
    assert!(spool.failure().is_some());
}

#[test]
fn a_directory_that_was_removed_is_not_taken_for_a_full_disk() {
    let (scratch, disk) = Scratch::new("no-room");
    let (spool, _recovery) = open(&disk);
    scratch.remove();
    // A segment is being made, or none can be.
    let length = 6_000;
    let mut tries = (0..50).map(|n| {
        let content = Content::Bytes(content(n, length).into());
        spool.accept(&message(n, 1), content).wait()
    });
    let last = tries.find(|after| !matches!(after, Err(CommitError::Full)));
    assert!(
        matches!(last, Some(Err(CommitError::Failed(_)))),
        "{last:?}"
    );
}

#[test]
fn what_is_allocated_reads_as_zeros_and_is_as_long_as_asked_for() {
    let (_scratch, disk) = Scratch::new("allocated");
    let file = disk.create("new-00000000").expect("made");
    match file.allocate(1 << 20) {
        // As some file systems of a temporary directory.
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
            assert_eq!(file.file_len().expect("there"), 0);
            return;
        }
        result => result.expect("allocated"),
    }
    assert_eq!(file.file_len().expect("there"), 1 << 20);
    let mut octets = vec![1; 1 << 20];
    let n = file.read_at(0, &mut octets).expect("readable");
    assert!(n == 1 << 20 && octets.iter().all(|octet| *octet == 0));
    let written = [std::io::IoSlice::new(&[1; 8_192])];
    file.write_at(0, &written).expect("written");
    file.sync().expect("synced");
    let written_len = file.written_len().expect("told");
    assert!((8_192..=1 << 20).contains(&written_len), "{written_len}");
}

#[test]
fn a_spool_belongs_to_one_process_at_a_time() {
    let (_scratch, disk) = Scratch::new("lock");
    let (spool, _recovery) = open(&disk);
    let second = Spool::open(Arc::clone(&disk), super::fixture::options());
    assert!(matches!(second, Err(OpenError::Locked)));
    spool.close();
    assert!(Spool::open(disk, super::fixture::options()).is_ok());
}

#[test]
fn a_large_content_streams_to_a_file_and_goes_with_its_message() {
    let (_scratch, disk) = Scratch::new("large");
    let (spool, recovery) = open(&disk);
    let bytes = content(1, 300_000);
    let mut file = spool.content_file().expect("a file");
    for part in bytes.chunks(7_001) {
        file.write(part).expect("written");
    }
    let durable = file.commit().expect("durable");
    let id = spool.accept(&message(1, 1), Content::File(durable));
    let id = id.wait().expect("kept");
    drop(spool.content_file().expect("a file that is given up"));
    let files = || disk.list("content").expect("there").len();
    assert_eq!(files(), 1);
    let mut reader = spool.reader(id).expect("there");
    assert_eq!(reader.read_all().expect("whole"), bytes);
    spool.close();
    drop((spool, recovery));
    let (spool, recovery) = open(&disk);
    assert_eq!(stored(&recovery)[0].content_len, 300_000);
    spool.done(id).wait().expect("recorded");
    spool.close();
    assert_eq!(files(), 0);
}

#[test]
fn a_handoff_is_accepted_once_and_remembered_until_it_is_settled() {
    let (_scratch, disk) = Scratch::new("keys");
    let (spool, recovery) = open(&disk);
    let first = spool.accept(&keyed(5, 3), Content::Bytes(content(5, 10).into()));
    let again = spool.accept(&keyed(5, 3), Content::Bytes(content(5, 10).into()));
    assert_eq!(again.wait(), Err(CommitError::KeyKnown));
    let id = first.wait().expect("kept");
    spool.done(id).wait().expect("recorded");
    spool.close();
    drop((spool, recovery));
    let (spool, _recovery) = open(&disk);
    let KeyState::Accepted(set) = spool.lookup_key(&key(5)) else {
        panic!("forgotten");
    };
    assert_eq!(set.len(), 3);
    spool.forget_keys(key(5).sender, key(5).epoch, 6);
    assert!(matches!(spool.lookup_key(&key(5)), KeyState::Unknown));
}

#[test]
fn a_notification_and_the_end_of_its_original_are_one() {
    let (_scratch, disk) = Scratch::new("notify");
    let (spool, recovery) = open(&disk);
    let id = spool.accept(&message(1, 1), Content::Bytes(content(1, 10).into()));
    let id = id.wait().expect("kept");
    let notified = spool.notify(
        id,
        Ending::Done,
        &message(2, 1),
        Content::Bytes(content(2, 20).into()),
    );
    let notification = notified.wait().expect("kept");
    spool.close();
    drop((spool, recovery));
    let (spool, recovery) = open(&disk);
    let all = stored(&recovery);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].id, notification);
    let read = spool.reader(notification).expect("there").read_all();
    assert_eq!(read.expect("whole"), content(2, 20));
}
