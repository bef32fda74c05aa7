//! What the spool held when it was opened comes into the queue.

use std::sync::Arc;

use mail::HandoffKey;
use spool::{ReadError, Recovery};

use crate::attempt::{SUSPECT_PAUSE, is_suspected};
use crate::delivery::{Delivery, Entry};
use crate::record::is_in_doubt;

impl Delivery {
    /// Takes in what the spool held when it was opened; how many messages those are that still have
    /// somebody to reach. `adopt` is called with each handoff key that a message still carries.
    /// Blocks as long as reading takes.
    ///
    /// # Errors
    /// When a message cannot be read; those before it are queued.
    pub fn recover(
        self: &Arc<Self>,
        recovery: &Recovery,
        mut adopt: impl FnMut(&HandoffKey),
    ) -> Result<usize, ReadError> {
        let now = self.clock.now();
        let (mut entries, mut jobs) = (Vec::new(), Vec::new());
        let mut unreadable = None;
        for stored in recovery.messages() {
            let stored = match stored {
                Ok(stored) => stored,
                Err(error) => {
                    unreadable = Some(error);
                    break;
                }
            };
            let mut states = stored.recipients.iter();
            if states.all(|state| state.disposition.is_final()) {
                // Two attempts ended at the same time, and the crash came before the record that
                // ends the message: nothing else ever would.
                drop(self.spool.done(stored.id));
                continue;
            }
            stored
                .recipients
                .iter()
                .filter_map(|recipient| recipient.handoff.as_ref())
                .for_each(&mut adopt);
            let in_doubt = (0..).zip(&stored.recipients).any(|(index, recipient)| {
                is_in_doubt(&stored, index) || recipient.handoff.is_some()
            });
            let entry = Entry::new(&stored, in_doubt);
            self.count_in(&entry);
            entries.push((stored.id, entry));
            let mut due = self.clock.moment_of(stored.message.next_due);
            if is_suspected(&stored) {
                due = due.max(now + SUSPECT_PAUSE);
            }
            jobs.extend(self.state().jobs(now, &stored, due));
        }
        let n = entries.len();
        let mut state = self.state();
        // Made at once trees are full; those that grow message by message are half empty.
        state.messages.append(&mut entries.into_iter().collect());
        state.queue.load(now, jobs);
        unreadable.map_or(Ok(n), Err)
    }
}
