//! A promise that something will be durable.
//!
//! # Guarantees
//! A [`Commit`] resolves to `Ok` only after the record is on stable storage, and it always
//! resolves: when the committer stops or panics, to an error.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Why something was not made durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The spool was closed before.
    #[error("the spool is closed")]
    Closed,
    /// Storage failed in a way that cannot be mended while running. Nothing is accepted any more;
    /// the process must exit and recover.
    #[error("the spool failed: {0}")]
    Failed(Arc<str>),
    /// There is no room for more messages; temporary. Outcomes are still recorded.
    #[error("no room in the spool")]
    Full,
    /// The key of this handoff is known: its message is here or on its way in. Ask
    /// [`Spool::lookup_key`](crate::Spool::lookup_key) again.
    #[error("this handoff was accepted before")]
    KeyKnown,
    /// The sender of this handoff has settled its key: nothing waits for another copy of it.
    #[error("this handoff was settled by its sender")]
    KeySettled,
    /// As many keys are remembered as may be, see [`KEYS_MAX`](crate::limits::KEYS_MAX); temporary.
    #[error("too many handoffs are in doubt")]
    KeysFull,
    /// Content or envelope are over their limit; permanent for this message.
    #[error("content or envelope too large for a record")]
    TooLarge,
    /// There is no such message: done before, or never here.
    #[error("no such message")]
    Unknown,
}

/// Resolves once a record is durable, or cannot be.
///
/// A future, and [`wait`](Self::wait) for threads. Dropping it changes nothing: the record is
/// written all the same. Cancel-safe.
#[derive(Debug)]
#[must_use = "nothing is known to be durable before this resolves"]
pub struct Commit<T>(Arc<Slot<T>>);

/// The other end of a [`Commit`]; dropping it unused resolves the commit to an error.
#[derive(Debug)]
pub(crate) struct Completer<T>(Arc<Slot<T>>);

#[derive(Debug)]
struct Slot<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    result: Option<Result<T, CommitError>>,
    completed: bool,
    waker: Option<Waker>,
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn commit<T>() -> (Completer<T>, Commit<T>) {
    let slot = Arc::new(Slot {
        state: Mutex::new(State {
            result: None,
            completed: false,
            waker: None,
        }),
    });
    (Completer(Arc::clone(&slot)), Commit(slot))
}

impl<T> Commit<T> {
    /// One that has failed already.
    pub(crate) fn failed(error: CommitError) -> Self {
        let (completer, commit) = commit();
        completer.complete(Err(error));
        commit
    }

    /// Blocks until the record is durable, or cannot be.
    ///
    /// # Errors
    /// Why it is not durable.
    ///
    /// # Panics
    /// When the result was taken before by polling.
    pub fn wait(mut self) -> Result<T, CommitError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut cx) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }

    /// The result, if there is one by now.
    #[cfg(test)]
    pub(crate) fn try_take(&self) -> Option<Result<T, CommitError>> {
        self.0.lock().result.take()
    }
}

impl<T> Future for Commit<T> {
    type Output = Result<T, CommitError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        if let Some(result) = state.result.take() {
            return Poll::Ready(result);
        }
        assert!(!state.completed, "invariant: a commit is taken once");
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

/// Wakes a thread that waits for a commit.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T> Completer<T> {
    pub(crate) fn complete(self, result: Result<T, CommitError>) {
        if let Some(waker) = self.resolve(result) {
            waker.wake();
        }
    }

    /// Resolves the commit, and leaves it to the caller to wake who waits for it.
    pub(crate) fn resolve(self, result: Result<T, CommitError>) -> Option<Waker> {
        self.set(result)
    }

    fn set(&self, result: Result<T, CommitError>) -> Option<Waker> {
        let mut state = self.0.lock();
        if state.completed {
            return None;
        }
        state.completed = true;
        state.result = Some(result);
        state.waker.take()
    }
}

impl<T> Drop for Completer<T> {
    fn drop(&mut self) {
        let gone = CommitError::Failed("the committer is gone".into());
        if let Some(waker) = self.set(Err(gone)) {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_whose_committer_is_gone_fails() {
        let (completer, promise) = commit::<()>();
        drop(completer);
        assert!(matches!(promise.wait(), Err(CommitError::Failed(_))));
    }

    #[test]
    fn a_commit_wakes_the_task_that_polled_it() {
        let (completer, promise) = commit();
        let mut promise = std::pin::pin!(promise);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(promise.as_mut().poll(&mut cx), Poll::Pending);
        completer.complete(Ok(7));
        assert_eq!(promise.as_mut().poll(&mut cx), Poll::Ready(Ok(7)));
    }
}
