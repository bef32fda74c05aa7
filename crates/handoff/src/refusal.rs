//! What the next instance replies about itself, and not about a recipient.
//!
//! The words are those of docs/handoff.md, and both sides have them from one table. They are read
//! here and nowhere else: what follows from them is decided by [`Refusal`].

use mail::reply::table::{self, Row};
use mail::{Reply, ReplyClass};

/// Why the next instance has not stored a message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The key is in its record, and this recipient is not.
    NotInRecord,
    /// As many messages wait there as may.
    QueueFull,
    /// It stops.
    Stopping,
    /// A write or a sync failed; the record may turn up all the same.
    StorageFailed,
    /// Its spool is full.
    StorageFull,
    /// It does not say why.
    TryAgain,
}

impl Refusal {
    const ROWS: [(&'static Row, Self); 6] = [
        (&table::HANDOFF_PENDING, Self::NotInRecord),
        (&table::QUEUE_FULL, Self::QueueFull),
        (&table::SHUTTING_DOWN_LATE, Self::Stopping),
        (&table::STORAGE_FAILED, Self::StorageFailed),
        (&table::STORAGE_FULL, Self::StorageFull),
        (&table::TRY_AGAIN, Self::TryAgain),
    ];

    /// What a reply that came from the next instance means; `None` where it is about the recipient.
    #[must_use]
    pub fn of(reply: &Reply) -> Option<Self> {
        if reply.class() != ReplyClass::Transient {
            return None;
        }
        let mut rows = Self::ROWS.into_iter();
        let found = rows.find(|(row, _)| row.reply() == *reply);
        found.map(|(_, refusal)| refusal)
    }

    /// Whether it holds for every message.
    #[must_use]
    pub const fn is_of_all(self) -> bool {
        match self {
            Self::QueueFull | Self::Stopping | Self::StorageFailed | Self::StorageFull => true,
            Self::NotInRecord | Self::TryAgain => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_read_from_its_own_row_and_from_no_other() {
        let read: Vec<_> = table::ALL
            .iter()
            .filter_map(|row| Refusal::of(&row.reply()))
            .collect();
        assert_eq!(read.len(), Refusal::ROWS.len());
        for (row, refusal) in Refusal::ROWS {
            assert_eq!(Refusal::of(&row.reply()), Some(refusal));
            assert_eq!(Refusal::of(&row.with_text("another reason")), None);
        }
    }

    #[test]
    fn a_refusal_of_a_recipient_is_none_of_the_instance() {
        let reply = table::MAILBOX_NOT_SEEN.reply();
        assert_eq!(Refusal::of(&reply), None);
        assert_eq!(Refusal::of(&table::NO_SUCH_USER.reply()), None);
    }
}
