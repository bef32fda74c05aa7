//! When connections were turned away for want of places: at first, and then each minute in which
//! there were more.
//!
//! Pure: counts come in, as often as somebody looks.

use std::time::Duration;

use intake::{Bound, Caller, TurnedAway};
use mail::Moment;

/// How long a report stands for all that follow.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// What has been reported.
#[derive(Debug, Default)]
pub(crate) struct TurnedAwayReport {
    n_reported: u64,
    reported_at: Option<Moment>,
}

impl TurnedAwayReport {
    /// The text of an alarm, where one is due. So many connections have been turned away since the
    /// start, the last of them by this bound.
    pub(crate) fn look(
        &mut self,
        n_turned_away: u64,
        last: Option<TurnedAway>,
        now: Moment,
    ) -> Option<String> {
        let last = last?;
        let n_new = n_turned_away.saturating_sub(self.n_reported);
        let is_due = self
            .reported_at
            .is_none_or(|at| now.since(at) >= REPORT_INTERVAL);
        if n_new == 0 || !is_due {
            return None;
        }
        self.n_reported = n_turned_away;
        self.reported_at = Some(now);
        let noun = if n_new == 1 {
            "connection"
        } else {
            "connections"
        };
        Some(format!(
            "{n_new} {noun} turned away with 421, the last one of {}: {}",
            shown(last.caller),
            advice(last)
        ))
    }
}

fn shown(caller: Caller) -> String {
    match caller {
        Caller::Client(address) => format!("client {address}"),
        Caller::Operator(uid) | Caller::User(uid) => format!("user {uid}"),
    }
}

const fn advice(last: TurnedAway) -> &'static str {
    match (last.bound, last.caller) {
        (Bound::All, _) => "all places are taken, see `limits.connections`",
        (Bound::Own, Caller::Client(_)) => {
            "it has as many as one client may have, see `limits.connections_per_client`"
        }
        (Bound::Own, Caller::Operator(_) | Caller::User(_)) => {
            "its programs have as many as one user may have, see `limits.connections_per_user`"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_turned_away_is_reported_at_first_and_each_minute() {
        let mut report = TurnedAwayReport::default();
        let mut look = |seconds, n, caller, bound| {
            let last = Some(TurnedAway { caller, bound });
            report.look(n, last, Moment::START + Duration::from_secs(seconds))
        };
        let (user, client) = (Caller::User(33), Caller::Client([192, 0, 2, 1].into()));
        assert_eq!(look(0, 0, user, Bound::Own), None);
        let first = look(1, 1, user, Bound::Own).unwrap();
        assert!(first.starts_with("1 connection turned away with 421, the last one of user 33"));
        assert!(first.ends_with("`limits.connections_per_user`"), "{first}");
        assert_eq!(look(60, 99, user, Bound::Own), None);
        let later = look(61, 100, client, Bound::All).unwrap();
        assert!(later.starts_with("99 connections turned away"), "{later}");
        assert!(later.contains("client 192.0.2.1: all places"), "{later}");
        assert_eq!(look(200, 100, client, Bound::Own), None);
        let own = look(201, 101, client, Bound::Own).unwrap();
        assert!(own.ends_with("`limits.connections_per_client`"), "{own}");
    }
}
