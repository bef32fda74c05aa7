//! Sees to it that what waits for a site that is down expires all the same.
//!
//! While a site is down one attempt stands for all its jobs, so most of them are never looked at.
//! What has reached its expiry among them is tried once more, and given up by that attempt.
//!
//! # Limits
//! [`LOOKED_AT_MAX`] messages are looked at in a sweep and [`RETRIED_MAX`] tried, so that neither
//! a million messages nor as many expired ones hold up anything else.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use mail::MessageId;
use queue::{Stage, Which};

use crate::delivery::Delivery;

/// How often a sweep is made.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Messages that a sweep looks at; a million takes an hour and a half, a fraction of any expiry.
const LOOKED_AT_MAX: usize = 20_000;
/// Expired messages that a sweep lets try once more.
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
            if settings.lifetime.stage(entry.arrived, now) == Stage::Expired {
                expired.push(*id);
            }
            if expired.len() == RETRIED_MAX {
                break;
            }
        }
        let is_end = n_looked_at < LOOKED_AT_MAX && expired.len() < RETRIED_MAX;
        for id in expired {
            state.queue.retry_now(moment, Which::Message(id));
        }
        drop(state);
        self.start_due();
        if is_end { None } else { reached }
    }
}
