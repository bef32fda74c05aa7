//! The size that a next instance announces.

use handoff::Answer;

use crate::world::{Output, SIZE_ANNOUNCED, envelope, hand_off};

#[tokio::test(start_paused = true)]
async fn a_size_that_the_next_instance_announces_refuses_no_handoff() {
    const { assert!(SIZE_ANNOUNCED < 2, "what is handed off is larger") };
    let (_output, next) = Output::with_front();
    let answer = hand_off(&next, &envelope()).await;
    let Answer::Replies(replies) = answer else {
        panic!("{answer:?}");
    };
    let codes: Vec<_> = replies.iter().map(|reply| reply.code.value()).collect();
    assert_eq!(codes, [250]);
}
