//! When the disk of a spool had no room for messages, and when it has again: each said once.
//!
//! Pure: what the spool has refused is looked at, as often as somebody likes.

use std::time::Duration;

use super::fullness::LogLine;

/// Without a refusal for so long there is room again: a disk that is nearly full takes a small
/// message now and then.
const ROOM_AFTER: Duration = Duration::from_secs(60);

/// Whether there was room when that was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    /// Messages refused since the spool was opened.
    n_refused: u64,
    /// Since when nothing was refused, by the process's clock; `None` where there is room.
    refused_last: Option<Duration>,
}

impl Shortage {
    /// So many messages had been refused for want of room; `now` never goes backwards.
    pub(crate) fn look(&mut self, n_refused: u64, now: Duration) -> Option<LogLine> {
        if n_refused > self.n_refused {
            self.n_refused = n_refused;
            let is_news = self.refused_last.replace(now).is_none();
            return is_news.then(|| {
                LogLine::Full(
                    "no room on the disk of the spool: messages are put off with 452, and what \
                     becomes of those that are here is still recorded. Make room on the file \
                     system of the state directory, or let \
                     the queue empty: `postern queue list` shows why messages wait"
                        .into(),
                )
            });
        }
        let since = now.saturating_sub(self.refused_last?);
        (since >= ROOM_AFTER).then(|| {
            self.refused_last = None;
            LogLine::Room(
                "the disk of the spool has room again: nothing was refused for a minute".into(),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_without_room_is_told_once_and_once_when_nothing_was_refused_for_a_minute() {
        let mut shortage = Shortage::default();
        let mut told = Vec::new();
        // Something is refused in the second second, and until the hundredth now and then.
        for second in 0..300 {
            let n_refused = if second < 2 {
                0
            } else {
                1 + second.min(100) / 10
            };
            match shortage.look(n_refused, Duration::from_secs(second)) {
                Some(LogLine::Full(_)) => told.push((second, "full")),
                Some(LogLine::Room(_)) => told.push((second, "room")),
                None => {}
            }
        }
        assert_eq!(told, [(2, "full"), (160, "room")]);
        let again = shortage.look(99, Duration::from_secs(301));
        assert!(matches!(again, Some(LogLine::Full(text)) if text.contains("452")));
    }
}
