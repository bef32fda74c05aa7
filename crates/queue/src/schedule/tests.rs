//! The rules of the queue, one by one.

use std::time::Duration;

use super::*;
use crate::sim::begin;
use crate::{Resolution, Resolved, Which};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

const SETTINGS: Settings = Settings {
    attempts_max: 100,
    site_attempts_initial: 2,
    site_attempts_max: 20,
    probes: Backoff::SITE,
};

fn at(seconds: u64) -> Moment {
    Moment::START + SECOND * u32::try_from(seconds).unwrap()
}

fn put(queue: &mut Queue, id: u64, site: &str, sender: u64, due: Moment) -> DestinationId {
    let site = queue.destination(at(0), site);
    queue.insert(
        at(0),
        Job {
            id: MessageId(id),
            destination: site,
            sender,
            due,
        },
    );
    site
}

/// Finishes attempts one after the other and returns whose they were.
fn drain(queue: &mut Queue, now: Moment) -> Vec<u64> {
    std::iter::from_fn(|| {
        let attempt = begin(queue, now)?;
        let id = attempt.id.0;
        queue.finish(now, attempt, Finish::Done);
        Some(id)
    })
    .collect()
}

fn begin_all(queue: &mut Queue, now: Moment) -> Vec<Attempt> {
    std::iter::from_fn(|| begin(queue, now)).collect()
}

fn one(id: u64) -> Which {
    Which::Message(MessageId(id))
}

#[test]
fn nothing_is_tried_before_it_is_due() {
    let mut queue = Queue::new(SETTINGS);
    put(&mut queue, 1, "a", 0, at(10));
    assert_eq!(begin(&mut queue, at(9)), None);
    assert_eq!(queue.poll_timeout(), Some(at(10)));
    assert_eq!(drain(&mut queue, at(10)), [1]);
    assert_eq!(queue.poll_timeout(), None);
    assert_eq!(queue.totals(), Counts::default());
}

#[test]
fn a_message_for_two_sites_is_two_jobs() {
    let mut queue = Queue::new(SETTINGS);
    put(&mut queue, 1, "a", 0, at(0));
    put(&mut queue, 1, "b", 0, at(0));
    put(&mut queue, 1, "b", 0, at(0));
    assert_eq!(queue.totals().n_waiting, 2);
    assert_eq!(drain(&mut queue, at(0)), [1, 1]);
}

#[test]
fn a_deferred_job_comes_back_when_it_is_due() {
    let mut queue = Queue::new(SETTINGS);
    put(&mut queue, 1, "a", 0, at(0));
    let attempt = begin(&mut queue, at(0)).unwrap();
    assert_eq!(
        begin(&mut queue, at(0)),
        None,
        "one attempt of a job at a time"
    );
    queue.finish(at(1), attempt, Finish::Retry { due: at(60) });
    assert_eq!(begin(&mut queue, at(59)), None);
    assert_eq!(drain(&mut queue, at(60)), [1]);
}

#[test]
fn the_limits_of_site_and_queue_hold() {
    let mut queue = Queue::new(Settings {
        attempts_max: 4,
        ..SETTINGS
    });
    for id in 0..10 {
        put(&mut queue, id, if id < 5 { "a" } else { "b" }, id, at(0));
    }
    let a = put(&mut queue, 0, "a", 0, at(0));
    let mut attempts = begin_all(&mut queue, at(0));
    assert_eq!(attempts.len(), 3, "the last place is for who has none");
    assert_eq!(attempts.iter().filter(|t| t.destination == a).count(), 2);
    assert_eq!(queue.poll_timeout(), None, "only an end can make room");
    for id in 10..12 {
        put(&mut queue, id, &format!("site {id}"), id, at(0));
    }
    attempts.extend(begin_all(&mut queue, at(0)));
    assert_eq!(attempts.len(), 4);
    assert_eq!(queue.poll_timeout(), None, "only an end can make room");
    queue.finish(at(0), attempts.pop().unwrap(), Finish::Done);
    assert_eq!(queue.poll_timeout(), Some(Moment::START));
}

#[test]
fn sites_that_are_down_are_probed_on_half_of_the_places_at_most() {
    let mut queue = Queue::new(SETTINGS);
    for id in 0..80 {
        put(&mut queue, id, &format!("down {id}"), id, at(0));
    }
    for attempt in begin_all(&mut queue, at(0)) {
        queue.finish(at(0), attempt, Finish::SiteDown { due: at(0) });
    }
    let mut probes = begin_all(&mut queue, at(3600));
    assert_eq!(probes.len(), 50);
    assert_eq!(queue.poll_timeout(), None, "only an end can make room");
    put(&mut queue, 80, "up", 80, at(3600));
    assert_eq!(begin_all(&mut queue, at(3600)).len(), 1);
    let probe = probes.pop().unwrap();
    queue.finish(at(3600), probe, Finish::SiteDown { due: at(9000) });
    assert_eq!(begin_all(&mut queue, at(3600)).len(), 1);
}

