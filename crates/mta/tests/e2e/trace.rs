//! `trace`: the whole journey, by whatever is known of it.

use serde_json::Value;
use testkit::dialogue::trace_id;
use testkit::wait;

use crate::system::{System, give, letter};

/// The journeys of `what`, once it has `n_events` events.
#[track_caller]
fn journey(system: &System, what: &str, n_events: usize) -> Value {
    wait::until(&format!("{n_events} events about {what}"), || {
        let ran = system.postern.call(&["--json", "trace", what]);
        let answer: Value = serde_json::from_str(&ran.out).ok()?;
        let journey = answer["journeys"][0].clone();
        (journey["events"].as_array()?.len() >= n_events).then_some(journey)
    })
}

#[test]
fn a_trace_id_a_message_id_and_an_address_give_the_whole_journey_in_order_of_time() {
    let system = System::embedded();
    let mut client = system.at_input();
    let reply = give(
        &mut client,
        "a@example.org",
        &["alice@example.test"],
        &letter("way"),
    );
    let id = trace_id(&reply);
    for what in [
        id.as_str(),
        "<way@example.org>",
        "way@example.org",
        "alice@example.test",
    ] {
        let journey = journey(&system, what, 3);
        assert_eq!(journey["trace"], id.as_str());
        assert_eq!(journey["verdict"], "delivered");
        let events = journey["events"].as_array().expect("a list of events");
        let mut steps: Vec<(&str, &str)> = events
            .iter()
            .map(|event| {
                let text = |key: &str| event[key].as_str().unwrap_or_default();
                (text("instance"), text("event"))
            })
            .collect();
        assert_eq!(steps.last(), Some(&("output", "delivered")), "{journey:#}");
        steps.sort_unstable();
        let expected = [
            ("input", "handed-off"),
            ("output", "accepted"),
            ("output", "delivered"),
        ];
        assert_eq!(steps, expected, "{journey:#}");
        let times: Vec<&str> = events
            .iter()
            .filter_map(|event| event["at"].as_str())
            .collect();
        assert!(times.is_sorted() && times.len() == 3, "{times:?}");
        let page = system.postern.call(&["trace", what]).ok();
        assert!(page.starts_with(&format!("{id}  delivered\n")), "{page}");
        assert!(
            page.contains("<alice@example.test>  delivered by output"),
            "{page}"
        );
    }
}

#[test]
fn a_message_that_waited_in_a_front_keeps_its_trace_id() {
    let system = System::impatient();
    let output = system.postern.pid("output");
    testkit::postern::send(output, rustix::process::Signal::STOP);
    let reply = give(
        &mut system.at_submission(),
        "me@example.org",
        &["bob@example.test"],
        &letter("detour"),
    );
    testkit::postern::send(output, rustix::process::Signal::CONT);
    system.arrived("bob", "Subject: detour");
    system.logged(&["output", "delivered", &trace_id(&reply)]);
    let journey = journey(&system, &trace_id(&reply), 4);
    let events = journey["events"].as_array().expect("a list of events");
    let names: Vec<(&str, &str)> = events
        .iter()
        .filter_map(|event| Some((event["instance"].as_str()?, event["event"].as_str()?)))
        .collect();
    for step in [
        ("submission", "accepted"),
        ("submission", "handed-off"),
        ("output", "accepted"),
        ("output", "delivered"),
    ] {
        assert!(names.contains(&step), "no {step:?} in {journey:#}");
    }
}

#[test]
fn what_nobody_knows_is_said_and_gives_an_error() {
    let system = System::embedded();
    let text = system
        .postern
        .call(&["trace", "nobody@example.test"])
        .fails(1);
    assert!(
        text.contains("no log entries for nobody@example.test in /"),
        "{text}"
    );
    let text = system
        .postern
        .call(&["trace", "--since", "teatime"])
        .fails(2);
    assert!(text.contains("--since teatime: not a time"), "{text}");
}

/// A system with a message that is held in output, and what it is called.
fn with_held(change: impl FnOnce(String) -> String) -> (System, String, String) {
    let system = System::with(change);
    let reply = give(
        &mut system.at_submission(),
        "me@example.org",
        &["far@far.example"],
        &letter("held"),
    );
    let id = trace_id(&reply);
    let name = wait::until("it is held", || {
        let answer = system.postern.json(&["queue", "list", "state=held"]);
        let instances = answer["instances"].as_array()?;
        instances.iter().find_map(|instance| {
            let number = instance["messages"][0]["id"].as_u64()?;
            Some(format!("{}/{number}", instance["instance"].as_str()?))
        })
    });
    (system, id, name)
}

#[test]
fn mail_that_waits_is_found_by_whatever_names_it() {
    let (system, id, name) = with_held(|config| config);
    // As if it had been rotated away.
    std::fs::write(system.postern.state("log/postern.log"), "").expect("emptied");
    for what in [
        &[id.as_str()][..],
        &[&name],
        &["far@far.example"],
        &["*@far.example"],
        &["me@*"],
        &["nobody@x.example", &id],
        &["--since", "1h"],
        &["--since", "today", "far@far.example"],
    ] {
        let arguments = [&["trace"][..], what].concat();
        let page = system.postern.call(&arguments).ok();
        assert!(
            page.starts_with(&format!("{id}  held\n")),
            "{what:?}: {page}"
        );
        let line = format!("<far@far.example>  held in {name}: ");
        assert!(page.contains(&line), "{what:?}: {page}");
    }
    let until = ["trace", "--until", "2020-01-01", "far@far.example"];
    system.postern.call(&until).fails(1);
    assert_eq!(journey(&system, &id, 0)["queued"][0]["trace"], id.as_str());
}

#[test]
fn a_journey_is_found_in_the_queues_where_the_log_cannot_be_read_back() {
    let (system, id, name) = with_held(|config| format!("{config}\n[log]\nfile = \"stderr\"\n"));
    let ran = system.postern.call(&["trace", &id]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.out.contains(&format!("held in {name}")), "{ran:?}");
    assert!(ran.err.contains("standard error stream"), "{ran:?}");
    let text = system.postern.call(&["trace", "nobody@x.example"]).fails(1);
    assert!(text.contains("nothing in the queues for nobody"), "{text}");
}

#[test]
fn the_log_tells_a_journey_also_while_the_system_does_not_run() {
    let (mut system, id, _) = with_held(|config| config);
    system.logged(&[" held ", &id]);
    system.postern.stop();
    let ran = system.postern.call(&["trace", &id]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.out.starts_with(&format!("{id}  held\n")), "{ran:?}");
    assert!(
        ran.err.contains("the queues were not asked: not running"),
        "{ran:?}"
    );
}
