//! What becomes of recipients, and of those who wait to hear of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mail::{Notify, Origin, ReversePath};
use testkit::port::free_port;

use crate::host::Host;
use crate::world::{
    Instance, LATER, PATIENT, Plan, after_power_cut, deferred, delivered, failed, held, hold,
    message, notified, relay,
};

#[tokio::test]
async fn a_recipient_that_is_deferred_is_tried_again_and_delivered_once() {
    let host = Host::new(&[("a@y.org", &["450 4.2.0 later", "450 4.2.0 later"])]).await;
    let instance = Instance::new(vec![relay("y.org", host.port)], &PATIENT);
    instance.accept(message(&["a@y.org"]), "one\r\n").await;
    instance.noted.until(1, delivered).await;
    instance.empty().await;
    assert_eq!(instance.noted.count(deferred), 2);
    let [taken] = &host.taken()[..] else {
        panic!("once")
    };
    assert_eq!(taken.content, "one\r\n");
}

#[tokio::test]
async fn who_is_one_too_many_for_a_transaction_comes_in_the_next_at_once() {
    let too_many = &["452 4.5.3 too many recipients"][..];
    let host = Host::new(&[
        ("b@y.org", &["450 4.2.0 later"; 3]),
        ("c@y.org", too_many),
        ("d@y.org", &["452 too many recipients"; 2]),
        ("e@z.org", &[too_many[0]; 3]),
    ])
    .await;
    let plan = Plan {
        backoff: LATER,
        ..PATIENT
    };
    let routes = vec![relay("y.org", host.port), relay("z.org", host.port)];
    let instance = Instance::new(routes, &plan);
    let to = ["a@y.org", "b@y.org", "c@y.org", "d@y.org"];
    let id = instance.accept(message(&to), "\r\n").await;
    instance.noted.until(3, delivered).await;
    let taken: Vec<_> = host.taken().into_iter().map(|t| t.recipients).collect();
    assert_eq!(taken, [["a@y.org"], ["c@y.org"], ["d@y.org"]]);
    // Who was deferred beside them was asked with them, and counts as tried once.
    instance.noted.until(1, deferred).await;
    instance.idle().await;
    let row = instance.delivery.row(id).await.unwrap();
    assert_eq!(row.recipients[0].attempts, 1);
    assert_eq!(instance.delivery.briefs(None, 1)[0].n_deferred, 1);
    // Alone, nobody is too many: the host means something else, and has its time.
    instance.accept(message(&["e@z.org"]), "\r\n").await;
    instance.noted.until(2, deferred).await;
    instance.idle().await;
    assert_eq!(instance.noted.count(deferred), 2);
}

#[tokio::test]
async fn sites_that_defer_do_not_wake_each_other() {
    let later = &["450 4.2.0 later", "450 4.2.0 later", "450 4.2.0 later"][..];
    let (y, z) = (
        Host::new(&[("a@y.org", later)]).await,
        Host::new(&[("a@z.org", later)]).await,
    );
    let plan = Plan {
        backoff: LATER,
        ..PATIENT
    };
    let routes = vec![
        relay("y.org", y.port),
        relay("z.org", z.port),
        hold("h.org"),
    ];
    let instance = Instance::new(routes, &plan);
    instance
        .accept(message(&["a@y.org", "a@z.org"]), "\r\n")
        .await;
    instance.noted.until(2, deferred).await;
    for n in 1..=5 {
        instance.accept(message(&["a@h.org"]), "\r\n").await;
        instance.noted.until(n, held).await;
    }
    assert_eq!(instance.noted.count(deferred), 2);
}

#[tokio::test]
async fn recipients_at_two_sites_are_delivered_once_each_and_the_message_ends() {
    let y = Host::new(&[]).await;
    let z = Host::new(&[("b@z.org", &["450 4.2.0 later", "450 4.2.0 later"])]).await;
    let routes = vec![relay("y.org", y.port), relay("z.org", z.port)];
    let instance = Instance::new(routes, &PATIENT);
    let to = ["a@y.org", "b@z.org", "c@z.org"];
    instance.accept(message(&to), "\r\n").await;
    instance.noted.until(3, delivered).await;
    instance.empty().await;
    let recipients = |host: &Host| {
        let taken = host.taken();
        let all = taken.into_iter().flat_map(|taken| taken.recipients);
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        all
    };
    assert_eq!(recipients(&y), ["a@y.org"]);
    assert_eq!(recipients(&z), ["b@z.org", "c@z.org"]);
}

#[tokio::test]
async fn a_failure_and_its_notification_are_one_record() {
    let host = Host::new(&[("a@y.org", &["550 5.1.1 no such user"])]).await;
    let routes = vec![relay("y.org", host.port), hold("x.org")];
    let instance = Instance::new(routes, &PATIENT);
    instance
        .accept(message(&["a@y.org"]), "Subject: lost\r\n\r\nbody\r\n")
        .await;
    instance.noted.until(1, notified).await;
    let [notification] = &after_power_cut(&instance.disk)[..] else {
        panic!("the notification and nothing else");
    };
    assert_eq!(notification.message.envelope.sender, ReversePath::Null);
    let mut reader = instance.spool.reader(notification.id).unwrap();
    let mut content = vec![0; 64 * 1024];
    let n = reader.read_at(0, &mut content).unwrap();
    let content = String::from_utf8_lossy(&content[..n]);
    assert!(content.contains("5.1.1") && content.contains("Subject: lost"));
}

