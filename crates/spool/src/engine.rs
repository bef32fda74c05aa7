//! The committer: turns what waits into durable batches, and keeps the segments in order.
//!
//! One [`Engine`] belongs to one spool; a thread of its own runs [`Engine::step`] in a loop, tests
//! call it themselves. It alone writes segments and changes the books, so between the lines of a
//! step nothing moves under it.
//!
//! # Guarantees
//! A commit resolves to `Ok` only after the sync that covers its record returned success, and no
//! batch is begun before the one before it is durable.
//!
//! # Failure
//! A failed write or sync is final for its segment: the same records go to another segment at
//! once. If that fails too, the spool is failed: every commit, now and later, is an error.

mod apply;
mod batch;
mod census;
mod compose;
mod gathering;
mod moving;
mod reserve;
mod retiring;
mod segments;
mod unrecorded;
mod zeroing;

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError};

use batch::Batch;
use census::Census;
use gathering::Gathering;
use reserve::Pace;
pub(crate) use retiring::{summary_name, write_summary};
use segments::Preparing;
pub(crate) use segments::{commit_header, segment_name};
use unrecorded::Unrecorded;

use crate::CommitError;
use crate::format::summary::SummaryWriter;
use crate::format::superblock::Superblock;
use crate::limits::{GATHERING_DELAY, UNRECORDED_RETRY_INTERVAL};
use crate::shared::{Draft, Phase, Shared};

pub(crate) struct Engine {
    pub(crate) shared: Arc<Shared>,
    /// Keeps other processes out for as long as this exists.
    _lock: Box<dyn Any + Send + Sync>,
    active: Active,
    /// Free segments, ready to be written to.
    free: VecDeque<u32>,
    /// Sequence of the next batch.
    sequence: u64,
    gathering: Gathering,
    /// Generation of the next segment that is made or recycled.
    generation: u64,
    /// Number of the next segment that is made.
    number: u32,
    census: Census,
    preparing: Option<Preparing>,
    pace: Pace,
    /// Room in free segments is none where the file system writes nothing in place.
    copies_on_write: bool,
    /// There was no room for a record of our own, and no segment became free since.
    own_is_stuck: bool,
    /// The segment that is being emptied.
    victim: Option<u32>,
    /// Needless segments that wait for a snapshot of the keys or for a reader.
    idle: Vec<u32>,
    /// Records of our own that go before those of callers.
    own: VecDeque<Draft>,
    /// A record that did not fit into the last batch.
    carried: Option<Draft>,
    unrecorded: Unrecorded,
    /// Summaries of sealed segments, oldest first; written when the next segment is sealed,
    /// because most segments of a spool that keeps up are needless by then.
    summaries: Vec<(u32, Vec<u8>)>,
}

/// The segment that batches go to.
struct Active {
    number: u32,
    /// Where the next batch begins; everything before is durable.
    end: u32,
    /// `None` once it is too large to be worth it.
    summary: Option<SummaryWriter>,
}

/// What a new engine begins with.
pub(crate) struct Start {
    pub(crate) shared: Arc<Shared>,
    pub(crate) lock: Box<dyn Any + Send + Sync>,
    pub(crate) superblock: Superblock,
    pub(crate) free: VecDeque<u32>,
    pub(crate) sequence: u64,
    pub(crate) generation: u64,
    pub(crate) number: u32,
}

/// Whether a step left something to do that waits for nobody. Outcomes that came in meanwhile may
/// wait for company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Idle,
    More,
}

impl Engine {
    /// Takes a free segment, making one if there is none, and activates it.
    pub(crate) fn start(start: Start) -> io::Result<Self> {
        let copies_on_write = start.shared.disk.copies_on_write().is_some();
        let mut engine = Self {
            copies_on_write,
            shared: start.shared,
            _lock: start.lock,
            active: Active::none(),
            free: start.free,
            sequence: start.sequence,
            gathering: Gathering::default(),
            generation: start.generation,
            number: start.number,
            census: Census::new(start.superblock),
            preparing: None,
            pace: Pace::default(),
            own_is_stuck: false,
            victim: None,
            idle: Vec::new(),
            own: VecDeque::new(),
            carried: None,
            unrecorded: Unrecorded::default(),
            summaries: Vec::new(),
        };
        if engine.free.is_empty() {
            engine.prepare_now()?;
        }
        engine.activate_next()?;
        Ok(engine)
    }

    /// Commits one batch of what waits, and does one bounded piece of housekeeping.
    pub(crate) fn step(&mut self) -> Step {
        self.collect_moves();
        let batch = self.compose();
        if !batch.is_empty() {
            self.commit(batch);
        }
        let tidied = self.tidy();
        let state = self.shared.lock();
        if matches!(state.phase, Phase::Failed(_)) {
            return Step::Idle;
        }
        let waiting = self.carried.is_some() || !self.own.is_empty() || state.urgent;
        if waiting || tidied == Step::More {
            Step::More
        } else {
            Step::Idle
        }
    }

