//! Content files that are not there when the spool is opened, and come back.

use super::fixture::content;
use super::model::{Action, Trial, content_len, open};
use crate::simulated::{PowerCut, SimulatedDisk};
use crate::{Disk, Note, ReadError};

/// Messages in files of their own, and others.
const N: u64 = 30;

fn spool() -> (SimulatedDisk, Trial) {
    let disk = SimulatedDisk::new();
    let mut trial = Trial::open(&disk).expect("opens");
    for n in 0..N {
        trial.ask(&[Action::Accept(n)]);
    }
    (disk, trial)
}

fn files(disk: &SimulatedDisk, dir: &str) -> Vec<String> {
    let names = disk.list(dir).expect("there").into_iter();
    names.map(|name| format!("{dir}/{name}")).collect()
}

#[test]
fn a_message_whose_content_is_missing_at_one_start_is_whole_at_the_next() {
    let (disk, trial) = spool();
    let disk = disk.after(PowerCut::Lost);
    let names = files(&disk, "content");
    assert!(names.len() > 1);
    let saved: Vec<_> = names.iter().map(|name| disk.contents(name)).collect();
    for name in &names {
        disk.remove(name).expect("there");
    }
    for _ in 0..2 {
        let (spool, recovery, _engine) = open(&disk).expect("opens");
        assert_eq!(recovery.n_messages(), N);
        let mut missing = Vec::new();
        for note in &recovery.notes {
            let Note::ContentMissing { file, id } = note else {
                panic!("{note}");
            };
            let read = spool.reader(*id).map(drop);
            assert!(matches!(read, Err(ReadError::Io(_))), "{read:?}");
            missing.push(file.clone());
        }
        missing.sort_unstable();
        assert_eq!(missing, names);
    }
    for (name, bytes) in names.iter().zip(saved) {
        disk.put(name, bytes.expect("there"));
    }
    let (spool, recovery, _engine) = open(&disk).expect("opens");
    super::model::check(&trial.known, &spool, &recovery);
    assert_eq!(recovery.notes, []);
}

#[test]
fn a_content_comes_back_while_the_spool_is_open() {
    let (disk, trial) = spool();
    let disk = disk.after(PowerCut::Lost);
    let n = (0..N).find(|&n| content_len(n) >= 5_500).expect("large");
    let id = trial.known[&n].id.expect("accepted");
    let names = files(&disk, "content");
    let saved: Vec<_> = names.iter().map(|name| disk.contents(name)).collect();
    for name in &names {
        disk.remove(name).expect("there");
    }
    let (spool, _recovery, _engine) = open(&disk).expect("opens");
    assert!(spool.reader(id).is_err());
    for (name, bytes) in names.iter().zip(saved) {
        disk.put(name, bytes.expect("there"));
    }
    let read = spool.reader(id).expect("there").read_all();
    assert_eq!(read.expect("whole"), content(n, content_len(n)));
}

#[test]
fn a_content_that_was_set_aside_comes_back_with_the_segment_that_names_it() {
    let (disk, trial) = spool();
    let disk = disk.after(PowerCut::Lost);
    let is_segment = |name: &String| name.starts_with("seg-") && !name.ends_with(".sum");
    let first = disk.names().into_iter().find(is_segment).expect("some");
    let segment = disk.contents(&first).expect("there");
    disk.remove(&first).expect("there");
    let (spool, recovery, engine) = open(&disk).expect("opens");
    assert!(recovery.n_messages() < N);
    drop((spool, recovery, engine));
    let set_aside = files(&disk, "quarantine");
    assert!(!set_aside.is_empty());
    disk.put(&first, segment);
    let (spool, recovery, _engine) = open(&disk).expect("opens");
    super::model::check(&trial.known, &spool, &recovery);
    let is_back = |note: &Note| matches!(note, Note::ContentTakenBack { .. });
    assert_eq!(recovery.notes.len(), set_aside.len());
    assert!(recovery.notes.iter().all(is_back), "{:?}", recovery.notes);
    assert_eq!(files(&disk, "quarantine"), [""; 0]);
}
