//! What drives deliveries: attempts begin when they are due, and what waits is looked at now and
//! then.

use std::sync::Arc;
use std::time::Duration;

use mail::Moment;
use queue::Next;

use super::{Delivery, Settings, State};
use crate::attempt::Errand;

impl Delivery {
    /// Replaces routes, host name and times; attempts under way end as they began.
    pub fn reconfigure(self: &Arc<Self>, settings: Arc<Settings>) {
        {
            let mut state = self.state();
            state.settings = settings;
            state.resolve_again(self.clock.now());
        }
        self.start_due();
    }

    /// Starts attempts when they are due, until [`Self::stop`].
    pub async fn run(self: Arc<Self>) {
        let (mut swept_to, mut sweep_at) = (None, self.clock.now() + self.sweep_interval);
        loop {
            self.start_due();
            if self.clock.now() >= sweep_at {
                swept_to = self.sweep(swept_to);
                self.hurry_doubts();
                self.sweep_outages();
                self.state().sweep_lookups();
                sweep_at = self.clock.now() + self.sweep_interval;
            }
            let (due, stopping) = {
                let mut state = self.state();
                state.armed_for = state.next_due();
                (state.armed_for, state.stopping)
            };
            if stopping {
                return;
            }
            // A time that has passed by now is slept for not at all: nothing due is left lying.
            let wake_at = due.map_or(sweep_at, |at| at.min(sweep_at));
            tokio::select! {
                () = self.changed.notified() => {}
                () = self.clock.sleep_until(wake_at) => {}
            }
        }
    }

    /// Begins no further attempt, and waits until those under way are over. What waits stays in the
    /// spool. Cancel-safe: dropped at a time limit, attempts under way go on.
    pub async fn stop(&self) {
        self.state().stopping = true;
        self.changed.notify_one();
        loop {
            let changed = self.changed.notified();
            if self.state().queue.totals().n_under_way == 0 {
                return;
            }
            tokio::select! {
                () = changed => {}
                // The driver waits for the same sign and may have taken it.
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    }

    /// Begins every attempt that may begin.
    pub(crate) fn start_due(self: &Arc<Self>) {
        let now = self.clock.now();
        let mut state = self.state();
        if state.stopping {
            return;
        }
        while let Some(next) = state.queue.next(now) {
            match next {
                Next::Attempt(attempt) => {
                    let begun = state.begun(attempt);
                    // Boxed, because the runtime moves what it is given several times, and this is
                    // large.
                    let attempt = Arc::clone(self).attempt(begun, Errand::Deliver);
                    tokio::spawn(Box::pin(attempt));
                }
                Next::Resolve(resolution) => self.resolve(&mut state, resolution),
            }
        }
        let earlier = match (state.next_due(), state.armed_for) {
            (Some(due), Some(armed)) => due < armed,
            (Some(_), None) => true,
            (None, _) => false,
        };
        drop(state);
        if earlier {
            self.changed.notify_one();
        }
    }
}

impl State {
    /// When the driver is needed: the queue's next due time. What could begin at once has begun, as
    /// whoever changes the queue calls [`Delivery::start_due`]; it is no reason to wake up.
    fn next_due(&self) -> Option<Moment> {
        self.queue.poll_timeout().filter(|at| *at > Moment::START)
    }
}
