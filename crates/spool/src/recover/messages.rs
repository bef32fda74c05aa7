//! Giving out what was recovered, segment by segment, without holding it all.

use std::collections::HashMap;

use mail::MessageId;

use super::files::read_all;
use crate::engine::summary_name;
use crate::format::segment::SegmentState;
use crate::format::summary::Summary;
use crate::ledger::Place;
use crate::shared::Shared;
use crate::spool::stored;
use crate::{ReadError, Spool, Stored};

/// All messages that were live at opening, in the order in which they lie on disk.
pub(crate) struct Messages {
    spool: Spool,
    places: std::vec::IntoIter<(Place, MessageId)>,
    /// The segment whose summary is loaded, the summary, and where in it the metas begin.
    segment: Option<u32>,
    summary: Vec<u8>,
    metas: HashMap<u32, (usize, usize)>,
}

impl Messages {
    pub(crate) fn new(spool: Spool) -> Self {
        let mut places: Vec<_> = {
            let state = spool.shared().lock();
            state.ledger.live().map(|(id, l)| (l.place, id)).collect()
        };
        places.sort_unstable();
        Self {
            spool,
            places: places.into_iter(),
            segment: None,
            summary: Vec::new(),
            metas: HashMap::new(),
        }
    }

    fn load(&mut self, segment: u32) {
        self.segment = Some(segment);
        self.metas.clear();
        self.summary = read_summary(self.spool.shared(), segment, &mut self.metas);
    }

    /// From the summary, unless the message has moved since.
    fn summarised(&self, place: Place, id: MessageId) -> Option<Stored> {
        let &(start, end) = self.metas.get(&place.offset)?;
        let meta = self.summary.get(start..end)?;
        let state = self.spool.shared().lock();
        let live = state.ledger.get(id).filter(|live| live.place == place)?;
        let (header, n_recipients) = (live.header(id), live.n_recipients);
        let state_bytes = live.state.clone();
        drop(state);
        stored(id, &header, meta, &state_bytes, n_recipients)
    }
}

impl Iterator for Messages {
    type Item = Result<Stored, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (place, id) = self.places.next()?;
            if self.segment != Some(place.segment) {
                self.load(place.segment);
            }
            if let Some(stored) = self.summarised(place, id) {
                return Some(Ok(stored));
            }
            match self.spool.message(id) {
                Err(ReadError::Unknown(_)) => {}
                other => return Some(other),
            }
        }
    }
}

/// Loads a summary, if there is a good one, and notes where the meta of each record lies.
fn read_summary(
    shared: &Shared,
    segment: u32,
    metas: &mut HashMap<u32, (usize, usize)>,
) -> Vec<u8> {
    let header = {
        let state = shared.lock();
        state.ledger.segments.get(&segment).map(|s| s.header)
    };
    let Some(header) = header else {
        return Vec::new();
    };
    let SegmentState::Sealed(end) = header.state else {
        return Vec::new();
    };
    let Some(bytes) = read_all(&*shared.disk, &summary_name(segment)) else {
        return Vec::new();
    };
    let Some(summary) = Summary::open(&shared.identity, header.generation, end, &bytes) else {
        return Vec::new();
    };
    for record in summary.filter(|record| record.header.has_message()) {
        metas.insert(record.offset, (record.at, record.at + record.meta.len()));
    }
    bytes
}
