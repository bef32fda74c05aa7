//! What the handles and the committer of one spool share.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use mail::MessageId;

use crate::commit::Completer;
use crate::format::Identity;
use crate::format::record::RecordHeader;
use crate::ledger::Ledger;
use crate::limits::BATCH_RECORDS_MAX;
use crate::{AcceptedKey, CommitError, Disk, DurableContent, IndexSet, Options, Progress, Stats};

pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) identity: Identity,
    pub(crate) epoch: u64,
    pub(crate) options: Options,
    state: Mutex<State>,
    /// Signalled when there is something for the committer.
    pub(crate) wake: Condvar,
    /// What wakes those who waited for a batch; without it each is woken by the committer.
    waking: OnceLock<Waking>,
}

/// Wakes all who waited for the commits of one batch; called by the committer's thread.
pub(crate) type Waking = Box<dyn Fn(Vec<Waker>) + Send + Sync>;

pub(crate) struct State {
    pub(crate) ledger: Ledger,
    pub(crate) requests: VecDeque<Request>,
    /// Whether something waits that may not wait for company.
    pub(crate) urgent: bool,
    /// How many more messages the committer waits for before it begins a batch.
    pub(crate) n_awaited: usize,
    pub(crate) phase: Phase,
    pub(crate) next_id: u64,
    pub(crate) next_file: u64,
    pub(crate) stats: Stats,
}

/// Whether records are taken.
#[derive(Clone)]
pub(crate) enum Phase {
    Open,
    /// No more; what waits is still committed.
    Closing,
    Closed,
    Failed(Arc<str>),
}

/// What a caller wants recorded.
pub(crate) enum Request {
    Accept(Draft),
    Attempt(MessageId, IndexSet, Completer<()>),
    Done(MessageId, Completer<()>),
    /// The notification, and what it leaves of its original.
    Notify {
        original: MessageId,
        progress: Option<Progress>,
        notification: Draft,
    },
    Progress(MessageId, Progress, Completer<()>),
}

/// A record but for its place.
pub(crate) struct Draft {
    pub(crate) header: RecordHeader,
    pub(crate) meta: Vec<u8>,
    /// Empty where the content lies in a file.
    pub(crate) content: Arc<Vec<u8>>,
    pub(crate) effect: Effect,
}

/// What becomes true when a record is durable.
pub(crate) enum Effect {
    Accepted(Acceptance),
    /// The state of a message says that an attempt begins.
    Attempt(Completer<()>),
    Done(Option<Completer<()>>),
    Keys,
    Moved {
        n_recipients: u32,
        state: Box<[u8]>,
        /// What a notification that is repeated says of its original.
        original: Option<(MessageId, Box<[u8]>)>,
    },
    Notified {
        acceptance: Acceptance,
        original: MessageId,
        /// Its new state; empty when it is done.
        state: Box<[u8]>,
    },
    State(Option<Completer<()>>),
}

/// A message that is being accepted.
pub(crate) struct Acceptance {
    pub(crate) n_recipients: u32,
    pub(crate) key: Option<AcceptedKey>,
    /// Whether the key was claimed before, and not for this record alone.
    pub(crate) is_key_claimed: bool,
    pub(crate) content: Option<DurableContent>,
    pub(crate) completer: Completer<MessageId>,
}

