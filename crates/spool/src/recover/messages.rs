//! Giving out what was recovered, segment by segment, without holding it all.

use mail::MessageId;

use crate::ledger::Place;
use crate::{Browser, ReadError, Spool, Stored};

/// All messages that were live at opening, in the order in which they lie on disk.
pub(crate) struct Messages {
    browser: Browser,
    places: std::vec::IntoIter<(Place, MessageId)>,
}

impl Messages {
    pub(crate) fn new(spool: Spool) -> Self {
        let mut places: Vec<_> = {
            let state = spool.shared().lock();
            state.ledger.live().map(|(id, l)| (l.place, id)).collect()
        };
        places.sort_unstable();
        Self {
            browser: spool.browser(),
            places: places.into_iter(),
        }
    }
}

impl Iterator for Messages {
    type Item = (MessageId, Result<Stored, ReadError>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (_, id) = self.places.next()?;
            match self.browser.message(id) {
                Err(ReadError::Unknown(_)) => {}
                read => return Some((id, read)),
            }
        }
    }
}