#[test]
fn a_site_with_a_crowd_does_not_starve_the_others() {
    let mut queue = Queue::new(SETTINGS);
    for id in 0..9_000 {
        put(&mut queue, id, "crowd", id, at(0));
    }
    for id in 9_000..9_099 {
        put(&mut queue, id, &format!("site {id}"), id, at(0));
    }
    let begun = drain(&mut queue, at(1));
    let others = begun[..200].iter().filter(|&&id| id >= 9_000).count();
    assert_eq!((begun.len(), others), (9_099, 99));
}

#[test]
fn a_sender_with_a_crowd_does_not_starve_the_others_of_its_site() {
    let mut queue = Queue::new(SETTINGS);
    for id in 0..1_000 {
        put(&mut queue, id, "a", 7, at(0));
    }
    for id in 1_000..1_010 {
        put(&mut queue, id, "a", id, at(1));
    }
    let begun = drain(&mut queue, at(2));
    let late = begun[..20].iter().filter(|&&id| id >= 1_000).count();
    assert_eq!((begun.len(), late), (1_010, 10));
}

#[test]
fn the_oldest_is_served_however_many_senders_come() {
    let mut queue = Queue::new(SETTINGS);
    put(&mut queue, 0, "a", 1 << 20, at(0));
    put(&mut queue, 1, "a", 1 << 20, at(0));
    for id in 2..1_000 {
        put(&mut queue, id, "a", id, at(1));
    }
    let begun = drain(&mut queue, at(2));
    let place = begun.iter().position(|&id| id == 1).unwrap();
    assert!(place < 2 * OLDEST_EVERY as usize, "{place}");
}

#[test]
fn a_dead_site_costs_one_probe_at_growing_intervals() {
    let mut queue = Queue::new(SETTINGS);
    for id in 0..1_000 {
        put(&mut queue, id, "dead", id, at(0));
    }
    let first = begin_all(&mut queue, at(0));
    assert_eq!(first.len(), 2);
    for attempt in first {
        queue.finish(at(1), attempt, Finish::SiteDown { due: at(61) });
    }
    let mut now = at(1);
    for expected_minutes in [1, 3, 10, 30, 30] {
        let probe = queue.poll_timeout().unwrap();
        let minutes = probe.since(now).as_secs_f64() / 60.0;
        assert!(
            (minutes / f64::from(expected_minutes) - 1.0).abs() < 0.13,
            "{minutes}"
        );
        now = probe;
        let mut probes = begin_all(&mut queue, now);
        assert_eq!(probes.len(), 1);
        let due = now + HOUR;
        queue.finish(now, probes.pop().unwrap(), Finish::SiteDown { due });
    }
}

#[test]
fn the_first_answer_opens_a_site_again() {
    let mut queue = Queue::new(SETTINGS);
    for id in 0..10 {
        put(&mut queue, id, "a", id, at(0));
    }
    let mut attempts = begin_all(&mut queue, at(0));
    let (lost, other) = (attempts.pop().unwrap(), attempts.pop().unwrap());
    let site = lost.site.unwrap();
    queue.finish(at(1), lost, Finish::SiteDown { due: at(60) });
    assert!(queue.site_view(site).unwrap().down_until.is_some());
    assert_eq!(begin(&mut queue, at(1)), None);
    queue.finish(at(2), other, Finish::Retry { due: at(60) });
    let view = queue.site_view(site).unwrap();
    assert_eq!(
        (view.down_until, view.failures, view.attempts_max),
        (None, 0, 1)
    );
    assert_eq!(begin_all(&mut queue, at(2)).len(), 1);
}

#[test]
fn what_is_taken_out_during_an_attempt_is_gone_after_it() {
    let mut queue = Queue::new(SETTINGS);
    put(&mut queue, 1, "a", 1, at(0));
    let attempt = begin(&mut queue, at(0)).unwrap();
    assert_eq!(queue.remove(at(1), one(1)), 1);
    assert_eq!(queue.totals().n_under_way, 1);
    queue.finish(at(2), attempt, Finish::Retry { due: at(3) });
    assert_eq!(queue.totals(), Counts::default());
    assert_eq!(begin(&mut queue, at(99)), None);
}

