//! From requests to records.

use std::collections::HashMap;
use std::sync::Arc;

use mail::MessageId;

use super::Engine;
use super::batch::Batch;
use super::reserve::{Made, Reserve, Room};
use crate::commit::Completer;
use crate::format::crc32c;
use crate::format::record::{Kind, MessageMeta, RecordHeader};
use crate::format::state::State as MessageState;
use crate::limits::META_LEN_MAX;
use crate::planted::{Mistake, planted};
use crate::shared::{Draft, Effect, Request, State};
use crate::{CommitError, Progress};

/// What a batch that is being composed changes, by message: its new state, or that it ends.
pub(super) type Changes = HashMap<MessageId, Option<Vec<u8>>>;

impl Engine {
    /// The next batch: our own records first, then requests in order, as many as fit.
    pub(super) fn compose(&mut self) -> Batch {
        let shared = Arc::clone(&self.shared);
        let len_max = shared.options.record_len_max().min(META_LEN_MAX);
        let mut batch = Batch::new();
        // What waits for room is tried again, and what is asked for now builds on it.
        let mut changes = self.unrecorded.changes();
        let mut again = self.unrecorded.drafts();
        let mut reserve = None;
        let mut last_resort = false;
        loop {
            // Our own records repeat what is durable: they go before anything that changes it,
            // also before a change that was carried over from the last batch.
            let own = self.own.pop_front();
            let is_own = own.is_some();
            let next = own.or_else(|| self.carried.take());
            let is_again = next.is_none() && !again.is_empty();
            let next = next
                .or_else(|| again.pop_front())
                .or_else(|| next_draft(&mut shared.lock(), &changes, len_max));
            let Some(mut draft) = next else {
                return batch;
            };
            if !is_own && !is_again && self.unrecorded.contains(draft.header.id) {
                self.keep_or_refuse(draft, &mut changes, &CommitError::Full);
                continue;
            }
            let room = Room::of(&draft, is_own);
            let reserve = reserve.get_or_insert_with(|| self.reserve());
            if let Err(error) = self.admit(room, &mut draft, reserve) {
                draft.effect.refuse(&mut shared.lock(), &error);
                continue;
            }
            let left = if last_resort {
                self.room()
            } else {
                self.room_for(room)
            };
            if !batch.fits(&draft, left) {
                let made = if batch.is_empty() {
                    self.make_room(room, &draft, reserve)
                } else {
                    Made::Later
                };
                match made {
                    Made::Room => last_resort = self.free.is_empty(),
                    // It is still there.
                    Made::Later if is_again => return batch,
                    Made::Refused(_) if is_again => {
                        again.clear();
                        continue;
                    }
                    Made::Later => {
                        self.put_back(draft, is_own);
                        return batch;
                    }
                    Made::Refused(error) if is_own => {
                        self.refuse_own(draft, &error);
                        continue;
                    }
                    Made::Refused(error) => {
                        self.keep_or_refuse(draft, &mut changes, &error);
                        continue;
                    }
                }
            }
            note_change(&mut changes, &draft);
            batch.push(draft);
        }
    }

    /// Whether a record may be written at all. One of an outcome may; where messages may not, it
    /// goes without the texts of replies, for which no room was set aside.
    fn admit(
        &mut self,
        room: Room,
        draft: &mut Draft,
        reserve: &mut Reserve,
    ) -> Result<(), CommitError> {
        match room {
            Room::Message { n_recipients } => {
                let mut with_this = *reserve;
                with_this.promise(n_recipients);
                if !self.set_aside(&with_this, 0) || !self.is_room_for(&with_this) {
                    return Err(CommitError::Full);
                }
                *reserve = with_this;
            }
            Room::Outcome if !self.set_aside(reserve, 0) => drop_texts(draft),
            Room::Outcome | Room::Own => {}
        }
        Ok(())
    }

    fn put_back(&mut self, draft: Draft, is_own: bool) {
        if is_own {
            self.own.push_front(draft);
        } else {
            self.carried = Some(draft);
        }
    }

    fn refuse_own(&mut self, draft: Draft, error: &CommitError) {
        // Without room none of the others fits either.
        self.own.clear();
        self.victim = None;
        self.own_is_stuck = true;
        draft.effect.refuse(&mut self.shared.lock(), error);
    }
}

fn note_change(changes: &mut Changes, draft: &Draft) {
    match &draft.effect {
        Effect::Done(_) => {
            changes.insert(draft.header.id, None);
        }
        Effect::Notified {
            original, state, ..
        } => {
            let left = (!state.is_empty()).then(|| state.to_vec());
            changes.insert(*original, left);
        }
        Effect::Attempt(_) | Effect::State(_) => {
            changes.insert(draft.header.id, Some(draft.meta.clone()));
        }
        Effect::Accepted(_) | Effect::Keys | Effect::Moved { .. } => {}
    }
}

/// The next request as a record; those that make none are answered. `len_max` is how long a state
/// may get.
fn next_draft(state: &mut State, changes: &Changes, len_max: usize) -> Option<Draft> {
    loop {
        let Some(request) = state.requests.pop_front() else {
            state.urgent = false;
            return None;
        };
        match request {
            Request::Accept(draft) => return Some(draft),
            Request::Attempt(id, recipients, completer) => {
                match changed(state, changes, (id, len_max), |s| s.begin(&recipients)) {
                    Ok(state) => {
                        let effect = Effect::Attempt(completer);
                        return Some(bare(Kind::State, id, state, effect));
                    }
                    Err(error) => completer.complete(Err(error)),
                }
            }
            Request::Done(id, completer) => match current(state, changes, id) {
                Ok(_) => return Some(done_draft(id, Some(completer))),
                Err(error) => completer.complete(Err(error)),
            },
            Request::Notify {
                original,
                progress,
                notification,
            } => match left_of(state, changes, (original, len_max), progress) {
                Ok(_) if planted(Mistake::DoneBeforeNotification) => {
                    state.requests.push_front(Request::Accept(notification));
                    return Some(done_draft(original, None));
                }
                Ok(left) => return Some(notified_draft(notification, original, left)),
                Err(error) => notification.effect.refuse(state, &error),
            },
            Request::Progress(id, progress, completer) => {
                match changed(state, changes, (id, len_max), |s| s.apply(progress)) {
                    Ok(state) => return Some(state_draft(id, state, Some(completer))),
                    Err(error) => completer.complete(Err(error)),
                }
            }
        }
    }
}

