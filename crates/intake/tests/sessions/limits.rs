//! Limits of an instance that a reload lowers between two copies of one handoff.

use handoff::Mode;
use intake::{Claims, HandoffLimits};
use mail::Origin;
use tokio::net::UnixStream;

use crate::handoffs::{EPOCHS, mail};
use crate::world::{Client, Instance};

const LOWERED: HandoffLimits = HandoffLimits {
    content_len_max: 1000,
    line_len_max: 100,
    recipients_max: 1,
};

/// A handoff with more octets, a longer line and more recipients than lowered limits allow.
struct Large {
    content: String,
}

impl Large {
    fn new() -> Self {
        let line = "x".repeat(900);
        // Its content has a file, which is synced by itself.
        let lines = format!("{line}\r\n").repeat(400);
        let content = format!("Subject: large\r\n\r\n{lines}");
        Self { content }
    }

    /// Sends all of it but its replies, and expects those to the envelope.
    async fn send(&self, sender: &mut Client<UnixStream>, key: u64) {
        let mail = mail(Origin::Outside, key, Mode::All);
        let size = self.content.len();
        sender.say(&format!("{mail} SIZE={size}"), "250").await;
        sender
            .play("RCPT TO:<alice@x.org> => 250\nRCPT TO:<bob@x.org> => 250")
            .await;
        sender.chunk(&self.content).await;
    }
}

async fn connect(output: &Instance) -> Client<UnixStream> {
    let mut sender = output.instance(Claims::World).await;
    sender.say(EPOCHS, "250").await;
    sender
}

#[tokio::test]
async fn lowered_limits_refuse_no_repetition_of_what_is_stored() {
    let output = Instance::last("output");
    let large = Large::new();
    let mut first = connect(&output).await;
    large.send(&mut first, 1).await;
    first.hears("250").await;
    first.hears("250").await;
    output.limit(LOWERED);
    let mut second = connect(&output).await;
    for sender in [&mut first, &mut second] {
        large.send(sender, 1).await;
        sender.hears("250").await;
        sender.hears("250").await;
    }
    assert_eq!(output.stored().len(), 1);
}

#[tokio::test]
async fn lowered_limits_refuse_no_copy_that_waits_for_the_first() {
    let output = Instance::last("output");
    let large = Large::new();
    output.holding.arm();
    let mut first = connect(&output).await;
    large.send(&mut first, 1).await;
    output.holding.holds().await;
    output.limit(LOWERED);
    let mut second = connect(&output).await;
    large.send(&mut second, 1).await;
    output.holding.release();
    for sender in [&mut first, &mut second] {
        sender.hears("250").await;
        sender.hears("250").await;
    }
    assert_eq!(output.stored().len(), 1);
}

#[tokio::test]
async fn limits_hold_for_what_is_new_also_on_a_connection_that_was_open() {
    let output = Instance::last("output");
    let mut sender = connect(&output).await;
    output.limit(LOWERED);
    let begin = mail(Origin::Outside, 1, Mode::Each);
    sender.say(&format!("{begin} SIZE=1001"), "552").await;
    sender.say(&begin, "250").await;
    sender
        .play("RCPT TO:<alice@x.org> => 250\nRCPT TO:<bob@x.org> => 452")
        .await;
    for content in ["x\r\n".repeat(334), format!("{}\r\n", "x".repeat(101))] {
        sender.chunk(&content).await;
        sender.hears("55").await;
        assert!(!output.key_is_known(1), "its claim is given back");
        sender.say(&begin, "250").await;
        sender.say("RCPT TO:<alice@x.org>", "250").await;
    }
    sender.chunk(&format!("{}\r\n", "x".repeat(100))).await;
    sender.hears("250").await;
    assert_eq!(output.stored().len(), 1);
}

#[tokio::test]
async fn recipients_beyond_the_limit_are_refused_to_all_of_a_handoff() {
    let output = Instance::last("output");
    output.limit(LOWERED);
    let mut sender = connect(&output).await;
    sender
        .say(&mail(Origin::Outside, 1, Mode::All), "250")
        .await;
    sender
        .play("RCPT TO:<alice@x.org> => 250\nRCPT TO:<bob@x.org> => 452")
        .await;
    sender.chunk("\r\n").await;
    sender.hears("451").await;
    assert!(output.stored().is_empty(), "all or none");
}

#[tokio::test]
async fn origins_that_are_no_longer_accepted_refuse_no_repetition() {
    let output = Instance::last("output");
    let ours = mail(Origin::Local { uid: 7 }, 1, Mode::Each);
    for claims in [Claims::Any, Claims::World] {
        let mut sender = output.instance(claims).await;
        sender.say(EPOCHS, "250").await;
        sender.say(&ours, "250").await;
        sender.say("RCPT TO:<alice@x.org>", "250").await;
        sender.chunk("\r\n").await;
        sender.hears("250").await;
    }
    assert_eq!(output.stored().len(), 1);
}
