//! The connections that other instances make over one edge.
//!
//! # Guarantees
//! One that makes more than it may waits for a place, and with it nobody but itself. Nothing that
//! it sends over the channel closes the edge.
//!
//! # Limits
//! As many connections at a time as its caller says; those beyond wait in the channel, whose end
//! at the sender is full then.

use std::future::Future;
use std::time::Duration;

use handoff::EdgeReceiver;
use net::Stream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long all places of an edge may be taken before that is an alarm. Longer than an instance
/// that was stopped needs for connections that were made meanwhile and given up.
const FULL_FOR: Duration = Duration::from_secs(5);

/// How long to wait before a channel that failed is looked at again.
const FAILED_PAUSE: Duration = Duration::from_secs(1);

/// What one edge is served with.
pub trait EdgeDoor: Send + Sync {
    /// How many connections there may be at a time, now.
    fn places(&self) -> usize;

    /// Serves one connection to its end.
    fn serve(&self, stream: Stream) -> impl Future<Output = ()> + Send + 'static;

    /// Reports what an operator is to know.
    fn alarm(&self, text: &str);
}

/// Serves what comes over an edge until the edge is closed or `stopping` says so. Connections that
/// are open then go on.
pub async fn receive_edge(
    receiver: EdgeReceiver,
    door: impl EdgeDoor,
    mut stopping: watch::Receiver<bool>,
) {
    let mut open = JoinSet::new();
    tokio::select! {
        () = receive(&receiver, &door, &mut open) => {}
        // An error means that nobody will ask any more.
        _ = stopping.wait_for(|asked| *asked) => {}
    }
    open.detach_all();
}

async fn receive(receiver: &EdgeReceiver, door: &impl EdgeDoor, open: &mut JoinSet<()>) {
    let mut has_failed = false;
    loop {
        wait_for_place(door, open).await;
        let accepted = tokio::select! {
            accepted = receiver.accept() => accepted,
            Some(_) = open.join_next() => continue,
        };
        match accepted {
            Ok(Some(stream)) => {
                has_failed = false;
                open.spawn(door.serve(stream));
            }
            Ok(None) => return,
            Err(e) => {
                if !has_failed {
                    door.alarm(&format!("connections over it cannot be received: {e}"));
                }
                has_failed = true;
                sleep(FAILED_PAUSE).await;
            }
        }
    }
}

async fn wait_for_place(door: &impl EdgeDoor, open: &mut JoinSet<()>) {
    let is_full = |open: &JoinSet<()>| open.len() >= door.places().max(1);
    if !is_full(open) {
        return;
    }
    let some_leave = async |open: &mut JoinSet<()>| {
        while is_full(open) {
            open.join_next().await;
        }
    };
    if timeout(FULL_FOR, some_leave(open)).await.is_ok() {
        return;
    }
    door.alarm(&format!(
        "all {} connections that it may have are open: others wait until it closes some",
        open.len()
    ));
    some_leave(open).await;
}
