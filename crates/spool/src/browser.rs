//! Reading what is known of many messages, one after the other.
//!
//! # Guarantees
//! The same as [`Spool::message`], which is asked where this knows nothing better. Whether what it
//! has read is still so is checked at every message: it can be kept for as long as one likes.
//!
//! # Limits
//! Keeps the summary of one segment: a quarter of the segment's length at most.

use std::collections::HashMap;

use mail::MessageId;

use crate::engine::summary_name;
use crate::format::crc32c;
use crate::format::record::RecordHeader;
use crate::format::segment::SegmentState;
use crate::format::summary::Summary;
use crate::ledger::Place;
use crate::recover::read_all;
use crate::spool::stored;
use crate::{ReadError, Spool, Stored};

/// Reads messages without their contents; quick when they are asked for in the order in which they
/// lie on disk, or roughly so, as that of their ids is.
///
/// Single messages are read where they lie. From the second of a segment in a row on, they come
/// from its summary, which is a fraction of the segment, and is read in one go.
pub struct Browser {
    spool: Spool,
    /// The segment of the last message, and its summary from the second message on.
    segment: Option<u32>,
    summary: Option<Metas>,
}

/// The metas of the messages in a segment.
#[derive(Default)]
struct Metas {
    summary: Vec<u8>,
    /// Where in the summary the meta of the record at an offset begins and ends.
    places: HashMap<u32, (usize, usize)>,
}

impl Browser {
    pub(crate) const fn new(spool: Spool) -> Self {
        Self {
            spool,
            segment: None,
            summary: None,
        }
    }

    /// Reads what is known of a message, without its content. Blocks.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn message(&mut self, id: MessageId) -> Result<Stored, ReadError> {
        let (place, header, n_recipients, state) = {
            let shared = self.spool.shared().lock();
            let live = shared.ledger.get(id).ok_or(ReadError::Unknown(id))?;
            let header = live.header(id);
            (live.place, header, live.n_recipients, live.state.clone())
        };
        match self.meta(place, &header) {
            Some(meta) => {
                stored(id, &header, meta, &state, n_recipients).ok_or(ReadError::Damaged(id))
            }
            None => self.spool.message(id),
        }
    }

    /// From the summary, if it has what the books say.
    fn meta(&mut self, place: Place, header: &RecordHeader) -> Option<&[u8]> {
        if self.segment != Some(place.segment) {
            self.segment = Some(place.segment);
            self.summary = None;
            return None;
        }
        let spool = &self.spool;
        let metas = self
            .summary
            .get_or_insert_with(|| Metas::read(spool, place.segment).unwrap_or_default());
        metas.find(place, header)
    }
}

/// What is known of the message whose record lies there, from the summary of its segment; `None`
/// where that has no good copy.
pub(crate) fn second_copy(spool: &Spool, place: Place, header: &RecordHeader) -> Option<Vec<u8>> {
    let metas = Metas::read(spool, place.segment)?;
    metas.find(place, header).map(<[u8]>::to_vec)
}

impl Metas {
    /// The meta of the record at this place, if it is what the books say.
    fn find(&self, place: Place, header: &RecordHeader) -> Option<&[u8]> {
        let &(start, end) = self.places.get(&place.offset)?;
        // The segment may have been used again since.
        let meta = self.summary.get(start..end)?;
        (meta.len() == header.meta_len as usize && crc32c(meta) == header.meta_crc).then_some(meta)
    }

    /// `None` where there is no good summary.
    fn read(spool: &Spool, segment: u32) -> Option<Self> {
        let shared = spool.shared();
        let header = shared.lock().ledger.segments.get(&segment)?.header;
        let SegmentState::Sealed(end) = header.state else {
            return None;
        };
        let summary = read_all(&*shared.disk, &summary_name(segment))?;
        let records = Summary::open(&shared.identity, header.generation, end, &summary)?;
        let places = records
            .filter(|record| record.header.has_message())
            .map(|record| (record.offset, (record.at, record.at + record.meta.len())))
            .collect();
        Some(Self { summary, places })
    }
}
