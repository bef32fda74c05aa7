//! Looking from outside: what is whole is found whole, each kind of damage is named, and nothing
//! that lies on a disk makes the reader panic.

mod forged;
mod quarantine;

use std::ops::ControlFlow;
use std::sync::Arc;

use mail::MessageId;

use super::fixture::{content, key, message};
use super::model::{Action, Trial, content_len};
use crate::inspect::{
    ContentState, Entry, Fault, Grade, Inspection, Record, RecordKind, SegmentUse, Verification,
};
use crate::simulated::{PowerCut, SimulatedDisk};
use crate::{Disk, RealDisk, Spool};

/// Number of the message that lies in a file of its own; the others lie inline.
const IN_FILE: u64 = 6;
/// Number of a message that is done.
const DONE: u64 = 3;
/// Numbers of messages that fill segments.
const OTHERS: std::ops::Range<u64> = 100..120;
/// 1, 2, 4, 6, the notification and the others.
const N_LIVE: u64 = 25;

/// A spool with sealed segments and with a message of every kind. Not closed, so that its last
/// batch is not known to be durable, or closed in order.
fn spool(closed: bool) -> SimulatedDisk {
    use Action::{Accept, AcceptKeyed, Attempt, Done, Notify, Progress};
    assert!(content_len(IN_FILE) > 5_500 && content_len(DONE) < 5_500);
    let disk = SimulatedDisk::new();
    let mut trial = Trial::open(&disk).expect("opens");
    for n in 1..=IN_FILE {
        trial.ask(&[if n % 2 == 0 {
            Accept(n)
        } else {
            AcceptKeyed(n)
        }]);
    }
    for n in OTHERS {
        trial.ask(&[Accept(n)]);
    }
    trial.ask(&[Done(DONE), Attempt(4, 1), Progress(4, 0), Notify(5, 20)]);
    let Trial { spool, engine, .. } = trial;
    if closed {
        engine.close();
    } else {
        drop(engine);
    }
    drop(spool);
    disk.after(PowerCut::Kept)
}

fn look(disk: &SimulatedDisk) -> Inspection {
    let opened = Inspection::open(Arc::new(disk.clone())).expect("readable");
    opened.expect("there is a spool")
}

fn verify(disk: &SimulatedDisk) -> Verification {
    look(disk).verify().expect("readable")
}

fn entries(disk: &SimulatedDisk) -> Vec<(String, Entry)> {
    let mut entries = Vec::new();
    let mut take = |name: &str, entry| {
        entries.push((name.to_owned(), entry));
        ControlFlow::Continue(())
    };
    look(disk).each_entry(&mut take).expect("readable");
    entries
}

fn records(disk: &SimulatedDisk) -> Vec<(String, Record)> {
    let record = |(name, entry)| match entry {
        Entry::Record(record) => Some((name, *record)),
        _ => None,
    };
    entries(disk).into_iter().filter_map(record).collect()
}

/// The record with the message of this number.
fn record_of(disk: &SimulatedDisk, n: u64) -> (String, Record) {
    let wanted = message(n, 2).envelope.sender;
    let is_it = |(_, record): &(String, Record)| {
        let sender = record.message.as_ref().map(|m| &m.envelope.sender);
        sender == Some(&wanted)
    };
    let found = records(disk).into_iter().find(is_it);
    found.unwrap_or_else(|| panic!("there is a record of message {n}"))
}

