//! How an instance's process ends: it stops, or it makes way for another one.
//!
//! # Guarantees
//! At a stop clients leave first, then other instances, then deliveries; the spool is closed last.
//! A process that makes way serves everybody until its deliveries are over; then it gives up the
//! spool at once, whoever is connected, and what its clients still bring is stored by the new
//! process before it is acknowledged. Deliveries that wait for a slow host go on without the spool:
//! what they come to is recorded by the new process.

use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delivery::{Delivery, LateOutcome};
use handoff::{EdgeSender, Ledger, Next};
use intake::Leave;
use mail::event::What;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Running;
use crate::instance::bootstrap::{Order, SupervisorLink};
use crate::instance::compose;
use crate::instance::unfinished::{Inbox, Outbox, receive};

/// How long an instance whose spool failed may take to tell its clients.
pub(super) const FAILED_LIMIT: Duration = Duration::from_secs(2);
/// How long an instance goes on without a supervisor to finish what is in flight.
pub(super) const ORPHAN_LIMIT: Duration = Duration::from_secs(20);
/// How often the end of connections is looked for while stopping.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How long the attempts under way may take before the spool is given up all the same, and they go
/// on without it: most are over by then. Clients are served as before.
const ATTEMPTS_LIMIT: Duration = Duration::from_secs(2);
/// How long messages that are being made durable may take then: clients of the new process wait.
const COMMITS_LIMIT: Duration = Duration::from_secs(5);
/// How long the new process may need to begin before a message that is given to it counts as lost.
const SUCCESSOR_PATIENCE: Duration = Duration::from_secs(30);
/// How long clients have to read that they are to leave, when their time is over.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);

/// What becomes of other instances' connections at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edges {
    /// They find another process of this instance.
    Cut,
    /// They are served until they are closed.
    UntilClosed,
}

/// Attempts that go on without the spool.
struct Late {
    outbox: Outbox,
    outcomes: UnboundedReceiver<LateOutcome>,
}

impl Late {
    /// Passes on what they come to, until the last is over.
    async fn forward(self, delivery: &Delivery) {
        let Self {
            mut outbox,
            mut outcomes,
        } = self;
        let mut over = pin!(delivery.stop());
        let mut is_over = false;
        loop {
            let outcome = tokio::select! {
                biased;
                outcome = outcomes.recv() => outcome,
                () = &mut over, if !is_over => {
                    is_over = true;
                    outcomes.close();
                    continue;
                }
            };
            let Some(outcome) = outcome else {
                return;
            };
            let pushing = tokio::task::spawn_blocking(move || {
                // Without it the new process repeats the attempt, as after a crash.
                let _ = outbox.push(&outcome);
                outbox
            });
            match pushing.await {
                Ok(back) => outbox = back,
                Err(_) => return,
            }
        }
    }
}

impl Running {
    /// Takes in what the attempts of earlier processes come to.
    pub(super) fn receive_outcomes(&mut self, inboxes: Vec<Inbox>) {
        let delivery = Arc::clone(&self.instance.delivery);
        self.late_outcomes = tokio::spawn(receive(inboxes, delivery));
    }

    /// Ends in order, within `limit`.
    pub(super) async fn stop(&mut self, limit: Duration, edges: Edges) {
        self.instance.tell(What::Instance {
            text: "stopping".into(),
        });
        self.leave.send_replace(Leave::Now);
        let ended = timeout(limit, async {
            self.wait_for_clients().await;
            if edges == Edges::UntilClosed {
                self.wait_for_edges().await;
            }
            self.cutting.send_replace(true);
            self.doors.closed().await;
            self.instance.delivery.stop().await;
        });
        if ended.await.is_err() {
            let text = format!("not everything was finished within {limit:?}: it goes on later");
            self.instance.tell(What::Alarm { text: text.into() });
        }
    }

