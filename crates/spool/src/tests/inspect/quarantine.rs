//! What is in quarantine, and what can be got back out of it.

use std::collections::HashSet;

use mail::MessageId;

use super::super::model::{content_len, open};
use super::{DONE, IN_FILE, N_LIVE, OTHERS, flipped, look, record_of, spool};
use crate::Note;
use crate::inspect::{
    ContentState, CopyOf, Inspection, Lay, Quarantined, RecordKind, Salvage, Salvaged, Standing,
};
use crate::simulated::{PowerCut, SimulatedDisk};
use crate::tests::fixture::{content, message};

/// What opening makes of a damaged disk.
fn recovered(disk: &SimulatedDisk) -> SimulatedDisk {
    let (spool, recovery, engine) = open(disk).expect("opens");
    assert!(!recovery.notes.is_empty());
    drop((spool, recovery, engine));
    disk.after(PowerCut::Kept)
}

fn without_summary(disk: &SimulatedDisk, segment: &str) -> SimulatedDisk {
    let disk = disk.after(PowerCut::Kept);
    crate::Disk::remove(&disk, &format!("{segment}.sum")).expect("it was there");
    disk
}

fn salvage(inspection: &Inspection, quarantined: &Quarantined) -> Vec<Salvaged> {
    let mut found = Vec::new();
    let mut take = |salvaged| found.push(salvaged);
    let end = inspection.salvage(quarantined, &mut take);
    assert_eq!(end.expect("readable"), Salvage::Complete);
    found
}

/// The one file in quarantine, and what can be read of it.
#[track_caller]
fn only(disk: &SimulatedDisk) -> (Quarantined, Vec<Salvaged>) {
    let inspection = look(disk);
    let mut files = inspection.quarantine().expect("readable");
    assert_eq!(files.len(), 1, "{files:?}");
    let file = files.remove(0);
    let found = salvage(&inspection, &file);
    (file, found)
}

#[track_caller]
fn assert_content(disk: &SimulatedDisk, salvaged: &Salvaged, n: u64) {
    let (place, state) = salvaged.content.as_ref().expect("a message has one");
    assert_eq!(*state, ContentState::Whole);
    let mut bytes = Vec::new();
    let mut take = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    let copied = look(disk).copy_content(place, &mut take);
    assert_eq!(copied.expect("readable"), ContentState::Whole);
    assert!(bytes == content(n, content_len(n)), "the content of {n}");
}

#[test]
fn a_record_whose_header_is_damaged_is_got_back_and_nobody_vouches_for_it() {
    let disk = spool(true);
    let n = OTHERS.start;
    let (segment, record) = record_of(&disk, n);
    let at = u64::from(record.offset);
    // In its id.
    let damaged = flipped(&without_summary(&disk, &segment), &segment, at + 18);
    let disk = recovered(&damaged);
    let (file, found) = only(&disk);
    assert_eq!(file.len, record.len);
    let Some(Lay::Part { start, of, .. }) = file.lay else {
        panic!("{file:?}");
    };
    assert_eq!((start, of), (record.offset, CopyOf::Damage));
    let [salvaged] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(!salvaged.is_vouched);
    let read = salvaged.record.as_ref().expect("its meta is good");
    assert_eq!(read.message, Some(message(n, 2)));
    assert_content(&disk, salvaged, n);
}

#[test]
fn a_record_whose_meta_is_damaged_has_a_content_still() {
    let disk = spool(true);
    let n = OTHERS.start;
    let (segment, record) = record_of(&disk, n);
    let at = u64::from(record.offset) + 48 + 30;
    let disk = recovered(&flipped(&without_summary(&disk, &segment), &segment, at));
    let (_, found) = only(&disk);
    let [salvaged] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(salvaged.is_vouched && salvaged.record.is_none());
    assert_eq!(salvaged.id, record.id);
    assert_content(&disk, salvaged, n);
}

#[test]
fn the_end_of_a_batch_that_was_torn_says_so_in_its_name() {
    let disk = spool(false);
    let (segment, last) = super::records(&disk).pop().expect("there are some");
    let torn = flipped(&disk, &segment, u64::from(last.offset) + 44);
    let (file, _) = only(&recovered(&torn));
    assert!(matches!(
        file.lay,
        Some(Lay::Part {
            of: CopyOf::Torn,
            ..
        })
    ));
}

#[test]
fn a_segment_that_lost_both_headers_is_read_as_if_it_had_them() {
    let disk = spool(true);
    let n = OTHERS.start;
    let (segment, record) = record_of(&disk, n);
    for whole_headers in [false, true] {
        let damaged = super::changed(&disk, &segment, |bytes| {
            for at in [0, 4096] {
                let len = if whole_headers { 84 } else { 32 };
                bytes[at..at + len].fill(0xa5);
            }
        });
        let disk = recovered(&damaged);
        let inspection = look(&disk);
        let files = inspection.quarantine().expect("readable");
        let whole = |file: &&Quarantined| matches!(file.lay, Some(Lay::Whole { .. }));
        let file = files.iter().find(whole).expect("the segment is there");
        let found = salvage(&inspection, file);
        assert!(found.iter().all(|salvaged| salvaged.is_vouched));
        let it = found.iter().find(|salvaged| salvaged.id == record.id);
        let it = it.expect("it is got back");
        assert_eq!(
            it.record.as_ref().and_then(|r| r.message.clone()),
            Some(message(n, 2))
        );
        assert_content(&disk, it, n);
    }
}

