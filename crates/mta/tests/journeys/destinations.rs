//! Routes that find out where a domain's mail goes, and how it waits when they cannot.

use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use delivery::transport::Transport;
use delivery::{Hop, Match, NoResolver, OpenTo, Resolver, Resolving, Route, Unresolved, Via};
use mail::reply::table;
use queue::Backoff;

use crate::world::{
    Instance, LATER, LIMIT, PATIENT, Plan, alarm, deferred, delivered, failed, held, hold, message,
};

/// Answers what was laid down for it, one after the other, and then the last again.
struct Script {
    answers: Mutex<Vec<Result<Hop, Unresolved>>>,
    asked: Mutex<Vec<String>>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("script")
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mx")
    }
}

impl Resolver for Script {
    fn resolve<'a>(&'a self, domain: &'a str) -> Resolving<'a> {
        self.asked.lock().unwrap().push(domain.to_owned());
        let answer = {
            let mut answers = self.answers.lock().unwrap();
            let is_last = answers.len() < 2;
            let first = answers.first().cloned();
            if !is_last {
                drop(answers.remove(0));
            }
            first
        };
        let answer = answer.expect("an answer was laid down");
        Box::pin(async move { answer })
    }
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Result<Hop, Unresolved>>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into_iter().collect()),
            asked: Mutex::default(),
        })
    }

    fn n_asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// Blocks a thread until what was returned with it is dropped.
#[derive(Debug)]
struct Hangs(Arc<Mutex<Receiver<()>>>);

impl fmt::Display for Hangs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("slow")
    }
}

impl Resolver for Hangs {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        let waits = Arc::clone(&self.0);
        let looking = tokio::task::spawn_blocking(move || {
            let _ = waits.lock().unwrap().recv_timeout(LIMIT);
        });
        Box::pin(async move {
            looking.await.unwrap();
            discards("slow", None)
        })
    }
}

fn hangs() -> (Sender<()>, Arc<Hangs>) {
    let (go_on, waits) = channel();
    (go_on, Arc::new(Hangs(Arc::new(Mutex::new(waits)))))
}

fn leads(site: &str, transport: Transport, valid_for: Option<u64>) -> Result<Hop, Unresolved> {
    Ok(Hop {
        site: site.into(),
        transport: Arc::new(transport),
        valid_for: valid_for.map(Duration::from_millis),
    })
}

fn discards(site: &str, valid_for: Option<u64>) -> Result<Hop, Unresolved> {
    let why = "test".into();
    leads(site, Transport::Discard { why }, valid_for)
}

fn not_now() -> Result<Hop, Unresolved> {
    let reply = table::UNRESOLVED.reply().with_cause("the zone is broken");
    Err(Unresolved::NotNow(reply))
}

fn resolved(domain: &str, resolver: Arc<dyn Resolver>) -> Route {
    Route {
        matches: vec![Match::Domain(domain.into())],
        users: None,
        open_to: OpenTo::Anyone,
        via: Via::Resolver(resolver),
    }
}

#[tokio::test]
async fn a_route_whose_lookup_hangs_delays_its_own_destination_only() {
    let (go_on, slow) = hangs();
    let quick = Script::new([discards("quick", None)]);
    let routes = vec![
        resolved("slow.org", slow),
        resolved("quick.org", quick),
        hold("held.org"),
    ];
    let output = Instance::new(routes, &PATIENT);
    let first = output.accept(message(&["a@slow.org"]), "\r\n").await;
    for _ in 0..20 {
        output.accept(message(&["a@slow.org"]), "\r\n").await;
    }
    // A message for both waits for the one only with that recipient.
    output
        .accept(
            message(&["b@slow.org", "b@quick.org", "b@held.org"]),
            "\r\n",
        )
        .await;
    output.noted.until(1, delivered).await;
    output.noted.until(1, held).await;
    assert_eq!(output.noted.count(delivered), 1);
    let row = output.delivery.row(first).await.unwrap();
    assert_eq!(&*row.recipients[0].destination, "slow slow.org");
    drop(go_on);
    output.noted.until(23, delivered).await;
}

#[tokio::test]
async fn a_destination_is_resolved_once_for_all_its_mail_and_apart_from_others() {
    let mx = Script::new([discards("mx.example", None)]);
    let routes = vec![
        resolved("y.org", Arc::clone(&mx) as _),
        resolved("z.org", Arc::clone(&mx) as _),
    ];
    let output = Instance::new(routes, &PATIENT);
    for _ in 0..10 {
        let both = message(&["a@Y.org", "b@y.org", "c@z.org"]);
        output.accept(both, "\r\n").await;
    }
    output.noted.until(30, delivered).await;
    assert_eq!(*mx.asked.lock().unwrap(), ["y.org", "z.org"]);
}

#[tokio::test]
async fn of_what_cannot_be_resolved_now_one_message_shows_why_for_all() {
    let mx = Script::new([not_now()]);
    let plan = Plan {
        probes: LATER,
        backoff: LATER,
        ..PATIENT
    };
    let output = Instance::new(vec![resolved("y.org", Arc::clone(&mx) as _)], &plan);
    let first = output.accept(message(&["a@y.org"]), "\r\n").await;
    output.noted.until(1, deferred).await;
    let second = output.accept(message(&["b@y.org"]), "\r\n").await;
    let row = async |id| output.delivery.row(id).await.unwrap().recipients.remove(0);
    let shown = row(first).await.reply.unwrap();
    assert_eq!(shown.cause(), Some("the zone is broken"));
    let waits = row(second).await.waits_for.unwrap();
    assert!(waits.contains("mx y.org takes no mail"), "{waits}");
    assert!(waits.contains("the zone is broken"), "{waits}");
    assert_eq!((mx.n_asked(), output.noted.count(deferred)), (1, 1));
    // An operator need not wait for the next time.
    *mx.answers.lock().unwrap() = vec![discards("mx.example", None)];
    output.delivery.retry(second, None, "root").await.unwrap();
    output.noted.until(1, delivered).await;
    output.delivery.retry(first, None, "root").await.unwrap();
    output.noted.until(2, delivered).await;
    assert_eq!(mx.n_asked(), 2);
}

