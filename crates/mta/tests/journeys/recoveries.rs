//! What an instance goes on with after a crash.

use std::time::Duration;

use mail::event::What;
use mail::reply::table;
use mail::{Disposition, Timestamp};
use spool::simulated::{PowerCut, SimulatedDisk};
use spool::{Content, IndexSet, Progress, RecipientState};

use crate::host::Host;
use crate::world::{
    Instance, LATER, PATIENT, Plan, deferred, delivered, held, hold, message, open,
    possible_duplicate, relay,
};

#[tokio::test]
async fn a_message_whose_first_attempt_nobody_knows_of_is_delivered_and_said_to_be_one() {
    let host = Host::new(&[]).await;
    let disk = SimulatedDisk::new();
    let (spool, _) = open(&disk);
    let octets = Content::Bytes(b"\r\n".to_vec().into());
    spool.accept(&message(&["a@y.org"]), octets).await.unwrap();
    let disk = disk.after(PowerCut::Lost);
    let routes = vec![relay("y.org", host.port)];
    let instance = Instance::on(disk, &PATIENT, |_, _| routes);
    instance.noted.until(1, delivered).await;
    instance.empty().await;
    assert_eq!(instance.noted.count(possible_duplicate), 1);
    assert_eq!(host.taken().len(), 1);
}

/// As after a start with a battery that is flat: the clock stands years before the last attempt.
#[tokio::test]
async fn a_message_that_is_due_in_years_by_the_clock_waits_no_longer_than_a_retry() {
    let host = Host::new(&[]).await;
    let disk = SimulatedDisk::new();
    let (spool, _) = open(&disk);
    let mut due_in_years = message(&["a@y.org"]);
    let years = Duration::from_secs(10 * 365 * 86_400);
    due_in_years.next_due = due_in_years.provenance.arrived.after(years);
    let octets = Content::Bytes(b"\r\n".to_vec().into());
    spool.accept(&due_in_years, octets).await.unwrap();
    let disk = disk.after(PowerCut::Lost);
    let routes = vec![relay("y.org", host.port)];
    let instance = Instance::on(disk, &PATIENT, |_, _| routes);
    instance.noted.until(1, delivered).await;
}

#[tokio::test]
async fn what_was_put_off_or_held_is_so_after_a_crash() {
    let host = Host::new(&[("a@y.org", &["450 4.2.0 later"])]).await;
    let plan = Plan {
        backoff: LATER,
        ..PATIENT
    };
    let routes = || vec![relay("y.org", host.port), hold("h.org")];
    let instance = Instance::new(routes(), &plan);
    let put_off = instance.accept(message(&["a@y.org"]), "\r\n").await;
    instance.noted.until(1, deferred).await;
    instance.accept(message(&["a@h.org"]), "\r\n").await;
    instance.noted.until(1, held).await;
    // What is told is recorded a moment later; an orderly end waits for it.
    instance.delivery.stop().await;
    instance.spool.close();
    let disk = instance.disk.after(PowerCut::Lost);
    let again = Instance::on(disk, &plan, |_, _| routes());
    let counts = again.delivery.counts();
    assert_eq!((counts.n_messages, again.n_held()), (2, 1));
    assert_eq!((counts.n_waiting, counts.n_under_way), (1, 0));
    let briefs = again.delivery.briefs(None, 2);
    assert_eq!(briefs.iter().map(|brief| brief.n_deferred).sum::<u32>(), 1);
    let row = again.delivery.row(put_off).await.unwrap();
    assert_eq!(row.recipients[0].disposition, Disposition::Pending);
    assert_eq!(row.recipients[0].attempts, 1);
    assert!(row.recipients[0].next_due.is_some());
    assert_eq!(again.noted.count(possible_duplicate), 0);
}

#[tokio::test]
async fn of_attempts_that_overlap_a_crash_those_without_an_outcome_are_in_doubt_and_no_others() {
    let y = Host::silent_after(&[("a@y.org", &["450 4.2.0 later"])]).await;
    let z = Host::new(&[("b@z.org", &["450 4.2.0 later"; 3])]).await;
    let plan = Plan {
        backoff: LATER,
        ..PATIENT
    };
    let routes = || vec![relay("y.org", y.port), relay("z.org", z.port)];
    let instance = Instance::new(routes(), &plan);
    let to = ["a@y.org", "b@z.org"];
    let id = instance.accept(message(&to), "\r\n").await;
    instance.noted.until(2, deferred).await;
    instance.idle().await;
    // The second attempts: one is under way for ever, the other has its outcome.
    instance.delivery.retry(id, None, "uid 0").await.unwrap();
    instance.noted.until(3, deferred).await;
    y.has_content(1).await;
    instance
        .recorded(id, |stored| stored.recipients[1].attempts == 2)
        .await;
    let disk = instance.disk.after(PowerCut::Lost);
    let again = Instance::on(disk, &plan, |_, _| routes());
    again.delivery.retry(id, None, "uid 0").await.unwrap();
    again.noted.until(1, possible_duplicate).await;
    again.noted.until(1, deferred).await;
    let about_a = |what: &What| matches!(what, What::PossibleDuplicate { about } if about.to.domain() == "y.org");
    assert_eq!(again.noted.count(about_a), 1);
    assert_eq!(again.noted.count(possible_duplicate), 1);
}

