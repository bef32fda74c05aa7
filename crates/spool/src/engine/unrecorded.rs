//! Outcomes for which there is no room: kept until there is, because a recipient whose outcome is
//! forgotten is sent the message again.
//!
//! The reserve has room for every outcome; this is for when it is lost, as by syncs that fail on a
//! full disk.
//!
//! # Limits
//! One state for each message, without the texts of replies.
//!
//! # Failure
//! What still has no room when the spool is closed is refused then.

use std::collections::{BTreeMap, VecDeque};

use mail::MessageId;

use super::Engine;
use super::compose::{Changes, done_draft, drop_texts, state_draft};
use crate::CommitError;
use crate::commit::Completer;
use crate::shared::{Draft, Effect};

/// The outcomes that wait for room, by message.
#[derive(Default)]
pub(super) struct Unrecorded(BTreeMap<MessageId, Waiting>);

struct Waiting {
    /// The new state of the message; `None` for its end.
    state: Option<Vec<u8>>,
    /// Who waits for it.
    completers: Vec<Completer<()>>,
}

impl Unrecorded {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, id: MessageId) -> bool {
        self.0.contains_key(&id)
    }

    /// What is asked for from here on builds on it.
    pub(super) fn changes(&self) -> Changes {
        let changes = self.0.iter();
        changes
            .map(|(&id, waiting)| (id, waiting.state.clone()))
            .collect()
    }

    /// The records to try again.
    pub(super) fn drafts(&self) -> VecDeque<Draft> {
        let drafts = self.0.iter().map(|(&id, waiting)| match &waiting.state {
            Some(state) => state_draft(id, state.clone(), None),
            None => done_draft(id, None),
        });
        drafts.collect()
    }

    /// Keeps an outcome, in place of an earlier one of the same message.
    fn keep(&mut self, id: MessageId, state: Option<Vec<u8>>, completer: Completer<()>) {
        let waiting = self.0.entry(id).or_insert(Waiting {
            state: None,
            completers: Vec::new(),
        });
        waiting.state = state;
        waiting.completers.push(completer);
    }

    /// A record is durable; who waited for what it says. One of our own that repeats an earlier
    /// state says something else.
    pub(super) fn recorded(&mut self, draft: &Draft) -> Vec<Completer<()>> {
        let (id, is_it) = match &draft.effect {
            Effect::State(_) => {
                let waiting = self.0.get(&draft.header.id);
                let state = waiting.and_then(|waiting| waiting.state.as_ref());
                (draft.header.id, state == Some(&draft.meta))
            }
            Effect::Done(_) => {
                let waiting = self.0.get(&draft.header.id);
                (draft.header.id, waiting.is_some_and(|w| w.state.is_none()))
            }
            // It was made of what waits.
            Effect::Notified { original, .. } => (*original, true),
            Effect::Accepted(_) | Effect::Attempt(_) | Effect::Keys | Effect::Moved { .. } => {
                return Vec::new();
            }
        };
        let waiting = is_it.then(|| self.0.remove(&id)).flatten();
        waiting
            .map(|waiting| waiting.completers)
            .unwrap_or_default()
    }

    /// It is not tried again.
    pub(super) fn refuse_all(&mut self, error: &CommitError) {
        for waiting in std::mem::take(&mut self.0).into_values() {
            let completers = waiting.completers.into_iter();
            completers.for_each(|completer| completer.complete(Err(error.clone())));
        }
    }
}

