//! Records whose checksums are good and that no writer would have written.

use super::{changed, only, record_of, spool, verify};
use crate::engine::segment_name;
use crate::format::batch::{self, BatchHeader};
use crate::format::message::encode;
use crate::format::record::{ALIGN, Kind, MessageMeta, RecordHeader};
use crate::format::segment::{FIRST_BATCH, SegmentHeader, SegmentState};
use crate::format::summary::{Summary, SummaryWriter};
use crate::format::superblock::Superblock;
use crate::format::{BLOCK, Identity, Position, align, crc32c};
use crate::inspect::Fault;
use crate::limits::SEGMENT_LEN_MIN;
use crate::recover::files::{overwrite_superblocks, read_superblock};
use crate::simulated::{PowerCut, SimulatedDisk};
use crate::tests::fixture::{content, keyed, message};
use crate::{Disk, Message};

const NUMBER: u32 = 0x50;

fn superblock(disk: &SimulatedDisk) -> Superblock {
    let names = disk.list("").expect("listed");
    let superblock = read_superblock(disk, &names, "superblock");
    superblock.expect("readable").expect("good")
}

fn identity(disk: &SimulatedDisk) -> Identity {
    superblock(disk).identity
}

/// A record as it is given to be written.
struct Forged {
    kind: Kind,
    id: u64,
    meta: Vec<u8>,
    content: Vec<u8>,
}

fn accepted(id: u64, message: &Message) -> Forged {
    let parts = MessageMeta {
        message: &encode(message, 0),
        state: &[],
        original: None,
    };
    Forged {
        kind: Kind::Accepted,
        id,
        meta: parts.encode(),
        content: content(id, 90),
    }
}

fn done(id: u64) -> Forged {
    Forged {
        kind: Kind::Done,
        id,
        meta: Vec::new(),
        content: Vec::new(),
    }
}

/// A copy of the disk without the segments that are free, so that there is room for others, and that counts none.
fn without_free(disk: &SimulatedDisk) -> SimulatedDisk {
    let disk = disk.after(PowerCut::Kept);
    for name in disk.list("").expect("listed") {
        let bytes = disk.contents(&name).expect("there");
        let header = SegmentHeader::decode(&identity(&disk), &bytes);
        if header.is_some_and(|header| header.state == SegmentState::Free) {
            disk.remove(&name).expect("it was there");
        }
    }
    let uncounted = Superblock {
        n_segments: 0,
        ..superblock(&disk)
    };
    overwrite_superblocks(&disk, &uncounted).expect("written");
    disk
}

/// Adds a segment to the disk that holds one batch with these records, by whom knows the secret.
fn with_segment(disk: &SimulatedDisk, sequence: u64, records: &[Forged]) -> SimulatedDisk {
    let disk = without_free(disk);
    let identity = identity(&disk);
    let generation = 0x7700;
    let at = |offset| Position { generation, offset };
    let mut octets = vec![0; batch::LEN];
    for record in records {
        let header = RecordHeader {
            kind: record.kind,
            meta_len: u32::try_from(record.meta.len()).expect("small"),
            content_len: record.content.len() as u64,
            id: mail::MessageId(record.id),
            file: 0,
            meta_crc: crc32c(&record.meta),
            content_crc: crc32c(&record.content),
        };
        let offset = FIRST_BATCH + u32::try_from(octets.len()).expect("small");
        octets.extend_from_slice(&header.encode(&identity, at(offset)));
        octets.extend_from_slice(&record.meta);
        octets.extend_from_slice(&record.content);
        let len = align(octets.len() as u64, ALIGN);
        octets.resize(usize::try_from(len).expect("small"), 0);
    }
    let batch = BatchHeader {
        len: u32::try_from(octets.len()).expect("small"),
        sequence,
        durable: FIRST_BATCH,
        n_records: u32::try_from(records.len()).expect("small"),
        next_id: 0x1000,
    };
    octets[..batch::LEN].copy_from_slice(&batch.encode(&identity, at(FIRST_BATCH)));
    let end = FIRST_BATCH
        + u32::try_from(octets.len())
            .expect("small")
            .next_multiple_of(BLOCK);
    let sealed = SegmentState::Sealed(end);
    put_segment(&disk, generation, sealed, 0x100, &octets);
    disk
}

fn put_segment(
    disk: &SimulatedDisk,
    generation: u64,
    state: SegmentState,
    first_sequence: u64,
    octets: &[u8],
) {
    let header = SegmentHeader {
        number: NUMBER,
        generation,
        counter: 2,
        len: SEGMENT_LEN_MIN,
        state,
        next_id: 0x1000,
        first_sequence,
    };
    let header = header.encode(&identity(disk));
    let mut file = vec![0; SEGMENT_LEN_MIN as usize];
    for at in [0, BLOCK as usize, FIRST_BATCH as usize] {
        let part = if at == FIRST_BATCH as usize {
            octets
        } else {
            &header
        };
        file[at..at + part.len()].copy_from_slice(part);
    }
    disk.put(&segment_name(NUMBER), file);
}

