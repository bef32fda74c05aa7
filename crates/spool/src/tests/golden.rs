//! A spool as each version of the format wrote it, which every later program has to read.
//!
//! `golden/version-N.spool` has the octets that are not zero, `golden/version-N.txt` what they mean.
//! `BLESS=1 cargo test -p postern-spool golden` writes those of this version anew, which is right
//! only as long as it is not released.

use std::fmt::Write as _;
use std::sync::Arc;

use super::fixture::{content, deferral, key, keyed, message, options, stored};
use super::model::open;
use crate::engine::{Engine, Step};
use crate::format::{VERSION, crc32c};
use crate::inspect::{Grade, Inspection};
use crate::simulated::{PowerCut, SimulatedDisk};
use crate::{Content, Ending, KeyState, Message, OpenError, Recovery, Spool};

/// What this version wrote, and what it means.
const SPOOL: &str = include_str!("golden/version-1.spool");
const MEANING: &str = include_str!("golden/version-1.txt");

/// Octets in a line.
const LINE: usize = 32;

/// Numbers of the messages whose handoffs are remembered.
const KEYED: [u64; 4] = [1, 4, 7, 10];

fn settle(engine: &mut Engine) {
    while engine.step() == Step::More {}
}

/// A message with a content in memory, or in a file of its own.
fn accepted(
    spool: &Spool,
    engine: &mut Engine,
    message: &Message,
    in_file: bool,
) -> mail::MessageId {
    let bytes = content(message.next_due.unix_ms(), 40);
    let content = if in_file {
        let mut file = spool.content_file().expect("a file");
        file.write(&bytes).expect("written");
        Content::File(file.commit().expect("durable"))
    } else {
        Content::Bytes(bytes.into())
    };
    let promise = spool.accept(message, content);
    settle(engine);
    promise.wait().expect("kept")
}

/// A spool with every kind of record, sealed, recycled and active segments, summaries and contents
/// in files, as it is left when the power fails.
fn made() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(&disk).expect("opens");
    let mut ids = Vec::new();
    for n in 0..12 {
        let message = if KEYED.contains(&n) {
            keyed(n, 2)
        } else {
            message(n, 2)
        };
        ids.push(accepted(&spool, &mut engine, &message, n == 3));
    }
    let mut waiting = Vec::new();
    for (version, n) in (1..).zip([0, 2, 3, 4, 2, 5]) {
        waiting.push(spool.attempt(ids[n], [1].into_iter().collect()));
        waiting.push(spool.progress(ids[n], deferral(0, version)));
        settle(&mut engine);
    }
    for n in [1, 6, 8, 9] {
        waiting.push(spool.done(ids[n]));
        settle(&mut engine);
    }
    spool.forget_keys(key(0).sender, key(0).epoch, 4);
    let ending = Ending::Progress(deferral(1, 9));
    let reports = [(5, ending, 20), (7, Ending::Done, 21)].map(|(n, ending, m)| {
        let bytes = content(m, 40).into();
        spool.notify(ids[n], ending, &message(m, 1), Content::Bytes(bytes))
    });
    settle(&mut engine);
    assert!(waiting.into_iter().all(|promise| promise.wait().is_ok()));
    assert!(reports.into_iter().all(|promise| promise.wait().is_ok()));
    // An orderly end leaves summaries; then one batch, and no time for housekeeping.
    engine.close();
    drop(spool);
    let (spool, _, mut engine) = open(&disk).expect("opens again");
    let last = spool.accept(&message(22, 1), Content::Bytes(content(22, 40).into()));
    engine.step();
    last.wait().expect("kept");
    disk.after(PowerCut::Kept)
}

/// All files, line by line but for zeros.
fn written_down(disk: &SimulatedDisk) -> String {
    let mut out = String::new();
    for name in disk.names().into_iter().filter(|name| name != "lock") {
        let bytes = disk.contents(&name).expect("there");
        let _ = writeln!(out, "{name} {}", bytes.len());
        for (i, line) in bytes.chunks(LINE).enumerate() {
            if line.iter().any(|&octet| octet != 0) {
                let _ = write!(out, "{:x} ", i * LINE);
                line.iter().for_each(|octet| {
                    let _ = write!(out, "{octet:02x}");
                });
                out.push('\n');
            }
        }
    }
    out
}

