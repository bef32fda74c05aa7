//! Bits that flip on disk, in every field of everything that lies there, each alone: nothing wrong
//! is believed, what is lost is told and kept, and no other message suffers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use mail::MessageId;

use super::crash::{ballast, for_each, is_full};
use super::model::{Action, Known, Trial, deviations, open};
use crate::format::record;
use crate::inspect::{Entry, Inspection, Record, RecordKind};
use crate::simulated::{PowerCut, SimulatedDisk};
use crate::{Note, Recovery, Spool};

/// A spool with everything that there can be, left as it is when the power fails.
struct Museum {
    disk: SimulatedDisk,
    known: BTreeMap<u64, Known>,
    /// The records that were written, by their files.
    records: Vec<(String, Record)>,
}

/// What one octet belongs to.
enum Hit<'a> {
    Record(&'a Record),
    /// The header of a batch that is not known to be durable, with these records.
    LastBatch(Vec<&'a Record>),
    Other,
}

fn museum() -> Museum {
    use Action::{Accept, AcceptKeyed, Attempt, Done, Notify, NotifyOf, Progress};
    let disk = SimulatedDisk::new();
    let mut trial = Trial::open(&disk).expect("opens");
    // So that segments are not emptied at once.
    trial.ask(&ballast(12).into_iter().map(Accept).collect::<Vec<_>>());
    for n in 0..24 {
        trial.ask(&[if n % 3 == 0 {
            AcceptKeyed(n)
        } else {
            Accept(n)
        }]);
        if n >= 4 {
            let old = n - 4;
            trial.ask(&[Attempt(old, 1), Progress(old, 0)]);
            let stays = old % 4 == 1;
            trial.ask(&[if stays { Progress(old, 1) } else { Done(old) }]);
        }
    }
    trial.ask(&[Progress(22, 1)]);
    trial.ask(&[Notify(20, 30)]);
    trial.ask(&[NotifyOf(21, 0, 31)]);
    trial.ask(&[Accept(32)]);
    let disk = disk.after(PowerCut::Kept);
    let records = records(&disk);
    let Trial { known, .. } = trial;
    Museum {
        disk,
        known,
        records,
    }
}

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

/// Octets of header and meta of a record.
fn head_len(segment: &[u8], record: &Record) -> usize {
    let at = record.offset as usize;
    let meta_len = segment[at + 4..at + 8].try_into().expect("four octets");
    record::LEN + u32::from_le_bytes(meta_len) as usize
}

impl Museum {
    /// Where bits are flipped in a file: everywhere but in contents, of which a few octets are.
    fn places(&self, name: &str, bytes: &[u8]) -> Vec<usize> {
        if name.starts_with("content/") {
            return (0..bytes.len()).step_by(499).collect();
        }
        if !name.starts_with("seg-") || name.contains('.') {
            return (0..bytes.len()).collect();
        }
        let slots = (0..84).chain(4096..4096 + 84);
        let batches = (8192..bytes.len()).step_by(4096);
        let batches = batches.filter(|&at| bytes[at..].starts_with(b"PBAT"));
        let headers = batches.flat_map(|at| at..at + 40);
        let here = self.records.iter().filter(|(of, _)| of == name);
        let parts = here.flat_map(|(_, record)| {
            let (start, len) = (record.offset as usize, head_len(bytes, record));
            let end = start + usize::try_from(record.len).expect("small");
            (start..start + len).chain((start + len..end).step_by(499))
        });
        slots.chain(headers).chain(parts).collect()
    }

    fn hit(&self, name: &str, at: usize) -> Hit<'_> {
        if name.starts_with("content/") {
            let is_in = |record: &&Record| record.content.as_ref().is_some_and(|c| c.file == name);
            let mut records = self.records.iter().map(|(_, record)| record);
            return records.find(is_in).map_or(Hit::Other, Hit::Record);
        }
        let here = || self.records.iter().filter(|(of, _)| of == name);
        let at = u64::try_from(at).expect("small");
        let range = |record: &Record| {
            let start = u64::from(record.offset);
            start..start + record.len
        };
        if let Some((_, record)) = here().find(|(_, record)| range(record).contains(&at)) {
            return Hit::Record(record);
        }
        let last: Vec<&Record> = here().map(|(_, r)| r).filter(|r| r.is_last).collect();
        let batch = last.first().map(|first| u64::from(first.offset) - 40);
        if batch.is_some_and(|batch| (batch..batch + 40).contains(&at)) {
            return Hit::LastBatch(last);
        }
        Hit::Other
    }

    /// Which messages may suffer, and whether all keys may.
    fn victims(&self, hit: &Hit<'_>) -> (BTreeSet<u64>, bool) {
        let records = match hit {
            Hit::Record(record) => vec![*record],
            Hit::LastBatch(records) => records.clone(),
            Hit::Other => Vec::new(),
        };
        let number = |id: MessageId| {
            let mut known = self.known.iter();
            known.find_map(|(&n, known)| (known.id == Some(id)).then_some(n))
        };
        let ids = records.iter().flat_map(|record| {
            let original = record.original.as_ref().map(|(id, _)| *id);
            std::iter::once(record.id).chain(original)
        });
        let keys = records.iter().any(|r| r.kind == RecordKind::Keys);
        (ids.filter_map(number).collect(), keys)
    }

    /// Flips a bit and opens the spool, twice.
    fn check(&self, name: &str, bytes: &[u8], at: usize, bit: u32) {
        let place = format!("bit {bit} of octet {at} of {name}");
        let mut changed = bytes.to_vec();
        changed[at] ^= 1 << bit;
        let disk = self.disk.after(PowerCut::Kept);
        disk.put(name, changed);
        let (spool, recovery, engine) = open(&disk).unwrap_or_else(|e| panic!("{place}: {e}"));
        let found = deviations(&self.known, &spool, &recovery);
        let (victims, all_keys) = self.victims(&self.hit(name, at));
        for n in &found.messages {
            assert!(victims.contains(n), "{place}: {n} suffers: {found:?}");
        }
        for n in &found.keys {
            let may = all_keys || victims.contains(n);
            assert!(may, "{place}: the key of {n} is forgotten");
        }
        let is_told = found.is_damaged_to_read || is_told(&recovery, &disk);
        let is_harmless = found.messages.is_empty() && found.keys.is_empty();
        assert!(
            is_harmless || is_told,
            "{place}: {found:?} and nothing said"
        );
        assert!(spool.epoch() >= 2, "{place}: an epoch comes twice");
        drop((spool, recovery, engine));
        let (spool, recovery, _engine): (Spool, Recovery, _) = open(&disk).expect("opens again");
        let again = deviations(&self.known, &spool, &recovery);
        assert!(
            again.messages.is_subset(&found.messages),
            "{place}: {again:?}"
        );
    }
}