/// What two attempts that end together leave, when the crash comes between the records of the
/// recipients and that of the message: found by cutting the power of real processes.
#[tokio::test]
async fn a_message_with_nobody_left_to_reach_does_not_stay_in_the_queue_for_ever() {
    let disk = SimulatedDisk::new();
    let (spool, _) = open(&disk);
    let octets = Content::Bytes(b"\r\n".to_vec().into());
    let to = ["a@y.org", "b@z.org"];
    let id = spool.accept(&message(&to), octets).await.unwrap();
    let reached = RecipientState {
        disposition: Disposition::Delivered,
        attempts: 1,
        reply: Some(table::DELIVERED_LOCALLY.reply()),
        ..RecipientState::NEW
    };
    let recipients = vec![(0, reached.clone()), (1, reached)];
    let next_due = Timestamp::from_unix_ms(0);
    let progress = Progress {
        recipients,
        next_due,
    };
    spool.progress(id, progress).await.unwrap();
    let disk = disk.after(PowerCut::Lost);
    let instance = Instance::on(disk, &PATIENT, |_, _| vec![hold("y.org")]);
    instance.empty().await;
    assert_eq!(instance.noted.count(possible_duplicate), 0);
}

#[tokio::test]
async fn a_message_that_ends_its_process_each_time_is_set_aside_and_the_others_are_delivered() {
    let y = Host::silent().await;
    let z = Host::new(&[]).await;
    let routes = || vec![relay("y.org", y.port), relay("z.org", z.port)];
    let mut disk = SimulatedDisk::new();
    let first = Instance::on(disk.clone(), &PATIENT, |_, _| routes());
    let id = first.accept(message(&["poison@y.org"]), "\r\n").await;
    let mut n_attempts = 0;
    let last = loop {
        n_attempts += 1;
        // The attempt is under way for ever, as far as anybody knows when the power is cut.
        y.has_content(n_attempts).await;
        disk = disk.after(PowerCut::Lost);
        let instance = Instance::on(disk.clone(), &PATIENT, |_, _| routes());
        instance.accept(message(&["a@z.org"]), "\r\n").await;
        instance.noted.until(1, delivered).await;
        // It is told before it is recorded: until then it would be delivered again.
        instance.keeps(1).await;
        instance.noted.until(1, possible_duplicate).await;
        if n_attempts == 5 {
            break instance;
        }
    };
    last.noted.until(1, held).await;
    let alarm = |what: &What| matches!(what, What::Alarm { text } if text.contains("set aside"));
    assert_eq!(last.noted.count(alarm), 1);
    assert_eq!(z.taken().len(), 5);
    // An operator's word gives it another chance, with a clean slate.
    last.idle().await;
    last.delivery.release(id, None, "uid 0").await.unwrap();
    y.has_content(6).await;
    last.recorded(id, |stored| stored.cut_short == 0).await;
}

/// Found when the queue of an output that had been killed often was handed on one by one.
#[tokio::test]
async fn messages_under_suspicion_wait_for_each_other_and_nobody_waits_for_them() {
    let y = Host::new(&[]).await;
    let z = Host::silent().await;
    let routes = || vec![relay("y.org", y.port), relay("z.org", z.port)];
    let disk = SimulatedDisk::new();
    let (spool, _) = open(&disk);
    // More than have a place at a site at a time; the first of them is never done with.
    for to in ["a@z.org"].into_iter().chain(["a@y.org"; 60]) {
        let octets = Content::Bytes(b"\r\n".to_vec().into());
        let id = spool.accept(&message(&[to]), octets).await.unwrap();
        for _ in 0..2 {
            spool.attempt(id, IndexSet::all(1)).await.unwrap();
        }
        assert_eq!(spool.message(id).unwrap().cut_short, 2);
    }
    let instance = Instance::on(disk.after(PowerCut::Lost), &PATIENT, |_, _| routes());
    z.has_content(1).await;
    instance.accept(message(&["b@y.org"]), "\r\n").await;
    let to_b =
        |what: &What| matches!(what, What::Delivered { about, .. } if about.to.local_part() == "b");
    instance.noted.until(1, to_b).await;
}
