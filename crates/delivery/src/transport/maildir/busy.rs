//! Mailboxes whose storage does not answer: they get no further letters while a delivery hangs.
//!
//! A delivery that hangs cannot be given up, as it may still succeed. But no other may join it:
//! each would hold a thread, and a place that other mailboxes need.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A delivery that takes longer than this hangs.
pub(super) const HANGS_AFTER: Duration = Duration::from_secs(30);

/// The mailboxes that are being delivered to; as many as attempts are under way.
#[derive(Debug, Default)]
pub(super) struct Busy(Mutex<HashMap<PathBuf, Vec<Instant>>>);

impl Busy {
    /// Whether a delivery to this mailbox hangs.
    pub(super) fn hangs(&self, path: &Path) -> bool {
        let begun = self.lock().get(path).and_then(|all| all.first().copied());
        begun.is_some_and(|at| at.elapsed() >= HANGS_AFTER)
    }

    /// A delivery to these mailboxes begins, and is over when what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>, paths: Vec<PathBuf>) -> Delivering {
        let at = Instant::now();
        let mut busy = self.lock();
        for path in &paths {
            busy.entry(path.clone()).or_default().push(at);
        }
        drop(busy);
        Delivering {
            busy: Arc::clone(self),
            paths,
            at,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Vec<Instant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery that goes on.
pub(super) struct Delivering {
    busy: Arc<Busy>,
    paths: Vec<PathBuf>,
    at: Instant,
}

impl Drop for Delivering {
    fn drop(&mut self) {
        let mut busy = self.busy.lock();
        for path in &self.paths {
            let Some(begun) = busy.get_mut(path) else {
                continue;
            };
            if let Some(place) = begun.iter().position(|at| *at == self.at) {
                begun.remove(place);
            }
            if begun.is_empty() {
                busy.remove(path);
            }
        }
    }
}
