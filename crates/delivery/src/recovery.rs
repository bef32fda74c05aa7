//! What the spool held when it was opened comes into the queue.
//!
//! # Failure
//! A message that cannot be read keeps no other from its way. It stays in the spool as it is,
//! counts as held, and is told by an alarm; the next start reads it again.

use std::sync::Arc;

use mail::{HandoffKey, Timestamp};
use queue::ClockWatch;
use spool::Recovery;

use crate::attempt::{SUSPECT_PAUSE, is_suspected};
use crate::delivery::{Delivery, Entry};
use crate::record::is_in_doubt;

/// What came into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Messages that still have somebody to reach.
    pub n_messages: usize,
    /// Those of them that cannot be read.
    pub n_unreadable: usize,
}

impl Delivery {
    /// Takes in what the spool held when it was opened. `adopt` is called with each handoff key
    /// that a message still carries. Blocks as long as reading takes.
    pub fn recover(
        self: &Arc<Self>,
        recovery: &Recovery,
        mut adopt: impl FnMut(&HandoffKey),
    ) -> Recovered {
        let now = self.clock.now();
        let latest = now + self.state().settings.backoff.longest();
        let (mut entries, mut jobs) = (Vec::new(), Vec::new());
        let (mut unreadable, mut newest) = (Vec::new(), None);
        for (id, read) in recovery.messages() {
            let stored = match read {
                Ok(stored) => stored,
                Err(error) => {
                    unreadable.push((id, error));
                    continue;
                }
            };
            newest = newest.max(Some(stored.message.provenance.arrived));
            let mut states = stored.recipients.iter();
            if states.all(|state| state.disposition.is_final()) {
                // Two attempts ended at the same time, and the crash came before the record that
                // ends the message: nothing else ever would.
                drop(self.spool.done(id));
                continue;
            }
            let handoffs = stored.recipients.iter().filter_map(|r| r.handoff.as_ref());
            handoffs.for_each(&mut adopt);
            let in_doubt = (0..).zip(&stored.recipients).any(|(index, recipient)| {
                is_in_doubt(&stored, index) || recipient.handoff.is_some()
            });
            let entry = Entry::new(&stored, in_doubt);
            self.count_in(&entry);
            entries.push((id, entry));
            // A clock that was wrong when that was written, or is now, keeps nobody for longer.
            let mut due = self.clock.moment_of(stored.message.next_due).min(latest);
            if is_suspected(&stored) {
                due = due.max(now + SUSPECT_PAUSE);
            }
            jobs.extend(self.state().jobs(now, &stored, due));
        }
        for (id, _) in &unreadable {
            let Some(outline) = self.spool.outline(*id) else {
                continue;
            };
            // The next instance must not forget what the next start may ask for.
            outline.handoffs.iter().for_each(&mut adopt);
            let entry = Entry::unreadable(&outline, self.now());
            self.count_in(&entry);
            entries.push((*id, entry));
        }
        self.tell_all_unreadable(&unreadable);
        let recovered = Recovered {
            n_messages: entries.len(),
            n_unreadable: unreadable.len(),
        };
        self.watch_clock_from(newest);
        let mut state = self.state();
        state
            .unreadable
            .extend(unreadable.iter().map(|(id, _)| *id));
        // Made at once trees are full; those that grow message by message are half empty.
        state.messages.append(&mut entries.into_iter().collect());
        state.queue.load(now, jobs);
        recovered
    }

    /// A clock that stands before the newest message is not trusted from the start.
    fn watch_clock_from(&self, newest: Option<Timestamp>) {
        let (moment, wall) = (self.clock.now(), self.now());
        let watch = ClockWatch::new(moment, wall, newest);
        let is_trusted = watch.is_trusted(moment);
        self.state().clock_watch = watch;
        if let Some(newest) = newest.filter(|_| !is_trusted) {
            self.alarm(&format!(
                "the clock shows {}, and a message in the queue arrived at {}: nothing expires for \
                 a day; set the clock right",
                wall.rfc3339(),
                newest.rfc3339()
            ));
        }
    }
}
