//! What the clocks decide about a message: when it is tried again, and when it is given up.

use std::time::Duration;

use mail::{Disposition, Timestamp};
use net::Clock;
use spool::Content;
use spool::simulated::{PowerCut, SimulatedDisk};

use crate::host::Host;
use crate::world::{
    Instance, LATER, PATIENT, Plan, alarm, deferred, failed, hold, message, notified, open, relay,
};

const HOUR: Duration = Duration::from_secs(3600);

fn ago(time: Duration) -> Timestamp {
    let now = Clock::start().timestamp().unix_ms();
    Timestamp::from_unix_ms(now - u64::try_from(time.as_millis()).unwrap())
}

const SLOW: Plan = Plan {
    backoff: LATER,
    ..PATIENT
};

#[tokio::test]
async fn a_retry_is_due_a_pause_after_the_attempt_however_old_the_message_is() {
    let host = Host::new(&[("a@y.org", &["450 4.2.0 later"])]).await;
    let instance = Instance::new(vec![relay("y.org", host.port)], &SLOW);
    let now = Clock::start().timestamp();
    let mut old = message(&["a@y.org"]);
    old.provenance.arrived = ago(5 * HOUR);
    let id = instance.accept(old, "\r\n").await;
    instance.noted.until(1, deferred).await;
    instance.idle().await;
    let stored = instance.spool.message(id).unwrap();
    let pause = stored.message.next_due.since(now);
    assert!(pause >= HOUR * 7 / 8, "{pause:?}");
    let row = instance.delivery.row(id).await.unwrap();
    let pause = row.recipients[0].next_due.unwrap().since(now);
    assert!(pause >= HOUR * 7 / 8, "{pause:?}");
    assert_eq!(host.n_named("a@y.org"), 1);
}

/// A queue with a message that is a month old, and one that arrived in an hour's time and more:
/// after a start with a clock that was set back.
#[tokio::test]
async fn nothing_expires_by_a_clock_that_stands_before_the_newest_message() {
    let host = Host::new(&[("a@y.org", &["450 4.2.0 later"; 9])]).await;
    let disk = SimulatedDisk::new();
    let (spool, _) = open(&disk);
    let now = Clock::start().timestamp();
    let mut ids = Vec::new();
    for arrived in [ago(30 * 24 * HOUR), now.after(2 * HOUR)] {
        let mut kept = message(&["a@y.org"]);
        kept.provenance.arrived = arrived;
        let octets = Content::Bytes(b"\r\n".to_vec().into());
        ids.push(spool.accept(&kept, octets).await.unwrap());
    }
    let disk = disk.after(PowerCut::Lost);
    let routes = vec![relay("y.org", host.port), hold("x.org")];
    let instance = Instance::on(disk, &SLOW, |_, _| routes);
    instance.noted.until(2, deferred).await;
    instance.idle().await;
    instance
        .delivery
        .retry(ids[0], None, "uid 0")
        .await
        .unwrap();
    instance.noted.until(3, deferred).await;
    instance.idle().await;
    assert_eq!(instance.noted.count(failed), 0);
    let stored = instance.spool.message(ids[0]).unwrap();
    assert_eq!(stored.recipients[0].disposition, Disposition::Pending);
    assert_eq!(instance.noted.count(alarm), 1);
}

#[tokio::test]
async fn what_is_too_old_expires_by_a_clock_that_can_be_right() {
    let host = Host::new(&[("a@y.org", &["450 4.2.0 later"; 9])]).await;
    let disk = SimulatedDisk::new();
    let (spool, _) = open(&disk);
    let mut kept = message(&["a@y.org"]);
    kept.provenance.arrived = ago(30 * 24 * HOUR);
    let octets = Content::Bytes(b"\r\n".to_vec().into());
    spool.accept(&kept, octets).await.unwrap();
    let disk = disk.after(PowerCut::Lost);
    let routes = vec![relay("y.org", host.port), hold("x.org")];
    let instance = Instance::on(disk, &SLOW, |_, _| routes);
    instance.noted.until(1, notified).await;
    assert_eq!(instance.noted.count(alarm), 0);
}
