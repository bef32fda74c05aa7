//! When a queue became full, and when there is room again: each said once.
//!
//! Pure: counts come in, as often as somebody looks. A queue that is filled and emptied again
//! between two looks is not told.

use mail::Origin;

/// Whose mail is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// From outside.
    Outside,
    /// Of our own.
    Ours,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Outside, Self::Ours];

    /// An origin that is counted so.
    pub(crate) const fn origin(self) -> Origin {
        match self {
            Self::Outside => Origin::Outside,
            Self::Ours => Origin::Generated,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Outside => "from outside",
            Self::Ours => "of our own",
        }
    }
}

/// What operators are to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogLine {
    /// It became full: an alarm.
    Full(String),
    /// There is room again.
    Room(String),
}

/// Whether a queue was full when that was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Fullness {
    /// In the order of [`Kind::ALL`].
    is_full: [bool; Kind::ALL.len()],
}

/// There is room again below this part of what may wait, in percent: where mail comes in as fast
/// as it goes out, nothing is told at each message.
const ROOM_BELOW_PERCENT: u64 = 90;

impl Fullness {
    /// So many messages of this kind wait, of at most `messages_max`.
    pub(crate) fn look(
        &mut self,
        kind: Kind,
        n_waiting: u64,
        messages_max: u64,
    ) -> Option<LogLine> {
        let was_full = &mut self.is_full[kind as usize];
        let has_room =
            u128::from(n_waiting) * 100 < u128::from(messages_max) * u128::from(ROOM_BELOW_PERCENT);
        let whose = kind.words();
        if n_waiting >= messages_max && !*was_full {
            *was_full = true;
            return Some(LogLine::Full(format!(
                "the queue is full: {n_waiting} messages {whose} wait, of {messages_max} \
                 (`queue.messages`); more are put off with 452 until it empties: `postern queue \
                 list` shows why they wait, `postern queue drop` makes room, a higher \
                 `queue.messages` does where there is memory and disk"
            )));
        }
        if has_room && *was_full {
            *was_full = false;
            return Some(LogLine::Room(format!(
                "the queue has room again: {n_waiting} messages {whose} wait, of {messages_max}"
            )));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(fullness: &mut Fullness, kind: Kind, counts: &[u64]) -> Vec<&'static str> {
        let told = counts.iter().map(|&n| match fullness.look(kind, n, 1000) {
            Some(LogLine::Full(_)) => "full",
            Some(LogLine::Room(_)) => "room",
            None => "",
        });
        told.collect()
    }

    #[test]
    fn a_queue_that_stays_about_full_is_told_once_and_once_when_it_has_emptied() {
        let mut fullness = Fullness::default();
        let counts = [999, 1000, 1200, 950, 1000, 900, 899, 500, 999, 1000];
        let told = ["", "full", "", "", "", "", "room", "", "", "full"];
        assert_eq!(kinds(&mut fullness, Kind::Outside, &counts), told);
    }

    #[test]
    fn mail_of_our_own_is_told_by_itself() {
        let mut fullness = Fullness::default();
        assert_eq!(kinds(&mut fullness, Kind::Outside, &[1000]), ["full"]);
        assert_eq!(kinds(&mut fullness, Kind::Ours, &[0, 1000]), ["", "full"]);
        assert_eq!(kinds(&mut fullness, Kind::Outside, &[0]), ["room"]);
        assert!(Kind::Ours.origin().is_ours() && !Kind::Outside.origin().is_ours());
    }

    #[test]
    fn a_queue_of_one_message_has_room_when_it_is_empty() {
        let mut fullness = Fullness::default();
        assert!(matches!(
            fullness.look(Kind::Ours, 1, 1),
            Some(LogLine::Full(text)) if text.contains("1 messages of our own wait, of 1 ")
        ));
        assert_eq!(fullness.look(Kind::Ours, 1, 1), None);
        assert!(matches!(
            fullness.look(Kind::Ours, 0, 1),
            Some(LogLine::Room(_))
        ));
    }
}
