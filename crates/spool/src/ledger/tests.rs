//! What each segment is needed for, without a disk.

use std::io::IoSlice;
use std::sync::Arc;

use super::*;
use crate::format::record::Kind;
use crate::format::segment::{SegmentHeader, SegmentState};
use crate::simulated::SimulatedDisk;
use crate::{Disk, DiskFile};

const LEN: u32 = 64 << 10;

fn file() -> Arc<dyn DiskFile> {
    let file = SimulatedDisk::new().create("file").expect("made");
    file.write_at(0, &[IoSlice::new(&[0])]).expect("written");
    file
}

/// A ledger with segments of these numbers, sealed.
fn with(numbers: &[u32]) -> Ledger {
    let mut ledger = Ledger::default();
    for &number in numbers {
        let header = SegmentHeader {
            number,
            generation: number.into(),
            counter: 1,
            len: LEN,
            state: SegmentState::Sealed(LEN),
            next_id: 0,
            first_sequence: number.into(),
        };
        let segment = Segment::new(file(), header, LEN);
        ledger.segments.insert(number, segment);
    }
    ledger
}

fn accept(ledger: &mut Ledger, id: u64, segment: u32) {
    let header = RecordHeader {
        kind: Kind::Accepted,
        meta_len: 100,
        content_len: 1000,
        id: MessageId(id),
        file: 0,
        meta_crc: 0,
        content_crc: 0,
    };
    let place = Place {
        segment,
        offset: 8192,
    };
    ledger.accepted(MessageId(id), place, header, 1, Box::default());
}

fn is_needless(ledger: &Ledger, segment: u32) -> bool {
    ledger.segments[&segment].is_needless()
}

/// A message lies in segment 1, and its end is in segment 2.
fn ended(ledger: &mut Ledger, id: u64) {
    accept(ledger, id, 1);
    ledger.done(MessageId(id), 2);
}

#[test]
fn an_end_is_needed_until_the_last_copy_is_gone() {
    let mut ledger = with(&[1, 2]);
    ended(&mut ledger, 7);
    assert!(is_needless(&ledger, 1) && !is_needless(&ledger, 2));
    ledger.retired(1);
    assert!(is_needless(&ledger, 2));
    assert_eq!(ledger.take_idle(), [1, 2]);
}

#[test]
fn no_end_is_forgotten_while_a_copy_may_lie_in_what_cannot_be_read() {
    let mut ledger = with(&[1, 2, 3]);
    accept(&mut ledger, 8, 1);
    ledger.leave_unread(vec![9], 10);
    ledger.segments.append(&mut with(&[4, 5]).segments);
    ledger.done(MessageId(8), 4);
    // One that came later cannot be there.
    accept(&mut ledger, 10, 5);
    ledger.done(MessageId(10), 4);
    ledger.retired(1);
    ledger.retired(5);
    let ended = |id| ledger.tombs.contains_key(&MessageId(id));
    assert_eq!([8, 10].map(ended), [true, false]);
    assert!(!is_needless(&ledger, 4));
    let at_rest = |number| ledger.segments[&number].is_at_rest();
    assert_eq!([2, 3, 4].map(at_rest), [false, false, true]);
}
