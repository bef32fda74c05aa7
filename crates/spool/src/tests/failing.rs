//! What writes and syncs that failed leave behind, while the spool goes on.

use super::crash::ballast;
use super::model::{Action, Trial};
use crate::simulated::{Fault, PowerCut, SimulatedDisk};

/// Messages that are so heavy that their segment is not emptied, and leave it room for a small one.
fn heavy() -> Vec<Action> {
    let large = ballast(3).into_iter().chain([3]);
    large.map(Action::Accept).collect()
}

#[test]
fn a_message_that_is_done_does_not_come_back_from_a_segment_whose_sync_failed() {
    for cut in [PowerCut::Kept, PowerCut::Lost] {
        let disk = SimulatedDisk::new();
        let mut trial = Trial::open(&disk).expect("opens");
        trial.ask(&heavy());
        // The first operation is the write of the batch, the second its sync, which takes effect.
        disk.set_fault(Fault::FailLateAt(2));
        trial.ask(&[Action::Accept(1)]);
        disk.set_fault(Fault::None);
        assert_eq!(trial.n_failed_segments(), 1);
        trial.ask(&[Action::Done(1)]);
        // The segment that has the acknowledged copy, and the end, is used again and again.
        for n in 10..60 {
            trial.ask(&[Action::Accept(n)]);
            trial.ask(&[Action::Done(n)]);
        }
        assert_eq!(trial.n_failed_segments(), 1, "it has those that stay");
        trial.reopen(&disk.after(cut));
    }
}
