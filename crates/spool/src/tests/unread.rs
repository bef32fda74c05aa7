//! Blocks that the disk cannot read, for ever or at one opening: what lies in them suffers, and
//! nothing else; and what can be read again is there again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::crash::{ballast, for_each};
use super::model::{Action, Deviations, Known, Trial, check, deviations, open};
use crate::inspect::{Entry, Fault, Finding, Grade, Inspection, Record, Verification};
use crate::simulated::{self, PowerCut, SimulatedDisk};
use crate::{Note, OpenError};

const BLOCK: u64 = 4096;

type AllKnown = BTreeMap<u64, Known>;

/// A spool with a bit of everything in several segments, as the power left it.
fn spool() -> (SimulatedDisk, AllKnown) {
    use Action::{Accept, AcceptKeyed, Attempt, Done, Notify, Progress};
    let disk = SimulatedDisk::new();
    let mut trial = Trial::open(&disk).expect("opens");
    trial.ask(&ballast(9).into_iter().map(Accept).collect::<Vec<_>>());
    for n in 0..14 {
        trial.ask(&[if n % 3 == 0 {
            AcceptKeyed(n)
        } else {
            Accept(n)
        }]);
        if n >= 4 {
            let old = n - 4;
            trial.ask(&[Attempt(old, 1), Progress(old, 0)]);
            trial.ask(&[if old % 4 == 1 {
                Progress(old, 1)
            } else {
                Done(old)
            }]);
        }
    }
    trial.ask(&[Notify(12, 30)]);
    (disk.after(PowerCut::Kept), trial.known)
}

/// Every block of every file that has octets in it, but for those that were never written.
fn blocks(disk: &SimulatedDisk) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    for name in disk.names() {
        let bytes = disk.contents(&name).expect("there");
        for (i, block) in (0..).zip(bytes.chunks(4096)) {
            if block.iter().any(|&octet| octet != 0) {
                all.push((name.clone(), i * BLOCK));
            }
        }
    }
    all
}

/// What a block that cannot be read costs, as the spool is opened; and that it is reported.
fn cost(disk: &SimulatedDisk, known: &AllKnown, place: &str) -> Deviations {
    let (spool, recovery, _engine) = open(disk).unwrap_or_else(|e| panic!("{place}: {e}"));
    let found = deviations(known, &spool, &recovery);
    let is_told = recovery
        .notes
        .iter()
        .any(|note| matches!(note, Note::Unread { .. } | Note::Superblock { .. }));
    let is_harmless = found.messages.is_empty() && found.keys.is_empty();
    assert!(
        is_told || is_harmless || found.is_damaged_to_read,
        "{place}"
    );
    found
}

/// Every block, both headers of each segment, and all of it.
fn parts(disk: &SimulatedDisk) -> Vec<Vec<(String, u64)>> {
    let mut all: Vec<_> = blocks(disk).into_iter().map(|block| vec![block]).collect();
    let is_segment = |name: &String| name.starts_with("seg-") && !name.ends_with(".sum");
    for name in disk.names().into_iter().filter(is_segment) {
        all.push(vec![(name.clone(), 0), (name.clone(), BLOCK)]);
        all.push((0..8).map(|i| (name.clone(), i * BLOCK)).collect());
    }
    all
}

/// All records, and their segments.
fn records(disk: &SimulatedDisk) -> Vec<(String, Record)> {
    let mut records = Vec::new();
    let mut take = |name: &str, entry| {
        if let Entry::Record(record) = entry {
            records.push((name.to_owned(), *record));
        }
        ControlFlow::Continue(())
    };
    let inspection = Inspection::open(Arc::new(disk.clone())).expect("readable");
    let inspection = inspection.expect("a spool");
    inspection.each_entry(&mut take).expect("readable");
    records
}

