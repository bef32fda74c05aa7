//! What operators do to the queue.

use delivery::Counts;
use mail::event::What;

use crate::host::Host;
use crate::world::{
    Instance, LATER, PATIENT, Plan, after_power_cut, deferred, delivered, held, hold, message,
    relay,
};

const SLOW: Plan = Plan {
    backoff: LATER,
    ..PATIENT
};

/// An instance with one message, put off for an hour after its first attempt.
async fn with_one_deferred(host: &Host) -> (Instance, mail::MessageId) {
    let instance = Instance::new(vec![relay("y.org", host.port)], &SLOW);
    let id = instance.accept(message(&["a@y.org"]), "\r\n").await;
    instance.noted.until(1, deferred).await;
    (instance, id)
}

async fn host() -> Host {
    Host::new(&[("a@y.org", &["450 4.2.0 later"])]).await
}

#[tokio::test]
async fn what_waits_is_tried_at_once_when_an_operator_says_so() {
    let host = host().await;
    let (instance, id) = with_one_deferred(&host).await;
    instance.idle().await;
    instance.delivery.retry(id, None, "uid 0").await.unwrap();
    instance.noted.until(1, delivered).await;
    instance.empty().await;
}

#[tokio::test]
async fn a_held_message_stays_until_it_is_released() {
    let host = host().await;
    let (instance, id) = with_one_deferred(&host).await;
    instance.idle().await;
    let touched = instance.delivery.hold(id, None, "uid 0").await.unwrap();
    assert_eq!(touched.n_recipients, 1);
    instance.delivery.retry(id, None, "uid 0").await.unwrap();
    let Counts { n_waiting, .. } = instance.delivery.counts();
    assert_eq!((instance.n_held(), n_waiting), (1, 0), "it has no job");
    let [stored] = &after_power_cut(&instance.disk)[..] else {
        panic!("one message");
    };
    assert_eq!(stored.recipients[0].disposition, mail::Disposition::Held);
    instance.delivery.release(id, None, "uid 0").await.unwrap();
    instance.noted.until(1, delivered).await;
    instance.empty().await;
}

#[tokio::test]
async fn what_is_dropped_is_gone_and_the_log_says_who_did_it() {
    let host = host().await;
    let (instance, id) = with_one_deferred(&host).await;
    instance.idle().await;
    instance.delivery.discard(id, None, "uid 0").await.unwrap();
    instance.empty().await;
    assert!(after_power_cut(&instance.disk).is_empty());
    let dropped = |what: &What| matches!(what, What::Dropped { by, .. } if &**by == "uid 0");
    assert_eq!(instance.noted.count(dropped), 1);
    assert!(host.taken().is_empty());
}

#[tokio::test]
async fn a_command_does_not_touch_what_is_being_tried() {
    let host = Host::silent().await;
    let instance = Instance::new(vec![relay("y.org", host.port)], &SLOW);
    let id = instance.accept(message(&["a@y.org"]), "\r\n").await;
    let refused = instance.delivery.hold(id, None, "uid 0").await;
    assert!(refused.unwrap_err().contains("under way"));
    host.acknowledge();
    instance.noted.until(1, delivered).await;
    instance.empty().await;
}

#[tokio::test]
async fn nothing_is_tried_while_a_command_is_carried_out() {
    let host = host().await;
    let (instance, id) = with_one_deferred(&host).await;
    instance.idle().await;
    // The commit of the hold takes its time; what makes the job due meanwhile comes too late.
    let (holding, retrying) = tokio::join!(
        instance.delivery.hold(id, None, "uid 0"),
        instance.delivery.retry(id, None, "uid 0"),
    );
    holding.unwrap();
    retrying.unwrap();
    instance.noted.until(1, held).await;
    let counts = instance.delivery.counts();
    assert_eq!((instance.n_held(), counts.n_under_way), (1, 0));
    assert!(host.taken().is_empty());
}

#[tokio::test]
async fn a_command_about_one_recipient_leaves_the_others_their_time() {
    let later = &["450 4.2.0 later"; 3][..];
    let host = Host::new(&[("a@y.org", later), ("b@y.org", later)]).await;
    let instance = Instance::new(vec![relay("y.org", host.port), hold("h.org")], &SLOW);
    let id = instance
        .accept(message(&["a@y.org", "b@y.org"]), "\r\n")
        .await;
    instance.noted.until(2, deferred).await;
    instance.idle().await;
    instance
        .delivery
        .hold(id, Some(&[0]), "uid 0")
        .await
        .unwrap();
    instance.accept(message(&["a@h.org"]), "\r\n").await;
    instance.noted.until(2, held).await;
    let counts = instance.delivery.counts();
    assert_eq!((instance.n_held(), counts.n_waiting), (2, 1));
    assert_eq!(instance.noted.count(deferred), 2);
}

#[tokio::test]
async fn a_retry_of_one_recipient_tries_its_site_and_leaves_the_others_their_time() {
    let y = Host::new(&[("a@y.org", &["450 4.2.0 later"])]).await;
    let z = Host::new(&[("b@z.org", &["450 4.2.0 later"])]).await;
    let routes = vec![relay("y.org", y.port), relay("z.org", z.port)];
    let instance = Instance::new(routes, &SLOW);
    let to = ["a@y.org", "b@z.org", "c@y.org"];
    let id = instance.accept(message(&to), "\r\n").await;
    instance.noted.until(2, deferred).await;
    instance.noted.until(1, delivered).await;
    instance.idle().await;
    let touched = instance
        .delivery
        .retry(id, Some(&[0]), "uid 0")
        .await
        .unwrap();
    assert_eq!(touched.n_recipients, 1);
    instance.noted.until(2, delivered).await;
    instance.idle().await;
    assert_eq!((y.taken().len(), z.taken().len()), (2, 0));
    let gone = instance
        .delivery
        .retry(id, Some(&[0]), "uid 0")
        .await
        .unwrap();
    assert_eq!(gone.n_recipients, 0, "it is delivered");
    assert_eq!(instance.delivery.counts().n_waiting, 1);
}
