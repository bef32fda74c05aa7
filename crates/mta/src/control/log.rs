//! The one log: written by a thread of its own, a batch of events at a time.
//!
//! # Guarantees
//! A batch is written before it is taken out of its channel: a control that is killed in between
//! leaves it in both, and the next one writes what is missing of it, and nothing twice. So one
//! batch is written at a time, and nothing else between a batch and its being taken out: both
//! happen under the [`Turn`]. While the log cannot be written, or its disk or reader hangs, events
//! stay in the channels and behind them in the instances, where final outcomes have room of their
//! own; control goes on answering meanwhile, and `status` shows the log as stuck.
//!
//! # Failure
//! What instances and control could not keep is counted and logged when the log can be written
//! again. Mail knows nothing of it.

mod board;
mod file;
mod stream;
mod writer;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use mail::event::{Event, What};
use mail::{InstanceName, Timestamp};
use net::Clock;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard, Notify, oneshot};

use board::Board;
use events::encoding::Decoded;
use stream::Stream;
pub(super) use writer::Care;
use writer::{Job, Writer};

/// Control's end of the log.
#[derive(Debug)]
pub(super) struct Log {
    name: InstanceName,
    jobs: Sender<Job>,
    board: Arc<Board>,
    turn: Mutex<()>,
    /// Lines of control itself wait.
    wake: Notify,
    is_gone: Cell<bool>,
}

/// The right to write, held until what was written is also out of its channel.
pub(super) struct Turn<'a> {
    log: &'a Log,
    _place: MutexGuard<'a, ()>,
}

/// The thread of the log is gone: nothing can be written any more.
#[derive(Debug)]
pub(super) struct Gone;

impl Log {
    /// A log as `settings` says, with the standard error stream. `name` stands in the lines that
    /// are about the log itself.
    ///
    /// # Errors
    /// When there can be no thread for it.
    pub(super) fn start(
        name: InstanceName,
        settings: config::Log,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let streams = Stream::stderr().and_then(|log| Ok((log, Stream::stderr()?)));
        Self::start_with(name, settings, clock, streams.ok())
    }

    /// `streams` is for the log itself and for its mirror.
    fn start_with(
        name: InstanceName,
        settings: config::Log,
        clock: Clock,
        streams: Option<(Stream, Stream)>,
    ) -> std::io::Result<Self> {
        let board = Arc::new(Board::new(settings.file.clone()));
        let (jobs, to_do) = channel();
        let (own_name, own_board) = (name.clone(), Arc::clone(&board));
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                let writer = Writer::new(own_name, settings, clock, own_board, streams);
                writer.run(&to_do);
            })?;
        Ok(Self {
            name,
            jobs,
            board,
            turn: Mutex::new(()),
            wake: Notify::new(),
            is_gone: Cell::new(false),
        })
    }

    /// How it fares, for `status`.
    pub(super) fn json(&self, now: Timestamp) -> Value {
        self.board.json(now)
    }

    /// Whether it cannot be written now.
    pub(super) fn is_stuck(&self, now: Timestamp) -> bool {
        self.is_gone.get() || self.board.is_stuck(now)
    }

    /// Takes an event that no channel holds; it is written soon. Never waits.
    pub(super) fn append(&self, instance: &InstanceName, event: Event) {
        if self.board.add_own() {
            self.send(Job::Own(instance.clone(), event));
            self.wake.notify_one();
        }
    }

    /// Takes something that control itself has to log and somebody should act on.
    pub(super) fn alarm(&self, at: Timestamp, text: String) {
        let what = What::Alarm { text: text.into() };
        self.append_own(at, what);
    }

    /// Takes something that control itself has to log and nobody needs to act on.
    pub(super) fn note(&self, at: Timestamp, text: &str) {
        let what = What::Instance { text: text.into() };
        self.append_own(at, what);
    }

    fn append_own(&self, at: Timestamp, what: What) {
        let trace = None;
        self.append(&self.name, Event { at, trace, what });
    }

    /// Takes other settings into use. Never waits.
    pub(super) fn set(&self, settings: config::Log) {
        self.send(Job::Set(settings));
        self.wake.notify_one();
    }

    /// Waits until lines of control itself wait to be written.
    pub(super) async fn has_own(&self) {
        self.wake.notified().await;
    }

    /// Waits for the turn. Cancel-safe.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let place = self.turn.lock().await;
        Turn {
            log: self,
            _place: place,
        }
    }

    /// The turn, where nobody has it.
    pub(super) fn try_turn(&self) -> Option<Turn<'_>> {
        let place = self.turn.try_lock().ok()?;
        Some(Turn {
            log: self,
            _place: place,
        })
    }

    fn send(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            self.is_gone.set(true);
        }
    }
}

impl Turn<'_> {
    /// Writes a batch, and waits until it is written, however long that takes.
    ///
    /// # Errors
    /// When the thread is gone.
    pub(super) async fn write(&self, instance: &InstanceName, batch: Decoded) -> Result<(), Gone> {
        self.log.board.add_lost(batch.lost.n_events);
        let (done, written) = oneshot::channel();
        self.log.send(Job::Batch(instance.clone(), batch, done));
        written.await.map_err(|_| self.gone())
    }

    /// Completes the batch that an earlier control was writing, if it is one of these: its place
    /// among them.
    ///
    /// # Errors
    /// When the thread is gone.
    pub(super) async fn complete(
        &self,
        batches: Vec<(InstanceName, Decoded)>,
    ) -> Result<Option<usize>, Gone> {
        let (done, written) = oneshot::channel();
        self.log.send(Job::Complete(batches, done));
        written.await.map_err(|_| self.gone())
    }

    /// Writes what waits, and looks after the file where that is asked for.
    ///
    /// # Errors
    /// When the thread is gone.
    pub(super) async fn flush(&self, care: Care) -> Result<(), Gone> {
        let (done, written) = oneshot::channel();
        self.log.send(Job::Flush(care, done));
        written.await.map_err(|_| self.gone())
    }

    fn gone(&self) -> Gone {
        self.log.is_gone.set(true);
        Gone
    }
}

#[cfg(test)]
mod tests;
