//! The same recipient several times in one message: accepted each time, delivered once.

use mail::Notify;
use testkit::scratch::Scratch;

use crate::host::Host;
use crate::world::{
    Instance, LATER, PATIENT, Plan, deferred, delivered, hold, maildirs, message, relay,
};

#[tokio::test]
async fn a_host_is_given_each_recipient_once_in_whatever_case_its_domain_is() {
    let host = Host::new(&[]).await;
    let instance = Instance::new(vec![relay("y.org", host.port)], &PATIENT);
    let to = ["a@y.org", "a@Y.ORG", "A@y.org", "a@y.org", "\"a\"@y.org"];
    instance.accept(message(&to), "\r\n").await;
    instance.noted.until(5, delivered).await;
    instance.empty().await;
    let [taken] = &host.taken()[..] else {
        panic!("one transaction");
    };
    // The case of a local part is its host's business.
    assert_eq!(taken.recipients, ["a@y.org", "A@y.org"]);
}

#[tokio::test]
async fn a_host_is_given_a_recipient_once_in_unicode_and_as_a_label() {
    let host = Host::that_offers(&["SMTPUTF8"]).await;
    let instance = Instance::new(vec![relay("bücher.example", host.port)], &PATIENT);
    let to = [
        "a@xn--bcher-kva.example",
        "a@BÜCHER.example",
        "b@bücher.example",
    ];
    let mut utf8 = message(&to);
    utf8.envelope.smtputf8 = true;
    instance.accept(utf8, "\r\n").await;
    instance.noted.until(3, delivered).await;
    instance.empty().await;
    let [taken] = &host.taken()[..] else {
        panic!("one transaction");
    };
    // Each as it was written.
    assert_eq!(
        taken.recipients,
        ["a@xn--bcher-kva.example", "b@bücher.example"]
    );
}

#[tokio::test]
async fn a_maildir_gets_one_copy_for_both_forms_of_a_domain() {
    let scratch = Scratch::new();
    let to_maildirs = maildirs("bücher.example", scratch.path(), &["bob"]);
    let instance = Instance::new(vec![to_maildirs], &PATIENT);
    let to = ["bob@bücher.example", "bob@xn--bcher-kva.example"];
    instance.accept(message(&to), "\r\n").await;
    instance.noted.until(2, delivered).await;
    instance.empty().await;
    let path = scratch.path().join("xn--bcher-kva.example/bob");
    assert_eq!(testkit::maildir::messages(&path).len(), 1);
}

#[tokio::test]
async fn two_hundred_times_the_same_mailbox_gets_one_copy() {
    let scratch = Scratch::new();
    let to_maildirs = maildirs("y.org", scratch.path(), &["bob", "carol"]);
    let instance = Instance::new(vec![to_maildirs], &PATIENT);
    let mut to = vec!["bob@y.org"; 197];
    to.extend(["Bob@y.org", "bob@Y.org", "\"bob\"@y.org", "carol@y.org"]);
    instance.accept(message(&to), "\r\n").await;
    instance.noted.until(201, delivered).await;
    instance.empty().await;
    for mailbox in ["bob", "carol"] {
        let path = scratch.path().join("y.org").join(mailbox);
        assert_eq!(testkit::maildir::messages(&path).len(), 1, "{mailbox}");
    }
}

#[tokio::test]
async fn what_is_asked_for_any_of_them_is_asked_of_the_host() {
    let host = Host::that_offers(&["DSN"]).await;
    let instance = Instance::new(vec![relay("y.org", host.port)], &PATIENT);
    let mut repeated = message(&["a@y.org", "a@y.org", "b@y.org", "b@y.org"]);
    let notify = [
        Notify::NEVER,
        Notify::SUCCESS,
        Notify::UNSPECIFIED,
        Notify::DELAY,
    ];
    for (recipient, notify) in repeated.envelope.recipients.iter_mut().zip(notify) {
        recipient.notify = notify;
    }
    instance.accept(repeated, "\r\n").await;
    instance.noted.until(4, delivered).await;
    let taken = host.taken();
    assert_eq!(
        taken[0].commands[1..],
        [
            "RCPT TO:<a@y.org> NOTIFY=SUCCESS",
            "RCPT TO:<b@y.org> NOTIFY=FAILURE,DELAY"
        ]
    );
}

#[tokio::test]
async fn one_that_was_held_while_its_twin_was_delivered_is_not_delivered_again() {
    let host = Host::new(&[("a@y.org", &["450 4.2.0 later"])]).await;
    let plan = Plan {
        backoff: LATER,
        ..PATIENT
    };
    let instance = Instance::new(vec![relay("y.org", host.port), hold("x.org")], &plan);
    let id = instance
        .accept(message(&["a@y.org", "a@Y.org"]), "\r\n")
        .await;
    instance.noted.until(2, deferred).await;
    instance.idle().await;
    let delivery = &instance.delivery;
    delivery.hold(id, Some(&[1]), "uid 0").await.unwrap();
    delivery.retry(id, None, "uid 0").await.unwrap();
    instance.noted.until(1, delivered).await;
    instance.idle().await;
    delivery.release(id, None, "uid 0").await.unwrap();
    instance.noted.until(2, delivered).await;
    instance.empty().await;
    assert_eq!(host.taken().len(), 1);
}
