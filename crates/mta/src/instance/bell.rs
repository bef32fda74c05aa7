//! Wakes the runtime's tasks for another thread, all at once.
//!
//! A task that is woken from outside its runtime costs a system call; the committer wakes as many
//! as its batch had messages. Here it leaves them in one place and rings once; the task that hears
//! it wakes them from inside, where that costs nothing.
//!
//! # Guarantees
//! What was left is woken, as long as [`Bell::answer`] runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

/// Copies are the same bell.
#[derive(Clone, Debug, Default)]
pub(super) struct Bell {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Vec<Waker>>,
    rung: Notify,
}

impl Bell {
    /// Has all of these woken soon. From any thread; never blocks.
    pub(super) fn ring(&self, mut wakers: Vec<Waker>) {
        let mut waiting = self.lock();
        let is_first = waiting.is_empty();
        if is_first {
            *waiting = wakers;
        } else {
            waiting.append(&mut wakers);
        }
        drop(waiting);
        if is_first {
            self.shared.rung.notify_one();
        }
    }

    /// Wakes whom the bell is rung for, for ever. Cancel-safe.
    pub(super) async fn answer(self) {
        loop {
            self.shared.rung.notified().await;
            let waiting = std::mem::take(&mut *self.lock());
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_task_that_another_thread_rings_for_goes_on() {
        let bell = Bell::default();
        tokio::spawn(bell.clone().answer());
        for _ in 0..3 {
            let mut ringing = None;
            poll_fn(|cx| match ringing {
                None => {
                    let (bell, waker) = (bell.clone(), cx.waker().clone());
                    ringing = Some(std::thread::spawn(move || bell.ring(vec![waker])));
                    Poll::Pending
                }
                Some(_) => Poll::Ready(()),
            })
            .await;
        }
    }
}