#[test]
fn retry_now_probes_a_site_that_is_down() {
    let mut queue = Queue::new(SETTINGS);
    let site = put(&mut queue, 1, "dead", 0, at(0));
    let attempt = begin(&mut queue, at(0)).unwrap();
    queue.finish(at(0), attempt, Finish::SiteDown { due: at(3600) });
    assert_eq!(queue.job(MessageId(1), site).unwrap().due, at(3600));
    queue.retry_now(at(5), one(1));
    assert_eq!(
        begin(&mut queue, at(5)).map(|attempt| attempt.id),
        Some(MessageId(1))
    );
}

#[test]
fn a_removed_job_is_gone() {
    let mut queue = Queue::new(SETTINGS);
    put(&mut queue, 1, "a", 0, at(0));
    put(&mut queue, 1, "b", 0, at(9));
    assert_eq!(queue.remove(at(0), one(1)), 2);
    assert_eq!((queue.totals().n_all(), queue.poll_timeout()), (0, None));
}

#[test]
fn a_site_without_jobs_is_remembered_for_a_while() {
    let mut queue = Queue::new(SETTINGS);
    let a = put(&mut queue, 1, "a", 0, at(0));
    drain(&mut queue, at(0));
    let site = queue.destination_view(a).unwrap().site.unwrap();
    let memory = crate::limits::SITE_MEMORY;
    assert_eq!(queue.destination(at(0) + memory / 2, "a"), a);
    assert_eq!(begin(&mut queue, at(0) + memory), None);
    let view = queue.destination_view(a);
    assert_eq!(view.unwrap().site, Some(site), "asking for it renewed it");
    let forgotten = at(0) + memory + memory / 2;
    assert_eq!(begin(&mut queue, forgotten - SECOND), None);
    assert!(queue.destination_view(a).is_some());
    assert_eq!(begin(&mut queue, forgotten), None);
    assert!(queue.destination_view(a).is_none());
    assert!(queue.site_view(site).is_some(), "no destination since now");
    assert_eq!(begin(&mut queue, forgotten + memory), None);
    assert!(queue.site_view(site).is_none());
}

#[test]
fn idle_destinations_and_sites_are_bounded_in_number() {
    let mut queue = Queue::new(SETTINGS);
    let max = crate::limits::IDLE_MAX;
    for n in 0..max + 100 {
        queue.destination(at(0), &format!("destination {n}"));
        queue.site(at(0), &format!("site {n}"));
        assert_eq!(begin(&mut queue, at(0)), None);
    }
    assert_eq!(queue.destinations.n_known(), max);
    assert_eq!(queue.sites.n_known(), max);
}

fn resolution(queue: &mut Queue, now: Moment) -> Resolution {
    match queue.next(now) {
        Some(Next::Resolve(resolution)) => resolution,
        other => panic!("{other:?}"),
    }
}

fn lead(queue: &mut Queue, now: Moment, site: &str, until: Option<Moment>) {
    let resolution = resolution(queue, now);
    let site = queue.site(now, site);
    queue.resolved(now, resolution, Resolved::To { site, until });
}

#[test]
fn a_destination_is_resolved_when_a_job_is_due_and_once_for_all_its_jobs() {
    let mut queue = Queue::new(SETTINGS);
    for id in 0..100 {
        put(&mut queue, id, "x.org", id, at(10));
    }
    assert_eq!(queue.next(at(9)), None);
    let asked = resolution(&mut queue, at(10));
    assert_eq!((queue.next(at(11)), queue.poll_timeout()), (None, None));
    let site = queue.site(at(11), "mx.x.org");
    let resolved = Resolved::To { site, until: None };
    queue.resolved(at(11), asked, resolved);
    assert_eq!(queue.site_view(site).unwrap().counts.n_waiting, 100);
    assert_eq!(drain(&mut queue, at(11)).len(), 100);
}

#[test]
fn destinations_of_one_site_share_its_attempts_and_its_turns() {
    let mut queue = Queue::new(SETTINGS);
    for id in 0..1_000 {
        put(&mut queue, id, &format!("bulk {}", id % 500), 7, at(0));
    }
    put(&mut queue, 1_000, "bulk 3", 8, at(0));
    put(&mut queue, 1_001, "other", 9, at(0));
    for _ in 0..501 {
        lead(&mut queue, at(0), "one", None);
    }
    let attempts = begin_all(&mut queue, at(0));
    assert_eq!(attempts.len(), 2, "the limit is that of the site");
    let mut begun: Vec<_> = attempts.iter().map(|attempt| attempt.id.0).collect();
    for attempt in attempts {
        queue.finish(at(1), attempt, Finish::Done);
    }
    begun.extend(drain(&mut queue, at(1)));
    assert_eq!(begun.len(), 1_002);
    let late = begun.iter().take(20).filter(|id| **id >= 1_000).count();
    assert_eq!(late, 2, "senders take turns over all destinations");
}