/// A copy of the disk in which one file is changed.
fn changed(disk: &SimulatedDisk, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> SimulatedDisk {
    let disk = disk.after(PowerCut::Kept);
    let mut bytes = disk.contents(name).expect("the file is there");
    change(&mut bytes);
    disk.put(name, bytes);
    disk
}

fn flipped(disk: &SimulatedDisk, name: &str, at: u64) -> SimulatedDisk {
    let at = usize::try_from(at).expect("small");
    changed(disk, name, |bytes| bytes[at] ^= 0x10)
}

/// The one thing that is found.
#[track_caller]
fn only(disk: &SimulatedDisk) -> (String, u64, Fault) {
    let mut findings = verify(disk).findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    let found = findings.remove(0);
    (found.file, found.offset, found.fault)
}

#[test]
fn a_whole_spool_is_clean_and_counted() {
    for closed in [false, true] {
        let disk = spool(closed);
        let n_operations = disk.n_operations();
        let found = verify(&disk);
        assert!(found.findings.is_empty() && found.is_clean(), "{found:?}");
        assert!(!found.is_running);
        let totals = found.totals;
        let n_recipients = 2 * N_LIVE;
        assert_eq!(
            (totals.n_messages, totals.n_recipients),
            (N_LIVE, n_recipients)
        );
        assert!(totals.n_content_files > 1);
        assert_eq!(totals.n_active, u64::from(!closed));
        assert!(totals.n_sealed > 0 && totals.n_free > 0);
        assert_eq!(totals.n_keys, 3);
        assert_eq!(disk.n_operations(), n_operations, "nothing is changed");
        let (spool, ..) = super::model::open(&disk).expect("opens");
        let usage = spool.usage();
        assert_eq!(totals.n_messages, usage.n_messages);
        assert_eq!(totals.content_file_bytes, usage.content_file_bytes);
        assert_eq!(totals.n_keys, usage.n_keys);
    }
}

#[test]
fn the_log_is_listed_in_order_with_what_each_record_says() {
    let disk = spool(true);
    let entries = entries(&disk);
    let mut sequences = Vec::new();
    for (name, entry) in &entries {
        match entry {
            Entry::Batch { sequence, .. } => sequences.push(*sequence),
            Entry::Damage { .. } | Entry::Torn { .. } => panic!("{name}: {entry:?}"),
            Entry::Segment { used, .. } => assert!(matches!(used, SegmentUse::Sealed(_))),
            Entry::Record(_) => {}
        }
    }
    assert!(sequences.is_sorted() && sequences.len() > 10);
    let (_, last) = record_of(&disk, OTHERS.end - 1);
    assert_eq!(last.kind, RecordKind::Accepted);
    assert_eq!(last.message, Some(message(OTHERS.end - 1, 2)));
    let (_, moved) = record_of(&disk, 1);
    assert_eq!(moved.kind, RecordKind::Moved);
    assert_eq!(moved.message, Some(super::fixture::keyed(1, 2)));
    let (_, state) = records(&disk)
        .into_iter()
        .find(|(_, record)| record.kind == RecordKind::State && record.id == MessageId(4))
        .expect("message 4 was tried");
    assert_eq!(state.state.map(|state| state.recipients.len()), Some(2));
    let (_, notified) = record_of(&disk, 20);
    assert_eq!(notified.original, Some((MessageId(5), None)));
    for n in [1, IN_FILE] {
        let place = record_of(&disk, n).1.content.expect("a message has one");
        let mut bytes = Vec::new();
        let mut take = |piece: &[u8]| {
            bytes.extend_from_slice(piece);
            Ok(())
        };
        let state = look(&disk).copy_content(&place, &mut take);
        assert_eq!(state.expect("readable"), ContentState::Whole);
        assert!(bytes == content(n, content_len(n)), "the content of {n}");
        assert_eq!(place.is_own_file, n == IN_FILE);
    }
}

#[test]
fn who_has_seen_enough_of_the_log_is_given_no_more() {
    let mut n = 0;
    let mut take = |_: &str, _| {
        n += 1;
        if n == 5 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    look(&spool(true)).each_entry(&mut take).expect("readable");
    assert_eq!(n, 5);
}

#[test]
fn every_changed_octet_that_a_checksum_covers_is_found() {
    let disk = spool(true);
    let (segment, _) = record_of(&disk, 1);
    let mut covered = vec![0..84, 4096..4096 + 84];
    for (name, entry) in entries(&disk)
        .into_iter()
        .filter(|(name, _)| *name == segment)
    {
        let (start, len) = match entry {
            Entry::Batch { offset, .. } => (offset, 40),
            // All but the padding at its end.
            Entry::Record(record) => (record.offset, record.len - 7),
            _ => continue,
        };
        assert_eq!(name, segment);
        let start = usize::try_from(start).expect("small");
        covered.push(start..start + usize::try_from(len).expect("small"));
    }
    assert!(covered.len() > 8);
    for at in covered.into_iter().flat_map(|range| range.step_by(3)) {
        let found = verify(&flipped(&disk, &segment, at as u64));
        assert!(!found.findings.is_empty(), "octet {at} of {segment}");
    }
}

#[test]
fn a_damaged_superblock_or_header_is_named() {
    let disk = spool(true);
    for name in ["superblock", "superblock.copy"] {
        let found = only(&flipped(&disk, name, 50));
        assert_eq!(found, (name.to_owned(), 0, Fault::Superblock));
        let gone = disk.after(PowerCut::Kept);
        gone.remove(name).expect("it was there");
        assert_eq!(only(&gone), (name.to_owned(), 0, Fault::Superblock));
    }
    let mut other = SimulatedDisk::contents(&spool(false), "superblock").expect("there");
    other[16] ^= 1;
    let crc = crate::format::crc32c(&other[..64]).to_le_bytes();
    other[64..].copy_from_slice(&crc);
    let differs = changed(&disk, "superblock.copy", |bytes| *bytes = other);
    assert_eq!(only(&differs).2, Fault::SuperblocksDiffer);
    let (segment, _) = record_of(&disk, 1);
    for at in [0, 4096] {
        let found = only(&flipped(&disk, &segment, at + 40));
        assert_eq!(found, (segment.clone(), at, Fault::HeaderSlot));
    }
    let both = flipped(&flipped(&disk, &segment, 40), &segment, 4096 + 40);
    let found = verify(&both);
    let len = u64::from(crate::limits::SEGMENT_LEN_MIN);
    let header = found.findings.iter().find(|f| f.file == segment);
    assert_eq!(header.map(|f| &f.fault), Some(&Fault::Header { len }));
    let emptied = changed(&disk, &segment, Vec::clear);
    let found = verify(&emptied).findings;
    assert_eq!(found[0].fault, Fault::Header { len: 0 });
    assert!(!verify(&emptied).is_clean());
}

#[test]
fn a_damaged_record_is_named_with_its_place_also_where_a_summary_knows_it() {
    let disk = spool(true);
    let (segment, record) = record_of(&disk, 2);
    let damaged = flipped(&disk, &segment, u64::from(record.offset) + 20);
    let fault = Fault::Unreadable { len: record.len };
    let expected = (segment.clone(), u64::from(record.offset), fault);
    let with_summary = verify(&damaged);
    assert_eq!(only(&damaged), expected);
    assert_eq!(with_summary.totals.n_messages, N_LIVE);
    damaged.remove(&format!("{segment}.sum")).expect("there");
    assert_eq!(only(&damaged), expected);
    assert_eq!(verify(&damaged).totals.n_messages, N_LIVE - 1);
}

#[test]
fn a_damaged_content_is_named_with_its_message_and_matters_only_while_that_lives() {
    let disk = spool(true);
    for (n, is_live) in [(1, true), (DONE, false)] {
        let (segment, record) = record_of(&disk, n);
        let place = record.content.expect("a message has one");
        let damaged = flipped(&disk, &segment, place.start + 100);
        let fault = Fault::Content {
            id: record.id,
            state: ContentState::Damaged,
            is_live,
        };
        assert_eq!(only(&damaged), (segment, place.start, fault));
        assert_eq!(verify(&damaged).is_clean(), !is_live);
    }
    let place = record_of(&disk, IN_FILE).1.content.expect("has one");
    let content_of = |state| Fault::Content {
        id: place.id,
        state,
        is_live: true,
    };
    let damaged = flipped(&disk, &place.file, 5);
    let found = (place.file.clone(), 0, content_of(ContentState::Damaged));
    assert_eq!(only(&damaged), found);
    for len in [0, 7, place.len - 1, place.len + 1] {
        let cut = changed(&disk, &place.file, |bytes| {
            bytes.resize(usize::try_from(len).expect("small"), 0);
        });
        assert_eq!(only(&cut).2, content_of(ContentState::WrongLength(len)));
    }
    let gone = disk.after(PowerCut::Kept);
    gone.remove(&place.file).expect("it was there");
    assert_eq!(only(&gone).2, content_of(ContentState::Missing));
}

#[test]
fn what_a_crash_leaves_is_a_remark() {
    let disk = spool(false);
    let leave = |name: &str| {
        let disk = disk.after(PowerCut::Kept);
        disk.put(name, vec![1; 9]);
        disk
    };
    let torn = {
        let (segment, record) = records(&disk).pop().expect("there are some");
        assert!(record.is_last);
        flipped(&disk, &segment, u64::from(record.offset) + 30)
    };
    let (segment, _) = record_of(&disk, 1);
    for (disk, fault) in [
        (leave("content/0000010000000077"), Fault::StrayContent),
        (leave("content/notes.txt"), Fault::Unknown),
        (leave("new-00000009"), Fault::Leftover),
        (leave("superblock.new"), Fault::Leftover),
        (leave("seg-00000077.sum"), Fault::Leftover),
        (leave(&format!("{segment}.sum")), Fault::Summary),
        (leave("core"), Fault::Unknown),
    ] {
        assert_eq!(only(&disk).2, fault);
        assert!(verify(&disk).is_clean());
        assert_eq!(fault.grade(), Grade::Remark);
    }
    assert!(matches!(only(&torn).2, Fault::Torn { .. }));
    assert!(verify(&torn).is_clean());
}

#[test]
fn there_is_no_spool_in_an_empty_directory_and_none_without_a_superblock() {
    let open = |disk: &SimulatedDisk| Inspection::open(Arc::new(disk.clone()));
    assert!(matches!(open(&SimulatedDisk::new()), Ok(None)));
    let disk = spool(true);
    for name in ["superblock", "superblock.copy"] {
        disk.put(name, vec![7; 68]);
    }
    assert!(matches!(open(&disk), Err(crate::OpenError::NoSuperblock)));
}

#[test]
fn a_running_spool_is_not_damaged_whenever_it_is_looked_at() {
    let disk = SimulatedDisk::new();
    let mut trial = Trial::open(&disk).expect("opens");
    for n in 0..40 {
        let ended = if n >= 4 {
            &[Action::Done(n - 4)][..]
        } else {
            &[]
        };
        trial.ask(&[Action::AcceptKeyed(n), Action::Progress(n, 0)]);
        trial.ask(ended);
        let found = verify(&disk);
        assert!(found.is_running);
        assert!(found.findings.is_empty(), "{:?}", found.findings);
    }
    // One whose content is on its way in.
    let mut arriving = trial.spool.content_file().expect("a file");
    arriving.write(b"To: ").expect("written");
    assert!(verify(&disk).findings.is_empty());
}

/// The committer writes, seals, moves and recycles while another thread reads.
#[test]
fn a_spool_that_is_written_while_it_is_read_is_not_damaged() {
    let path = std::env::temp_dir().join(format!("postern-inspect-{}", std::process::id()));
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&path).expect("a directory"));
    let (spool, recovery) = super::fixture::open(&disk);
    let work = std::thread::spawn({
        let spool = spool.clone();
        move || write_and_end(&spool)
    });
    let mut n_looks = 0;
    while !work.is_finished() || n_looks == 0 {
        let reading = Arc::new(RealDisk::open_to_read(&path).expect("there"));
        // It may not have been there when its directory was listed.
        if let Some(inspection) = Inspection::open(reading).expect("readable") {
            let found = inspection.verify().expect("readable");
            assert!(found.is_running && found.is_clean(), "{:?}", found.findings);
        }
        n_looks += 1;
    }
    work.join().expect("the work is done");
    spool.close();
    drop((spool, recovery));
    let reading = Arc::new(RealDisk::open_to_read(&path).expect("there"));
    assert!(reading.create("lock").is_err(), "nothing can be changed");
    let found = Inspection::open(reading).expect("readable").expect("there");
    let found = found.verify().expect("readable");
    assert_eq!(found.findings, []);
    assert!(!found.is_running);
    let _ = std::fs::remove_dir_all(&path);
}

