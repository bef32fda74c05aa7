//! The log cannot be written, or nobody reads the events: mail goes on, and nothing is lost unsaid.

use std::fs::File;
use std::io::Read as _;

use rustix::fs::{CWD, FileType, mknodat};
use rustix::process::Signal;
use testkit::wait;

use crate::system::{System, give, letter};

/// Letters to alice, which arrive.
fn send(system: &System, name: &str) -> Vec<String> {
    let mut client = system.at_input();
    let marks: Vec<String> = (0..20)
        .map(|number| format!("{name}-{number}-end"))
        .collect();
    for mark in &marks {
        give(
            &mut client,
            "a@example.org",
            &["alice@example.test"],
            &letter(mark),
        );
    }
    wait::until_true("they arrive", || {
        let arrived = system.subjects("alice");
        marks.iter().all(|mark| arrived.binary_search(mark).is_ok())
    });
    marks
}

/// Waits until each has been handed off according to the log, and finds each there once.
fn each_is_logged_once(system: &System, marks: &[String]) {
    for mark in marks {
        let id = format!("<{mark}@example.org>");
        system.logged(&["handed-off", &id]);
        let log = system.postern.log();
        let n_lines = log
            .lines()
            .filter(|line| line.contains("handed-off") && line.contains(&id));
        assert_eq!(n_lines.count(), 1, "{id}");
    }
}

#[test]
fn a_full_disk_under_the_log_does_not_stop_mail_and_what_waited_is_written_later() {
    let mut system = System::with(|config| format!("{config}\n[log]\nfile = \"/dev/full\"\n"));
    let marks = send(&system, "full");
    let printed = system.postern.printed();
    assert!(
        printed.contains("the log /dev/full cannot be written"),
        "{printed}"
    );
    system.rewrite(|config| config.replace("/dev/full", "{scratch}/state/log/postern.log"));
    system.postern.call(&["reload"]).ok();
    each_is_logged_once(&system, &marks);
}

/// Begins a system whose log is its standard error stream, a FIFO that nobody reads yet.
fn logging_to_fifo() -> (System, File) {
    let mut system = System::stopped(|config| format!("{config}\n[log]\nfile = \"stderr\"\n"));
    let fifo = system.postern.scratch().path().join("log.fifo");
    mknodat(CWD, &fifo, FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    // With both ends here, opening it waits for nobody.
    let both_ends = File::options().read(true).write(true).open(&fifo);
    let script = "exec \"$0\" \"$@\" 2>log.fifo";
    system
        .postern
        .start_under(&["sh".into(), "-c".into(), script.into()]);
    (system, both_ends.expect("opened"))
}

#[test]
fn a_log_on_a_stream_that_nobody_reads_is_shown_and_later_complete() {
    let (mut system, both_ends) = logging_to_fifo();
    let mut marks = Vec::new();
    for round in 0..10 {
        marks.extend(send(&system, &format!("unread-{round}")));
    }
    wait::until_true("the log is shown as stuck", || {
        system.postern.call(&["status"]).out.contains("STUCK for")
    });
    // Now somebody reads, until the last process has ended.
    let fifo = system.postern.scratch().path().join("log.fifo");
    let mut reader = File::open(fifo).expect("opened");
    drop(both_ends);
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("UTF-8");
        text
    });
    wait::until_true("the log is written", || {
        !system.postern.call(&["status"]).out.contains("STUCK for")
    });
    system.postern.stop();
    let text = reading.join().expect("read");
    let is_whole = |line: &str| line.starts_with("20") && line.contains("Z ");
    let torn: Vec<_> = text.lines().filter(|line| !is_whole(line)).collect();
    assert!(torn.is_empty(), "{torn:#?}");
    let count = |event: &str| {
        let of_output = |line: &&str| line.contains(event) && line.contains("output");
        text.lines().filter(of_output).count()
    };
    assert_eq!(count(" delivered "), marks.len());
    assert_eq!(count(" lost before"), 0);
}

#[test]
fn control_answers_while_a_write_to_the_log_hangs() {
    let mut system = System::embedded();
    let fifo = system.postern.scratch().path().join("log.fifo");
    mknodat(CWD, &fifo, FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    let both_ends = File::options().read(true).write(true).open(&fifo);
    let both_ends = both_ends.expect("opened");
    system.rewrite(|config| format!("{config}\n[log]\nfile = \"{{scratch}}/log.fifo\"\n"));
    system.postern.call(&["reload"]).ok();
    for round in 0..10 {
        send(&system, &format!("hanging-{round}"));
    }
    wait::until_true("the log is shown as stuck", || {
        system
            .postern
            .call(&["status"])
            .out
            .contains("has not returned")
    });
    system.postern.ask(&["queue", "count"]);
    drop(both_ends);
}

#[test]
fn a_control_that_hangs_does_not_stop_mail_and_reads_later_what_happened() {
    let system = System::embedded();
    let control = system.postern.pid("control");
    testkit::postern::send(control, Signal::STOP);
    let marks = send(&system, "hangs");
    testkit::postern::send(control, Signal::CONT);
    each_is_logged_once(&system, &marks);
}
