//! No line of the log is lost, doubled or mixed up: over kills, rotation, and three writers in a
//! hurry.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use events::EventSink;
use mail::event::What;

use super::*;

const BEFORE: &str = "2026-11-23T23:50:00.000Z input - instance text=before\n";

fn send(instance: &Instance, events: &[Event]) {
    let mut batch = Batch::default();
    events.iter().for_each(|event| batch.push(event));
    let flags = rustix::net::SendFlags::empty();
    rustix::net::send(&instance.events, &batch.take(Lost::default()), flags).expect("sent");
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.split_inclusive('\n').collect();
    lines.sort_unstable();
    lines
}

/// A control that is killed while it writes a batch leaves any part of it in the log, and the whole
/// in the channel; also when it wrote all and had no time to take it out.
#[test]
fn a_batch_that_was_being_written_is_completed_wherever_the_write_was_cut() {
    within_control(async {
        let scratch = Scratch::new("completed");
        let path = scratch.0.join("postern.log");
        let (mine, others) = (&samples::all()[..8], &samples::all()[8..10]);
        let written = {
            let shared = scratch.shared();
            let (input, input_end) = channels("input");
            shared.add(input).expect("added");
            send(&input_end, mine);
            scratch.log(&shared).await
        };
        assert_eq!(written.lines().count(), mine.len());
        let mut expected = None;
        for n_written in 0..=written.len() {
            let begun = [BEFORE.as_bytes(), &written.as_bytes()[..n_written]].concat();
            std::fs::write(&path, begun).expect("written");
            let shared = scratch.shared();
            let (front, front_end) = channels("front");
            let (input, input_end) = channels("input");
            shared.add(front).expect("added");
            shared.add(input).expect("added");
            send(&front_end, others);
            send(&input_end, mine);
            complete_the_log(&shared).await;
            let log = scratch.log(&shared).await;
            assert!(log.starts_with(BEFORE), "cut at {n_written}");
            let expected = expected.get_or_insert_with(|| log.clone());
            assert_eq!(sorted(&log), sorted(expected), "cut at {n_written}");
        }
        let n_lines = expected.map_or(0, |log| log.lines().count());
        assert_eq!(n_lines, 1 + mine.len() + others.len());
    });
}

#[test]
fn what_was_taken_is_not_taken_for_what_waits() {
    within_control(async {
        let scratch = Scratch::new("taken");
        let event = |text: &str| {
            let text = text.into();
            samples::event(None, What::Instance { text })
        };
        let (input, input_end) = channels("input");
        let shared = scratch.shared();
        shared.add(input).expect("added");
        send(&input_end, &[event("one"), event("two")]);
        assert_eq!(scratch.log(&shared).await.lines().count(), 2);
        // The next control finds another batch, of which nothing is written yet.
        let (input, input_end) = channels("input");
        let shared = scratch.shared();
        shared.add(input).expect("added");
        send(&input_end, &[event("three"), event("four")]);
        complete_the_log(&shared).await;
        let log = scratch.log(&shared).await;
        let texts: Vec<_> = log
            .lines()
            .filter_map(|line| line.split("text=").nth(1))
            .collect();
        assert_eq!(texts, ["one", "two", "three", "four"]);
    });
}

/// Writers, and events of each.
const WRITERS: [&str; 3] = ["front", "input", "output"];
const N_EVENTS: usize = 20_000;

/// Records events as fast as it can; the last one tells what was lost before it.
fn hurry(events: OwnedFd, n_done: &AtomicUsize) {
    let sink = EventSink::new(events);
    let event = |number: usize| {
        let text = format!("number {number} {}", "x".repeat(number % 90)).into();
        samples::event(None, What::Instance { text })
    };
    let flush = || {
        while !sink.is_empty() {
            sink.flush();
            std::thread::yield_now();
        }
    };
    for number in 0..N_EVENTS {
        sink.record(&event(number));
    }
    flush();
    sink.record(&event(N_EVENTS));
    flush();
    n_done.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn three_writers_in_a_hurry_lose_nothing_unsaid_and_nothing_is_mixed_up_also_while_the_log_moves() {
    within_control(async {
        let scratch = Scratch::new("hurry");
        let shared = scratch.shared();
        let n_done = Arc::new(AtomicUsize::new(0));
        for name in WRITERS {
            let (theirs, instance) = channels(name);
            shared.add(theirs).expect("added");
            let n_done = Arc::clone(&n_done);
            std::thread::spawn(move || hurry(instance.events, &n_done));
        }
        let path = scratch.0.join("postern.log");
        let mut moved = Vec::new();
        while n_done.load(Ordering::SeqCst) < WRITERS.len() || !shared.is_deserted() {
            tokio::time::sleep(Duration::from_millis(2)).await;
            // As a program does that rotates logs, and then control's own look each second.
            let aside = scratch.0.join(format!("aside.{}", moved.len()));
            if std::fs::rename(&path, &aside).is_ok() {
                moved.push(aside);
            }
            let turn = shared.log.turn().await;
            turn.flush(Care::File).await.expect("a log");
        }
        let turn = shared.log.turn().await;
        turn.flush(Care::None).await.expect("a log");
        moved.push(path);
        let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap_or_default();
        let text: String = moved.iter().map(read).collect();
        let mut seen: BTreeMap<&str, (usize, Vec<usize>)> = BTreeMap::new();
        for line in text.lines() {
            let (instance, said) = line[25..].split_once(" - ").expect("a whole line");
            let (n_lost, numbers) = seen.entry(instance).or_default();
            let words: Vec<&str> = said.split([' ', '"']).collect();
            match words[..] {
                ["alarm", "text=", n, "events", ..] => *n_lost += n.parse::<usize>().expect(line),
                ["instance", "text=", "number", n, xs, ""] => {
                    let number: usize = n.parse().expect(line);
                    assert_eq!(xs, "x".repeat(number % 90), "{line}");
                    numbers.push(number);
                }
                _ => panic!("{line}"),
            }
        }
        for name in WRITERS {
            let (n_lost, numbers) = &seen[name];
            assert!(numbers.is_sorted_by(|a, b| a < b), "{name} is out of order");
            assert_eq!(n_lost + numbers.len(), N_EVENTS + 1, "{name}");
        }
        assert!(moved.len() > 2, "the log was not moved while they wrote");
    });
}
