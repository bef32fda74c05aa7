//! From records to books.

use std::collections::HashMap;

use mail::MessageId;

use crate::format::keys::decode_snapshot;
use crate::format::message::decode_front;
use crate::format::record::{Kind, MessageMeta, RecordHeader};
use crate::ledger::{Ledger, Place, TAIL};
use crate::planted::{Mistake, planted};

#[derive(Default)]
pub(super) struct Replay {
    pub(super) ledger: Ledger,
    /// One more than the highest message id seen.
    pub(super) next_id: u64,
    /// Messages with a copy in a tail.
    pub(super) in_tail: Vec<MessageId>,
    /// Ends of messages that were not known then.
    ends: HashMap<MessageId, u32>,
}

impl Replay {
    /// Takes in a record, in the order of the log; whether it made sense.
    pub(super) fn record(
        &mut self,
        place: Place,
        header: &RecordHeader,
        meta: &[u8],
        in_tail: bool,
    ) -> bool {
        self.take(place, header, meta, in_tail).is_some()
    }

    fn take(
        &mut self,
        place: Place,
        header: &RecordHeader,
        meta: &[u8],
        in_tail: bool,
    ) -> Option<()> {
        let id = header.id;
        // What lies in a tail has no lasting place yet.
        let segment = if in_tail { TAIL } else { place.segment };
        match header.kind {
            Kind::Accepted | Kind::Moved | Kind::Notified => {
                let parts = MessageMeta::decode(header.kind, meta)?;
                self.message(place, header, &parts)?;
                if in_tail {
                    self.in_tail.push(id);
                }
                if let Some((original, state)) = parts.original {
                    if state.is_empty() {
                        self.end(original, segment);
                    } else {
                        self.ledger.state(original, segment, state.into());
                    }
                }
            }
            Kind::State => self.ledger.state(id, segment, meta.into()),
            Kind::Done => self.end(id, segment),
            Kind::Keys => {
                self.ledger.keys.replace(decode_snapshot(meta)?);
                self.ledger.snapshot_in(segment, header.record_len());
            }
        }
        Some(())
    }

    fn message(
        &mut self,
        place: Place,
        header: &RecordHeader,
        parts: &MessageMeta<'_>,
    ) -> Option<()> {
        let id = header.id;
        let front = decode_front(parts.message)?;
        self.next_id = self.next_id.max(id.0 + 1);
        let state = parts.state.into();
        self.ledger
            .accepted(id, place, *header, front.n_recipients, state);
        let key = front.key;
        if let Some(key) = key.filter(|_| !planted(Mistake::KeysDroppedAtRestart)) {
            self.ledger.key_in(&key.key, place.segment);
            self.ledger
                .keys
                .accepted(&key.key, key.accepted, front.lowest);
        }
        if let Some(&segment) = self.ends.get(&id) {
            self.ledger.done(id, segment);
        }
        Some(())
    }

    fn end(&mut self, id: MessageId, segment: u32) {
        if self.ledger.knows(id) {
            self.ledger.done(id, segment);
        } else {
            self.ends.insert(id, segment);
        }
    }
}
