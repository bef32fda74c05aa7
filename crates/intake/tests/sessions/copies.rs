//! Several copies of one handoff: a sender gave up waiting, and repeats it under its key.

use std::sync::Arc;

use handoff::Mode;
use intake::Claims;
use mail::Origin;
use tokio::net::UnixStream;

use crate::handoffs::{EPOCHS, mail, mail_above};
use crate::world::{ByName, Client, Instance};

/// More than is kept in memory: its content is synced by itself, before its record.
const LARGE: usize = 300 * 1024;

/// A connection of the sender, on which it has named its epochs.
async fn connect(output: &Instance) -> Client<UnixStream> {
    let mut sender = output.instance(Claims::Any).await;
    sender.say(EPOCHS, "250").await;
    sender
}

/// Begins a handoff to alice.
async fn begin(sender: &mut Client<UnixStream>, key: u64) {
    sender
        .say(&mail(Origin::Outside, key, Mode::All), "250")
        .await;
    sender.say("RCPT TO:<alice@x.org>", "250").await;
}

/// Brings another handoff, which reports that all numbers below its own are settled.
async fn settle_below(output: &Instance, key: u64) {
    let mut sender = connect(output).await;
    let next = mail_above(key, Origin::Outside, key, Mode::All);
    sender.say(&next, "250").await;
    sender.say("RCPT TO:<bob@x.org>", "250").await;
    sender.chunk("\r\n").await;
    sender.hears("250").await;
}

#[tokio::test]
async fn a_copy_whose_sync_is_slow_has_the_key_before_it() {
    let output = Instance::last("output");
    output.holding.arm();
    let large = "x\r\n".repeat(LARGE / 3);
    let mut first = connect(&output).await;
    begin(&mut first, 1).await;
    first.chunk(&large).await;
    output.holding.holds().await;
    // The sender's patience is over. The repetition must not be stored beside the first copy.
    drop(first);
    let mut second = connect(&output).await;
    begin(&mut second, 1).await;
    let known = output.key_is_known(1);
    second.chunk(&large).await;
    output.holding.release();
    second.hears("250").await;
    assert!(known, "the second copy waits for the first");
    settle_below(&output, 2).await;
    assert_eq!(output.stored().len(), 2, "each message once");
}

#[tokio::test]
async fn a_copy_that_was_begun_before_its_number_was_settled_is_not_stored() {
    let output = Instance::last("output");
    let mut late = connect(&output).await;
    begin(&mut late, 1).await;
    let mut repeated = connect(&output).await;
    begin(&mut repeated, 1).await;
    repeated.chunk("\r\n").await;
    repeated.hears("250").await;
    settle_below(&output, 2).await;
    late.chunk("\r\n").await;
    late.hears("451").await;
    assert_eq!(output.stored().len(), 2, "each message once");
}

#[tokio::test]
async fn the_copy_that_was_begun_last_is_the_one_that_is_stored() {
    let output = Instance::last("output");
    let mut late = connect(&output).await;
    begin(&mut late, 1).await;
    let mut repeated = connect(&output).await;
    begin(&mut repeated, 1).await;
    late.chunk("\r\n").await;
    late.hears("451").await;
    repeated.chunk("\r\n").await;
    repeated.hears("250").await;
    assert_eq!(output.stored().len(), 1);
}

#[tokio::test]
async fn a_copy_whose_repetition_was_refused_is_not_stored_afterwards() {
    let recipients = Arc::new(ByName::default());
    let output = Instance::last_with("output", Arc::clone(&recipients));
    let mut late = connect(&output).await;
    begin(&mut late, 1).await;
    // A reload takes the mailbox away; the sender is answered so, and notifies.
    recipients.remove("alice@x.org");
    let mut repeated = connect(&output).await;
    let again = mail(Origin::Outside, 1, Mode::All);
    repeated.say(&again, "250").await;
    repeated.say("RCPT TO:<alice@x.org>", "550").await;
    late.chunk("\r\n").await;
    late.hears("451").await;
    assert_eq!(output.stored().len(), 0);
}

#[tokio::test]
async fn a_handoff_that_was_given_up_before_its_commit_is_not_stored() {
    let output = Instance::last("output");
    let mut given_up = connect(&output).await;
    begin(&mut given_up, 1).await;
    // The receiver finds the content and the end of the connection together.
    given_up.chunk("\r\n").await;
    drop(given_up);
    let mut other = connect(&output).await;
    begin(&mut other, 2).await;
    other.chunk("\r\n").await;
    other.hears("250").await;
    assert_eq!(output.stored().len(), 1, "nobody waits for the first");
}
