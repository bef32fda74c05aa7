//! Queues that fill: who is slowed down, who is told to come again, and who is not.

use std::sync::Arc;

use handoff::{Load, Mode};
use intake::{Claims, Onward};
use mail::Origin;
use spool::Message;

use crate::handoffs::{EPOCHS, mail};
use crate::world::{Instance, MESSAGES_MAX};

const OURS: Origin = Origin::Local { uid: 7 };

fn load_of_next(front: &Instance) -> Load {
    match &front.intake.onward {
        Onward::Next { next, .. } => next.load(),
        Onward::Here(_) => panic!("a front"),
    }
}

#[tokio::test]
async fn a_full_queue_takes_nothing_more_before_the_content_comes_and_neither_flood_fills_the_others()
 {
    let instance = Instance::last("output");
    let mut outside = instance.client(Origin::Outside).await;
    let mut ours = instance.client(OURS).await;
    for (n_outside, n_ours, from_outside, from_us) in [
        (MESSAGES_MAX - 1, MESSAGES_MAX - 1, "250", "250"),
        (MESSAGES_MAX, 0, "452 4.3.1", "250"),
        (0, MESSAGES_MAX, "250", "452 4.3.1"),
        (0, 0, "250", "250"),
    ] {
        instance.let_wait(&Origin::Outside, n_outside);
        instance.let_wait(&OURS, n_ours);
        outside.say("MAIL FROM:<c@c.example>", from_outside).await;
        ours.say("MAIL FROM:<a@x.org>", from_us).await;
        outside.say("RSET", "250").await;
        ours.say("RSET", "250").await;
    }
}

#[tokio::test]
async fn what_a_full_next_instance_does_not_take_from_outside_does_not_pile_up_at_its_front() {
    let (front, end) = Instance::front("front", "output");
    let output = Arc::new(Instance::last("output"));
    Arc::clone(&output).serve_edge(end);
    let mut outside = front.client(Origin::Outside).await;
    outside
        .play("MAIL FROM:<c@c.example> => 250\nRCPT TO:<alice@x.org> => 250")
        .await;
    output.let_wait(&Origin::Outside, MESSAGES_MAX);
    outside.data("\r\n", "452 4.3.1").await;
    // The next one is told before it sends its content.
    outside.say("MAIL FROM:<c@c.example>", "452 4.3.1").await;
    assert!(front.stored().is_empty() && output.stored().is_empty());
    let mut ours = front.client(OURS).await;
    for n_waiting in [0, MESSAGES_MAX] {
        output.let_wait(&OURS, n_waiting);
        ours.play("MAIL FROM:<a@x.org> => 250\nRCPT TO:<alice@x.org> => 250")
            .await;
        ours.data("\r\n", "250 2.0.0").await;
    }
    assert_eq!(output.stored().len(), 1, "there is room for ours");
    assert_eq!(front.stored().len(), 1, "kept where there is room");
}

#[tokio::test]
async fn a_front_learns_with_each_message_how_full_the_next_instance_is() {
    let (front, end) = Instance::front("front", "output");
    let output = Arc::new(Instance::last("output"));
    Arc::clone(&output).serve_edge(end);
    let mut outside = front.client(Origin::Outside).await;
    for (n_waiting, load) in [(0, 0), (MESSAGES_MAX * 6 / 10, 20), (0, 0)] {
        output.let_wait(&Origin::Outside, n_waiting);
        outside
            .play("MAIL FROM:<c@c.example> => 250\nRCPT TO:<alice@x.org> => 250")
            .await;
        outside.data("\r\n", "250 2.0.0").await;
        assert_eq!(load_of_next(&front), Load(load));
    }
    assert_eq!(output.stored().len(), 3);
}

#[tokio::test]
async fn a_repeated_handoff_is_answered_from_its_record_also_when_nothing_more_is_taken() {
    let output = Instance::last("output");
    let mut front = output.instance(Claims::World).await;
    front.say(EPOCHS, "250").await;
    for n_waiting in [0, MESSAGES_MAX] {
        output.let_wait(&Origin::Outside, n_waiting);
        front.say(&mail(Origin::Outside, 1, Mode::All), "250").await;
        front.say("RCPT TO:<alice@x.org>", "250").await;
        front.chunk("\r\n").await;
        front.hears("250").await;
    }
    front
        .say(&mail(Origin::Outside, 2, Mode::All), "452 4.3.1")
        .await;
    assert_eq!(output.stored().len(), 1);
}

/// A content that finds no room where others of its size found none.
fn large() -> String {
    ("x".repeat(900) + "\r\n").repeat(70)
}

#[tokio::test]
async fn a_front_whose_disk_is_full_hands_on_all_the_same_and_keeps_nothing_it_cannot_keep() {
    let (front, end) = Instance::front("front", "output");
    let output = Arc::new(Instance::last("output"));
    Arc::clone(&output).serve_edge(end);
    let mut ours = front.client(OURS).await;
    ours.play("MAIL FROM:<a@x.org> => 250\nRCPT TO:<alice@x.org> => 250")
        .await;
    ours.data("\r\n", "250 2.0.0").await;
    let like = Message {
        key: None,
        ..output.stored().remove(0)
    };
    front.fill_disk(&like).await;
    ours.play("MAIL FROM:<a@x.org> => 250\nRCPT TO:<alice@x.org> => 250")
        .await;
    ours.data(&large(), "250 2.0.0").await;
    assert_eq!(output.stored().len(), 2, "it needs no room here");
    // Now neither has room.
    output.fill_disk(&like).await;
    let n_refused = || [&front, &*output].map(|instance| instance.intake.spool.stats().n_refused);
    let before = n_refused();
    ours.play("MAIL FROM:<a@x.org> => 250\nRCPT TO:<alice@x.org> => 250")
        .await;
    ours.data(&large(), "452 4.3.1").await;
    assert_eq!(n_refused(), before.map(|n| n + 1), "each spool has told");
    assert_eq!((output.stored().len(), front.stored().len()), (2, 0));
}

#[tokio::test]
async fn what_a_next_instance_with_a_full_disk_does_not_take_is_kept_by_a_front_that_has_room() {
    let (front, end) = Instance::front("front", "output");
    let output = Arc::new(Instance::last("output"));
    Arc::clone(&output).serve_edge(end);
    let mut outside = front.client(Origin::Outside).await;
    let script = "MAIL FROM:<c@c.example> => 250\nRCPT TO:<alice@x.org> => 250";
    outside.play(script).await;
    outside.data("\r\n", "250 2.0.0").await;
    let like = Message {
        key: None,
        ..output.stored().remove(0)
    };
    output.fill_disk(&like).await;
    outside.play(script).await;
    outside.data(&large(), "250 2.0.0").await;
    assert_eq!((output.stored().len(), front.stored().len()), (1, 1));
    assert!(front.stored()[0].handoff.is_some(), "under its key");
}
