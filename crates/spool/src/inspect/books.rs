//! What the records of a spool come to, kept apart from the books of a running spool so that a
//! mistake there is seen here.

use std::collections::HashMap;

use mail::{Disposition, HandoffKey, MessageId};

use super::contents::ContentPlace;
use super::finding::{Fault, Findings};
use crate::engine::segment_name;
use crate::format::crc32c;
use crate::format::keys::decode_snapshot;
use crate::format::message;
use crate::format::record::{self, Kind, MessageMeta, RecordHeader};
use crate::format::state::State;
use crate::ledger::{KeyTable, Place};

/// All messages that records speak of.
#[derive(Default)]
pub(super) struct Books {
    messages: HashMap<MessageId, Known>,
    /// By which handoff a message came.
    handoffs: HashMap<HandoffKey, MessageId>,
    pub(super) keys: KeyTable,
    /// Octets of the latest snapshot of them.
    pub(super) snapshot_len: u64,
    pub(super) findings: Findings,
}

/// What is known of one message. There may be millions.
#[derive(Default)]
struct Known {
    copy: Option<Copy>,
    /// Recipients for whom something is left to do.
    n_open: u32,
    /// Octets of its latest state record.
    state_len: u32,
    is_done: bool,
}

/// The latest record that holds the message.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) place: Place,
    pub(super) header: RecordHeader,
    message_crc: u32,
    n_recipients: u32,
}

/// A message for which something is left to do.
pub(super) struct Live<'a> {
    pub(super) id: MessageId,
    pub(super) copy: &'a Copy,
    pub(super) n_open: u32,
    pub(super) state_len: u32,
}

impl Books {
    /// Takes in a record, in the order of the log; `None` when it makes no sense.
    pub(super) fn record(
        &mut self,
        place: Place,
        header: &RecordHeader,
        meta: &[u8],
    ) -> Option<()> {
        let id = header.id;
        match header.kind {
            Kind::Accepted | Kind::Moved | Kind::Notified => {
                let parts = MessageMeta::decode(header.kind, meta)?;
                self.message(place, header, &parts)?;
                match parts.original {
                    None => {}
                    Some((original, [])) => self.end(original),
                    Some((original, state)) => self.state(original, state)?,
                }
            }
            Kind::State => self.state(id, meta)?,
            Kind::Done => self.end(id),
            Kind::Keys => {
                self.keys.replace(decode_snapshot(meta)?);
                self.snapshot_len = header.record_len();
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
        let message = message::decode(parts.message)?;
        let lowest = message::decode_front(parts.message)?.lowest;
        let n_recipients = u32::try_from(message.envelope.recipients.len()).ok()?;
        let state = State::decode_or_new(parts.state, n_recipients)?;
        let copy = Copy {
            place,
            header: *header,
            message_crc: crc32c(parts.message),
            n_recipients,
        };
        let known = self.messages.entry(id).or_default();
        let fault = match &known.copy {
            Some(before) if !copy.is_of(before) => Some(Fault::IdTwice(id)),
            Some(_) => None,
            // A copy that was on its way forward may come behind the end.
            None if known.is_done && header.kind != Kind::Moved => Some(Fault::LateAcceptance(id)),
            None => None,
        };
        if known.copy.is_none() || !parts.state.is_empty() {
            known.n_open = n_open(&state);
            known.state_len = 0;
        }
        known.copy = Some(copy);
        let file = segment_name(place.segment);
        if let Some(fault) = fault {
            self.findings.add(&*file, place.offset.into(), fault);
        }
        if let Some(key) = message.key {
            let first = *self.handoffs.entry(key.key).or_insert(id);
            if first != id {
                let fault = Fault::KeyTwice { first, second: id };
                self.findings.add(file, place.offset.into(), fault);
            }
            self.keys.accepted(&key.key, key.accepted, lowest);
        }
        Some(())
    }

    /// The state of a message that is not known says nothing: its records are retired.
    fn state(&mut self, id: MessageId, state: &[u8]) -> Option<()> {
        let decoded = State::decode(state)?;
        if let Some(known) = self.messages.get_mut(&id)
            && let Some(copy) = &known.copy
        {
            if decoded.recipients.len() != copy.n_recipients as usize {
                return None;
            }
            known.n_open = n_open(&decoded);
            known.state_len = record::HEADER_LEN + u32::try_from(state.len()).ok()?;
        }
        Some(())
    }

    fn end(&mut self, id: MessageId) {
        self.messages.entry(id).or_default().is_done = true;
    }

    pub(super) fn live(&self) -> impl Iterator<Item = Live<'_>> {
        self.messages.iter().filter_map(|(&id, known)| {
            let copy = known.copy.as_ref().filter(|_| !known.is_done)?;
            Some(Live {
                id,
                copy,
                n_open: known.n_open,
                state_len: known.state_len,
            })
        })
    }

    /// Whether the record at `place` is the one that a message is read from.
    pub(super) fn is_read_from(&self, id: MessageId, place: Place) -> bool {
        let known = self.messages.get(&id).filter(|known| !known.is_done);
        let copy = known.and_then(|known| known.copy.as_ref());
        copy.is_some_and(|copy| copy.place == place)
    }
}

impl Copy {
    /// Where the content lies.
    pub(super) fn content(&self) -> ContentPlace {
        ContentPlace::of(&self.header, self.place.segment, self.place.offset)
    }

    /// Whether it is of the same message as `other`.
    fn is_of(&self, other: &Self) -> bool {
        let content = |copy: &Self| (copy.header.content_len, copy.header.content_crc);
        self.message_crc == other.message_crc
            && self.header.file == other.header.file
            && content(self) == content(other)
    }
}

fn n_open(state: &State) -> u32 {
    let is_open = |disposition: Disposition| !disposition.is_final();
    let open = state.recipients.iter().filter(|r| is_open(r.disposition));
    u32::try_from(open.count()).unwrap_or(u32::MAX)
}
