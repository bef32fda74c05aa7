//! Whether this process still has the spool, and who has it when not.
//!
//! At a reload that needs a new process, the old one gives up the spool while clients are still in
//! the middle of a message. What they bring goes to the new process then, as a handoff under a key:
//! it is stored there before its client hears `250`.
//!
//! # Guarantees
//! When [`SpoolLease::end`] resolves, nothing of this process will write to the spool any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handoff::Next;
use tokio::sync::Notify;

/// How long this process has had the spool: until [`Self::end`].
#[derive(Debug, Default)]
pub struct SpoolLease {
    state: Mutex<State>,
    /// Told when the last one inside has left after the end.
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    n_inside: usize,
    successor: Option<Arc<Next>>,
}

/// A message on its way into the spool; the spool stays while this lives.
#[derive(Debug)]
pub(crate) struct LeaseGuard<'a>(&'a SpoolLease);

impl SpoolLease {
    /// Begins to make a message durable here.
    ///
    /// # Errors
    /// Gives the process that has the spool now.
    pub(crate) fn enter(&self) -> Result<LeaseGuard<'_>, Arc<Next>> {
        let mut state = self.state();
        if let Some(successor) = &state.successor {
            return Err(Arc::clone(successor));
        }
        state.n_inside += 1;
        Ok(LeaseGuard(self))
    }

    /// From now on messages go to `successor`; waits for those that began before. Cancel-safe: when
    /// it is dropped, they go on.
    pub async fn end(&self, successor: Arc<Next>) {
        self.state().successor.get_or_insert(successor);
        loop {
            let left = self.left.notified();
            if self.state().n_inside == 0 {
                return;
            }
            left.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that is done under this lock can panic half way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LeaseGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.n_inside -= 1;
        if state.n_inside == 0 && state.successor.is_some() {
            self.0.left.notify_one();
        }
    }
}
