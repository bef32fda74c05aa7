//! Who is notified of what became of a message, whatever it takes.

use std::sync::Arc;
use std::time::Duration;

use delivery::transport::Transport;
use mail::event::What;
use mail::{BodyType, Notify, Reply, ReplyCode, ReversePath};
use spool::simulated::{Fault, PowerCut};
use spool::{Content, Message, Stored};
use testkit::scratch::Scratch;

use crate::host::Host;
use crate::world::{
    Instance, LATER, PATIENT, Plan, after_power_cut, alarm, deferred, delivered, failed, hold,
    maildirs, message, notified, relay, route,
};

fn refuse(domain: &str) -> delivery::Route {
    let reply = Reply::new(ReplyCode::new(550), None, &"no such user ".repeat(30));
    route(domain, Transport::Error(reply))
}

/// The content of a message, as text.
fn content(instance: &Instance, stored: &Stored) -> String {
    let read = instance.spool.reader(stored.id).unwrap().read_all();
    String::from_utf8_lossy(&read.unwrap()).into_owned()
}

/// The reports that wait for their sender.
fn reports(instance: &Instance) -> Vec<Stored> {
    let mut left = after_power_cut(&instance.disk);
    left.retain(|stored| stored.message.envelope.sender == ReversePath::Null);
    left
}

#[tokio::test]
async fn a_thousand_failures_with_long_orcpts_are_all_notified() {
    let plan = Plan {
        segment_len: 8 * 1024 * 1024,
        ..PATIENT
    };
    let instance = Instance::new(vec![refuse("y.org"), hold("x.org")], &plan);
    let to: Vec<_> = (0..1_000).map(|n| format!("user{n}@y.org")).collect();
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    let mut many = message(&to);
    for recipient in &mut many.envelope.recipients {
        recipient.orcpt = Some(format!("rfc822;{}@y.org", "o".repeat(490)).into());
    }
    instance.accept(many, "Subject: lost\r\n\r\n").await;
    instance.noted.until(2, notified).await;
    instance.idle().await;
    assert_eq!(instance.noted.count(failed), 1_000);
    assert_eq!(instance.noted.count(alarm), 0);
    instance.delivery.stop().await;
    instance.spool.close();
    let disk = instance.disk.after(PowerCut::Lost);
    let again = Instance::on(disk, &plan, |_, _| vec![hold("x.org")]);
    let briefs = again.delivery.briefs(None, usize::MAX);
    let texts: Vec<_> = briefs
        .iter()
        .map(|brief| content(&again, &again.spool.message(brief.id).unwrap()))
        .collect();
    for address in to {
        let named = format!("Final-Recipient: rfc822; {address}\r\n");
        let n = texts
            .iter()
            .map(|text| text.matches(&named).count())
            .sum::<usize>();
        assert_eq!(n, 1, "{address}");
    }
}

