//! The log cannot be written, or nobody reads the events: mail goes on, and nothing is lost unsaid.

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

#[test]
fn a_control_that_hangs_does_not_stop_mail_and_reads_later_what_happened() {
    let system = System::embedded();
    let control = system.postern.pid("control");
    testkit::postern::send(control, Signal::STOP);
    let marks = send(&system, "hangs");
    testkit::postern::send(control, Signal::CONT);
    each_is_logged_once(&system, &marks);
}
