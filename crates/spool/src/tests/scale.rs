//! What opening a long queue reads, and in how many pieces.

use std::sync::Arc;

use super::fixture::{content, deferral, message, options};
use crate::engine::{Engine, Step};
use crate::simulated::{PowerCut, SimulatedDisk};
use crate::{Content, Options, Spool};

const N_MESSAGES: u64 = 1_000;
const SEGMENT_LEN: u32 = 256 << 10;

/// Octets of meta and header of a message and of its deferral, amply.
const META_LEN: u64 = 512;

fn open(disk: &SimulatedDisk) -> (Spool, crate::Recovery, Engine) {
    let options = Options {
        segment_len: SEGMENT_LEN,
        ..options()
    };
    Spool::open_unstarted(Arc::new(disk.clone()), options).expect("opens")
}

/// A disk with messages of `len` octets, every second deferred.
fn filled(len: usize) -> (SimulatedDisk, Spool, Engine) {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk);
    for n in 0..N_MESSAGES {
        let octets = Content::Bytes(content(n, len).into());
        let accepted = spool.accept(&message(n, 1), octets);
        while engine.step() == Step::More {}
        let id = accepted.wait().expect("kept");
        if n % 2 == 0 {
            drop(spool.progress(id, deferral(0, 1)));
        }
    }
    while engine.step() == Step::More {}
    (disk, spool, engine)
}

/// What was read from a disk.
struct Read {
    calls: u64,
    octets: u64,
}

/// Opens it and takes in all messages; what that read.
fn read_by_opening(disk: &SimulatedDisk) -> Read {
    let before = (disk.n_reads(), disk.n_octets_read());
    let (_spool, recovery, _engine) = open(disk);
    assert!(recovery.notes.is_empty());
    let n = recovery.messages().filter(|(_, read)| read.is_ok()).count();
    assert_eq!(n as u64, N_MESSAGES);
    Read {
        calls: disk.n_reads() - before.0,
        octets: disk.n_octets_read() - before.1,
    }
}

#[test]
fn opening_reads_what_is_known_of_messages_and_not_their_contents() {
    let mut octets = Vec::new();
    for len in [4_096, 8_192] {
        let (disk, spool, engine) = filled(len);
        engine.close();
        drop(spool);
        let n_segments = N_MESSAGES * (len as u64 + META_LEN) / u64::from(SEGMENT_LEN) + 3;
        let read = read_by_opening(&disk);
        // The summaries, once for the books and once for the queue, and of each segment its
        // headers and the first of its messages.
        let most = 2 * N_MESSAGES * META_LEN + n_segments * (2 * 4_096 + META_LEN);
        assert!(read.octets < most, "{} of {most} octets", read.octets);
        assert!(read.calls < 10 * n_segments, "{} reads", read.calls);
        octets.push(read.octets);
    }
    let ratio = octets[1] as f64 / octets[0] as f64;
    assert!(
        ratio < 1.2,
        "contents twice as long: {ratio} times as much is read"
    );
}

#[test]
fn after_a_kill_only_the_last_segments_are_read_whole() {
    let (disk, _spool, engine) = filled(4_096);
    let disk = disk.after(PowerCut::Kept);
    drop(engine);
    let n_segments = N_MESSAGES * (4_096 + META_LEN) / u64::from(SEGMENT_LEN) + 3;
    let read = read_by_opening(&disk);
    let whole = 3 * u64::from(SEGMENT_LEN);
    let most = 2 * N_MESSAGES * META_LEN + n_segments * (2 * 4_096 + META_LEN) + 2 * whole;
    assert!(read.octets < most, "{} of {most} octets", read.octets);
}

#[test]
fn a_browser_reads_a_segments_messages_at_once() {
    let (disk, spool, engine) = filled(4_096);
    engine.close();
    drop(spool);
    let (spool, _, _engine) = open(&disk);
    let ids: Vec<_> = {
        let state = spool.shared().lock();
        state.ledger.live().map(|(id, _)| id).collect()
    };
    let before = disk.n_reads();
    let mut browser = spool.browser();
    for &id in &ids {
        assert_eq!(browser.message(id).ok(), spool.message(id).ok());
    }
    // `message` reads once each.
    let by_browser = disk.n_reads() - before - ids.len() as u64;
    assert!(by_browser < N_MESSAGES / 10, "{by_browser} reads");
}
