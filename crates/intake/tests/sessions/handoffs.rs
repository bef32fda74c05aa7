//! Handoffs: a front and the next instance, and a receiver that a test plays the sender to.

use std::sync::Arc;

use handoff::{Mode, Parameters};
use intake::Claims;
use mail::event::What;
use mail::{HandoffKey, Origin, Provenance, SpoolId, Timestamp, TraceId};

use crate::world::{ByName, Instance};

pub(crate) const SENDER: SpoolId = SpoolId::from_bytes([7; 16]);
pub(crate) const EPOCHS: &str = "VRFY epochs=07070707070707070707070707070707:1";

/// A MAIL command of a handoff.
pub(crate) fn mail(origin: Origin, key: u64, mode: Mode) -> String {
    mail_above(1, origin, key, mode)
}

/// One whose sender has settled all numbers below `lowest`.
pub(crate) fn mail_above(lowest: u64, origin: Origin, key: u64, mode: Mode) -> String {
    let arrived = Timestamp::from_unix_ms(1_795_477_800_000);
    let parameters = Parameters {
        provenance: Provenance {
            trace: TraceId::new(arrived, 1),
            origin,
            arrived,
            client: None,
            visited: vec!["front".parse().unwrap()],
            about: None,
        },
        key: Some(HandoffKey {
            sender: SENDER,
            epoch: 1,
            number: key,
        }),
        lowest_unsettled: lowest,
        mode,
    };
    let xtext = parameters.to_text().replace('+', "+2B").replace('=', "+3D");
    format!("MAIL FROM:<a@x.org> XPOSTERN={xtext}")
}

#[tokio::test]
async fn a_message_is_at_the_next_instance_before_it_is_acknowledged() {
    let (front, end) = Instance::front("front", "output");
    let output = Arc::new(Instance::last("output"));
    Arc::clone(&output).serve_edge(end);
    let mut client = front.client(Origin::Outside).await;
    client
        .play(
            "MAIL FROM:<c@c.example> => 250
             RCPT TO:<nobody@x.org> => 550 5.1.1
             RCPT TO:<far@y.org> => 550 5.7.1
             RCPT TO:<alice@x.org> => 250
             RCPT TO:<bob@x.org> => 250",
        )
        .await;
    client
        .data("Message-ID: <m@c.example>\r\n\r\n", "250")
        .await;
    assert!(front.stored().is_empty(), "nothing is stored twice");
    let [message] = &output.stored()[..] else {
        panic!("one message");
    };
    assert_eq!(message.provenance.origin, Origin::Outside);
    assert_eq!(message.provenance.visited[0].as_str(), "front");
    let client = message.provenance.client.as_ref().unwrap();
    assert_eq!(client.address, Some("192.0.2.7".parse().unwrap()));
    assert_eq!(message.envelope.recipients.len(), 2);
    let handed = |what: &What| matches!(what, What::HandedOff { spooled: false, .. });
    assert!(front.told().iter().any(handed));
}

#[tokio::test]
async fn what_a_client_asked_of_notifications_comes_to_the_next_instance() {
    let (front, end) = Instance::front("front", "output");
    let output = Arc::new(Instance::last("output"));
    Arc::clone(&output).serve_edge(end);
    let mut client = front.client(Origin::Outside).await;
    client
        .play(
            "MAIL FROM:<c@c.example> RET=HDRS ENVID=QQ+2B314159 => 250
             RCPT TO:<alice@x.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Al+2Bice@old.example => 250
             RCPT TO:<bob@x.org> NOTIFY=NEVER => 250",
        )
        .await;
    client.data("\r\n", "250").await;
    let [message] = &output.stored()[..] else {
        panic!("one message");
    };
    let envelope = &message.envelope;
    assert_eq!(envelope.ret, Some(mail::Return::Headers));
    assert_eq!(envelope.envid.as_deref(), Some("QQ+314159"));
    let [alice, bob] = &envelope.recipients[..] else {
        panic!("two recipients");
    };
    let orcpt = alice.orcpt.as_ref().expect("as it was given");
    assert_eq!(
        format!("{orcpt:?}").matches("Al+ice@old.example").count(),
        1
    );
    assert_eq!(alice.notify.keywords().as_deref(), Some("SUCCESS,DELAY"));
    assert_eq!((bob.notify, &bob.orcpt), (mail::Notify::NEVER, &None));
}

#[tokio::test]
async fn what_the_next_instance_refuses_for_good_after_the_data_its_client_learns_at_once() {
    let (front, end) = Instance::front("front", "output");
    let recipients = Arc::new(ByName::default());
    let output = Arc::new(Instance::last_with("output", Arc::clone(&recipients)));
    Arc::clone(&output).serve_edge(end);
    let mut client = front.client(Origin::Outside).await;
    client
        .play("MAIL FROM:<c@c.example> => 250\nRCPT TO:<alice@x.org> => 250")
        .await;
    recipients.remove("alice@x.org");
    client.data("\r\n", "550 5.1.1").await;
    assert!(front.stored().is_empty() && output.stored().is_empty());
}

