//! A next instance that is slow, restarts, or is away: what a front does, and what it remembers.

use std::sync::Arc;
use std::time::Duration;

use mail::Origin;

use crate::world::{ByName, Instance, Silent};

const OURS: Origin = Origin::Local { uid: 7 };

#[tokio::test]
async fn a_message_whose_handoff_outlasts_the_patience_is_kept_under_its_key_and_acknowledged() {
    let (front, end) = Instance::front("front", "output");
    let _silent = Silent::serve(end);
    for (recipient, in_doubt) in [("alice@x.org", true), ("bob@x.org", false)] {
        let mut client = front.client(OURS).await;
        client.say("MAIL FROM:<a@x.org>", "250").await;
        client.say(&format!("RCPT TO:<{recipient}>"), "250").await;
        client.data("\r\n", "250 2.0.0").await;
        let stored = front.stored();
        let message = stored.last().unwrap();
        assert_eq!(
            message.handoff.is_some(),
            in_doubt,
            "one patience is lost; while the breaker is open nothing is in doubt"
        );
    }
    assert_eq!(front.stored().len(), 2);
}

#[tokio::test]
async fn kept_connections_of_a_next_instance_that_restarted_cost_the_message_nothing() {
    let (front, end) = Instance::front("front", "output");
    let output = Arc::new(Instance::last("output"));
    Arc::clone(&output).serve_edge(end);
    for n in 1..=3 {
        let mut client = front.client(OURS).await;
        client
            .play("MAIL FROM:<a@x.org> => 250\nRCPT TO:<alice@x.org> => 250")
            .await;
        client.data("\r\n", "250 2.0.0").await;
        assert_eq!((output.stored().len(), front.stored().len()), (n, 0));
        output.hang_up();
    }
    assert!(output.n_edge_connections() >= 3, "each of them was new");
}

#[tokio::test]
async fn an_answer_that_is_fresh_is_not_asked_for_again() {
    let (front, end) = Instance::front("front", "output");
    let silent = Silent::serve(end);
    let mut client = front.client(Origin::Outside).await;
    for _ in 0..3 {
        client
            .play("MAIL FROM:<c@c.example> => 250\nRCPT TO:<alice@x.org> => 250\nRSET => 250")
            .await;
    }
    assert_eq!(silent.questions(), ["<alice@x.org>"]);
}

#[tokio::test]
async fn an_old_answer_serves_while_nobody_can_be_asked_and_no_longer() {
    let (front, end) = Instance::front_that_remembers("front", "output", Duration::ZERO);
    let silent = Silent::serve(end);
    let mut client = front.client(Origin::Outside).await;
    client
        .play("MAIL FROM:<c@c.example> => 250\nRCPT TO:<alice@x.org> => 250")
        .await;
    client.play("RCPT TO:<alice@x.org> => 250").await;
    assert_eq!(silent.questions().len(), 2, "it is not fresh any more");
    // One content without an answer, and the next instance counts as away.
    client.data("\r\n", "250 2.0.0").await;
    client
        .play(
            "MAIL FROM:<c@c.example> => 250
             RCPT TO:<alice@x.org> => 250
             RCPT TO:<bob@x.org> => 451 4.4.1",
        )
        .await;
    assert_eq!(silent.questions().len(), 2);
}

#[tokio::test]
async fn an_answer_that_the_next_instance_took_back_is_asked_for_again() {
    let (front, end) = Instance::front("front", "output");
    let recipients = Arc::new(ByName::default());
    let output = Arc::new(Instance::last_with("output", Arc::clone(&recipients)));
    Arc::clone(&output).serve_edge(end);
    let mut client = front.client(Origin::Outside).await;
    client
        .play(
            "MAIL FROM:<c@c.example> => 250
             RCPT TO:<alice@x.org> => 250
             RCPT TO:<bob@x.org> => 250",
        )
        .await;
    recipients.remove("bob@x.org");
    client.data("\r\n", "451 4.3.0").await;
    assert!(output.stored().is_empty() && front.stored().is_empty());
    client
        .play(
            "MAIL FROM:<c@c.example> => 250
             RCPT TO:<bob@x.org> => 550 5.1.1
             RCPT TO:<alice@x.org> => 250",
        )
        .await;
    client.data("\r\n", "250 2.0.0").await;
    assert_eq!(output.stored().len(), 1);
}