fn write_and_end(spool: &Spool) {
    let mut waiting = std::collections::VecDeque::new();
    for n in 0..400 {
        let content = crate::Content::Bytes(content(n, 3_000).into());
        let id = spool.accept(&message(n, 2), content).wait().expect("kept");
        waiting.push_back(id);
        // Every seventh stays for long, so that others are emptied around it.
        if n % 7 != 0 && waiting.len() > 5 {
            let id = waiting.remove(3).expect("there are more than three");
            spool.done(id).wait().expect("recorded");
        }
    }
    assert!(spool.stats().bytes_written > 3 * spool.usage().segment_bytes);
    for id in waiting {
        spool.done(id).wait().expect("recorded");
    }
    spool.forget_keys(key(0).sender, key(0).epoch, 1 << 30);
}

#[test]
fn what_is_no_file_of_an_operator_is_said_and_the_rest_is_checked() {
    let path = std::env::temp_dir().join(format!("postern-unread-{}", std::process::id()));
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&path).expect("a directory"));
    let (spool, recovery) = super::fixture::open(&disk);
    let id = spool.accept(&message(1, 1), crate::Content::Bytes(content(1, 50).into()));
    id.wait().expect("kept");
    spool.close();
    drop((spool, recovery));
    // A link instead of a segment is not followed.
    let link = path.join("seg-00000009");
    std::os::unix::fs::symlink(path.join("seg-00000000"), link).expect("a link");
    let reading = Arc::new(RealDisk::open_to_read(&path).expect("there"));
    let found = Inspection::open(reading).expect("readable").expect("there");
    let found = found.verify().expect("readable");
    assert_eq!(found.totals.n_messages, 1);
    let [finding] = &found.findings[..] else {
        panic!("{:?}", found.findings);
    };
    assert!(matches!(finding.fault, Fault::Io(_)) && finding.file == "seg-00000009");
    let _ = std::fs::remove_dir_all(&path);
}