#[tokio::test]
async fn what_cannot_be_resolved_until_it_expires_fails_with_the_reason() {
    let plan = Plan {
        probes: Backoff::new(&[Duration::from_millis(5)]),
        expire_after: Duration::ZERO,
        ..PATIENT
    };
    let output = Instance::new(vec![resolved("y.org", Script::new([not_now()]))], &plan);
    for _ in 0..5 {
        output.accept(message(&["a@y.org"]), "\r\n").await;
    }
    output.noted.until(5, failed).await;
}

#[tokio::test]
async fn while_no_resolver_answers_no_message_expires() {
    let plan = Plan {
        probes: Backoff::new(&[Duration::from_millis(5)]),
        expire_after: Duration::ZERO,
        ..PATIENT
    };
    let silent = Err(Unresolved::NoResolver(table::DNS_SILENT.reply()));
    let mx = Script::new([silent]);
    let output = Instance::new(vec![resolved("y.org", Arc::clone(&mx) as _)], &plan);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(output.accept(message(&["a@y.org"]), "\r\n").await);
    }
    output.noted.until(1, deferred).await;
    *mx.answers.lock().unwrap() = vec![discards("mx.example", None)];
    for id in ids {
        // What is not given up rests for a minute; an operator need not wait for that.
        let _ = output.delivery.retry(id, None, "root").await;
    }
    output.noted.until(5, delivered).await;
    assert_eq!(output.noted.count(failed), 0);
}

#[tokio::test]
async fn a_route_without_a_resolver_keeps_its_mail_and_raises_one_alarm() {
    let plan = Plan {
        probes: Backoff::new(&[Duration::from_millis(5)]),
        expire_after: Duration::ZERO,
        ..PATIENT
    };
    let none = Arc::new(NoResolver::new("mx", "/etc/resolv.conf: permission denied"));
    let output = Instance::new(vec![resolved("y.org", none)], &plan);
    for _ in 0..5 {
        output.accept(message(&["a@y.org"]), "\r\n").await;
    }
    output.noted.until(1, deferred).await;
    let mx = Script::new([discards("mx.example", None)]);
    output.reload(vec![resolved("y.org", mx)]);
    output.noted.until(5, delivered).await;
    assert_eq!(
        (output.noted.count(failed), output.noted.count(alarm)),
        (0, 1)
    );
}

#[tokio::test]
async fn a_domain_that_takes_no_mail_fails_at_once() {
    let reply = table::NO_SUCH_DOMAIN.reply();
    let mx = Script::new([Err(Unresolved::Refused(reply))]);
    let output = Instance::new(vec![resolved("y.org", Arc::clone(&mx) as _)], &PATIENT);
    output.accept(message(&["a@y.org"]), "\r\n").await;
    output.accept(message(&["b@y.org"]), "\r\n").await;
    output.noted.until(2, failed).await;
    assert_eq!(mx.n_asked(), 1, "that is remembered");
}

#[tokio::test]
async fn what_was_deferred_goes_to_the_site_that_its_destination_leads_to_then() {
    let later = Transport::Error(table::TRY_AGAIN.reply());
    let mx = Script::new([leads("old", later, Some(1)), discards("new", None)]);
    let output = Instance::new(vec![resolved("y.org", Arc::clone(&mx) as _)], &PATIENT);
    output.accept(message(&["a@y.org"]), "\r\n").await;
    output.noted.until(1, deferred).await;
    output.noted.until(1, delivered).await;
    assert_eq!(mx.n_asked(), 2);
}

#[tokio::test]
async fn a_reload_resolves_again_by_the_new_settings() {
    let later = Transport::Error(table::TRY_AGAIN.reply());
    let mx = Script::new([leads("old", later, None)]);
    let output = Instance::new(vec![resolved("y.org", mx)], &PATIENT);
    output.accept(message(&["a@y.org"]), "\r\n").await;
    output.noted.until(2, deferred).await;
    let mx = Script::new([discards("new", None)]);
    output.reload(vec![resolved("y.org", Arc::clone(&mx) as _)]);
    output.noted.until(1, delivered).await;
    assert_eq!(mx.n_asked(), 1);
}

#[tokio::test]
async fn a_route_that_is_another_after_a_reload_takes_what_waited_to_be_resolved() {
    let output = Instance::new(vec![resolved("y.org", Script::new([not_now()]))], &PATIENT);
    output.accept(message(&["a@y.org"]), "\r\n").await;
    output.noted.until(1, deferred).await;
    output.reload(vec![hold("y.org")]);
    output.noted.until(1, held).await;
}

#[tokio::test]
async fn a_resolver_that_panics_defers_its_destination() {
    let mx = Script::new([]);
    let output = Instance::new(vec![resolved("y.org", Arc::clone(&mx) as _)], &PATIENT);
    output.accept(message(&["a@y.org"]), "\r\n").await;
    output.noted.until(1, deferred).await;
    mx.answers.lock().unwrap().push(discards("mx", None));
    output.noted.until(1, delivered).await;
}