/// The disk that was written down.
fn read_back(text: &str) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let mut file: Option<(String, Vec<u8>)> = None;
    for line in text.lines() {
        let (first, second) = line.split_once(' ').expect("two words");
        if let Ok(at) = usize::from_str_radix(first, 16)
            && let Some((_, bytes)) = &mut file
        {
            for (i, octet) in second.as_bytes().chunks(2).enumerate() {
                let octet = std::str::from_utf8(octet).expect("text");
                bytes[at + i] = u8::from_str_radix(octet, 16).expect("an octet");
            }
            continue;
        }
        if let Some((name, bytes)) = file.take() {
            disk.put(&name, bytes);
        }
        file = Some((first.to_owned(), vec![0; second.parse().expect("a length")]));
    }
    let (name, bytes) = file.expect("a file");
    disk.put(&name, bytes);
    disk
}

/// What a spool holds, in words.
fn meaning(spool: &Spool, recovery: &Recovery) -> String {
    let mut out = format!("spool {}\n", spool.id());
    for stored in stored(recovery) {
        let envelope = &stored.message.envelope;
        let _ = writeln!(
            out,
            "message {} from {}, trace {}, due {}",
            stored.id,
            envelope.sender.as_str(),
            stored.message.provenance.trace,
            stored.message.next_due.unix_ms(),
        );
        for (i, (to, at)) in (0..).zip(envelope.recipients.iter().zip(&stored.recipients)) {
            let reply = at.reply.as_ref().map(|r| (r.code.value(), r.text().len()));
            let _ = writeln!(
                out,
                "  to {}: {:?}, {} attempts, under way {}, key {:?}, reply {reply:?}",
                to.address.as_str(),
                at.disposition,
                at.attempts,
                stored.under_way.contains(i),
                at.handoff.map(|key| key.to_string()),
            );
        }
        let content = spool.reader(stored.id).expect("there").read_all();
        let _ = writeln!(out, "  content {:08x}", crc32c(&content.expect("whole")));
    }
    for n in KEYED {
        let known = match spool.lookup_key(&key(n)) {
            KeyState::Accepted(set) => format!("accepted for {} recipients", set.len()),
            KeyState::Pending(_) => "pending".to_owned(),
            KeyState::Unknown => "unknown".to_owned(),
        };
        let _ = writeln!(out, "handoff {n}: {known}");
    }
    out
}

fn meaning_of(disk: &SimulatedDisk) -> String {
    let (spool, recovery, _engine) = open(disk).expect("opens");
    assert!(recovery.notes.is_empty(), "{:?}", recovery.notes);
    meaning(&spool, &recovery)
}

/// Whether what the tests were built with is about to be replaced.
fn is_blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

#[test]
fn the_golden_spool_means_what_it_meant_when_it_was_written() {
    if is_blessing() {
        let disk = made();
        write("spool", &written_down(&disk));
        write("txt", &meaning_of(&disk));
        return;
    }
    let disk = read_back(SPOOL);
    let looked = Inspection::open(Arc::new(disk.clone())).expect("readable");
    assert!(disk.names().iter().any(|name| name.ends_with(".sum")));
    let found = looked.expect("a spool").verify().expect("readable");
    let damage = found
        .findings
        .iter()
        .find(|f| f.fault.grade() == Grade::Damage);
    assert_eq!(damage, None);
    assert_eq!(meaning_of(&disk), MEANING, "BLESS=1 writes it anew");
}

#[test]
fn a_newer_version_in_either_superblock_is_refused_and_nothing_is_changed() {
    if is_blessing() {
        return;
    }
    for name in ["superblock", "superblock.copy"] {
        let disk = read_back(SPOOL);
        let mut superblock = disk.contents(name).expect("there");
        superblock[8] += 1;
        let crc = crc32c(&superblock[..64]).to_le_bytes();
        superblock[64..].copy_from_slice(&crc);
        disk.put(name, superblock);
        let before = written_down(&disk);
        let opened = Spool::open_unstarted(Arc::new(disk.clone()), options());
        let Err(error) = opened.map(|_| ()) else {
            panic!("opened");
        };
        let newer = VERSION + 1;
        assert!(
            matches!(error, OpenError::NewerFormat { found, known: VERSION } if found == newer)
        );
        assert!(
            error.to_string().contains(&format!("version {newer}")),
            "{error}"
        );
        assert!(
            written_down(&disk) == before,
            "{name}: something was changed"
        );
        assert_eq!(disk.n_operations(), 0);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a file of the source, not of a spool"
)]
fn write(ending: &str, text: &str) {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/golden");
    let path = format!("{directory}/version-{VERSION}.{ending}");
    std::fs::write(path, text).expect("written");
}