    /// Commits all records of our own; for opening. Whether there was room for them.
    pub(crate) fn commit_own(&mut self) -> bool {
        while !self.own.is_empty() || self.carried.is_some() {
            let batch = self.compose();
            if !batch.is_empty() {
                self.commit(batch);
            }
        }
        let failed = matches!(self.shared.lock().phase, Phase::Failed(_));
        !self.own_is_stuck && !failed
    }

    /// Runs until the spool is closed or failed.
    pub(crate) fn run(mut self) {
        loop {
            self.gather();
            while self.step() == Step::More {
                self.gather();
            }
            if !self.wait() {
                return self.close();
            }
        }
    }

    /// Under load, lets more messages come before the next batch is begun. Each batch costs a sync,
    /// and on average half a block of padding.
    fn gather(&self) {
        if !self.is_loaded() {
            return;
        }
        let mut state = self.shared.lock();
        state.awaits(self.gathering.n_expected());
        let wake = &self.shared.wake;
        let woken = wake.wait_timeout_while(state, GATHERING_DELAY, |state| {
            matches!(state.phase, Phase::Open) && state.n_awaited > 0
        });
        let (mut state, _) = woken.unwrap_or_else(PoisonError::into_inner);
        state.n_awaited = 0;
    }

    /// Whether a batch is to be begun, and those before were such that more messages are on their
    /// way.
    pub(crate) fn is_loaded(&self) -> bool {
        let is_full = self.carried.is_some();
        self.gathering.is_loaded() && !is_full && self.shared.lock().urgent
    }

    /// Waits for something to do; `false` when there will be nothing any more.
    fn wait(&self) -> bool {
        let shared = &self.shared;
        let mut state = shared.lock();
        loop {
            if state.urgent {
                return true;
            }
            match state.phase {
                Phase::Open => {}
                Phase::Closing if !state.requests.is_empty() => return true,
                Phase::Closing | Phase::Closed | Phase::Failed(_) => return false,
            }
            if state.requests.is_empty() && !self.unrecorded.is_empty() {
                let woken = shared.wake.wait_timeout(state, UNRECORDED_RETRY_INTERVAL);
                let (woken, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
                if timeout.timed_out() {
                    return true;
                }
                state = woken;
                continue;
            }
            if state.requests.is_empty() {
                let woken = shared.wake.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // Outcomes wait for company. Only an urgent request signals from here on, so this
            // wait is not begun again and again.
            let woken = shared
                .wake
                .wait_timeout(state, shared.options.outcome_delay);
            let (woken, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() {
                return true;
            }
            state = woken;
        }
    }

    /// How many things are held in memory, of any kind; of summaries, records.
    #[cfg(test)]
    pub(crate) fn n_held(&self) -> usize {
        let summaries = self.summaries.iter().map(|(_, bytes)| bytes.len());
        let active = self.active.summary.as_ref().map_or(0, SummaryWriter::len);
        let in_summaries = (summaries.sum::<usize>() + active) / crate::format::record::LEN;
        let waiting = self.own.len() + self.free.len() + self.idle.len();
        self.shared.lock().ledger.n_held() + waiting + in_summaries
    }

    /// Leaves the spool so that opening it again is quick.
    pub(crate) fn close(mut self) {
        let failed = matches!(self.shared.lock().phase, Phase::Failed(_));
        self.unrecorded.refuse_all(&CommitError::Full);
        if !failed {
            self.seal_active();
            self.write_summaries(0);
            self.shared.lock().phase = Phase::Closed;
        }
    }

    /// Stops acknowledging for good.
    fn fail(&mut self, batch: Batch, error: &io::Error) {
        self.refuse_all(batch, error.to_string().into());
    }

    fn refuse_all(&mut self, batch: Batch, why: Arc<str>) {
        let failed = CommitError::Failed(Arc::clone(&why));
        self.unrecorded.refuse_all(&failed);
        let mut state = self.shared.lock();
        state.phase = Phase::Failed(why);
        state.urgent = false;
        let requests = std::mem::take(&mut state.requests);
        for draft in batch.into_drafts().chain(self.own.drain(..)) {
            draft.effect.refuse(&mut state, &failed);
        }
        if let Some(draft) = self.carried.take() {
            draft.effect.refuse(&mut state, &failed);
        }
        for request in requests {
            request.refuse(&mut state, &failed);
        }
        state.ledger.keys.fail(&failed);
    }
}

impl Drop for Engine {
    /// A committer that panics leaves nobody waiting, and a spool that failed: its process starts
    /// anew.
    fn drop(&mut self) {
        let phase = self.shared.lock().phase.clone();
        if matches!(phase, Phase::Open | Phase::Closing) {
            self.refuse_all(Batch::new(), "the committer is gone".into());
        }
    }
}
