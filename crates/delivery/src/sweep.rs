//! Looks after what waits: that it expires, and that it is not in doubt for long.
//!
//! While a site is down one attempt stands for all its jobs, so most of them are never looked at.
//! What has reached its expiry among them is tried once more, and given up by that attempt; or at
//! once, where the site was tried since, by whichever attempt, and found down.
//!
//! A message of which the next instance may have heard makes that instance remember every handoff
//! since. Long before its memory ends, the oldest are tried out of turn.
//!
//! # Limits
//! [`LOOKED_AT_MAX`] messages are looked at in a sweep and [`RETRIED_MAX`] tried or given up, so
//! that neither a million messages nor as many expired ones hold up anything else.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use mail::{MessageId, Moment};
use queue::{DestinationId, Which};

use crate::attempt::Errand;
use crate::delivery::{Delivery, State};

/// How often a sweep is made, outside of tests.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// So many handoffs since the oldest in doubt are too many: a quarter of what the next instance
/// remembers of all senders.
pub const LAG_MAX: u64 = 65_536;
/// Messages that a sweep looks at; a million takes an hour and a half, a fraction of any expiry.
const LOOKED_AT_MAX: usize = 20_000;
/// Expired messages that a sweep lets try once more, or gives up.
const RETRIED_MAX: usize = 200;

impl Delivery {
    /// Looks at the next part of the queue, after `last`; returns where it ended, `None` at the
    /// end of the queue.
    pub(crate) fn sweep(self: &Arc<Self>, last: Option<MessageId>) -> Option<MessageId> {
        if !self.trusts_clock() {
            return last;
        }
        let now = self.now();
        let moment = self.clock.now();
        let mut state = self.state();
        let settings = Arc::clone(&state.settings);
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut n_looked_at, mut reached, mut expired) = (0, None, Vec::new());
        for (id, entry) in state
            .messages
            .range((from, Bound::Unbounded))
            .take(LOOKED_AT_MAX)
        {
            n_looked_at += 1;
            reached = Some(*id);
            if settings.lifetime.is_over(entry.arrived, now) {
                let expiry = entry.arrived.after(settings.lifetime.expire_after);
                expired.push((*id, moment - now.since(expiry)));
            }
            if expired.len() == RETRIED_MAX {
                break;
            }
        }
        let is_end = n_looked_at < LOOKED_AT_MAX && expired.len() < RETRIED_MAX;
        let mut given_up = Vec::new();
        for (id, expired_at) in expired {
            let jobs: Vec<_> = state.queue.jobs_of(id).map(|job| job.destination).collect();
            for of in jobs {
                if state.was_down_since(of, expired_at) {
                    given_up.push((id, of));
                } else {
                    state.queue.retry_now(moment, Which::Job(id, of));
                }
            }
        }
        drop(state);
        if !given_up.is_empty() {
            tokio::spawn(Arc::clone(self).give_up_all(given_up));
        }
        self.start_due();
        if is_end { None } else { reached }
    }

    /// Gives up jobs one after the other, as long as their sites stay down.
    async fn give_up_all(self: Arc<Self>, jobs: Vec<(MessageId, DestinationId)>) {
        for (id, of) in jobs {
            let begun = {
                let mut state = self.state();
                if state.stopping {
                    return;
                }
                if !state.was_down_since(of, Moment::START) {
                    continue;
                }
                let Some(attempt) = state.queue.take(self.clock.now(), id, of) else {
                    continue;
                };
                state.begun(attempt)
            };
            Arc::clone(&self).attempt(begun, Errand::GiveUp).await;
        }
    }

    /// Tries the oldest messages for the next instance now, where one has been in doubt for too
    /// many handoffs; tells operators when that did not help.
    pub(crate) fn hurry_doubts(self: &Arc<Self>) {
        let settings = Arc::clone(&self.state().settings);
        let Some(next) = settings.routes.handoff().and_then(|t| t.handoff()) else {
            return;
        };
        let lag = next.lag();
        let now = self.clock.now();
        let mut state = self.state();
        if lag < LAG_MAX {
            state.doubts_told = false;
            return;
        }
        let of = state.queue.destination(now, next.name());
        let ids = state.messages.keys().take(LOOKED_AT_MAX);
        let waiting = ids.filter(|id| state.queue.job(**id, of).is_some());
        let oldest: Vec<_> = waiting.take(RETRIED_MAX).copied().collect();
        for id in oldest {
            state.queue.retry_now(now, Which::Job(id, of));
        }
        let tell = lag >= 2 * LAG_MAX && !state.doubts_told;
        state.doubts_told |= tell;
        drop(state);
        if tell {
            self.alarm(&format!(
                "whether {} has a message that is kept here is not known since {lag} others were \
                 handed on; {} remembers those until it is, and will take no more when its memory \
                 is full: among the oldest messages kept here, release or drop the one that is \
                 held or cannot be read",
                next.name(),
                next.name(),
            ));
        }
        self.start_due();
    }
}

impl State {
    /// Whether the destination's site was tried since then and found down, and did not answer
    /// since; or the destination could not be resolved.
    fn was_down_since(&self, of: DestinationId, then: Moment) -> bool {
        let Some(destination) = self.queue.destination_view(of) else {
            return false;
        };
        let site = destination.site.and_then(|site| self.queue.site_view(site));
        let failed_at = site.map_or(destination.failed_at, |site| site.failed_at);
        failed_at.is_some_and(|failed_at| failed_at >= then)
    }
}