#[test]
fn forged_records_are_taken_for_true_where_nothing_speaks_against_them() {
    let disk = spool(true);
    let forged = with_segment(
        &disk,
        0x100,
        &[accepted(0x200, &message(900, 1)), done(0x200)],
    );
    assert_eq!(verify(&forged).findings, []);
}

#[test]
fn one_id_for_two_messages_is_found() {
    let disk = spool(true);
    let (_, first) = record_of(&disk, 1);
    let forged = with_segment(&disk, 0x100, &[accepted(first.id.0, &message(900, 1))]);
    let (file, offset, fault) = only(&forged);
    assert_eq!(
        (file, fault),
        (segment_name(NUMBER), Fault::IdTwice(first.id))
    );
    assert_eq!(offset, u64::from(FIRST_BATCH) + batch::LEN as u64);
}

#[test]
fn one_handoff_that_brought_two_messages_is_found() {
    let disk = spool(true);
    let (_, first) = record_of(&disk, 1);
    let forged = with_segment(&disk, 0x100, &[accepted(0x200, &keyed(1, 2))]);
    let second = mail::MessageId(0x200);
    let first = first.id;
    assert_eq!(only(&forged).2, Fault::KeyTwice { first, second });
}

#[test]
fn a_message_that_begins_after_its_end_is_found() {
    let disk = spool(true);
    let late = mail::MessageId(0x200);
    let forged = with_segment(
        &disk,
        0x100,
        &[done(late.0), accepted(late.0, &message(900, 1))],
    );
    assert_eq!(only(&forged).2, Fault::LateAcceptance(late));
}

#[test]
fn batches_out_of_order_and_a_generation_lived_twice_are_found() {
    let disk = spool(true);
    let early = with_segment(&disk, 1, &[done(0x200)]);
    let found = verify(&early).findings;
    assert!(found.iter().any(|f| f.fault == Fault::Order), "{found:?}");
    let (segment, _) = record_of(&disk, 1);
    let generation = {
        let bytes = disk.contents(&segment).expect("there");
        let header = SegmentHeader::decode(&identity(&disk), &bytes).expect("good");
        header.generation
    };
    let twice = without_free(&disk);
    put_segment(&twice, generation, SegmentState::Free, 0, &[]);
    let fault = only(&twice).2;
    assert!(matches!(fault, Fault::GenerationTwice { generation: g, .. } if g == generation));
}

#[test]
fn more_segments_than_the_bound_allows_are_remarked() {
    let disk = SimulatedDisk::new();
    drop(super::super::model::open(&disk).expect("opens"));
    let disk = disk.after(PowerCut::Kept);
    let names = disk.list("").expect("listed");
    let n = names.iter().filter(|name| name.starts_with("seg-")).count();
    // All of this one's life but its number fits.
    for number in 1..=5 - n {
        put_segment(&disk, 0x7000 + number as u64, SegmentState::Free, 0, &[]);
        let bytes = disk.contents(&segment_name(NUMBER)).expect("there");
        let number = 0x60 + u32::try_from(number).expect("small");
        disk.put(&segment_name(number), renumbered(&disk, bytes, number));
    }
    disk.remove(&segment_name(NUMBER)).expect("there");
    assert!(matches!(only(&disk).2, Fault::Space { .. }));
    assert!(verify(&disk).is_clean());
}

fn renumbered(disk: &SimulatedDisk, mut bytes: Vec<u8>, number: u32) -> Vec<u8> {
    let identity = identity(disk);
    let header = SegmentHeader::decode(&identity, &bytes).expect("good");
    let header = SegmentHeader { number, ..header }.encode(&identity);
    for at in [0, BLOCK as usize] {
        bytes[at..at + header.len()].copy_from_slice(&header);
    }
    bytes
}

#[test]
fn a_summary_that_leaves_out_a_message_is_found() {
    let disk = spool(true);
    let identity = identity(&disk);
    let (segment, left_out) = record_of(&disk, 1);
    let bytes = disk.contents(&segment).expect("there");
    let header = SegmentHeader::decode(&identity, &bytes).expect("good");
    let SegmentState::Sealed(end) = header.state else {
        panic!("a closed spool is sealed");
    };
    let name = format!("{segment}.sum");
    let summary = disk.contents(&name).expect("there");
    let opened = Summary::open(&identity, header.generation, end, &summary).expect("good");
    let last_sequence = opened.last_sequence();
    let mut shorter = SummaryWriter::new();
    for record in opened.filter(|record| record.offset != left_out.offset) {
        let raw = bytes[record.offset as usize..][..48]
            .try_into()
            .expect("48");
        shorter.add(record.offset, &raw, record.meta);
    }
    let shorter = shorter.finish(&identity, header.generation, end, last_sequence);
    let lying = changed(&disk, &name, |bytes| *bytes = shorter);
    assert_eq!(only(&lying), (name, 0, Fault::SummaryDiffers));
}
