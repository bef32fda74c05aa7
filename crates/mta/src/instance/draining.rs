//! What is reported of an instance that the configuration no longer names, while its queue is
//! emptied.
//!
//! Pure: counts and the time come in, as often as somebody looks.

use std::time::Duration;

use mail::{InstanceName, Moment};

/// What `status` shows beside such an instance.
pub(crate) const NOTE: &str = "no longer in the configuration: what is queued is delivered by its \
                               last settings, then it ends";

/// How often the alarm is repeated while something is left.
const ALARM_INTERVAL: Duration = Duration::from_secs(3600);

/// When the alarm was raised last.
#[derive(Debug, Default)]
pub(crate) struct Draining {
    alarm_at: Option<Moment>,
}

impl Draining {
    /// The text of an alarm, where one is due: at first, and each hour.
    pub(crate) fn look(
        &mut self,
        name: &InstanceName,
        n_messages: u64,
        now: Moment,
    ) -> Option<String> {
        let is_due = self
            .alarm_at
            .is_none_or(|at| now.since(at) >= ALARM_INTERVAL);
        if n_messages == 0 || !is_due {
            return None;
        }
        self.alarm_at = Some(now);
        let noun = if n_messages == 1 {
            "message"
        } else {
            "messages"
        };
        Some(format!(
            "{name} is no longer in the configuration and has {n_messages} {noun} queued: what is \
             queued is delivered by its last settings, and it ends when its queue is empty; \
             `postern queue list --instance {name}` shows what is left"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_queue_is_an_alarm_each_hour_until_it_is_empty() {
        let (mut draining, name) = (Draining::default(), "old".parse().unwrap());
        let mut alarms = |seconds, n| {
            let now = Moment::START + Duration::from_secs(seconds);
            draining.look(&name, n, now).is_some()
        };
        let seen = [(0, 3), (1, 3), (3599, 3), (3600, 2), (3601, 2), (7200, 0)]
            .map(|(seconds, n)| alarms(seconds, n));
        assert_eq!(seen, [true, false, false, true, false, false]);
    }
}
