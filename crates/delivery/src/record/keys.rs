//! What the replies of the next instance mean for the keys of a message.

use std::collections::BTreeSet;

use handoff::Refusal;
use mail::reply::table;
use mail::{Author, HandoffKey, Outcome, OutcomeKind};
use spool::Stored;

use super::Tried;

/// The keys under which the next instance may have stored something that it says nothing of: it
/// took none of their recipients, and of some it knows no more than that it could not do it now.
pub(super) fn in_doubt(tried: &[Tried]) -> BTreeSet<HandoffKey> {
    let is_told = |outcome: &Outcome| outcome.is_delivered() || is_not_in_record(outcome);
    let keys_of = |wanted: &dyn Fn(&Outcome) -> bool| -> BTreeSet<HandoffKey> {
        let those = tried.iter().filter(|tried| wanted(&tried.outcome));
        those.filter_map(|tried| tried.handoff).collect()
    };
    let told = keys_of(&is_told);
    let mut doubted = keys_of(&Outcome::is_deferred);
    doubted.retain(|key| !told.contains(key));
    doubted
}

/// What the next instance replied about itself. Our own words, where it gave no answer, are none
/// of its.
fn refusal(outcome: &Outcome) -> Option<Refusal> {
    let Outcome { reply, by, .. } = outcome;
    (*by == Author::Peer).then(|| Refusal::of(reply)).flatten()
}

pub(super) fn is_not_in_record(outcome: &Outcome) -> bool {
    refusal(outcome) == Some(Refusal::NotInRecord)
}

/// Whether the next instance may have stored a recipient's copy without our knowing: it gave no
/// answer, or one that leaves this open.
pub(super) fn is_unknown(stored: &Stored, tried: &Tried) -> bool {
    let (OutcomeKind::Deferred, Some(key)) = (tried.outcome.kind, tried.handoff) else {
        return false;
    };
    let place = usize::try_from(tried.index).unwrap_or(usize::MAX);
    let was_bound = || stored.recipients.get(place).and_then(|state| state.handoff) == Some(key);
    match (tried.outcome.by, refusal(&tried.outcome)) {
        (_, Some(Refusal::Stopping | Refusal::StorageFailed)) => true,
        // It leaves open what came of the attempts before.
        (_, Some(Refusal::TryAgain)) => was_bound(),
        (Author::Peer, _) => false,
        // Else the content cannot be read: at this attempt it was never sent as a whole.
        (Author::Us, _) => was_bound() || tried.outcome.reply == table::NEXT_AWAY.reply(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_words_are_no_reply_of_the_next_instance() {
        let pending = table::HANDOFF_PENDING.reply();
        assert!(is_not_in_record(&Outcome::from_peer(pending.clone())));
        assert!(!is_not_in_record(&Outcome::deferred(pending)));
        let failed = table::STORAGE_FAILED.reply();
        let from_there = refusal(&Outcome::from_peer(failed.clone()));
        assert_eq!(from_there, Some(Refusal::StorageFailed));
        assert_eq!(refusal(&Outcome::deferred(failed)), None);
    }
}
