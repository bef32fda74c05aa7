//! A next host that cannot be reached, and what operators learn of it.

use mail::event::What;
use tokio::net::TcpSocket;

use crate::host::Host;
use crate::world::{Instance, LATER, PATIENT, Plan, alarm, deferred, delivered, message, relay};

/// A port of this machine that refuses connections until the test lets it listen.
fn refusing() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

fn line_with(words: &str) -> impl Fn(&What) -> bool {
    let words: Box<str> = words.into();
    move |what| matches!(what, What::Instance { text } if text.contains(&*words))
}

#[tokio::test]
async fn a_relay_that_cannot_be_reached_is_one_alarm_and_its_return_a_line() {
    let (socket, port) = refusing();
    let output = Instance::new(vec![relay("y.org", port)], &PATIENT);
    output.accept(message(&["a@y.org"]), "\r\n").await;
    output.accept(message(&["b@y.org"]), "\r\n").await;
    output.noted.until(4, deferred).await;
    let why = format!(
        "mail waits: relay 127.0.0.1:{port} takes none: connection refused by 127.0.0.1:{port} \
         (127.0.0.1)"
    );
    let told = |what: &What| matches!(what, What::Alarm { text } if text.starts_with(&*why));
    assert_eq!(output.noted.count(told), 1);
    assert_eq!(output.noted.count(alarm), 1);
    let _host = Host::at(socket.listen(16).unwrap());
    output.noted.until(2, delivered).await;
    let works = format!("relay 127.0.0.1:{port} takes mail again");
    output.noted.until(1, line_with(&works)).await;
    assert_eq!(output.noted.count(alarm), 1);
}

#[tokio::test]
async fn what_waits_untried_for_a_relay_that_is_down_is_listed_with_the_cause() {
    let (_socket, port) = refusing();
    let plan = Plan {
        backoff: LATER,
        probes: LATER,
        ..PATIENT
    };
    let output = Instance::new(vec![relay("y.org", port)], &plan);
    output.accept(message(&["a@y.org"]), "\r\n").await;
    output.noted.until(1, alarm).await;
    output.idle().await;
    let untried = output.accept(message(&["b@y.org"]), "\r\n").await;
    let row = output.delivery.row(untried).unwrap();
    let reason = row.recipients[0].waits_for.as_deref().unwrap();
    let begin = format!("not tried yet: relay 127.0.0.1:{port} takes no mail since 2");
    assert!(reason.starts_with(&begin), "{reason}");
    let end = format!(": connection refused by 127.0.0.1:{port} (127.0.0.1)");
    assert!(reason.ends_with(&end), "{reason}");
    let outages = output.delivery.outages(10);
    assert_eq!(outages.len(), 1);
    assert_eq!(outages[0].n_waiting, 2);
    assert_eq!(&*outages[0].destination, format!("relay 127.0.0.1:{port}"));
}

#[tokio::test]
async fn an_outage_ends_with_the_mail_that_waits_for_it() {
    let (_socket, port) = refusing();
    let plan = Plan {
        backoff: LATER,
        probes: LATER,
        ..PATIENT
    };
    let output = Instance::new(vec![relay("y.org", port)], &plan);
    let id = output.accept(message(&["a@y.org"]), "\r\n").await;
    output.noted.until(1, deferred).await;
    output.idle().await;
    output.delivery.discard(id, None, "uid 0").await.unwrap();
    let text = format!("relay 127.0.0.1:{port} has no mail that waits for it any more");
    output.noted.until(1, line_with(&text)).await;
    assert_eq!(output.delivery.outages(10), []);
}

#[tokio::test]
async fn what_waits_for_a_place_is_listed_as_such() {
    let host = Host::silent().await;
    let output = Instance::new(vec![relay("y.org", host.port)], &PATIENT);
    for _ in 0..2 {
        output.accept(message(&["a@y.org"]), "\r\n").await;
    }
    host.has_content(2).await;
    let third = output.accept(message(&["b@y.org"]), "\r\n").await;
    let row = output.delivery.row(third).unwrap();
    let reason = row.recipients[0].waits_for.as_deref();
    let expected = "waits for its turn: 2 other attempts are under way there";
    assert_eq!(reason, Some(expected));
    (0..3).for_each(|_| host.acknowledge());
    output.noted.until(3, delivered).await;
}