/// Messages of which something lies in a block of a file.
fn in_block(disk: &SimulatedDisk, known: &AllKnown, name: &str, at: u64) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for (of, record) in records(disk) {
        // With the header of the last batch, all of it is lost.
        let start = u64::from(record.offset);
        let start = if record.is_last {
            start / BLOCK * BLOCK
        } else {
            start
        };
        let is_here =
            of == name && start < at + BLOCK && u64::from(record.offset) + record.len > at;
        if is_here || record.content.is_some_and(|content| content.file == name) {
            found.insert(record.id);
            found.extend(record.original.map(|(id, _)| id));
        }
    }
    let is_found = |known: &Known| known.id.is_some_and(|id| found.contains(&id));
    let numbers = known.iter().filter(|(_, known)| is_found(known));
    numbers.map(|(&n, _)| n).collect()
}

fn verify(disk: &SimulatedDisk) -> Verification {
    let inspection = Inspection::open(Arc::new(disk.clone())).expect("readable");
    inspection.expect("a spool").verify().expect("readable")
}

/// What is wrong with the segments, whatever became of contents.
fn damage(disk: &SimulatedDisk) -> Vec<Finding> {
    let findings = verify(disk).findings.into_iter();
    let is_damage = |of: &Finding| of.fault.grade() == Grade::Damage;
    findings
        .filter(|of| is_damage(of) && !of.file.starts_with("content/"))
        .collect()
}

#[test]
fn a_block_that_cannot_be_read_costs_what_lies_in_it_and_nothing_else() {
    let (whole, known) = spool();
    let blocks = blocks(&whole);
    assert!(blocks.iter().any(|(name, _)| name == "superblock"));
    for_each(blocks.len() as u64, |i| {
        let (name, at) = &blocks[usize::try_from(i).expect("small") - 1];
        let place = format!("{name} at {at}");
        let disk = whole.after(PowerCut::Kept);
        disk.spoil(name, *at..at + 1);
        let found = cost(&disk, &known, &place);
        let victims = in_block(&whole, &known, name, *at);
        for n in &found.messages {
            assert!(victims.contains(n), "{place}: {n} suffers too");
        }
        // For ever, and what was there in the first place is there still.
        let again = cost(&disk.after(PowerCut::Lost), &known, &place);
        assert!(again.messages.is_subset(&found.messages), "{place}");
    });
}

#[test]
fn what_can_be_read_again_at_the_next_start_is_there_again() {
    let (whole, known) = spool();
    let mut all: Vec<Vec<(String, u64)>> = blocks(&whole).into_iter().map(|b| vec![b]).collect();
    // Both headers of a segment, and all of it.
    for name in whole.names().iter().filter(|name| name.starts_with("seg-")) {
        all.push(vec![(name.clone(), 0), (name.clone(), BLOCK)]);
        all.push((0..8).map(|i| (name.clone(), i * BLOCK)).collect());
    }
    for_each(all.len() as u64, |i| {
        let spoilt = &all[usize::try_from(i).expect("small") - 1];
        let place = format!("{spoilt:?}");
        let disk = whole.after(PowerCut::Kept);
        for (name, at) in spoilt {
            disk.spoil(name, *at..at + 1);
        }
        let (spool, recovery, engine) = open(&disk).unwrap_or_else(|e| panic!("{place}: {e}"));
        drop((spool, recovery, engine));
        let disk = disk.after(PowerCut::Lost);
        disk.heal();
        // Nothing of the time before can be taken for something of the time since.
        assert_eq!(damage(&disk), [], "{place}");
        let (spool, recovery, _engine) = open(&disk).expect("opens");
        let found = deviations(&known, &spool, &recovery);
        assert_eq!(found.messages, BTreeSet::new(), "{place}");
        assert!(!found.is_damaged_to_read, "{place}");
    });
}