#[tokio::test]
async fn a_failure_whose_notification_finds_no_room_is_notified_later() {
    let plan = Plan {
        backoff: LATER,
        ..PATIENT
    };
    let host = Host::new(&[("a@y.org", &["450 4.2.0 later"])]).await;
    let instance = Instance::new(vec![relay("y.org", host.port), hold("x.org")], &plan);
    let id = instance.accept(message(&["a@y.org"]), "\r\n").await;
    instance.noted.until(1, deferred).await;
    instance.idle().await;
    instance.disk.set_fault(Fault::FullFrom(1));
    let filler: Arc<Vec<u8>> = Arc::new("x".repeat(60_000).into());
    let more = |filler: &Arc<Vec<u8>>| {
        let content = Content::Bytes(Arc::clone(filler));
        instance.spool.accept(&message(&["a@x.org"]), content)
    };
    while more(&filler).await.is_ok() {}
    let small = Arc::new(Vec::new());
    while more(&small).await.is_ok() {}
    instance.reload_with(vec![refuse("y.org"), hold("x.org")], &plan);
    instance.delivery.retry(id, None, "uid 0").await.unwrap();
    let kept = |what: &What| matches!(what, What::Alarm { text } if text.contains("tried again"));
    instance.noted.until(1, kept).await;
    instance.idle().await;
    let stored = instance.spool.message(id).unwrap();
    assert_eq!(stored.recipients[0].disposition, mail::Disposition::Pending);
    assert_eq!(instance.noted.count(notified), 0);
    instance.disk.set_fault(Fault::None);
    while more(&small).await.is_err() {
        // The committer looks for room now and then, in its own time.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    instance.delivery.retry(id, None, "uid 0").await.unwrap();
    instance.noted.until(1, notified).await;
    instance.recorded_end(id).await;
    assert_eq!(reports(&instance).len(), 1);
}

/// A message to these recipients, whose sender wants to know of success.
fn asking_for_success(recipients: &[&str]) -> Message {
    let mut asking = message(recipients);
    for recipient in &mut asking.envelope.recipients {
        recipient.notify = Notify::SUCCESS;
    }
    asking
}

/// The one report that is left, as text.
fn the_report(instance: &Instance) -> String {
    let [report] = &reports(instance)[..] else {
        panic!("one report");
    };
    content(instance, report)
}

#[tokio::test]
async fn a_delivery_into_a_mailbox_is_reported_to_who_asked_for_it() {
    let scratch = Scratch::new();
    let to_maildirs = maildirs("y.org", scratch.path(), &["a", "b"]);
    let routes = vec![to_maildirs, hold("x.org")];
    let instance = Instance::new(routes, &PATIENT);
    let mut asking = asking_for_success(&["a@y.org", "b@y.org"]);
    asking.envelope.recipients[1].notify = Notify::FAILURE;
    let id = instance.accept(asking, "\r\n").await;
    instance.noted.until(1, notified).await;
    instance.recorded_end(id).await;
    let report = the_report(&instance);
    assert!(report.contains("Final-Recipient: rfc822; a@y.org\r\nAction: delivered\r\n"));
    assert!(!report.contains("b@y.org"));
    assert_eq!(instance.noted.count(delivered), 2);
}

#[tokio::test]
async fn a_delivery_to_a_host_without_dsn_is_reported_as_relayed() {
    let host = Host::new(&[]).await;
    let instance = Instance::new(vec![relay("y.org", host.port), hold("x.org")], &PATIENT);
    let id = instance
        .accept(asking_for_success(&["a@y.org"]), "\r\n")
        .await;
    instance.noted.until(1, notified).await;
    instance.recorded_end(id).await;
    assert!(the_report(&instance).contains("\r\nAction: relayed\r\n"));
    assert_eq!(host.taken().len(), 1);
}

#[tokio::test]
async fn a_delivery_to_a_host_with_dsn_is_reported_by_that_host() {
    let host = Host::that_offers(&["DSN"]).await;
    let instance = Instance::new(vec![relay("y.org", host.port), hold("x.org")], &PATIENT);
    instance
        .accept(asking_for_success(&["a@y.org"]), "\r\n")
        .await;
    instance.noted.until(1, delivered).await;
    instance.empty().await;
    assert_eq!(instance.noted.count(notified), 0);
    assert_eq!(
        host.taken()[0].commands[1],
        "RCPT TO:<a@y.org> NOTIFY=SUCCESS"
    );
}

#[tokio::test]
async fn a_success_and_a_failure_of_one_attempt_are_both_reported() {
    let host = Host::new(&[("b@y.org", &["550 5.1.1 no such user"])]).await;
    let instance = Instance::new(vec![relay("y.org", host.port), hold("x.org")], &PATIENT);
    let mut asking = asking_for_success(&["a@y.org", "b@y.org"]);
    asking.envelope.recipients[1].notify = Notify::FAILURE;
    let id = instance.accept(asking, "\r\n").await;
    instance.noted.until(2, notified).await;
    instance.recorded_end(id).await;
    let texts: Vec<_> = reports(&instance)
        .iter()
        .map(|report| content(&instance, report))
        .collect();
    let about = |action: &str| {
        let action = format!("Action: {action}\r\n");
        texts.iter().filter(|text| text.contains(&action)).count()
    };
    assert_eq!((texts.len(), about("relayed"), about("failed")), (2, 1, 1));
    assert_eq!(host.taken().len(), 1);
}

#[tokio::test]
async fn a_notification_about_8bit_mail_reaches_its_sender_behind_any_host() {
    let host = Host::new(&[]).await;
    let routes = vec![refuse("y.org"), relay("x.org", host.port)];
    let instance = Instance::new(routes, &PATIENT);
    let mut about_8bit = message(&["a@y.org"]);
    about_8bit.envelope.body = BodyType::EightBitMime;
    about_8bit.envelope.smtputf8 = true;
    let content = "Subject: grüße\r\n\r\ngrüße\r\n";
    instance.accept(about_8bit, content).await;
    instance.noted.until(1, delivered).await;
    instance.empty().await;
    assert_eq!(instance.noted.count(failed), 1);
    let [taken] = &host.taken()[..] else {
        panic!("one notification");
    };
    assert_eq!(taken.recipients, ["s@x.org"]);
    assert!(taken.content.contains("Subject: gr=C3=BC=C3=9Fe\r\n"));
}

#[tokio::test]
async fn what_declares_smtputf8_without_need_goes_to_a_host_that_lacks_it() {
    let host = Host::new(&[]).await;
    let instance = Instance::new(vec![relay("y.org", host.port), hold("x.org")], &PATIENT);
    let mut ascii = message(&["a@y.org"]);
    ascii.envelope.smtputf8 = true;
    instance.accept(ascii, "Subject: x\r\n\r\n").await;
    instance.noted.until(1, delivered).await;
    let mut in_need = message(&["a@y.org"]);
    in_need.envelope.smtputf8 = true;
    instance.accept(in_need, "Subject: grüße\r\n\r\n").await;
    instance.noted.until(1, failed).await;
    assert_eq!(host.taken().len(), 1);
}

#[tokio::test]
async fn a_host_that_replies_with_our_exact_words_is_named_as_their_author() {
    let replies = ["550 5.1.1 no such user"];
    let host = Host::new(&[("a@y.org", &replies)]).await;
    let instance = Instance::new(vec![relay("y.org", host.port), hold("x.org")], &PATIENT);
    let id = instance.accept(message(&["a@y.org"]), "\r\n").await;
    instance.noted.until(1, notified).await;
    instance.recorded_end(id).await;
    let report = the_report(&instance);
    assert!(report.contains("\r\nRemote-MTA: dns; "), "{report}");
    assert!(report.contains("\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n"));
}

#[tokio::test]
async fn a_refusal_of_our_own_on_the_way_to_a_host_names_no_host() {
    let host = Host::new(&[]).await;
    let instance = Instance::new(vec![relay("y.org", host.port), hold("x.org")], &PATIENT);
    let mut in_need = message(&["a@y.org"]);
    in_need.envelope.smtputf8 = true;
    let id = instance.accept(in_need, "Subject: grüße\r\n\r\n").await;
    instance.noted.until(1, notified).await;
    instance.recorded_end(id).await;
    let report = the_report(&instance);
    assert!(!report.contains("Remote-MTA:"), "{report}");
    assert!(report.contains("\r\nDiagnostic-Code: X-Postern; "));
}
