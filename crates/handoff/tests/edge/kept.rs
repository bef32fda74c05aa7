//! Connections that are kept from one use to the next.

use std::sync::Arc;

use crate::world::{Output, settle, verify};

#[tokio::test(start_paused = true)]
async fn what_a_kept_connection_was_sent_unasked_answers_no_question() {
    let (output, next) = Output::with_front();
    output.says_unasked("550 5.1.1 no such user\r\n");
    for recipient in ["alice@x.org", "bob@x.org", "carol@x.org"] {
        let (next, recipient) = (Arc::clone(&next), recipient.to_owned());
        let asking = tokio::spawn(async move { verify(&next, &recipient).await });
        settle().await;
        settle().await;
        let reply = asking.await.unwrap().unwrap();
        assert_eq!(reply.code.value(), 250, "{reply}");
    }
}
