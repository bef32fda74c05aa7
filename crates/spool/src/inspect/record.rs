//! What is in the log, one thing after the other, for those who read it.

use std::io;
use std::ops::ControlFlow;

use mail::{MessageId, Timestamp};

use super::Inspection;
use super::contents::ContentPlace;
use super::walk::{self, Look};
use crate::engine::segment_name;
use crate::format::batch::BatchHeader;
use crate::format::keys::decode_snapshot;
use crate::format::message;
use crate::format::record::{Kind, MessageMeta, RecordHeader};
use crate::format::segment::{SegmentHeader, SegmentState};
use crate::format::state::State as MessageState;
use crate::recover::files::NamedError as _;
use crate::recover::scan::{FoundRecord, Scan, Sink};
use crate::{IndexSet, Message, OpenError, RecipientState};

/// Something in the log. Offsets and lengths are in octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A batch begins.
    Batch {
        /// Where.
        offset: u32,
        /// The how manieth of all batches it is.
        sequence: u64,
        /// Header and records.
        len: u32,
        /// How many records follow.
        n_records: u32,
    },
    /// Octets that had been durable and cannot be read.
    Damage {
        /// Where.
        offset: u32,
        /// How much.
        len: u64,
    },
    /// A record.
    Record(Box<Record>),
    /// A segment begins.
    Segment {
        /// Which life of the segment it is.
        generation: u64,
        /// How it is used.
        used: SegmentUse,
        /// The whole file.
        len: u32,
    },
    /// The end of the last batch, which was not written whole.
    Torn {
        /// Where.
        offset: u32,
        /// How much.
        len: u64,
    },
}

/// How a segment is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentUse {
    /// Its last batch may be in the making.
    Active,
    /// Nothing in it counts.
    Free,
    /// Its batches end here.
    Sealed(u32),
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where in its segment.
    pub offset: u32,
    /// Header, meta, inline content and padding, in octets.
    pub len: u64,
    /// What it says.
    pub kind: RecordKind,
    /// The message that it speaks of; means nothing for keys.
    pub id: MessageId,
    /// The message, where it holds one.
    pub message: Option<Message>,
    /// Where its content is, where it holds a message.
    pub content: Option<ContentPlace>,
    /// The state, where it holds one. A message without one begins.
    pub state: Option<State>,
    /// What a notification says of its original; without a state, that it is done.
    pub original: Option<(MessageId, Option<State>)>,
    /// The remembered handoffs, where it holds them.
    pub keys: Option<Keys>,
    /// It lies in the last batch, which is not known to be durable.
    pub is_last: bool,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A message begins.
    Accepted,
    /// A message ends.
    Done,
    /// All handoffs that are remembered.
    Keys,
    /// A message is copied forward.
    Moved,
    /// A notification begins, and changes what it reports on.
    Notified,
    /// A message changes.
    State,
}

/// The state of a message at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Recipients of whom an attempt began that has no outcome.
    pub under_way: IndexSet,
    /// When it is due; `None`: as it was accepted.
    pub next_due: Option<Timestamp>,
    /// Recipients who are still bound to the key with which the message was accepted.
    pub bound_as_accepted: IndexSet,
    /// Each recipient, in the order of the envelope.
    pub recipients: Vec<RecipientState>,
}

/// The handoffs that are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Senders and epochs.
    pub n_groups: usize,
    /// Handoffs.
    pub n_keys: usize,
}

impl Record {
    /// Reads the meta of a record; `None` when it makes no sense. `content` is where its content
    /// lies if it has one.
    pub(super) fn decode(
        offset: u32,
        header: &RecordHeader,
        meta: &[u8],
        content: ContentPlace,
    ) -> Option<Self> {
        let mut record = Self {
            offset,
            len: header.record_len(),
            kind: header.kind.into(),
            id: header.id,
            message: None,
            content: None,
            state: None,
            original: None,
            keys: None,
            is_last: false,
        };
        match header.kind {
            Kind::Accepted | Kind::Moved | Kind::Notified => {
                let parts = MessageMeta::decode(header.kind, meta)?;
                record.message = Some(message::decode(parts.message)?);
                record.content = Some(content);
                record.state = State::decode(parts.state)?;
                record.original = match parts.original {
                    None => None,
                    Some((id, state)) => Some((id, State::decode(state)?)),
                };
            }
            Kind::State => record.state = Some(MessageState::decode(meta)?.into()),
            Kind::Done => {}
            Kind::Keys => {
                let groups = decode_snapshot(meta)?;
                record.keys = Some(Keys {
                    n_groups: groups.len(),
                    n_keys: groups.iter().map(|group| group.accepted.len()).sum(),
                });
            }
        }
        Some(record)
    }
}