#[test]
fn a_sender_with_several_destinations_is_served_in_each_of_them() {
    let mut queue = Queue::new(SETTINGS);
    for id in 0..300 {
        put(&mut queue, id, &format!("d {}", id % 3), 7, at(0));
        put(&mut queue, 1_000 + id, "d 3", 8, at(0));
    }
    for _ in 0..4 {
        lead(&mut queue, at(0), "one", None);
    }
    let begun = drain(&mut queue, at(0));
    for d in 0..3 {
        let of = |id: &&u64| **id < 1_000 && **id % 3 == d;
        let n = begun.iter().take(150).filter(of).count();
        assert!(n > 5, "destination {d}: {n} of the first 150");
    }
}

#[test]
fn a_destination_that_leads_elsewhere_takes_all_its_jobs_along() {
    let mut queue = Queue::new(SETTINGS);
    for id in 0..10 {
        put(&mut queue, id, "x.org", id, at(0));
    }
    put(&mut queue, 10, "y.org", 1, at(0));
    lead(&mut queue, at(0), "old", Some(at(50)));
    lead(&mut queue, at(0), "old", None);
    for attempt in begin_all(&mut queue, at(0)) {
        queue.finish(at(0), attempt, Finish::SiteDown { due: at(1) });
    }
    assert_eq!(
        queue.poll_timeout(),
        Some(at(50)),
        "not only with the probe"
    );
    lead(&mut queue, at(50), "new", Some(at(120)));
    let old = queue.site(at(50), "old");
    assert_eq!(queue.site_view(old).unwrap().counts.n_waiting, 1);
    let attempts = begin_all(&mut queue, at(50));
    let of_new = attempts.iter().filter(|attempt| attempt.site != Some(old));
    assert_eq!(of_new.count(), 2);
    // Attempts that go on when it moves again end where they began.
    lead(&mut queue, at(120), "old", None);
    for attempt in attempts {
        queue.finish(at(121), attempt, Finish::Done);
    }
    assert_eq!(queue.site_view(old).unwrap().counts.n_under_way, 0);
}

#[test]
fn a_resolution_that_fails_is_repeated_at_growing_intervals_or_when_asked_for() {
    let mut queue = Queue::new(SETTINGS);
    let x = put(&mut queue, 1, "x.org", 1, at(0));
    let mut now = at(0);
    for expected_minutes in [1, 3, 10, 30, 30] {
        let asked = resolution(&mut queue, now);
        queue.resolved(now, asked, Resolved::Failed);
        let view = queue.destination_view(x).unwrap();
        assert_eq!((view.state, view.failed_at), (SiteState::Down, Some(now)));
        let again = queue.poll_timeout().unwrap();
        assert_eq!(view.down_until, Some(again));
        assert_eq!(queue.job(MessageId(1), x).unwrap().due, again);
        let minutes = again.since(now).as_secs_f64() / 60.0;
        assert!((minutes / f64::from(expected_minutes) - 1.0).abs() < 0.13);
        now = again;
    }
    let asked = resolution(&mut queue, now);
    queue.resolved(now, asked, Resolved::Failed);
    assert_eq!(queue.next(now), None);
    let taken = queue.take(now, MessageId(1), x).unwrap();
    assert_eq!(taken.site, None);
    queue.finish(now, taken, Finish::Untried { due: Some(now) });
    queue.retry_now(now, one(1));
    lead(&mut queue, now, "mx.x.org", None);
    assert_eq!(drain(&mut queue, now), [1]);
    assert_eq!(queue.destination_view(x).unwrap().failed_at, None);
}

#[test]
fn an_answer_that_comes_after_its_last_job_left_does_no_harm() {
    let mut queue = Queue::new(SETTINGS);
    let x = put(&mut queue, 1, "x.org", 1, at(0));
    let asked = resolution(&mut queue, at(0));
    queue.remove(at(0), one(1));
    let later = at(0) + crate::limits::SITE_MEMORY * 3;
    assert_eq!(queue.next(later), None);
    let site = queue.site(later, "mx.x.org");
    queue.resolved(later, asked, Resolved::To { site, until: None });
    assert_eq!(queue.destination_view(x).unwrap().site, Some(site));
    let forgotten = later + crate::limits::SITE_MEMORY;
    assert_eq!(
        (queue.next(forgotten), queue.destination_view(x)),
        (None, None)
    );
}
