//! A process takes the spool of another that still waits for a host's last reply.

use std::time::Duration;

use delivery::{LateOutcome, Unfinished};
use mail::Disposition;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::host::Host;
use crate::world::{
    Instance, LATER, LIMIT, PATIENT, Plan, alarm, deferred, delivered, hold, message,
    possible_duplicate, relay,
};

const SLOW: Plan = Plan {
    backoff: LATER,
    ..PATIENT
};

/// Lets the attempts of an instance be, and gives its spool up.
async fn leave(old: &Instance) -> (Vec<Unfinished>, UnboundedReceiver<LateOutcome>) {
    let stopping = tokio::time::timeout(Duration::from_millis(20), old.delivery.stop());
    assert!(stopping.await.is_err(), "an attempt is under way");
    let (sender, outcomes) = unbounded_channel();
    let unfinished = old.delivery.leave_attempts(sender).await;
    old.spool.close();
    (unfinished, outcomes)
}

/// The instance that takes its spool.
fn successor(old: &Instance, plan: &Plan, unfinished: &[Unfinished], port: u16) -> Instance {
    let routes = vec![relay("y.org", port), relay("z.org", port), hold("x.org")];
    Instance::after(old.disk.clone(), plan, routes, unfinished)
}

#[tokio::test]
async fn an_attempt_that_outlasts_its_process_is_recorded_by_the_next() {
    let host = Host::silent().await;
    let routes = vec![relay("y.org", host.port)];
    let old = Instance::new(routes, &SLOW);
    old.accept(message(&["a@y.org"]), "\r\n").await;
    host.has_content(1).await;
    let (unfinished, mut outcomes) = leave(&old).await;
    assert_eq!(unfinished[0].recipients, [0]);
    let new = successor(&old, &SLOW, &unfinished, host.port);
    host.acknowledge();
    let late = outcomes.recv().await.unwrap();
    old.delivery.stop().await;
    new.delivery.take_outcome(late).await;
    new.delivery.expect_no_more(&unfinished).await;
    new.noted.until(1, delivered).await;
    new.empty().await;
    assert_eq!(host.taken().len(), 1);
    assert_eq!(new.noted.count(possible_duplicate), 0);
    assert_eq!(old.noted.count(alarm), 0);
}

#[tokio::test]
async fn what_another_process_still_tries_is_left_alone_and_the_others_are_tried() {
    let host = Host::silent_after(&[("b@y.org", &["450 4.2.0 later"])]).await;
    let old = Instance::new(vec![relay("y.org", host.port)], &SLOW);
    let id = old.accept(message(&["a@y.org"]), "\r\n").await;
    host.has_content(1).await;
    let (unfinished, _outcomes) = leave(&old).await;
    let new = successor(&old, &PATIENT, &unfinished, host.port);
    new.accept(message(&["b@y.org"]), "\r\n").await;
    host.has_content(2).await;
    new.delivery.retry(id, None, "uid 0").await.unwrap();
    let refused = new.delivery.discard(id, None, "uid 0").await;
    assert!(refused.unwrap_err().contains("under way"));
    assert_eq!(host.n_named("a@y.org"), 1);
}

#[tokio::test]
async fn what_the_old_process_leaves_without_an_outcome_is_tried_again() {
    let host = Host::silent().await;
    let old = Instance::new(vec![relay("y.org", host.port)], &SLOW);
    old.accept(message(&["a@y.org"]), "\r\n").await;
    host.has_content(1).await;
    let (unfinished, outcomes) = leave(&old).await;
    drop(outcomes);
    let new = successor(&old, &SLOW, &unfinished, host.port);
    new.delivery.expect_no_more(&unfinished).await;
    host.has_content(2).await;
    assert_eq!(new.noted.count(possible_duplicate), 1);
}

#[tokio::test]
async fn an_outcome_that_comes_twice_is_recorded_once() {
    let host = Host::silent().await;
    let old = Instance::new(vec![relay("y.org", host.port)], &SLOW);
    old.accept(message(&["a@y.org"]), "\r\n").await;
    host.has_content(1).await;
    let (unfinished, mut outcomes) = leave(&old).await;
    let new = successor(&old, &SLOW, &unfinished, host.port);
    host.acknowledge();
    let late = outcomes.recv().await.unwrap();
    new.delivery.take_outcome(late.clone()).await;
    new.empty().await;
    new.delivery.take_outcome(late).await;
    new.delivery.expect_no_more(&unfinished).await;
    assert_eq!(new.noted.count(delivered), 1);
}

#[tokio::test]
async fn a_late_deferral_waits_its_time_in_the_next_process() {
    let host = Host::silent_after(&[("b@y.org", &["450 4.2.0 later"])]).await;
    let old = Instance::new(vec![relay("y.org", host.port)], &SLOW);
    let id = old.accept(message(&["a@y.org", "b@y.org"]), "\r\n").await;
    host.has_content(1).await;
    let (unfinished, mut outcomes) = leave(&old).await;
    let new = successor(&old, &SLOW, &unfinished, host.port);
    host.acknowledge();
    let late = tokio::time::timeout(LIMIT, outcomes.recv()).await;
    new.delivery.take_outcome(late.unwrap().unwrap()).await;
    new.delivery.expect_no_more(&unfinished).await;
    new.noted.until(1, delivered).await;
    new.noted.until(1, deferred).await;
    let stored = new.spool.message(id).unwrap();
    let states: Vec<_> = stored.recipients.iter().map(|r| r.disposition).collect();
    assert_eq!(states, [Disposition::Delivered, Disposition::Pending]);
    let counts = new.delivery.counts();
    assert_eq!((counts.n_waiting, counts.n_under_way), (1, 0));
}

#[tokio::test]
async fn an_attempt_that_has_sent_nothing_is_cut_off_and_made_by_the_next_process() {
    // Takes connections and says nothing.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let old = Instance::new(vec![relay("y.org", port)], &SLOW);
    old.accept(message(&["a@y.org"]), "\r\n").await;
    let (unfinished, _outcomes) = leave(&old).await;
    assert_eq!(unfinished, []);
    old.delivery.stop().await;
    let host = Host::new(&[]).await;
    let new = successor(&old, &SLOW, &unfinished, host.port);
    new.noted.until(1, delivered).await;
    new.empty().await;
    assert_eq!(host.taken().len(), 1);
}