/// Whether there is a note, and what it says was kept is there.
fn is_told(recovery: &Recovery, disk: &SimulatedDisk) -> bool {
    recovery.notes.iter().any(|note| match note {
        Note::Damage { quarantine, .. } | Note::Torn { quarantine, .. } => {
            let copy = quarantine.as_ref().expect("there is room for a copy");
            disk.contents(copy).is_some_and(|copy| !copy.is_empty())
        }
        _ => false,
    })
}

#[test]
fn a_flipped_bit_costs_what_it_is_part_of_at_most_and_that_is_told() {
    let museum = museum();
    let kinds: BTreeSet<String> = museum
        .records
        .iter()
        .map(|(_, record)| format!("{:?}", record.kind))
        .collect();
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    let names: Vec<String> = museum
        .disk
        .names()
        .into_iter()
        .filter(|name| name != "lock" && !name.starts_with("quarantine/"))
        .collect();
    let has = |part: &str| names.iter().any(|name| name.contains(part));
    assert!(has(".sum") && has("content/") && has("superblock.copy"));
    let mut all = Vec::new();
    for name in &names {
        let bytes = museum.disk.contents(name).expect("there");
        let places = museum.places(name, &bytes);
        let bytes = Arc::new(bytes);
        all.extend(places.into_iter().map(|at| (name, Arc::clone(&bytes), at)));
    }
    // Every octet in one of several bits in turn, or all of them in all.
    let (stride, bits) = if is_full() { (1, 8) } else { (5, 1) };
    let tried: Vec<_> = all.iter().step_by(stride).collect();
    println!("{} of {} octets", tried.len(), all.len());
    for_each(tried.len() as u64, |i| {
        let i = usize::try_from(i).expect("small") - 1;
        let (name, bytes, at) = &tried[i];
        for bit in 0..bits {
            let bit = (u32::try_from(i % 8).expect("small") + bit) % 8;
            museum.check(name, bytes, *at, bit);
        }
    });
}