impl Engine {
    /// There is no room for this record: an outcome is kept, anything else refused.
    pub(super) fn keep_or_refuse(
        &mut self,
        mut draft: Draft,
        changes: &mut Changes,
        error: &CommitError,
    ) {
        drop_texts(&mut draft);
        let id = draft.header.id;
        let (state, completer) = match draft.effect {
            Effect::State(Some(completer)) => (Some(draft.meta), completer),
            Effect::Done(Some(completer)) => (None, completer),
            effect => return effect.refuse(&mut self.shared.lock(), error),
        };
        changes.insert(id, state.clone());
        self.unrecorded.keep(id, state, completer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Step;
    use super::*;
    use crate::simulated::{PowerCut, SimulatedDisk};
    use crate::tests::fixture::{deferral, message};
    use crate::tests::model::open;
    use crate::{Commit, Content, IndexSet, Spool};

    const N: u64 = 4;

    struct Tight {
        disk: SimulatedDisk,
        spool: Spool,
        engine: Engine,
        ids: Vec<MessageId>,
    }

    /// Four messages, on a disk that is full, and no segment is left of the reserve.
    fn tight() -> Tight {
        let disk = SimulatedDisk::new();
        let (spool, _, mut engine) = open(&disk).expect("opens");
        let accept = |n| spool.accept(&message(n, 2), Content::Bytes(Arc::default()));
        let promises: Vec<_> = (0..N).map(accept).collect();
        while engine.step() == Step::More {}
        let ids = promises.into_iter().map(|p| p.wait().expect("kept"));
        let ids = ids.collect();
        disk.set_capacity(Some(0));
        engine.free.clear();
        Tight {
            disk,
            spool,
            engine,
            ids,
        }
    }

    impl Tight {
        fn settle(&mut self) {
            while self.engine.step() == Step::More {}
        }

        /// Until there is room for nothing more; what was asked for last.
        fn fill(&mut self) -> (u32, Commit<()>) {
            for attempts in 1..1000 {
                let promise = self.spool.progress(self.ids[0], deferral(0, attempts));
                self.settle();
                match promise.try_take() {
                    Some(result) => assert_eq!(result, Ok(())),
                    None => return (attempts, promise),
                }
            }
            panic!("there is always room");
        }

        fn attempts(&self, spool: &Spool) -> u32 {
            spool.message(self.ids[0]).expect("there").recipients[0].attempts
        }
    }

    #[test]
    fn an_outcome_without_room_waits_and_is_recorded_when_there_is_some() {
        let mut tight = tight();
        let (attempts, waiting) = tight.fill();
        let end = tight.spool.done(tight.ids[1]);
        let next = tight
            .spool
            .progress(tight.ids[0], deferral(0, attempts + 1));
        tight.settle();
        assert_eq!([end.try_take(), next.try_take()], [None, None]);
        // What is to begin does not.
        let attempt = |id| tight.spool.attempt(id, IndexSet::all(1));
        let refused = [0, 2].map(|i| attempt(tight.ids[i]));
        tight.settle();
        for refused in refused {
            assert_eq!(refused.try_take(), Some(Err(CommitError::Full)));
        }
        // A message that ends has nothing more to be recorded.
        let late = tight.spool.done(tight.ids[1]);
        tight.settle();
        assert_eq!(late.try_take(), Some(Err(CommitError::Unknown)));
        tight.disk.set_capacity(None);
        tight.settle();
        for promise in [waiting, end, next] {
            assert_eq!(promise.try_take(), Some(Ok(())));
        }
        assert_eq!(tight.spool.usage().n_messages, N - 1);
        assert_eq!(tight.attempts(&tight.spool), attempts + 1);
        let (spool, recovery, _engine) = open(&tight.disk.after(PowerCut::Lost)).expect("opens");
        assert_eq!(recovery.n_messages(), N - 1);
        assert_eq!(tight.attempts(&spool), attempts + 1);
    }

    #[test]
    fn an_outcome_that_never_has_room_is_refused_when_the_spool_closes_or_fails() {
        let mut closed = tight();
        let (_, waiting) = closed.fill();
        closed.engine.close();
        assert_eq!(waiting.try_take(), Some(Err(CommitError::Full)));
        let mut failed = tight();
        let (_, waiting) = failed.fill();
        drop(failed.engine);
        let result = waiting.try_take();
        assert!(matches!(result, Some(Err(CommitError::Failed(_)))));
    }

    #[test]
    fn room_is_looked_for_also_when_nobody_asks_for_anything() {
        let mut tight = tight();
        let (_, waiting) = tight.fill();
        tight.disk.set_capacity(None);
        let engine = std::thread::spawn(|| tight.engine.run());
        assert_eq!(waiting.wait(), Ok(()));
        drop(tight.spool);
        engine.join().expect("ends");
    }

    #[test]
    fn a_notification_that_ends_its_original_takes_the_place_of_an_outcome_that_waits() {
        let mut tight = tight();
        let (_, waiting) = tight.fill();
        tight.disk.set_capacity(None);
        let content = Content::Bytes(Arc::default());
        let (spool, id) = (tight.spool.clone(), tight.ids[0]);
        let notified = spool.notify(id, crate::Ending::Done, &message(9, 1), content);
        tight.settle();
        assert!(matches!(notified.try_take(), Some(Ok(_))));
        assert_eq!(waiting.try_take(), Some(Ok(())));
        assert_eq!(spool.usage().n_messages, N);
    }
}
