//! Mistakes that a test plants, to see that the crash tests find them.
//!
//! Mistakes in what is synced are planted in the [simulated disk](crate::simulated::Forgotten);
//! those in what is done with it, here. Outside of tests none is ever planted, and the compiler
//! leaves these places out.

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// The content of a message is removed before the record of its end is durable.
    ContentRemovedBeforeEnd,
    /// At opening, contents are removed before the records that make them needless are durable: a
    /// killed process can leave those in the page cache only.
    ContentsRemovedTooEarly,
    /// The end of a message is recorded before the notification about it.
    DoneBeforeNotification,
    /// The keys in accepted records are not read at opening.
    KeysDroppedAtRestart,
    /// At opening, keys are written before the messages that they came with.
    KeysBeforeMessages,
    /// Segments are recycled although their keys are written nowhere else.
    KeysNotWrittenAnew,
    /// A record that is copied forward leaves the state of its message behind.
    MoveForgetsState,
    /// A segment is recycled although it holds the only record of an end that is needed.
    RecycledTooEarly,
    /// A recycled segment keeps its generation, so that what it held still counts.
    StaleRecordBelieved,
    /// What is not known to be durable is not copied forward at opening.
    TailLeftBehind,
    /// At opening, a notification is copied forward without the end of its original.
    NotificationTornFromEnd,
    /// A content that was written in part is believed.
    TornContentBelieved,
}

/// Whether this is done wrong now, in this thread.
#[cfg(not(test))]
pub(crate) const fn planted(_: Mistake) -> bool {
    false
}

#[cfg(test)]
pub(crate) use in_tests::{plant, planted};

#[cfg(test)]
mod in_tests {
    use std::cell::Cell;

    use super::Mistake;

    thread_local! {
        static PLANTED: Cell<Option<Mistake>> = const { Cell::new(None) };
    }

    /// Does this wrong from here on, in this thread.
    pub(crate) fn plant(mistake: Mistake) {
        PLANTED.set(Some(mistake));
    }

    pub(crate) fn planted(mistake: Mistake) -> bool {
        PLANTED.get() == Some(mistake)
    }
}
