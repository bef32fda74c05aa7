//! How many messages the next batch waits for.
//!
//! Clients that wait for their reply come again as long as the load lasts, so the batches before
//! tell how many are on their way. One that waited its whole time is the measure; those behind it
//! wait no longer than until as many are there.

use crate::limits::{GATHERING_LOOK_INTERVAL, GATHERING_MESSAGES_MIN};

/// What the last batches took in.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Messages in the last batch, or half as many as in the one before, and so on.
    n_recent: usize,
    /// The most messages in a batch since one waited its whole time, that one included.
    n_expected: usize,
    /// Batches since then.
    n_since: u32,
}

impl Gathering {
    /// A batch with so many messages was written.
    pub(super) fn record(&mut self, n_messages: usize) {
        // One that is small by chance does not end a load.
        self.n_recent = n_messages.max(self.n_recent / 2);
        if n_messages == 0 {
            return;
        }
        if self.looks() {
            self.n_expected = n_messages;
            self.n_since = 0;
        } else {
            self.n_expected = self.n_expected.max(n_messages);
        }
        self.n_since += 1;
    }

    /// Whether batches were such that more messages are on their way.
    pub(super) fn is_loaded(&self) -> bool {
        self.n_recent >= GATHERING_MESSAGES_MIN
    }

    /// With how many messages a batch need not wait any longer; `None` where it waits its whole
    /// time to see how many come, because a number that was once too small would else stay so.
    pub(super) fn n_expected(&self) -> Option<usize> {
        (!self.looks()).then(|| self.n_expected.max(GATHERING_MESSAGES_MIN))
    }

    fn looks(&self) -> bool {
        self.n_since.is_multiple_of(GATHERING_LOOK_INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Behind batches of so many messages.
    fn behind(batches: &[usize]) -> Gathering {
        let mut gathering = Gathering::default();
        batches.iter().for_each(|&n| gathering.record(n));
        gathering
    }

    #[test]
    fn a_client_that_is_alone_makes_no_load() {
        assert!(!behind(&[]).is_loaded());
        assert!(!behind(&[1; 50]).is_loaded());
        assert!(behind(&[1, 2]).is_loaded());
    }

    #[test]
    fn one_small_batch_does_not_end_a_load_and_several_do() {
        assert!(behind(&[8, 1]).is_loaded());
        assert!(!behind(&[8, 0, 0, 0]).is_loaded());
    }

    #[test]
    fn as_many_are_expected_as_came_at_most_since_the_last_look() {
        assert_eq!(behind(&[5]).n_expected(), Some(5));
        assert_eq!(behind(&[5, 9, 3]).n_expected(), Some(9));
        assert_eq!(behind(&[1]).n_expected(), Some(GATHERING_MESSAGES_MIN));
    }

    #[test]
    fn outcomes_alone_say_nothing_about_messages() {
        assert_eq!(behind(&[5, 0, 0]).n_expected(), Some(5));
    }

    #[test]
    fn every_so_often_a_batch_looks_how_many_come_and_forgets_the_number_before() {
        let interval = GATHERING_LOOK_INTERVAL as usize;
        let mut batches = vec![20; interval];
        assert_eq!(behind(&batches).n_expected(), None);
        batches.push(3);
        assert_eq!(behind(&batches).n_expected(), Some(3));
    }
}