impl Shared {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        identity: Identity,
        epoch: u64,
        options: Options,
        mut ledger: Ledger,
        next_id: u64,
    ) -> Self {
        ledger.keys.limit(options.record_len_max() as u64);
        let state = State {
            ledger,
            requests: VecDeque::new(),
            urgent: false,
            n_awaited: 0,
            phase: Phase::Open,
            next_id,
            next_file: 1,
            stats: Stats::default(),
        };
        Self {
            disk,
            identity,
            epoch,
            options,
            state: Mutex::new(state),
            wake: Condvar::new(),
            waking: OnceLock::new(),
        }
    }

    /// The first one stays.
    pub(crate) fn set_waking(&self, waking: Waking) {
        let _ = self.waking.set(waking);
    }

    pub(crate) fn wake_all(&self, wakers: Vec<Waker>) {
        match self.waking.get() {
            Some(waking) if !wakers.is_empty() => waking(wakers),
            Some(_) | None => wakers.into_iter().for_each(Waker::wake),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic with the lock held is a broken invariant of the books. The committer then drops
        // every completer, which fails every commit; readers may still read.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a request to the committer; a refusal resolves its commit.
    pub(crate) fn push(&self, request: Request) {
        let mut state = self.lock();
        if let Err(error) = state.admit(&request) {
            let mut request = request;
            // What was not claimed is not given back either: another copy may have it.
            request.forget_unclaimed_key();
            return request.refuse(&mut state, &error);
        }
        let lazy = matches!(request, Request::Done(..) | Request::Progress(..));
        let first = state.requests.is_empty();
        let is_last = request.is_message() && state.meets_one();
        let rouse = if lazy { first } else { !state.urgent } || is_last;
        state.urgent |= !lazy;
        state.requests.push_back(request);
        drop(state);
        if rouse {
            self.wake.notify_one();
        }
    }
}

impl State {
    /// Whether the request is taken; then its key is claimed.
    fn admit(&mut self, request: &Request) -> Result<(), CommitError> {
        if let Some(error) = self.phase.error() {
            return Err(error);
        }
        let Request::Accept(Draft {
            effect: Effect::Accepted(acceptance),
            ..
        }) = request
        else {
            return Ok(());
        };
        match &acceptance.key {
            Some(key) if !acceptance.is_key_claimed => {
                self.ledger.keys.claim_at_once(key)?;
            }
            Some(key) if !self.ledger.keys.has_room_for(&key.accepted) => {
                return Err(CommitError::KeysFull);
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Has who brings the last of so many messages wake the committer, or of a full batch; those
    /// that wait already count.
    pub(crate) fn awaits(&mut self, n_messages: Option<usize>) {
        let n_messages = n_messages.unwrap_or(BATCH_RECORDS_MAX);
        let n_here = self.requests.iter().filter(|r| r.is_message()).count();
        self.n_awaited = n_messages.min(BATCH_RECORDS_MAX).saturating_sub(n_here);
    }

    /// A message has come; whether it is the last that is waited for.
    fn meets_one(&mut self) -> bool {
        let was_awaited = self.n_awaited > 0;
        self.n_awaited = self.n_awaited.saturating_sub(1);
        was_awaited && self.n_awaited == 0
    }
}

impl Phase {
    /// Why nothing is taken, if so.
    pub(crate) fn error(&self) -> Option<CommitError> {
        match self {
            Self::Open => None,
            Self::Closing | Self::Closed => Some(CommitError::Closed),
            Self::Failed(why) => Some(CommitError::Failed(Arc::clone(why))),
        }
    }
}

impl Request {
    /// Whether it takes in a message.
    fn is_message(&self) -> bool {
        matches!(self, Self::Accept(_) | Self::Notify { .. })
    }

    /// Its key was not claimed.
    fn forget_unclaimed_key(&mut self) {
        if let Self::Accept(draft) = self
            && let Effect::Accepted(acceptance) = &mut draft.effect
            && !acceptance.is_key_claimed
        {
            acceptance.key = None;
        }
    }

    pub(crate) fn refuse(self, state: &mut State, error: &CommitError) {
        match self {
            Self::Accept(draft) => draft.effect.refuse(state, error),
            Self::Notify { notification, .. } => notification.effect.refuse(state, error),
            Self::Attempt(_, _, completer)
            | Self::Done(_, completer)
            | Self::Progress(_, _, completer) => completer.complete(Err(error.clone())),
        }
    }
}

impl Effect {
    /// The record was not written, or nobody knows whether it was.
    pub(crate) fn refuse(self, state: &mut State, error: &CommitError) {
        match self {
            Self::Accepted(acceptance) | Self::Notified { acceptance, .. } => {
                state.stats.n_refused += u64::from(*error == CommitError::Full);
                if let Some(key) = &acceptance.key {
                    state.ledger.keys.release(&key.key, error);
                }
                if let (Some(content), CommitError::Failed(_)) = (acceptance.content, error) {
                    // The record that names the file may be on disk: recovery decides.
                    content.keep();
                }
                acceptance.completer.complete(Err(error.clone()));
            }
            Self::Attempt(completer) => completer.complete(Err(error.clone())),
            Self::Done(completer) | Self::State(completer) => {
                if let Some(completer) = completer {
                    completer.complete(Err(error.clone()));
                }
            }
            Self::Keys | Self::Moved { .. } => {}
        }
    }
}
