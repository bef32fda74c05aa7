//! Whether this process still has the spool, and who has it when not.
//!
//! At a reload that needs a new process, the old one gives up the spool while clients are still in
//! the middle of a message. What they bring goes to the new process then, as a handoff under a key:
//! it is stored there before its client hears `250`.
//!
//! # Guarantees
//! When [`Tenure::end`] resolves, nothing of this process will write to the spool any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handoff::Next;
use tokio::sync::Notify;

/// How long this process has had the spool: until [`Self::end`].
#[derive(Debug, Default)]
pub struct Tenure {
    state: Mutex<State>,
    /// Told when the last one inside has left after the end.
    left: Notify,
}

#[derive(Debug, Default)]
struct State {
    n_inside: usize,
    heir: Option<Arc<Next>>,
}

/// A message on its way into the spool; the spool stays while this lives.
#[derive(Debug)]
pub(crate) struct Stay<'a>(&'a Tenure);

impl Tenure {
    /// Begins to make a message durable here.
    ///
    /// # Errors
    /// Gives the process that has the spool now.
    pub(crate) fn enter(&self) -> Result<Stay<'_>, Arc<Next>> {
        let mut state = self.state();
        if let Some(heir) = &state.heir {
            return Err(Arc::clone(heir));
        }
        state.n_inside += 1;
        Ok(Stay(self))
    }

    /// From now on messages go to `heir`; waits for those that began before. Cancel-safe: when it
    /// is dropped, they go on.
    pub async fn end(&self, heir: Arc<Next>) {
        self.state().heir.get_or_insert(heir);
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

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.n_inside -= 1;
        if state.n_inside == 0 && state.heir.is_some() {
            self.0.left.notify_one();
        }
    }
}
