//! Attempts that panic: a mistake in the program costs the attempt, and not the message.

use mail::event::What;
use spool::simulated::Fault;
use spool::{Content, Fresh};

use crate::host::Host;
use crate::world::{Instance, PATIENT, alarm, delivered, held, message, possible_duplicate, relay};

/// An instance where every attempt for the message panics, for as long as its disk has that fault.
async fn with_a_message_that_panics(host: &Host) -> (Instance, mail::MessageId) {
    let instance = Instance::new(vec![relay("y.org", host.port)], &PATIENT);
    let mut file = instance.spool.content_file().unwrap();
    file.write(b"\r\n").unwrap();
    let content = file.commit().unwrap();
    let message = message(&["a@y.org"]);
    instance.disk.set_fault(Fault::PanicOnOpening("content/"));
    let accepting = instance.spool.accept(&message, Content::File(content));
    let id = accepting.await.unwrap();
    instance.delivery.queued(Fresh {
        id,
        message,
        content_len: 2,
        content: None,
    });
    instance.noted.until(1, panicked).await;
    (instance, id)
}

fn panicked(what: &What) -> bool {
    matches!(what, What::Alarm { text } if text.contains("ended in a panic, and"))
}

#[tokio::test]
async fn a_message_whose_attempt_panicked_is_put_off_and_delivered_later() {
    let host = Host::new(&[]).await;
    let (instance, id) = with_a_message_that_panics(&host).await;
    let counts = instance.delivery.counts();
    assert_eq!((counts.n_under_way, counts.n_waiting), (0, 1));
    assert_eq!(instance.noted.count(alarm), 1);
    // The others go on, and so does an orderly stop.
    instance.accept(message(&["b@y.org"]), "\r\n").await;
    instance.noted.until(1, delivered).await;
    instance.disk.set_fault(Fault::None);
    instance.delivery.retry(id, None, "uid 0").await.unwrap();
    instance.noted.until(2, delivered).await;
    instance.empty().await;
    assert_eq!(instance.noted.count(possible_duplicate), 1);
    instance.delivery.stop().await;
}

#[tokio::test]
async fn a_message_whose_attempts_panic_each_time_is_set_aside() {
    let host = Host::new(&[]).await;
    let (instance, id) = with_a_message_that_panics(&host).await;
    for n in 2..=5 {
        instance.delivery.retry(id, None, "uid 0").await.unwrap();
        instance.noted.until(n, panicked).await;
    }
    instance.delivery.retry(id, None, "uid 0").await.unwrap();
    instance.noted.until(1, held).await;
    instance.idle().await;
    assert_eq!(instance.noted.count(panicked), 5);
    assert_eq!(instance.n_held(), 1);
    instance.disk.set_fault(Fault::None);
    instance.delivery.release(id, None, "uid 0").await.unwrap();
    instance.noted.until(1, delivered).await;
    instance.empty().await;
}
