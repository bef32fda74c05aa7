//! `queue` and `mailq`: what they show, and how they steer.

use serde_json::Value;
use testkit::wait;

use crate::system::{System, give, letter};

/// A system with messages held for two recipients elsewhere.
fn with_held() -> System {
    let system = System::embedded();
    let mut client = system.at_submission();
    give(
        &mut client,
        "alice@example.test",
        &["x@far.example"],
        &letter("to-x"),
    );
    give(
        &mut client,
        "bob@example.test",
        &["y@far.example", "z@far.example"],
        &letter("to-yz"),
    );
    wait::until_true("three recipients are held", || {
        count(&system, "held", &[]) == 3
    });
    system
}

/// What `queue count` counts in all instances, reading the spools as a list does: what is counted
/// from memory is a moment ahead.
fn count(system: &System, what: &str, filter: &[&str]) -> u64 {
    let arguments = ["queue", "count", "to=*"].iter().chain(filter).copied();
    let arguments: Vec<&str> = arguments.collect();
    let answer = system.postern.json(&arguments);
    let instances = answer["instances"].as_array().expect("a list of instances");
    instances
        .iter()
        .filter_map(|instance| instance["ok"][what].as_u64())
        .sum()
}

#[test]
fn queue_and_mailq_show_all_instances_also_when_empty() {
    let system = System::embedded();
    let expected = "\
input        empty
output       empty
submission   empty
total        empty
";
    assert_eq!(system.postern.ask(&["queue"]), expected);
    assert_eq!(system.postern.ask(&["mailq"]), expected);
    let mailq = &mut system.postern.command_as("mailq");
    assert_eq!(crate::system::succeeds(mailq, ""), expected);
    let answer = system.postern.json(&["queue"]);
    assert_eq!(
        (&answer["asked"], &answer["answered"]),
        (&3.into(), &3.into())
    );
    let names: Vec<&Value> = answer["instances"]
        .as_array()
        .expect("a list of instances")
        .iter()
        .map(|instance| &instance["instance"])
        .collect();
    assert_eq!(names, ["input", "output", "submission"]);
}

#[test]
fn totals_cover_all_instances_and_one_can_be_chosen() {
    let system = with_held();
    let page = system.postern.ask(&["queue"]);
    let total = page.lines().last().unwrap_or_default();
    assert!(
        total.starts_with("total        2 messages, 3 recipients (3 held)"),
        "{page}"
    );
    let counted = system.postern.ask(&["queue", "count"]);
    assert_eq!(counted.lines().last(), Some(total));
    let page = system.postern.call(&["--instance", "input", "queue"]).ok();
    assert!(page.starts_with("input        empty\n"), "{page}");
    assert!(!page.contains("output"), "{page}");
}

#[test]
fn a_filter_chooses_recipients_and_a_dry_run_touches_nothing() {
    let system = with_held();
    let would = system
        .postern
        .call(&["queue", "drop", "--dry-run", "to=y@*"])
        .ok();
    assert!(
        would.contains("output       would drop: 1 recipient of 1 message"),
        "{would}"
    );
    assert_eq!(count(&system, "recipients", &[]), 3);
    let done = system.postern.call(&["queue", "drop", "to=y@*"]).ok();
    assert!(
        done.contains("output       dropped: 1 recipient of 1 message"),
        "{done}"
    );
    assert_eq!(count(&system, "recipients", &[]), 2);
    let refused = system.postern.call(&["queue", "drop"]).fails(2);
    assert!(refused.contains("--all"), "{refused}");
    let refused = system.postern.call(&["queue", "drop", "form=x"]).fails(2);
    assert!(refused.contains("from="), "{refused}");
    assert_eq!(count(&system, "recipients", &[]), 2);
}

#[test]
fn what_is_held_goes_out_when_it_is_released_and_a_relay_is_there() {
    let mut system = with_held();
    let remote = testkit::Remote::new();
    system.rewrite(|config| crate::system::relaying(config, remote.port()));
    system.postern.call(&["reload"]).ok();
    // A hold is an operator's to end: a route that changed does not do it.
    wait::until_true("the new process has its queue, still held", || {
        count(&system, "held", &[]) == 3
    });
    let would = system
        .postern
        .call(&["queue", "release", "--dry-run", "--all"])
        .ok();
    assert!(
        would.contains("would release: 3 recipients of 2 messages"),
        "{would}"
    );
    let done = system
        .postern
        .call(&["queue", "release", "from=alice@*"])
        .ok();
    assert!(
        done.contains("released: 1 recipient of 1 message"),
        "{done}"
    );
    remote.received("Subject: to-x");
    system.postern.call(&["queue", "release", "--all"]).ok();
    remote.received("Subject: to-yz");
    system.drained();
    assert_eq!(remote.messages().len(), 2);
}

#[test]
fn a_deferred_message_can_be_held_released_and_tried_now() {
    let closed = testkit::port::free_port();
    let system = System::with_relay(closed);
    let mut client = system.at_submission();
    give(
        &mut client,
        "alice@example.test",
        &["x@far.example"],
        &letter("later"),
    );
    wait::until_true("it is deferred", || count(&system, "deferred", &[]) == 1);
    let page = system.postern.ask(&["queue"]);
    assert!(
        page.contains("<x@far.example>  deferred: cannot connect to ")
            && page.contains("; tried once, next attempt in"),
        "{page}"
    );
    system
        .postern
        .call(&["queue", "hold", "domain=far.example"])
        .ok();
    assert_eq!(count(&system, "held", &[]), 1);
    system
        .postern
        .call(&["queue", "release", "domain=far.example"])
        .ok();
    let remote = testkit::Remote::at(closed);
    system.postern.call(&["queue", "retry", "--all"]).ok();
    remote.received("Subject: later");
    system.drained();
}