/// The state of a message as the batch so far leaves it.
fn current(state: &State, changes: &Changes, id: MessageId) -> Result<MessageState, CommitError> {
    let live = state.ledger.get(id).ok_or(CommitError::Unknown)?;
    let bytes = match changes.get(&id) {
        None => &live.state[..],
        Some(Some(bytes)) => bytes,
        Some(None) => return Err(CommitError::Unknown),
    };
    MessageState::decode_or_new(bytes, live.n_recipients)
        .ok_or_else(|| CommitError::Failed("the state of a message is not readable".into()))
}

/// The state of a message after a change. Where it would be longer than `len_max`, it goes without
/// the texts of replies: no host's words may keep an outcome from being recorded.
fn changed(
    state: &State,
    changes: &Changes,
    (id, len_max): (MessageId, usize),
    change: impl FnOnce(&mut MessageState),
) -> Result<Vec<u8>, CommitError> {
    let mut current = current(state, changes, id)?;
    change(&mut current);
    let bytes = current.encode();
    if bytes.len() <= len_max {
        return Ok(bytes);
    }
    current.drop_texts();
    let bytes = current.encode();
    // Only of a spool whose segments were larger once.
    if bytes.len() > META_LEN_MAX {
        return Err(CommitError::TooLarge);
    }
    Ok(bytes)
}

/// What a notification leaves of its original: its new state, or nothing.
fn left_of(
    state: &State,
    changes: &Changes,
    (id, len_max): (MessageId, usize),
    progress: Option<Progress>,
) -> Result<Vec<u8>, CommitError> {
    match progress {
        None => current(state, changes, id).map(|_| Vec::new()),
        Some(progress) => changed(state, changes, (id, len_max), |s| s.apply(progress)),
    }
}

/// A record without content.
fn bare(kind: Kind, id: MessageId, meta: Vec<u8>, effect: Effect) -> Draft {
    let header = RecordHeader {
        kind,
        meta_len: u32::try_from(meta.len()).expect("invariant: metas are under META_LEN_MAX"),
        content_len: 0,
        id,
        file: 0,
        meta_crc: crc32c(&meta),
        content_crc: 0,
    };
    Draft {
        header,
        meta,
        content: Arc::default(),
        effect,
    }
}

/// Leaves the texts of replies out of a state.
pub(super) fn drop_texts(draft: &mut Draft) {
    if let Effect::State(_) | Effect::Attempt(_) = draft.effect
        && let Some(mut state) = MessageState::decode(&draft.meta)
    {
        state.drop_texts();
        draft.set_meta(state.encode());
    }
}

pub(super) fn state_draft(
    id: MessageId,
    state: Vec<u8>,
    completer: Option<Completer<()>>,
) -> Draft {
    bare(Kind::State, id, state, Effect::State(completer))
}

pub(super) fn done_draft(id: MessageId, completer: Option<Completer<()>>) -> Draft {
    bare(Kind::Done, id, Vec::new(), Effect::Done(completer))
}

pub(super) fn keys_draft(snapshot: Vec<u8>) -> Draft {
    bare(Kind::Keys, MessageId(0), snapshot, Effect::Keys)
}

fn notified_draft(mut draft: Draft, original: MessageId, left: Vec<u8>) -> Draft {
    let parts =
        MessageMeta::decode(Kind::Accepted, &draft.meta).expect("invariant: the handle encoded it");
    let meta = MessageMeta {
        original: Some((original, &left)),
        ..parts
    }
    .encode();
    draft.set_meta(meta);
    if let Effect::Accepted(acceptance) = draft.effect {
        draft.effect = Effect::Notified {
            acceptance,
            original,
            state: left.into(),
        };
    }
    draft
}

impl Draft {
    fn set_meta(&mut self, meta: Vec<u8>) {
        self.header.meta_len =
            u32::try_from(meta.len()).expect("invariant: metas are under META_LEN_MAX");
        self.header.meta_crc = crc32c(&meta);
        self.meta = meta;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Content;
    use crate::simulated::SimulatedDisk;
    use crate::tests::fixture::message;
    use crate::tests::model::open;

    #[test]
    fn a_repetition_goes_before_a_change_that_was_carried_over() {
        let (spool, _, mut engine) = open(&SimulatedDisk::new()).expect("opens");
        let promise = spool.accept(&message(1, 3), Content::Bytes(Arc::default()));
        engine.step();
        let id = promise.wait().expect("kept");
        let state = |under_way: &[u32]| {
            let under_way = under_way.iter().copied().collect();
            let new = MessageState::new(3);
            MessageState { under_way, ..new }.encode()
        };
        engine.carried = Some(state_draft(id, state(&[0, 1]), None));
        engine.own.push_back(state_draft(id, state(&[0]), None));
        let _attempt = spool.attempt(id, [2].into_iter().collect());
        let batch = engine.compose();
        let metas: Vec<_> = batch.drafts().iter().map(|draft| &draft.meta).collect();
        assert_eq!(metas, [&state(&[0]), &state(&[0, 1]), &state(&[0, 1, 2])]);
    }
}