/// While something cannot be read, the spool goes on, until every segment was used many times.
#[test]
fn what_happened_while_a_block_could_not_be_read_stays_when_it_can_be() {
    let whole = SimulatedDisk::new();
    let mut trial = Trial::open(&whole).expect("opens");
    let heavy = ballast(12);
    trial.ask(&heavy.iter().map(|&n| Action::Accept(n)).collect::<Vec<_>>());
    for n in 0..12 {
        trial.ask(&[Action::Accept(n)]);
    }
    // So that what stays is copied forward, and older copies are left behind.
    for (i, &n) in heavy.iter().enumerate() {
        if i % 3 != 0 {
            trial.ask(&[Action::Done(n)]);
        }
    }
    let progress: Vec<_> = trial
        .live()
        .into_iter()
        .map(|n| Action::Progress(n, 0))
        .collect();
    trial.ask(&progress);
    let whole = whole.after(PowerCut::Lost);
    for spoilt in parts(&whole) {
        let disk = whole.after(PowerCut::Kept);
        for (name, at) in &spoilt {
            disk.spoil(name, *at..at + 1);
        }
        let mut after = Trial::open(&disk).expect("opens");
        after.adopt(&trial.known);
        let is_here = |n: &u64| {
            after
                .spool
                .outline(after.known[n].id.expect("live"))
                .is_some()
        };
        let live: Vec<u64> = after.live().into_iter().filter(is_here).collect();
        assert!(live.len() > 2, "{spoilt:?}");
        for (i, some) in live.chunks(3).enumerate() {
            let changes = some.iter().flat_map(|&n| match (i % 3, n % 2) {
                (0, 0) => vec![Action::Attempt(n, 1), Action::Progress(n, 0)],
                _ => vec![Action::Done(n)],
            });
            after.ask(&changes.collect::<Vec<_>>());
        }
        for n in 100..140 {
            after.ask(&[Action::Accept(n)]);
            after.ask(&[Action::Done(n)]);
        }
        let known = after.known;
        drop((after.spool, after.engine));
        let disk = disk.after(PowerCut::Lost);
        disk.heal();
        assert_eq!(damage(&disk), [], "{spoilt:?}");
        let (spool, recovery, _engine) = open(&disk).expect("opens");
        let found = deviations(&known, &spool, &recovery);
        assert_eq!(found.messages, BTreeSet::new(), "{spoilt:?}");
    }
}

#[test]
fn a_reading_that_fails_once_changes_nothing() {
    let (whole, known) = spool();
    let probe = whole.after(PowerCut::Kept);
    probe.set_fault(simulated::Fault::None);
    drop(open(&probe).expect("opens"));
    for n in 1..=probe.n_reads() {
        let disk = whole.after(PowerCut::Kept);
        disk.set_fault(simulated::Fault::FailReadAt(n));
        let (spool, recovery, _engine) = open(&disk).expect("opens");
        check(&known, &spool, &recovery);
        assert_eq!(recovery.notes, [], "reading {n}");
    }
}

#[test]
fn where_neither_superblock_can_be_read_nothing_is_made_over_the_spool() {
    let (whole, known) = spool();
    for spoilt in [&["superblock", "superblock.copy"][..], &["superblock"]] {
        let disk = whole.after(PowerCut::Kept);
        for name in spoilt {
            disk.spoil(name, 0..1);
        }
        if spoilt.len() == 1 {
            crate::Disk::remove(&disk, "superblock.copy").expect("there");
        }
        let before = disk.names();
        let error = open(&disk).err().expect("nobody knows what is there");
        assert!(matches!(error, OpenError::Io { .. }), "{error}");
        assert_eq!(disk.names(), before);
        disk.heal();
        let (spool, recovery, _engine) = open(&disk).expect("opens");
        check(&known, &spool, &recovery);
    }
}

#[test]
fn a_superblock_that_cannot_be_read_is_made_anew() {
    let (whole, known) = spool();
    for name in ["superblock", "superblock.copy"] {
        let disk = whole.after(PowerCut::Kept);
        disk.spoil(name, 0..1);
        let (spool, recovery, engine) = open(&disk).expect("opens");
        let epoch = spool.epoch();
        let file = name.to_owned();
        assert_eq!(recovery.notes, [Note::Superblock { file }]);
        drop((spool, recovery, engine));
        let (spool, recovery, _engine) = open(&disk.after(PowerCut::Lost)).expect("opens");
        assert_eq!(recovery.notes, []);
        assert!(spool.epoch() > epoch);
        check(&known, &spool, &recovery);
    }
}