#[test]
fn show_tells_all_that_is_known_of_a_message() {
    let system = with_held();
    let page = system
        .postern
        .call(&["queue", "show", "to=x@far.example"])
        .ok();
    for part in [
        "from <alice@example.test>",
        "arrived 20",
        "origin local uid",
        "<x@far.example>",
    ] {
        assert!(page.contains(part), "no {part:?} in {page}");
    }
}

#[test]
fn a_queue_that_becomes_full_is_an_alarm_and_one_that_has_room_again_is_told() {
    let full = "\n[instance.output.queue]\nmessages = 2\n\n[[instance.output.route]]";
    let system = System::with(|config| config.replacen("\n[[instance.output.route]]", full, 1));
    let mut client = system.at_submission();
    for mark in ["one", "two"] {
        give(
            &mut client,
            "alice@example.test",
            &["x@far.example"],
            &letter(mark),
        );
    }
    let alarm = system.logged(&[
        "output",
        "alarm",
        "the queue is full: 2 messages of our own",
    ]);
    assert!(alarm.contains("`postern queue list`"), "{alarm}");
    system
        .postern
        .call(&["queue", "drop", "instance=output"])
        .ok();
    system.logged(&["output", "the queue has room again: 0 messages of our own"]);
}

/// The names of the two messages that output holds.
fn names(system: &System) -> Vec<String> {
    let answer = system.postern.json(&["queue"]);
    let instances = answer["instances"].as_array().expect("a list");
    let mut names = Vec::new();
    for instance in instances {
        for message in instance["messages"].as_array().expect("a list") {
            let name = instance["instance"].as_str().expect("a name");
            names.push(format!("{name}/{}", message["id"]));
        }
    }
    names
}

#[test]
fn several_messages_can_be_named_at_once_for_every_verb() {
    let system = with_held();
    let names = names(&system);
    let [one, two] = &names[..] else {
        panic!("two messages: {names:?}");
    };
    for verb in ["list", "count", "show"] {
        let page = system.postern.call(&["queue", verb, one, two]).ok();
        assert!(page.contains("2 messages, 3 recipients"), "{verb}: {page}");
    }
    let arguments = ["queue", "show", one, "output/999"];
    let ran = system.postern.call(&arguments);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.out.contains(one), "{ran:?}");
    assert!(
        ran.err.contains("no message output/999 is queued"),
        "{ran:?}"
    );
    let done = system.postern.call(&["queue", "drop", one, two]).ok();
    assert!(
        done.contains("dropped: 3 recipients of 2 messages"),
        "{done}"
    );
    assert!(
        system
            .postern
            .call(&["queue"])
            .ok()
            .contains("total        empty")
    );
}

#[test]
fn a_list_that_is_cut_has_the_totals_of_all() {
    let system = with_held();
    let page = system.postern.call(&["mailq", "--limit", "1"]).ok();
    assert!(page.contains("; showing 1 of 2; raise --limit"), "{page}");
    let total = page.lines().last().unwrap_or_default();
    assert!(
        total.starts_with("total        2 messages, 3 recipients (3 held)"),
        "{page}"
    );
}

#[test]
fn a_release_that_the_route_would_undo_is_an_error_that_says_so() {
    let system = with_held();
    let ran = system.postern.call(&["queue", "release", "--all"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(
        ran.out.contains("released: 0 recipients of 0 messages"),
        "{ran:?}"
    );
    assert!(
        ran.out
            .contains("the route of <x@far.example> holds its mail"),
        "{ran:?}"
    );
    let ran = system.postern.call(&["queue", "retry", "--all"]).ok();
    assert!(
        ran.contains("nothing to retry: the matching messages are held"),
        "{ran}"
    );
    assert_eq!(count(&system, "held", &[]), 3);
}

#[test]
fn a_release_by_recipient_lets_all_go_that_it_names() {
    let mut system = with_held();
    let remote = testkit::Remote::new();
    system.rewrite(|config| crate::system::relaying(config, remote.port()));
    system.postern.call(&["reload"]).ok();
    wait::until_true("the new process has its queue, still held", || {
        count(&system, "held", &[]) == 3
    });
    let release = ["queue", "release", "to=*@far.example"];
    let done = system.postern.call(&release).ok();
    assert!(
        done.contains("released: 3 recipients of 2 messages"),
        "{done}"
    );
    remote.received("Subject: to-x");
    remote.received("Subject: to-yz");
    system.drained();
}

#[test]
fn a_drop_by_recipient_of_two_hundred_is_one_step() {
    let system = System::embedded();
    let to: Vec<_> = (0..200).map(|n| format!("user{n}@far.example")).collect();
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    let mut client = system.at_submission();
    give(&mut client, "alice@example.test", &to, &letter("to-many"));
    wait::until_true("all are held", || count(&system, "held", &[]) == 200);
    let drop = ["queue", "drop", "to=*@far.example"];
    let done = system.postern.call(&drop).ok();
    assert!(
        done.contains("dropped: 200 recipients of 1 message"),
        "{done}"
    );
    assert_eq!(count(&system, "recipients", &[]), 0);
}
