//! A next host that cannot be reached, and what operators learn of it.

use mail::event::What;
use tokio::net::TcpSocket;

use crate::host::Host;
use crate::world::{
    Instance, LATER, PATIENT, Plan, alarm, deferred, delivered, hold, message, relay,
};

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
        "mail waits: relay 127.0.0.1:{port} takes no mail: cannot connect to 127.0.0.1:{port}: \
         connection refused"
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
async fn an_outage_counts_the_messages_that_wait_for_it() {
    let (_socket, port) = refusing();
    let plan = Plan {
        backoff: LATER,
        probes: LATER,
        ..PATIENT
    };
    let output = Instance::new(vec![relay("y.org", port), hold("z.org")], &plan);
    output.accept(message(&["a@y.org"]), "\r\n").await;
    output.noted.until(1, alarm).await;
    output
        .accept(message(&["b@y.org", "c@z.org"]), "\r\n")
        .await;
    output.accept(message(&["d@y.org"]), "\r\n").await;
    let outages = output.delivery.outages(9);
    assert_eq!((outages.len(), outages[0].n_waiting), (1, 3));
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
    let row = output.delivery.row(untried).await.unwrap();
    let reason = row.recipients[0].waits_for.as_deref().unwrap();
    let begin = format!("not tried yet: relay 127.0.0.1:{port} takes no mail since 2");
    assert!(reason.starts_with(&begin), "{reason}");
    let end = format!(": cannot connect to 127.0.0.1:{port}: connection refused");
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
    let row = output.delivery.row(third).await.unwrap();
    let reason = row.recipients[0].waits_for.as_deref();
    let expected = "waits for its turn: 2 other attempts are under way there";
    assert_eq!(reason, Some(expected));
    (0..3).for_each(|_| host.acknowledge());
    output.noted.until(3, delivered).await;
}

#[tokio::test]
async fn a_hosts_deferral_is_logged_and_listed_with_host_and_phase() {
    let host = Host::new(&[("a@y.org", &["450 4.2.0 later"])]).await;
    let plan = Plan {
        backoff: LATER,
        ..PATIENT
    };
    let output = Instance::new(vec![relay("y.org", host.port)], &plan);
    let id = output.accept(message(&["a@y.org"]), "\r\n").await;
    let expected = format!("127.0.0.1:{} replied at RCPT: 450 4.2.0 later", host.port);
    let with_cause = |what: &What| match what {
        What::Deferred { reply, .. } => reply.cause() == Some(&*expected),
        _ => false,
    };
    output.noted.until(1, with_cause).await;
    output.idle().await;
    let row = output.delivery.row(id).await.unwrap();
    let reply = row.recipients[0].reply.clone().unwrap();
    assert_eq!(reply.cause(), Some(&*expected), "also from the spool");
    assert_eq!(reply.to_string(), "450 4.2.0 later");
}

#[tokio::test]
async fn what_expires_shows_operators_the_cause_of_its_last_attempt() {
    let (_socket, port) = refusing();
    let plan = Plan {
        expire_after: std::time::Duration::ZERO,
        ..PATIENT
    };
    let routes = vec![relay("y.org", port), hold("x.org")];
    let output = Instance::new(routes, &plan);
    output.accept(message(&["a@y.org"]), "\r\n").await;
    let cause = format!("451 4.4.1 cannot connect to 127.0.0.1:{port}: connection refused");
    let expired = |what: &What| match what {
        What::Failed { reply, .. } => {
            let public = "the last attempt: 451 4.4.1 no connection to the next host";
            reply.text().ends_with(public) && reply.cause().is_some_and(|of| of.ends_with(&*cause))
        }
        _ => false,
    };
    output.noted.until(1, expired).await;
}