#[tokio::test]
async fn who_wants_no_notification_gets_none() {
    let host = Host::new(&[
        ("a@y.org", &["550 5.1.1 no"]),
        ("b@y.org", &["550 5.1.1 no"]),
    ])
    .await;
    let instance = Instance::new(vec![relay("y.org", host.port)], &PATIENT);
    let mut of_nobody = message(&["a@y.org"]);
    of_nobody.envelope.sender = ReversePath::Null;
    let mut unwanted = message(&["b@y.org"]);
    unwanted.envelope.recipients[0].notify = Notify::NEVER;
    instance.accept(of_nobody, "\r\n").await;
    instance.accept(unwanted, "\r\n").await;
    instance.noted.until(2, failed).await;
    instance.empty().await;
    assert_eq!(instance.noted.count(notified), 0);
}

#[tokio::test]
async fn what_expires_fails_at_its_last_attempt_and_the_sender_hears_of_it() {
    let host = Host::new(&[("a@y.org", &["450 4.2.0 later"])]).await;
    let routes = vec![relay("y.org", host.port), hold("x.org")];
    let plan = Plan {
        expire_after: Duration::ZERO,
        ..PATIENT
    };
    let instance = Instance::new(routes, &plan);
    instance.accept(message(&["a@y.org"]), "\r\n").await;
    instance.noted.until(1, notified).await;
    assert_eq!(instance.noted.count(deferred), 0);
    assert!(host.taken().is_empty());
}

#[tokio::test]
async fn stopping_waits_for_the_attempts_under_way() {
    let host = Host::silent().await;
    let instance = Instance::new(vec![relay("y.org", host.port)], &PATIENT);
    instance.accept(message(&["a@y.org"]), "\r\n").await;
    let stopping = instance.delivery.stop();
    tokio::pin!(stopping);
    let soon = Duration::from_millis(50);
    let early = tokio::time::timeout(soon, &mut stopping).await;
    assert!(early.is_err(), "an attempt is under way");
    instance.accept(message(&["b@y.org"]), "\r\n").await;
    host.acknowledge();
    stopping.await;
    assert_eq!(instance.noted.count(delivered), 1);
    instance.spool.close();
    let left = after_power_cut(&instance.disk);
    assert_eq!(left.len(), 1, "what had not begun stays");
}

#[tokio::test]
async fn what_waits_for_a_dead_site_expires_though_it_is_never_tried() {
    let dead = relay("y.org", free_port());
    let plan = Plan {
        backoff: LATER,
        ..PATIENT
    };
    let instance = Instance::new(vec![dead], &plan);
    for _ in 0..20 {
        instance.accept(message(&["a@y.org"]), "\r\n").await;
    }
    instance.noted.until(1, deferred).await;
    instance.idle().await;
    assert!(
        instance.noted.count(deferred) < 20,
        "a probe stands for all"
    );
    let expiring = Plan {
        expire_after: Duration::ZERO,
        ..plan
    };
    let routes = vec![relay("y.org", free_port()), hold("x.org")];
    instance.reload_with(routes, &expiring);
    instance.noted.until(20, failed).await;
    instance.noted.until(20, notified).await;
}

#[tokio::test]
async fn what_has_expired_is_given_up_at_once_where_the_site_was_found_down_since() {
    let (port, n_connections) = Host::that_is_down().await;
    let plan = Plan {
        backoff: LATER,
        probes: LATER,
        ..PATIENT
    };
    let routes = || vec![relay("y.org", port), hold("x.org")];
    let instance = Instance::new(routes(), &plan);
    for _ in 0..200 {
        instance.accept(message(&["a@y.org"]), "\r\n").await;
    }
    instance.noted.until(1, deferred).await;
    instance.idle().await;
    let expiring = Plan {
        expire_after: Duration::ZERO,
        ..plan
    };
    instance.reload_with(routes(), &expiring);
    instance.noted.until(200, failed).await;
    instance.noted.until(200, notified).await;
    let n = n_connections.load(Ordering::SeqCst);
    assert!(n < 20, "{n} connections to learn it");
}

#[tokio::test]
async fn a_flood_from_outside_does_not_hold_up_what_is_ours() {
    let host = Host::silent().await;
    let instance = Instance::new(vec![relay("y.org", host.port)], &PATIENT);
    for _ in 0..60 {
        let mut flood = message(&["flood@y.org"]);
        flood.provenance.origin = Origin::Outside;
        instance.accept(flood, "\r\n").await;
    }
    instance.accept(message(&["ours@y.org"]), "\r\n").await;
    for n in 1..=6 {
        host.acknowledge();
        instance.noted.until(n, delivered).await;
    }
    let is_ours = |taken: &crate::host::Taken| taken.recipients == ["ours@y.org"];
    assert!(
        host.taken().iter().any(is_ours),
        "it waited for its turn, not for the flood"
    );
}
