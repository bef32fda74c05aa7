//! What becomes true when a batch is durable.

use mail::MessageId;

use super::Engine;
use super::batch::Written;
use crate::commit::Completer;
use crate::content::file_name;
use crate::format::summary::SummaryWriter;
use crate::ledger::Place;
use crate::shared::{Acceptance, Draft, Effect, State};

/// A summary is written only if it is at most this part of its segment: else reading the segment
/// is about as quick.
const SUMMARY_PART: usize = 4;

/// Commits to resolve once the books are right, and content files to remove.
#[derive(Default)]
struct Resolved {
    accepted: Vec<(Completer<MessageId>, MessageId)>,
    recorded: Vec<Completer<()>>,
    needless_files: Vec<u64>,
}

impl Engine {
    /// `in_doubt` is a segment to which the same records were written, and whose sync failed.
    pub(super) fn apply(&mut self, written: Written, in_doubt: Option<u32>) {
        self.summarise(&written);
        self.gathering.record(written.batch.n_messages());
        let segment = self.active.number;
        let mut resolved = Resolved::default();
        let mut state = self.shared.lock();
        state.stats.n_batches += 1;
        state.stats.n_syncs += 1;
        state.stats.bytes_written += u64::from(written.batch.padded_len());
        state.stats.n_records += written.records.len() as u64;
        for (draft, (offset, _)) in written.batch.into_drafts().zip(written.records) {
            let place = Place { segment, offset };
            let header = draft.header;
            if !self.unrecorded.is_empty() {
                resolved.recorded.extend(self.unrecorded.recorded(&draft));
            }
            apply_draft(&mut state, draft, place, &mut resolved);
            if let Some(other) = in_doubt.filter(|_| header.has_message()) {
                state.ledger.copy_in_doubt(header.id, other);
            }
        }
        drop(state);
        let accepted = resolved.accepted.into_iter();
        let accepted = accepted.filter_map(|(completer, id)| completer.resolve(Ok(id)));
        let recorded = resolved.recorded.into_iter();
        let recorded = recorded.filter_map(|completer| completer.resolve(Ok(())));
        self.shared.wake_all(accepted.chain(recorded).collect());
        for number in resolved.needless_files {
            // What cannot be removed is found at the next opening.
            let _ = self.shared.disk.remove(&file_name(number));
        }
    }

    fn summarise(&mut self, written: &Written) {
        let len_max = self.shared.options.segment_len as usize / SUMMARY_PART;
        let Some(summary) = &mut self.active.summary else {
            return;
        };
        for (draft, (offset, header)) in written.batch.drafts().iter().zip(&written.records) {
            summary.add(*offset, header, &draft.meta);
        }
        if summary.len() > len_max {
            self.active.summary = None;
        }
    }
}

impl super::Active {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            end: crate::format::segment::FIRST_BATCH,
            summary: Some(SummaryWriter::new()),
        }
    }

    /// No segment: nothing fits.
    pub(super) const fn none() -> Self {
        Self {
            number: crate::ledger::TAIL,
            end: u32::MAX,
            summary: None,
        }
    }
}

fn apply_draft(state: &mut State, draft: Draft, place: Place, resolved: &mut Resolved) {
    let (id, header) = (draft.header.id, draft.header);
    let ledger = &mut state.ledger;
    match draft.effect {
        Effect::Accepted(acceptance) => {
            accept(state, draft.header, acceptance, place, resolved);
        }
        Effect::Done(completer) => {
            resolved
                .needless_files
                .extend(ledger.done(id, place.segment));
            resolved.recorded.extend(completer);
        }
        Effect::Keys => ledger.snapshot_in(place.segment, header.record_len()),
        Effect::Moved {
            n_recipients,
            state,
            original,
        } => {
            ledger.accepted(id, place, header, n_recipients, state);
            match original {
                Some((original, left)) if left.is_empty() => {
                    // Its content goes when recovery is over.
                    ledger.done(original, place.segment);
                }
                Some((original, left)) => ledger.state(original, place.segment, left),
                None => {}
            }
        }
        Effect::Notified {
            acceptance,
            original,
            state: left,
        } => {
            accept(state, draft.header, acceptance, place, resolved);
            let ledger = &mut state.ledger;
            if left.is_empty() {
                let file = ledger.done(original, place.segment);
                resolved.needless_files.extend(file);
            } else {
                ledger.state(original, place.segment, left);
            }
        }
        Effect::Attempt(completer) => {
            ledger.state(id, place.segment, draft.meta.into());
            resolved.recorded.push(completer);
        }
        Effect::State(completer) => {
            ledger.state(id, place.segment, draft.meta.into());
            resolved.recorded.extend(completer);
        }
    }
}

fn accept(
    state: &mut State,
    header: crate::format::record::RecordHeader,
    acceptance: Acceptance,
    place: Place,
    resolved: &mut Resolved,
) {
    let ledger = &mut state.ledger;
    let n_recipients = acceptance.n_recipients;
    ledger.accepted(header.id, place, header, n_recipients, Box::default());
    if let Some(key) = acceptance.key {
        ledger.key_in(&key.key, place.segment);
        ledger.keys.accepted(&key.key, key.accepted, 0);
    }
    if let Some(content) = acceptance.content {
        content.keep();
    }
    resolved.accepted.push((acceptance.completer, header.id));
}
