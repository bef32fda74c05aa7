//! What the books have of a live message. There may be millions: each octet here is a megabyte.

use mail::MessageId;

use super::{Place, insert};
use crate::format::record::{HEADER_LEN, Kind, RecordHeader, outcome_len_max};

/// A live message: 64 octets, and its state.
pub(crate) struct Live {
    pub(crate) place: Place,
    pub(crate) n_recipients: u32,
    meta_len: u32,
    meta_crc: u32,
    content_crc: u32,
    /// Octets of the content that lie in the segment.
    inline_len: u32,
    /// The segment of the latest state record; [`NOWHERE`] while the state is what came with the
    /// record of the message.
    state_segment: u32,
    /// The durable state, encoded; empty when nothing happened since it was accepted.
    pub(crate) state: Box<[u8]>,
    seldom: Option<Box<Seldom>>,
    kind: Kind,
}

/// What few messages have.
#[derive(Default)]
struct Seldom {
    /// The number of the content file, or zero, and its length.
    file: u64,
    file_len: u64,
    /// Segments with older copies of the message.
    older: Vec<u32>,
}

/// No segment: they are numbered from zero, and `TAIL` is one more.
const NOWHERE: u32 = u32::MAX - 1;

const _: () = assert!(size_of::<(MessageId, Live)>() <= 72);

impl Live {
    /// A message whose record is durable at `place`.
    pub(super) fn new(
        place: Place,
        header: &RecordHeader,
        n_recipients: u32,
        state: Box<[u8]>,
    ) -> Self {
        let seldom = (header.file != 0).then(|| {
            Box::new(Seldom {
                file: header.file,
                file_len: header.content_len,
                older: Vec::new(),
            })
        });
        Self {
            place,
            n_recipients,
            meta_len: header.meta_len,
            meta_crc: header.meta_crc,
            content_crc: header.content_crc,
            inline_len: u32::try_from(header.inline_len())
                .expect("invariant: a record fits a segment"),
            state_segment: NOWHERE,
            state,
            seldom,
            kind: header.kind,
        }
    }

    /// Takes the place of an older copy, with what happened to that.
    pub(super) fn succeed(&mut self, old: Self) {
        if self.state.is_empty() {
            self.state_segment = old.state_segment;
        }
        let segment = self.place.segment;
        let (state, mut holders) = old.into_parts();
        holders.retain(|&holder| holder != segment);
        if self.state.is_empty() {
            self.state = state;
        }
        if !holders.is_empty() {
            self.seldom.get_or_insert_default().older = holders;
        }
    }

    pub(super) fn set_state(&mut self, segment: u32, state: Box<[u8]>) {
        self.state_segment = segment;
        self.state = state;
    }

    /// Another segment may have a copy of it.
    pub(super) fn remember_older(&mut self, segment: u32) {
        insert(&mut self.seldom.get_or_insert_default().older, segment);
    }

    /// A segment with an older copy is gone.
    pub(super) fn forget_older(&mut self, segment: u32) {
        if let Some(seldom) = &mut self.seldom {
            seldom.older.retain(|&holder| holder != segment);
            if seldom.older.is_empty() && seldom.file == 0 {
                self.seldom = None;
            }
        }
    }

    /// All segments with copies of it.
    pub(super) fn into_holders(self) -> Vec<u32> {
        self.into_parts().1
    }

    fn into_parts(self) -> (Box<[u8]>, Vec<u32>) {
        let mut holders = self.seldom.map(|seldom| seldom.older).unwrap_or_default();
        insert(&mut holders, self.place.segment);
        (self.state, holders)
    }

    /// The header of its record.
    pub(crate) fn header(&self, id: MessageId) -> RecordHeader {
        let file = self.file();
        RecordHeader {
            kind: self.kind,
            meta_len: self.meta_len,
            content_len: u64::from(self.inline_len) + self.content_file_len(),
            id,
            file: file.unwrap_or(0),
            meta_crc: self.meta_crc,
            content_crc: self.content_crc,
        }
    }

    /// How many segments hold older copies.
    #[cfg(test)]
    pub(super) fn n_older(&self) -> usize {
        self.seldom.as_ref().map_or(0, |seldom| seldom.older.len())
    }

    /// The number of its content file.
    pub(crate) fn file(&self) -> Option<u64> {
        let seldom = self.seldom.as_ref()?;
        Some(seldom.file).filter(|&number| number != 0)
    }

    pub(super) fn content_file_len(&self) -> u64 {
        self.seldom.as_ref().map_or(0, |seldom| seldom.file_len)
    }

    /// The segment and the length of the latest state record, unless the state came with the
    /// record of the message.
    pub(super) fn state_record(&self) -> Option<(u32, u64)> {
        let len = u64::from(HEADER_LEN) + self.state.len() as u64;
        (self.state_segment != NOWHERE).then_some((self.state_segment, len))
    }

    /// Octets that its outcome may need beyond the state record that there is.
    pub(super) fn promised(&self) -> u64 {
        let paid = self.state_record().map_or(0, |(_, len)| len);
        outcome_len_max(self.n_recipients).saturating_sub(paid)
    }

    /// Segment and length of each record of it that is needed.
    pub(super) fn records(&self) -> impl Iterator<Item = (u32, u64)> + use<> {
        let own = self.header(MessageId(0)).record_len();
        std::iter::once((self.place.segment, own)).chain(self.state_record())
    }
}
