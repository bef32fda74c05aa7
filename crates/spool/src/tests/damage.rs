//! Octets that change on disk: nothing panics, and what is not hit is kept.

use super::fixture::{content, message, stored};
use super::model::open;
use crate::engine::Step;
use crate::simulated::{PowerCut, SimulatedDisk};
use crate::{Content, Note, ReadError};

const N_MESSAGES: u64 = 6;
const CONTENT_LEN: usize = 700;

/// A spool with two batches of messages in its first segment, not closed.
fn spool() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    for batch in 0..3 {
        let numbers = (batch * 2)..(batch * 2 + 2);
        let accept = |n| {
            spool.accept(
                &message(n, 1),
                Content::Bytes(content(n, CONTENT_LEN).into()),
            )
        };
        let promises: Vec<_> = numbers.map(accept).collect();
        while engine.step() == Step::More {}
        assert!(promises.into_iter().all(|promise| promise.wait().is_ok()));
    }
    disk.after(PowerCut::Kept)
}

/// Every octet of headers and metas, and some of the contents.
fn is_tried(at: usize) -> bool {
    let in_slot = at < 88 || (4096..4184).contains(&at);
    let in_batch = (8192..8192 + 3 * 4096).contains(&at);
    in_slot || (in_batch && ((at % 4096) < 320 || at.is_multiple_of(37)))
}

#[test]
fn one_changed_octet_costs_one_message_at_most_and_is_noted() {
    let disk = spool();
    let name = "seg-00000000";
    let segment = disk.contents(name).expect("there");
    for at in (0..segment.len()).filter(|&at| is_tried(at)) {
        let mut changed = segment.clone();
        changed[at] ^= 0x11;
        let disk = disk.after(PowerCut::Kept);
        disk.put(name, changed);
        let (spool, recovery, _engine) = open(&disk).expect("opens");
        let mut n_good = 0;
        for found in stored(&recovery) {
            let n = found.message.next_due.unix_ms();
            assert_eq!(found.message, message(n, 1));
            match spool.reader(found.id).expect("there").read_all() {
                Ok(bytes) => {
                    assert_eq!(bytes, content(n, CONTENT_LEN));
                    n_good += 1;
                }
                Err(error) => assert!(matches!(error, ReadError::Damaged(_))),
            }
        }
        // The last batch is not known to be durable: from the bad record on, it is torn.
        let least = if at < 8192 + 2 * 4096 {
            N_MESSAGES - 1
        } else {
            N_MESSAGES - 2
        };
        assert!(n_good >= least, "octet {at}: {n_good}");
        let missing = stored(&recovery).len() < 6;
        let batch_header_of_tail = (16_384..16_384 + 40).contains(&at);
        assert!(
            !missing || batch_header_of_tail || !recovery.notes.is_empty(),
            "octet {at}: nothing is noted"
        );
    }
}

#[test]
fn damage_is_copied_to_quarantine_once() {
    let disk = spool();
    let name = "seg-00000000";
    let mut segment = disk.contents(name).expect("there");
    // In the header of the first record of the first batch.
    segment[8192 + 40 + 20] ^= 1;
    disk.put(name, segment);
    let (spool, recovery, engine) = open(&disk).expect("opens");
    let [
        Note::Damage {
            quarantine: Some(copy),
            offset,
            ..
        },
    ] = &recovery.notes[..]
    else {
        panic!("{:?}", recovery.notes);
    };
    assert_eq!(*offset, 8192 + 40);
    let copied = disk.contents(copy).expect("there");
    assert!(copied.windows(20).any(|part| part == &content(0, 20)[..]));
    assert_eq!(spool.usage().n_messages, N_MESSAGES - 1);
    let first = recovery.notes.clone();
    drop((spool, recovery, engine));
    let (_spool, recovery, _engine) = open(&disk).expect("opens");
    assert_eq!(recovery.n_messages(), N_MESSAGES - 1);
    assert_eq!(recovery.notes, first, "it is met again");
    let copies = crate::Disk::list(&disk, "quarantine").expect("there");
    assert_eq!(copies.len(), 1, "{copies:?}");
}

#[test]
fn records_that_a_lost_write_left_as_zeros_are_noted_and_not_taken_for_padding() {
    let disk = spool();
    let name = "seg-00000000";
    let segment = disk.contents(name).expect("there");
    // The records of the first batch, then all of it.
    for start in [8192 + 40, 8192] {
        let mut changed = segment.clone();
        changed[start..8192 + 4096].fill(0);
        let disk = disk.after(PowerCut::Kept);
        disk.put(name, changed);
        let (_spool, recovery, _engine) = open(&disk).expect("opens");
        assert_eq!(stored(&recovery).len(), 4);
        let [Note::Damage { offset, .. }] = &recovery.notes[..] else {
            panic!("from {start}: {:?}", recovery.notes);
        };
        assert_eq!(*offset, start as u64);
    }
}

#[test]
fn a_second_segment_of_the_same_number_does_not_replace_the_first_in_quarantine() {
    let disk = SimulatedDisk::new();
    drop(open(&disk).expect("opens"));
    let damaged = |octet| vec![octet; crate::limits::SEGMENT_LEN_MIN as usize];
    for octet in [1, 2] {
        disk.put("seg-00000000", damaged(octet));
        let (_spool, recovery, _engine) = open(&disk).expect("opens");
        assert_eq!(recovery.notes.len(), 1, "{:?}", recovery.notes);
    }
    for (copy, octet) in [("seg-00000000", 1), ("seg-00000000-2", 2)] {
        let kept = disk.contents(&format!("quarantine/{copy}"));
        assert!(kept == Some(damaged(octet)), "{copy}");
    }
}

#[test]
fn what_is_known_of_a_message_comes_from_the_summary_where_its_record_is_damaged() {
    let disk = spool();
    // The next opening seals the segment, and the one after that writes its summary.
    for _ in 0..2 {
        drop(open(&disk).expect("opens"));
    }
    let disk = disk.after(PowerCut::Kept);
    let name = "seg-00000000";
    let mut segment = disk.contents(name).expect("there");
    let metas: Vec<_> = (8192..segment.len())
        .step_by(8)
        .filter(|&at| segment[at..].starts_with(b"PR\x01"))
        .map(|at| at + crate::format::record::LEN)
        .collect();
    assert_eq!(metas.len() as u64, N_MESSAGES);
    metas.iter().for_each(|&at| segment[at] ^= 0x11);
    disk.put(name, segment);
    let (spool, recovery, _engine) = open(&disk).expect("opens");
    for found in stored(&recovery) {
        assert_eq!(found, spool.message(found.id).expect("readable"));
        let n = found.message.next_due.unix_ms();
        assert_eq!(found.message, message(n, 1));
        let read = spool.reader(found.id).expect("there").read_all();
        assert_eq!(read.expect("whole"), content(n, CONTENT_LEN));
    }
    assert_eq!(stored(&recovery).len() as u64, N_MESSAGES);
    // Without the summary they cannot be read, and are there all the same; but for those that were
    // copied to where they are known to be durable.
    disk.put("seg-00000000.sum", Vec::new());
    let unreadable = recovery.messages().filter(|(_, read)| read.is_err());
    let mut n_unreadable = 0;
    for (id, read) in unreadable {
        assert!(matches!(read, Err(ReadError::Damaged(of)) if of == id));
        let outline = spool.outline(id).expect("known");
        assert_eq!((outline.n_recipients, outline.content_len), (1, 700));
        n_unreadable += 1;
    }
    assert_eq!(n_unreadable, N_MESSAGES - 2);
    assert_eq!(spool.usage().n_messages, N_MESSAGES);
}
