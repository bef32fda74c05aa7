//! Segments that somebody removed as whole files.

use std::sync::Arc;

use super::model::{Action, Trial, open};
use crate::inspect::{Fault, Inspection};
use crate::simulated::{PowerCut, SimulatedDisk};
use crate::{Disk, Note};

/// A spool with messages in several segments, and some in files of their own; not closed.
fn spool() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let mut trial = Trial::open(&disk).expect("opens");
    for n in 0..30 {
        trial.ask(&[Action::Accept(n)]);
    }
    disk.after(PowerCut::Lost)
}

fn segments(disk: &SimulatedDisk) -> Vec<String> {
    let is_segment = |name: &String| name.starts_with("seg-") && !name.ends_with(".sum");
    disk.names().into_iter().filter(is_segment).collect()
}

fn missing(disk: &SimulatedDisk) -> Vec<Fault> {
    let inspection = Inspection::open(Arc::new(disk.clone())).expect("readable");
    let found = inspection.expect("a spool").verify().expect("readable");
    let faults = found.findings.into_iter().map(|finding| finding.fault);
    faults
        .filter(|fault| matches!(fault, Fault::SegmentsMissing { .. }))
        .collect()
}

#[test]
fn segments_that_were_removed_are_missed_at_opening_and_from_outside() {
    let whole = spool();
    assert!(segments(&whole).len() > 3);
    assert_eq!(missing(&whole), []);
    let all = segments(&whole);
    let each = all.iter().map(std::slice::from_ref);
    for gone in each.chain([&all[..], &all[..2]]) {
        let disk = whole.after(PowerCut::Kept);
        gone.iter()
            .for_each(|name| disk.remove(name).expect("there"));
        let n = u32::try_from(gone.len()).expect("few");
        assert_eq!(missing(&disk), [Fault::SegmentsMissing { n }], "{gone:?}");
        let contents = |dir: &str| disk.list(dir).expect("there").len();
        let n_contents = contents("content");
        let (_spool, recovery, _engine) = open(&disk).expect("opens");
        assert!(recovery.notes.contains(&Note::SegmentsMissing { n }));
        assert_eq!(
            contents("content") + contents("quarantine"),
            n_contents,
            "what may belong to a message that is lost is kept"
        );
        // It is told once: what is there now is what there is.
        assert_eq!(missing(&disk), []);
        let (_spool, recovery, _engine) = open(&disk.after(PowerCut::Lost)).expect("opens");
        assert!(!recovery.notes.contains(&Note::SegmentsMissing { n }));
    }
}
