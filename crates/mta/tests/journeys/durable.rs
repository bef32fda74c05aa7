//! *Durable, then act*: on a disk that fails from a given moment on, nothing is done of which no
//! record could be kept.

use mail::MessageId;
use mail::event::What;
use spool::simulated::{Fault, SimulatedDisk};

use crate::handoffs::{Output, front, handed_off};
use crate::host::Host;
use crate::world::{Instance, LATER, PATIENT, Plan, alarm, deferred, message, relay};

const SLOW: Plan = Plan {
    backoff: LATER,
    ..PATIENT
};

fn did_not_begin(what: &What) -> bool {
    matches!(what, What::Alarm { text } if text.contains("did not begin"))
}

#[tokio::test]
async fn no_host_is_asked_before_the_record_of_an_attempt_is_durable() {
    let host = Host::new(&[("a@y.org", &["450 4.2.0 later"])]).await;
    let instance = Instance::new(vec![relay("y.org", host.port)], &SLOW);
    let id = instance.accept(message(&["a@y.org"]), "\r\n").await;
    instance.noted.until(1, deferred).await;
    instance.idle().await;
    // The acceptance stands for the first attempt; the second needs a record of its own.
    instance.disk.set_fault(Fault::FailFrom(1));
    instance.delivery.retry(id, None, "uid 0").await.unwrap();
    instance.noted.until(1, did_not_begin).await;
    instance.idle().await;
    assert_eq!(host.n_named("a@y.org"), 1);
    assert!(host.taken().is_empty());
}

#[tokio::test]
async fn nothing_is_handed_on_before_its_key_is_durable() {
    let disk = SimulatedDisk::new();
    let (front, next, end) = front(disk.clone());
    let output = Output::at(end);
    // Without a key: one is drawn when it is tried.
    let kept = message(&["a@y.org"]);
    let fail = || disk.set_fault(Fault::FailFrom(1));
    front.accept_and_then(kept, "\r\n", fail).await;
    front.noted.until(1, did_not_begin).await;
    front.idle().await;
    assert_eq!(output.n_stored(), 0);
    assert_eq!(next.lag(), 0, "no number is left in doubt");
}

/// Hands a message with these recipients on; after the acceptance nothing can be recorded.
async fn hand_on_and_fail(to: &[&str]) -> (Instance, u64, usize) {
    let disk = SimulatedDisk::new();
    let (front, next, end) = front(disk.clone());
    let output = Output::at(end);
    let mut kept = message(to);
    kept.handoff = Some(next.draw_key());
    let fail = || disk.set_fault(Fault::FailFrom(1));
    let _: MessageId = front.accept_and_then(kept, "\r\n", fail).await;
    front.noted.until(1, handed_off).await;
    front.noted.until(1, alarm).await;
    front.idle().await;
    assert!(front.spool.failure().is_some());
    (front, next.lag(), output.n_stored())
}

#[tokio::test]
async fn a_key_is_not_settled_before_the_end_of_its_message_is_durable() {
    let (_, lag, n_stored) = hand_on_and_fail(&["a@y.org"]).await;
    assert_eq!((lag, n_stored), (1, 1));
}

#[tokio::test]
async fn a_key_is_not_settled_before_a_part_of_its_outcomes_is_durable() {
    let (_, lag, n_stored) = hand_on_and_fail(&["a@y.org", "later@y.org"]).await;
    assert_eq!((lag, n_stored), (1, 1));
}

#[tokio::test]
async fn a_key_is_not_settled_before_a_notification_is_durable() {
    let (_, lag, n_stored) = hand_on_and_fail(&["a@y.org", "nobody@y.org"]).await;
    assert_eq!((lag, n_stored), (1, 1));
}

#[tokio::test]
async fn a_dropped_message_keeps_its_key_until_that_is_durable() {
    let disk = SimulatedDisk::new();
    let (front, next, end) = front(disk.clone());
    // Nobody answers at the other end.
    let _end = end;
    let mut kept = message(&["a@y.org", "b@y.org"]);
    kept.handoff = Some(next.draw_key());
    let id = front.accept(kept, "\r\n").await;
    front.noted.until(1, deferred).await;
    front.delivery.hold(id, None, "uid 0").await.ok();
    front.idle().await;
    front.delivery.hold(id, None, "uid 0").await.ok();
    disk.set_fault(Fault::FailFrom(1));
    front.delivery.discard(id, None, "uid 0").await.unwrap_err();
    assert_eq!(next.lag(), 1);
    assert_eq!(
        front
            .noted
            .count(|what| matches!(what, What::Dropped { .. })),
        0
    );
}