#[tokio::test]
async fn what_a_proxy_forwards_of_a_client_is_of_one_message_only() {
    let instance = Instance::last("output");
    let mut proxy = instance.forwarder().await;
    for forwarded in ["XFORWARD ADDR=198.51.100.1 PORT=99 => 250", ""] {
        proxy.play(forwarded).await;
        proxy
            .play("MAIL FROM:<c@c.example> => 250\nRCPT TO:<alice@x.org> => 250")
            .await;
        proxy.data("\r\n", "250").await;
    }
    let stored = instance.stored();
    let clients = stored.iter().map(|message| &message.provenance.client);
    let addresses: Vec<_> = clients
        .map(|client| client.as_ref().and_then(|client| client.address))
        .collect();
    let expected = ["198.51.100.1", "192.0.2.7"].map(|text| Some(text.parse().unwrap()));
    assert_eq!(addresses, expected);
}

#[tokio::test]
async fn while_the_next_instance_is_away_ours_are_kept_and_the_world_is_told_to_wait() {
    let (front, _nobody_serves_it) = Instance::front("front", "output");
    let mut outside = front.client(Origin::Outside).await;
    outside
        .play("MAIL FROM:<> => 250\nRCPT TO:<alice@x.org> => 451 4.4.1")
        .await;
    let mut ours = front.client(Origin::Local { uid: 7 }).await;
    ours.play("MAIL FROM:<a@x.org> => 250\nRCPT TO:<far@y.org> => 250")
        .await;
    ours.data("\r\n", "250").await;
    let [message] = &front.stored()[..] else {
        panic!("one message");
    };
    assert_eq!(
        message.handoff, None,
        "the next instance has not heard of it"
    );
}

#[tokio::test]
async fn a_repeated_handoff_is_answered_from_its_record() {
    let output = Instance::last("output");
    let mut front = output.instance(Claims::World).await;
    front.say(EPOCHS, "250").await;
    for _ in 0..2 {
        front.say(&mail(Origin::Outside, 1, Mode::All), "250").await;
        front
            .play("RCPT TO:<alice@x.org> => 250\nRCPT TO:<bob@x.org> => 250")
            .await;
        front.chunk("\r\n").await;
        front.hears("250").await;
        front.hears("250").await;
    }
    assert_eq!(output.stored().len(), 1);
}

#[tokio::test]
async fn all_or_none_are_stored_of_the_worlds_mail_and_each_of_ours() {
    let output = Instance::last("output");
    let mut front = output.instance(Claims::Any).await;
    front.say(EPOCHS, "250").await;
    let ours = Origin::Local { uid: 7 };
    for (key, origin, mode, expected, n_stored) in [
        (1, Origin::Outside, Mode::All, "451", 0),
        (2, ours, Mode::Each, "250", 1),
    ] {
        front.say(&mail(origin, key, mode), "250").await;
        front
            .play("RCPT TO:<nobody@x.org> => 550\nRCPT TO:<alice@x.org> => 250")
            .await;
        front.chunk("\r\n").await;
        front.hears(expected).await;
        assert_eq!(output.stored().len(), n_stored);
    }
    let key = output.stored()[0].key.clone().unwrap();
    assert!(
        key.accepted.contains(1) && !key.accepted.contains(0),
        "indexes count the refused"
    );
}

#[tokio::test]
async fn relay_control_is_asked_again_behind_the_front() {
    let output = Instance::last("output");
    let mut front = output.instance(Claims::World).await;
    front.say(EPOCHS, "250").await;
    front.say(&mail(Origin::Outside, 1, Mode::All), "250").await;
    front.say("RCPT TO:<far@y.org>", "550 5.7.1").await;
}

#[tokio::test]
async fn an_instance_claims_no_origin_that_it_cannot_know() {
    let output = Instance::last("output");
    let mut front = output.instance(Claims::World).await;
    front.say(EPOCHS, "250").await;
    front
        .say(&mail(Origin::Local { uid: 0 }, 1, Mode::Each), "550 5.7.1")
        .await;
    assert!(output.alarmed("claimed the origin"));
}

#[tokio::test]
async fn a_message_comes_to_an_instance_once() {
    let front = Instance::last("front");
    let mut other = front.instance(Claims::Any).await;
    other.say(EPOCHS, "250").await;
    other
        .say(&mail(Origin::Outside, 1, Mode::All), "554 5.4.6")
        .await;
}

#[tokio::test]
async fn a_key_before_the_list_of_epochs_breaks_the_protocol() {
    let output = Instance::last("output");
    let mut front = output.instance(Claims::World).await;
    front
        .say(&mail(Origin::Outside, 1, Mode::All), "501 5.5.4")
        .await;
    assert!(output.alarmed("before the list of epochs"));
}