    /// Makes way for the process at the other end of `successor`, and ends when the clients that
    /// are in have left, or after `limit`.
    pub(super) async fn retire(
        &self,
        limit: Duration,
        successor: OwnedFd,
        link: &mut SupervisorLink,
    ) {
        self.instance.tell(What::Instance {
            text: "makes way for a new process".into(),
        });
        let attempts = timeout(ATTEMPTS_LIMIT, self.instance.delivery.stop());
        let late = match attempts.await {
            Ok(()) => None,
            Err(_) => Some(self.leave_attempts().await),
        };
        self.give_up_the_spool(successor).await;
        let (over, attempts_over) = watch::channel(late.is_none());
        match late {
            None => {
                self.wait_for_last_messages(limit, link, attempts_over)
                    .await
            }
            Some(Ok(late)) => {
                let delivery = Arc::clone(&self.instance.delivery);
                tokio::spawn(async move {
                    late.forward(&delivery).await;
                    over.send_replace(true);
                });
                self.wait_for_last_messages(limit, link, attempts_over)
                    .await;
            }
            Some(Err(why)) => {
                // They would go on in parallel to those that the new process makes of the same.
                let text = format!("deliveries were cut off, and are repeated: {why}");
                self.instance.tell(What::Alarm { text: text.into() });
            }
        }
        self.leave.send_replace(Leave::Now);
        // Who is still in the middle of a message has had the time that there is.
        let _ = timeout(FAREWELL_LIMIT, self.wait_for_clients()).await;
    }

    /// Prepares the attempts under way for going on without the spool.
    async fn leave_attempts(&self) -> Result<Late, String> {
        let (sender, outcomes) = unbounded_channel();
        let leaving = timeout(COMMITS_LIMIT, self.instance.delivery.leave_attempts(sender));
        let unfinished = leaving
            .await
            .map_err(|_| format!("outcomes were not recorded within {COMMITS_LIMIT:?}"))?;
        let n = unfinished.len();
        let (dir, epoch) = (self.spool_dir.clone(), self.instance.spool.epoch());
        let creating =
            tokio::task::spawn_blocking(move || Outbox::create(&dir, epoch, &unfinished));
        let outbox = creating.await.map_err(|e| e.to_string())?;
        let place = self.spool_dir.display();
        let outbox =
            outbox.map_err(|e| format!("the next process cannot be told: {place}: {e}"))?;
        if n > 0 {
            let text = format!("{n} deliveries wait for their hosts and go on without the spool");
            self.instance.tell(What::Instance { text: text.into() });
        }
        Ok(Late { outbox, outcomes })
    }

    /// From here on it is the new process's. Nobody is accepted here any more.
    async fn give_up_the_spool(&self, successor: OwnedFd) {
        let instance = &self.instance;
        let (id, epoch) = (instance.spool.id(), instance.spool.epoch());
        let successor = Next::new(
            EdgeSender::new(successor),
            compose::successor_settings(&instance.name, SUCCESSOR_PATIENCE),
            // Another receiver than the next instance, so another book.
            Arc::new(Mutex::new(Ledger::new(id, epoch))),
            instance.clock,
            Box::new(|_, _| ()),
        );
        self.leave.send_replace(Leave::AfterMessage);
        self.cutting.send_replace(true);
        self.requests.abort();
        self.late_outcomes.abort();
        // Whoever takes longer is told that the spool is closed.
        let _ = timeout(COMMITS_LIMIT, instance.spool_lease.end(successor)).await;
        let spool = instance.spool.clone();
        let _ = tokio::task::spawn_blocking(move || spool.close()).await;
        instance.tell(What::Instance {
            text: "gave up the spool".into(),
        });
    }

    /// Waits for the clients that are in, and for attempts that went on without the spool.
    async fn wait_for_last_messages(
        &self,
        limit: Duration,
        link: &mut SupervisorLink,
        attempts_over: watch::Receiver<bool>,
    ) {
        let ordered_to_stop = async {
            loop {
                match link.next().await {
                    Order::Stop(limit) => return limit,
                    Order::ParentExited => return ORPHAN_LIMIT,
                    Order::Abandon
                    | Order::Commit
                    | Order::Leave
                    | Order::Prepare(_)
                    | Order::Retire(..) => {}
                }
            }
        };
        let mut over = attempts_over.clone();
        let attempts = async { over.wait_for(|is_over| *is_over).await.map(drop) };
        let limit = tokio::select! {
            _ = async { tokio::join!(self.wait_for_clients(), attempts) } => return,
            () = tokio::time::sleep(limit) => return,
            limit = ordered_to_stop => limit,
        };
        self.leave.send_replace(Leave::Now);
        let mut over = attempts_over;
        let attempts = async { over.wait_for(|is_over| *is_over).await.map(drop) };
        let all = async { tokio::join!(self.wait_for_clients(), attempts) };
        let _ = timeout(limit, all).await;
    }

    async fn wait_for_clients(&self) {
        while self.hall.admission.n_open() > 0 {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Those who hand on were told to stop before us, or lost the supervisor as we did.
    async fn wait_for_edges(&self) {
        while self.hall.n_edges.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}