#[test]
fn verify_finds_every_block_that_cannot_be_read_and_checks_the_rest() {
    let (whole, _) = spool();
    let sound = verify(&whole);
    assert!(sound.is_clean());
    let used = records(&whole);
    let is_used = |name: &str| used.iter().any(|(of, _)| of == name);
    for (name, at) in blocks(&whole) {
        // What is left in a segment that is free is not looked at.
        if name.starts_with("seg-") && !name.contains('.') && at >= 2 * BLOCK && !is_used(&name) {
            continue;
        }
        let disk = whole.after(PowerCut::Kept);
        disk.spoil(&name, at..at + 1);
        let found = verify(&disk);
        let is_summary = name.ends_with(".sum");
        let is_here = |finding: &Finding| {
            let is_io = matches!(finding.fault, Fault::Io(_));
            finding.file == name && (is_io || matches!(finding.fault, Fault::Superblock))
        };
        let n_here = found.findings.iter().filter(|f| is_here(f)).count();
        assert!(n_here > 0 || is_summary, "{name} at {at}: {found:?}");
        // The content of a message whose end cannot be read is gone already.
        let is_damage = |f: &&Finding| {
            f.fault.grade() == Grade::Damage && f.file != name && !f.file.starts_with("content/")
        };
        let others = found.findings.iter().filter(is_damage);
        let n_others = others.filter(|f| !sound.findings.contains(f)).count();
        assert_eq!(n_others, 0, "{name} at {at}: {found:?}");
        if at >= 2 * BLOCK {
            assert!(found.totals.n_records + 8 >= sound.totals.n_records);
        }
    }
}

#[test]
fn a_copy_in_quarantine_has_all_that_can_be_read() {
    let (whole, _) = spool();
    let is_segment = |name: &String| name.starts_with("seg-") && !name.ends_with(".sum");
    let name = whole.names().into_iter().find(is_segment).expect("some");
    let bytes = whole.contents(&name).expect("there");
    let disk = whole.after(PowerCut::Kept);
    disk.spoil(&name, 0..2 * BLOCK);
    disk.spoil(&name, 4 * BLOCK..5 * BLOCK);
    for _ in 0..2 {
        let (_spool, recovery, _engine) = open(&disk).expect("opens");
        let Some(Note::Unread {
            quarantine: Some(copy),
            ..
        }) = recovery
            .notes
            .iter()
            .find(|note| note.quarantine().is_some())
        else {
            panic!("{:?}", recovery.notes);
        };
        let copied = disk.contents(copy).expect("there");
        assert_eq!(copied.len(), bytes.len());
        for (i, (copied, block)) in copied.chunks(4096).zip(bytes.chunks(4096)).enumerate() {
            let is_spoilt = [0, 1, 4].contains(&i);
            assert!(if is_spoilt {
                copied == [0xff; 4096]
            } else {
                copied == block
            });
        }
        let n_copies = crate::Disk::list(&disk, "quarantine").expect("there").len();
        assert_eq!(n_copies, 1, "at the first opening only");
    }
}

#[test]
fn a_disk_on_which_everything_fails_is_not_tried_block_by_block_for_ever() {
    let (whole, _) = spool();
    let disk = whole.after(PowerCut::Kept);
    for name in disk.names().iter().filter(|name| name.starts_with("seg-")) {
        disk.spoil(name, 0..1 << 30);
    }
    disk.set_fault(simulated::Fault::None);
    let n_segments = disk.names().len() as u64;
    drop(open(&disk).map(drop));
    let each = 8 * crate::limits::UNREAD_BLOCKS_MAX as u64;
    assert!(disk.n_reads() < n_segments * each, "{}", disk.n_reads());
}