impl State {
    fn decode(bytes: &[u8]) -> Option<Option<Self>> {
        if bytes.is_empty() {
            return Some(None);
        }
        MessageState::decode(bytes).map(|state| Some(state.into()))
    }
}

impl From<MessageState> for State {
    fn from(state: MessageState) -> Self {
        Self {
            under_way: state.under_way,
            next_due: state.next_due,
            bound_as_accepted: state.bound_as_accepted,
            recipients: state.recipients,
        }
    }
}

impl From<Kind> for RecordKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Accepted => Self::Accepted,
            Kind::Moved => Self::Moved,
            Kind::State => Self::State,
            Kind::Done => Self::Done,
            Kind::Notified => Self::Notified,
            Kind::Keys => Self::Keys,
        }
    }
}

impl RecordKind {
    /// One word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Done => "done",
            Self::Keys => "keys",
            Self::Moved => "moved",
            Self::Notified => "notified",
            Self::State => "state",
        }
    }
}

impl From<SegmentState> for SegmentUse {
    fn from(state: SegmentState) -> Self {
        match state {
            SegmentState::Free => Self::Free,
            SegmentState::Active => Self::Active,
            SegmentState::Sealed(end) => Self::Sealed(end),
        }
    }
}

impl Inspection {
    /// Gives everything in the log to `take`, with the name of its segment, in the order of
    /// writing, until it says stop. Blocks for as long as reading all segments takes.
    ///
    /// A running spool goes on meanwhile: what is written, moved or retired after this is called
    /// may be missing or come twice.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn each_entry(&self, take: &mut Take<'_>) -> Result<(), OpenError> {
        let disk = &*self.disk;
        let identity = &self.superblock.identity;
        let names = disk.list("").named("list", ".")?;
        let mut headers = Vec::new();
        for number in walk::numbers(&names) {
            let name = segment_name(number);
            let look = Look::at(disk, identity, number).named("read", &name)?;
            headers.extend(look.and_then(|look| look.header()));
        }
        for header in walk::in_order(headers.into_iter()) {
            if self.entries_of(&header, take)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn entries_of(
        &self,
        header: &SegmentHeader,
        take: &mut Take<'_>,
    ) -> Result<ControlFlow<()>, OpenError> {
        let name = segment_name(header.number);
        let file = match self.disk.open(&name) {
            // It was deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(ControlFlow::Continue(()));
            }
            file => file.named("open", &name)?,
        };
        let flow = take(&name, Entry::of_segment(header));
        let mut entries = Entries {
            segment: header.number,
            name: &name,
            take,
            flow,
        };
        let scan = Scan::new(&self.superblock.identity, &*file, *header);
        let found = scan.run(&mut entries).named("read", &name)?;
        for range in found.damage {
            let (offset, len) = (range.start, range.len());
            entries.give(Entry::Damage { offset, len });
        }
        for range in found.torn {
            let (offset, len) = (range.start, range.len());
            entries.give(Entry::Torn { offset, len });
        }
        Ok(entries.flow)
    }
}

impl Entry {
    fn of_segment(header: &SegmentHeader) -> Self {
        Self::Segment {
            generation: header.generation,
            used: header.state.into(),
            len: header.len,
        }
    }
}

/// Who is given what is in the log, and the name of its segment.
pub type Take<'t> = dyn FnMut(&str, Entry) -> ControlFlow<()> + 't;

/// Hands on what a scan finds.
struct Entries<'a, 't> {
    segment: u32,
    name: &'a str,
    take: &'a mut Take<'t>,
    flow: ControlFlow<()>,
}

impl Entries<'_, '_> {
    fn give(&mut self, entry: Entry) {
        if self.flow.is_continue() {
            self.flow = (self.take)(self.name, entry);
        }
    }
}

impl Sink for Entries<'_, '_> {
    fn batch(&mut self, offset: u32, batch: &BatchHeader) {
        self.give(Entry::Batch {
            offset,
            sequence: batch.sequence,
            len: batch.len,
            n_records: batch.n_records,
        });
    }

    fn record(&mut self, found: FoundRecord<'_>) -> bool {
        let content = ContentPlace::of(&found.header, self.segment, found.offset);
        let record = Record::decode(found.offset, &found.header, found.meta, content);
        let Some(mut record) = record else {
            return false;
        };
        record.is_last = found.in_tail;
        self.give(Entry::Record(Box::new(record)));
        true
    }
}
