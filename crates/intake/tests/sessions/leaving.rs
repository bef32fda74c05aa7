//! Clients of an instance that stops, or whose place another process takes.

use std::sync::Arc;
use std::time::Duration;

use mail::Origin;

use crate::world::{Instance, LIMIT};

const TO_ALICE: &str = "MAIL FROM:<c@c.example> => 250\nRCPT TO:<alice@x.org> => 250";

#[tokio::test]
async fn a_message_that_is_under_way_goes_to_the_process_that_took_the_spool() {
    let old = Instance::last("output");
    let mut client = old.client(Origin::Outside).await;
    client.play(TO_ALICE).await;
    client.say("DATA", "354").await;
    let end = old.give_up_the_spool().await;
    let new = Arc::new(Instance::last("output"));
    Arc::clone(&new).serve_edge(end);
    client
        .say("Subject: late\r\n\r\nHello\r\n.", "250 2.0.0")
        .await;
    client
        .play("RSET => 250\nMAIL FROM:<c@c.example> => 421")
        .await;
    assert!(old.stored().is_empty(), "its spool is not its own any more");
    let [message] = &new.stored()[..] else {
        panic!("one message");
    };
    assert_eq!(message.provenance.visited, [], "it is the same instance");
    assert_eq!(message.envelope.recipients.len(), 1);
}

#[tokio::test]
async fn the_spool_is_given_up_when_the_last_message_on_its_way_in_is_durable() {
    let old = Arc::new(Instance::last("output"));
    old.holding.arm();
    let mut client = old.client(Origin::Outside).await;
    client.play(TO_ALICE).await;
    let large = "x\r\n".repeat(2 * 1024 * 1024);
    client.say("DATA", "354").await;
    client.send(large.as_bytes()).await;
    client.send(b".\r\n").await;
    old.holding.holds().await;
    let giving = tokio::spawn({
        let old = Arc::clone(&old);
        async move { old.give_up_the_spool().await }
    });
    while !old.is_leaving() {
        tokio::task::yield_now().await;
    }
    assert!(!giving.is_finished(), "a message is on its way in");
    old.holding.release();
    client.hears("250 2.0.0").await;
    let given = tokio::time::timeout(LIMIT, giving).await;
    given.expect("nothing is on its way in any more").unwrap();
    assert_eq!(old.stored().len(), 1);
}

#[tokio::test]
async fn who_came_before_the_change_has_one_more_message() {
    let old = Instance::last("output");
    let mut client = old.client(Origin::Outside).await;
    let new = Arc::new(Instance::last("output"));
    Arc::clone(&new).serve_edge(old.give_up_the_spool().await);
    client.play(TO_ALICE).await;
    client.data("\r\n", "250").await;
    client.say("QUIT", "221").await;
    assert_eq!(new.stored().len(), 1);
}

#[tokio::test]
async fn a_message_that_the_other_process_does_not_store_stays_with_its_client() {
    let mut old = Instance::last("output");
    Arc::get_mut(&mut old.intake).unwrap().answer_timeout = Duration::from_millis(500);
    let mut client = old.client(Origin::Outside).await;
    // Nobody serves it.
    let _end = old.give_up_the_spool().await;
    client.play(TO_ALICE).await;
    client.data("\r\n", "451").await;
}

#[tokio::test]
async fn a_stop_ends_idle_sessions_at_once_and_others_after_their_message() {
    let instance = Instance::last("output");
    let mut idle = instance.client(Origin::Outside).await;
    let mut sending = instance.client(Origin::Outside).await;
    sending.play(TO_ALICE).await;
    sending.say("DATA", "354").await;
    instance.stop();
    idle.hears("421").await;
    sending.say("Subject: x\r\n\r\n.", "250").await;
    sending.hears("421").await;
    assert_eq!(instance.stored().len(), 1);
}
