//! What the next instance says unasked on a kept connection.

use std::os::unix::net::UnixStream as Pair;
use std::sync::Arc;

use handoff::EdgeReceiver;
use net::Stream;
use spool::simulated::SimulatedDisk;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::Notify;

use crate::handoffs::next;
use crate::world::open;

/// Another instance that answers each command with the next of `replies`.
async fn play(stream: Stream, replies: &[&str]) -> BufReader<Stream> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 output\r\n").await.unwrap();
    for reply in replies {
        let mut command = String::new();
        assert_ne!(stream.read_line(&mut command).await.unwrap(), 0);
        let reply = format!("{reply}\r\n");
        stream.write_all(reply.as_bytes()).await.unwrap();
    }
    stream
}

const HELLO: &str = "250-output\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 XPOSTERN 1";

#[tokio::test]
async fn what_the_next_instance_says_unasked_answers_no_later_question() {
    let (spool, _) = open(&SimulatedDisk::new());
    let (own_end, other_end) = Pair::pair().unwrap();
    let next = next(&spool, own_end.into());
    let (answered, said) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (was_answered, has_said) = (Arc::clone(&answered), Arc::clone(&said));
    tokio::spawn(async move {
        let edge = EdgeReceiver::new(other_end.into()).unwrap();
        let first = edge.accept().await.unwrap().unwrap();
        let mut first = play(first, &[HELLO, "250 ok", "250 2.1.5 ok"]).await;
        was_answered.notified().await;
        first.write_all(b"250 2.1.5 ok\r\n").await.unwrap();
        has_said.notify_one();
        let second = edge.accept().await.unwrap().unwrap();
        let _second = play(second, &[HELLO, "250 ok", "550 5.1.1 no such user"]).await;
        // Neither is closed.
        std::future::pending::<()>().await;
    });
    let known = next.ask("<a@y.org>;o=outside").await.unwrap();
    assert!(known.is_positive());
    answered.notify_one();
    said.notified().await;
    let unknown = next.ask("<b@y.org>;o=outside").await;
    assert_eq!(unknown.map(|reply| reply.code.value()), Some(550));
}
