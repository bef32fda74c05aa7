//! How the log fares: written by its thread, read for `status`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mail::Timestamp;
use serde_json::{Value, json};

/// A write that takes longer is shown as one that hangs.
const HANG_TIME: Duration = Duration::from_secs(2);

/// As many lines of control itself wait for the thread.
const N_OWN_MAX: u64 = 256;

/// What the thread of the log and the rest of control both know of it.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<State>,
    n_own_waiting: AtomicU64,
    /// Lines of control itself that found no place, until the log says so.
    n_own_refused: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    file: Option<PathBuf>,
    trouble: Option<(String, Timestamp)>,
    writing_since: Option<Timestamp>,
    n_lost: u64,
    mirror_waiting_len: usize,
}

impl Board {
    /// Of a log that goes to that file.
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        let board = Self::default();
        board.set_file(file);
        board
    }

    /// How it fares, at the time `now`.
    pub(super) fn json(&self, now: Timestamp) -> Value {
        let state = self.lock();
        let named = match &state.file {
            Some(path) => path.display().to_string(),
            None => "the standard error stream".to_owned(),
        };
        let hanging = state
            .writing_since
            .filter(|since| now.since(*since) > HANG_TIME)
            .map(|since| (format!("a write to {named} has not returned"), since));
        let trouble = state.trouble.clone().or(hanging);
        let since = trouble.as_ref().map(|(_, since)| *since);
        json!({
            "file": state.file.as_ref().map(|path| path.display().to_string()),
            "state": if trouble.is_some() { "stuck" } else { "written" },
            "trouble": trouble.map(|(text, _)| text),
            "since": since.map(|since| since.rfc3339().to_string()),
            "since_seconds": since.map(|since| now.since(since).as_secs()),
            "lost": state.n_lost,
            "mirror_waiting": state.mirror_waiting_len,
        })
    }

    /// Whether it cannot be written, or a write hangs.
    pub(super) fn is_stuck(&self, now: Timestamp) -> bool {
        let state = self.lock();
        let is_hanging = |since| now.since(since) > HANG_TIME;
        state.trouble.is_some() || state.writing_since.is_some_and(is_hanging)
    }

    /// Takes a place for a line of control itself. False, and counted, where there is none.
    pub(super) fn add_own(&self) -> bool {
        if self.n_own_waiting.fetch_add(1, Ordering::AcqRel) < N_OWN_MAX {
            return true;
        }
        self.n_own_waiting.fetch_sub(1, Ordering::AcqRel);
        self.n_own_refused.fetch_add(1, Ordering::AcqRel);
        self.add_lost(1);
        false
    }

    /// The thread has taken such a line.
    pub(super) fn own_taken(&self) {
        self.n_own_waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// How many lines of control itself found no place since this was asked last.
    pub(super) fn take_own_refused(&self) -> u64 {
        self.n_own_refused.swap(0, Ordering::AcqRel)
    }

    /// Counts what the log misses for good.
    pub(super) fn add_lost(&self, n_lost: u64) {
        let mut state = self.lock();
        state.n_lost = state.n_lost.saturating_add(n_lost);
    }

    pub(super) fn set_file(&self, file: Option<PathBuf>) {
        self.lock().file = file;
    }

    pub(super) fn set_trouble(&self, trouble: Option<(String, Timestamp)>) {
        self.lock().trouble = trouble;
    }

    pub(super) fn set_mirror_waiting(&self, len: usize) {
        self.lock().mirror_waiting_len = len;
    }

    pub(super) fn begin_write(&self, at: Timestamp) {
        self.lock().writing_since = Some(at);
    }

    pub(super) fn end_write(&self) {
        self.lock().writing_since = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
