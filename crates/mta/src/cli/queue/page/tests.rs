//! What the queue looks like, from answers as control gives them.

use super::super::super::exit::Exit;
use super::super::exit_of;
use super::*;

fn answer(lines: Value, asked: u64, answered: u64) -> Answer {
    let lines = lines.as_array().cloned().unwrap_or_default();
    Answer {
        lines,
        end: json!({"end": true, "asked": asked, "answered": answered}),
    }
}

fn three_instances() -> Answer {
    let held = json!({
        "id": 12, "trace": "01KATQ2CD0000000000000000A", "from": "", "size": 5000,
        "age_seconds": 180, "arrived": "2026-11-23T23:50:00.000Z", "origin": "local", "uid": 1000,
        "recipients": [
            {"index": 0, "to": "x@y.example", "state": "held", "attempts": 0, "next_due": null,
             "next_in_seconds": null, "reply": "450 4.2.1 sends nothing\u{1b}[2J", "destination": "hold"},
            {"index": 1, "to": "z@y.example", "state": "deferred", "attempts": 3,
             "next_due": "2026-11-24T00:00:00.000Z", "next_in_seconds": 240,
             "reply": "451 4.7.1 192.0.2.1:25 replied at RCPT: 451 4.7.1 greylisted",
             "destination": "relay 192.0.2.1:25"},
        ]
    });
    answer(
        json!([
            {"instance": "submission", "role": "submission", "no_answer": true},
            {"instance": "output", "role": "output", "rows": [held]},
            {"instance": "output", "role": "output", "rows": []},
            {"instance": "output", "role": "output", "ok": {"messages": 1, "cut": true}},
            {"instance": "input", "role": "input", "ok": {"messages": 0, "cut": false}},
        ]),
        3,
        2,
    )
}

#[test]
fn all_instances_are_listed_with_totals_and_the_silent_one_as_such() {
    let page = list_page(&three_instances(), Detail::List);
    assert_eq!(
        page.text(),
        "\
input        empty
output       1 message, 2 recipients (1 held, 1 deferred), 4.8 KiB; more are there, raise --limit
  output/12  01KATQ2CD0000000000000000A  from <>  4.8 KiB  3 min old
      <x@y.example>  held: sends nothing\\u{1b}[2J
      <z@y.example>  deferred: 192.0.2.1:25 replied at RCPT: 451 4.7.1 greylisted; tried 3 times, next attempt in 4 min, to relay 192.0.2.1:25
submission   not answering
total        1 message, 2 recipients (1 held, 1 deferred), 4.8 KiB in the 2 of 3 instances that answer
"
    );
    assert_eq!(exit_of(&three_instances()), Exit::Partial);
}

#[test]
fn empty_queues_are_shown_as_empty() {
    let empty = answer(
        json!([
            {"instance": "input", "role": "input", "ok": {"messages": 0}},
            {"instance": "output", "role": "output", "ok": {"messages": 0}},
        ]),
        2,
        2,
    );
    let page = list_page(&empty, Detail::List);
    assert_eq!(
        page.text(),
        "input        empty\noutput       empty\ntotal        empty\n"
    );
    assert_eq!(exit_of(&empty), Exit::Done);
}

#[test]
fn show_says_where_a_message_came_from() {
    let page = list_page(&three_instances(), Detail::Show);
    assert!(
        page.text()
            .contains("    arrived 2026-11-23T23:50:00.000Z, origin local uid 1000\n")
    );
    assert!(
        page.text()
            .contains("next attempt in 4 min, at 2026-11-24T00:00:00.000Z,")
    );
}

#[test]
fn json_holds_each_instance_once() {
    let merged = merged(&three_instances());
    let instances = merged["instances"].as_array().expect("a list");
    assert_eq!(instances.len(), 3);
    assert_eq!(instances[1]["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(instances[2]["no_answer"], true);
    assert_eq!(
        (&merged["asked"], &merged["answered"]),
        (&json!(3), &json!(2))
    );
}

#[test]
fn counts_are_added_up() {
    let count = |n: u64| json!({"messages": n, "recipients": 2 * n, "held": n, "size": 1024});
    let answer = answer(
        json!([
            {"instance": "a", "role": "input", "ok": count(1)},
            {"instance": "b", "role": "output", "ok": count(2)},
        ]),
        2,
        2,
    );
    assert_eq!(
        counts_page(&answer).text(),
        "\
a            1 message, 2 recipients (1 held), 1.0 KiB
b            2 messages, 4 recipients (2 held), 1.0 KiB
total        3 messages, 6 recipients (3 held), 2.0 KiB
"
    );
}

#[test]
fn a_step_says_what_it_did_or_would_do() {
    let ok = |dry| json!({"messages": 1, "recipients": 2, "dry_run": dry, "errors": ["full"]});
    let lines = |dry| json!([{"instance": "output", "role": "output", "ok": ok(dry)}]);
    let page = steps_page(&answer(lines(false), 1, 1), "queue.release");
    assert_eq!(
        page.text(),
        "output       released: 2 recipients of 1 message\n  failed: full\n"
    );
    let page = steps_page(&answer(lines(true), 1, 1), "queue.drop");
    assert!(
        page.text()
            .starts_with("output       would drop: 2 recipients of 1 message\n")
    );
}