#[test]
fn the_content_file_of_a_damaged_record_is_not_removed_but_set_aside() {
    let disk = spool(true);
    let (segment, record) = record_of(&disk, IN_FILE);
    let number = record.content.as_ref().expect("has one").file.clone();
    let at = u64::from(record.offset) + 18;
    let damaged = flipped(&without_summary(&disk, &segment), &segment, at);
    let (spool, recovery, engine) = open(&damaged).expect("opens");
    let set_aside = |note: &&Note| matches!(note, Note::ContentSetAside { .. });
    let note = recovery.notes.iter().find(set_aside);
    let Some(Note::ContentSetAside { file, quarantine }) = note else {
        panic!("{:?}", recovery.notes);
    };
    assert_eq!(*file, number);
    assert!(quarantine.is_some());
    drop((spool, recovery, engine));
    let inspection = look(&damaged);
    let files = inspection.quarantine().expect("readable");
    let found: Vec<_> = files.iter().flat_map(|f| salvage(&inspection, f)).collect();
    let [salvaged] = &found[..] else {
        panic!("{found:?}");
    };
    assert_content(&damaged, salvaged, IN_FILE);
}

#[test]
fn a_message_has_ended_lives_or_is_unknown_also_where_its_content_is_missing() {
    let disk = spool(false);
    let (_, record) = record_of(&disk, IN_FILE);
    let (_, done) = record_of(&disk, DONE);
    let gone = disk.after(PowerCut::Kept);
    let place = record.content.expect("has one");
    crate::Disk::remove(&gone, &place.file).expect("it was there");
    let disk = recovered(&gone);
    let ids = HashSet::from([record.id, done.id, MessageId(0xffff)]);
    let standings = look(&disk).standings(&ids).expect("readable");
    assert_eq!(standings[&record.id], Standing::Live);
    assert_eq!(standings[&done.id], Standing::Ended);
    assert_eq!(standings[&MessageId(0xffff)], Standing::Unknown);
    assert_eq!(super::verify(&disk).totals.n_messages, N_LIVE);
}

#[test]
fn hostile_files_in_quarantine_are_passed_over() {
    let disk = spool(true);
    let (segment, _) = record_of(&disk, 1);
    let real = disk.contents(&segment).expect("there");
    let mut seed = 0x5eed_u64;
    let mut noise = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..200_usize {
        let mut bytes = real[8192 + round..].to_vec();
        for _ in 0..40 {
            let at = usize::try_from(noise()).unwrap_or(0) % bytes.len();
            bytes[at] = u8::try_from(noise() & 0xff).expect("small");
        }
        // Headers that promise much.
        let at = round * 8;
        bytes[at..at + 8].copy_from_slice(b"PR\x01\0\xff\xff\xff\0");
        disk.put(&format!("quarantine/{round}"), bytes);
    }
    for name in [
        "00000001-1-ffffffff",
        "seg-zz",
        "torn-",
        "00000000-ffffffffffffffff-00000000-9",
        "-",
        "content-12",
        "seg-00000001-2",
        "\u{1b}[2J",
    ] {
        disk.put(&format!("quarantine/{name}"), real.clone());
    }
    let inspection = look(&disk);
    for file in inspection.quarantine().expect("readable") {
        for salvaged in salvage(&inspection, &file) {
            let whole_segment = matches!(file.lay, Some(Lay::Whole { .. }));
            assert!(!salvaged.is_vouched || whole_segment, "{file:?}");
            let known = [
                RecordKind::Accepted,
                RecordKind::Moved,
                RecordKind::Notified,
            ];
            assert!(salvaged.is_vouched || known.contains(&salvaged.kind));
        }
    }
}

#[test]
fn who_fills_a_content_with_false_records_does_not_keep_the_reader_busy() {
    let disk = spool(true);
    // Each of them makes as much to be read as there is behind it.
    let header = b"PR\x01\0\0\0\x08\0";
    let mut bytes = Vec::new();
    while bytes.len() < 1 << 20 {
        bytes.extend_from_slice(header);
    }
    disk.put("quarantine/false", bytes);
    let inspection = look(&disk);
    let files = inspection.quarantine().expect("readable");
    let mut n = 0;
    let mut take = |_| n += 1;
    let end = inspection.salvage(&files[0], &mut take);
    assert_eq!((end.expect("readable"), n), (Salvage::GaveUp, 0));
}

#[test]
fn names_in_quarantine_say_where_a_copy_lay() {
    let part = |of| Lay::Part {
        number: 0x1f,
        generation: 0xabc,
        start: 0x2028,
        of,
    };
    for (name, lay) in [
        ("0000001f-abc-00002028", part(CopyOf::Damage)),
        ("torn-0000001f-abc-00002028", part(CopyOf::Torn)),
        ("0000001f-abc-00002028-2", part(CopyOf::Damage)),
        ("seg-00000007", Lay::Whole { number: 7 }),
        ("seg-00000007-3", Lay::Whole { number: 7 }),
        (
            "content-0000010000000002",
            Lay::Content {
                number: 0x100_0000_0002,
            },
        ),
    ] {
        assert_eq!(Lay::parse(name), Some(lay), "{name}");
    }
    for name in ["", "seg", "x-y-z", "1-2", "1-2-3-x", "torn", "seg-1-2-3"] {
        assert_eq!(Lay::parse(name), None, "{name}");
    }
}
