//! Checks: from the settings file to replies, log and queue.

use rustix::process::Signal;
use testkit::wait;

use crate::system::{System, letter, offer};

/// A system whose input has `checks`.
fn with_checks(checks: &str) -> System {
    let table = format!("[instance.input.checks]\n{checks}\n\n");
    System::with(|config| config.replace("[instance.output] ", &(table + "[instance.output] ")))
}

/// A transaction of the null sender to two recipients, until the answer to DATA.
const BOUNCE_TO_TWO: &str = "C: MAIL FROM:<>
     S: 250
     C: RCPT TO:<alice@example.test>
     S: 250
     C: RCPT TO:<bob@example.test>
     S: 250
     C: DATA
     S: ";

#[test]
fn a_check_that_the_file_enforces_refuses() {
    let system = with_checks("bounce_recipients = { mode = \"enforce\" }");
    system.at_input().play(&format!("{BOUNCE_TO_TWO}550 5.5.3"));
    system.logged(&[" input ", " checked ", "phase=data", "verdict=reject"]);
}

#[test]
fn a_check_that_the_file_observes_is_logged_and_one_that_is_off_is_silent() {
    let mut system = with_checks("bounce_recipients = { mode = \"observe\" }");
    system
        .at_input()
        .play(&format!("{BOUNCE_TO_TWO}354\nC: .\nS: 250"));
    system.logged(&[" checked ", "bounce-recipients would reject"]);
    system.rewrite(|config| config.replace("\"observe\"", "\"off\""));
    system.postern.ask(&["reload"]);
    let before = system.postern.log().matches("would reject").count();
    system
        .at_input()
        .play(&format!("{BOUNCE_TO_TWO}354\nC: .\nS: 250"));
    system.drained();
    assert_eq!(system.postern.log().matches("would reject").count(), before);
}

#[test]
fn a_message_that_a_check_holds_is_listed_survives_a_kill_and_is_released() {
    let system = with_checks("repeated_field = { mode = \"enforce\", action = \"hold\" }");
    let content = format!(
        "From: a@example.org\nFrom: b@example.org\n{}",
        letter("held")
    );
    let mut client = system.at_input();
    let reply = offer(
        &mut client,
        "a@example.org",
        &["alice@example.test"],
        &content,
    );
    assert!(reply.starts_with("250"), "{reply}");
    let why = "held: repeated-field: the header has more than one From field";
    assert!(system.postern.ask(&["queue", "list"]).contains(why));
    let killed = system.postern.pid("input");
    system.postern.signal("input", Signal::KILL);
    wait::until_true("input is back, and the message is held", || {
        system.postern.call(&["queue", "list"]).out.contains(why)
            && system.postern.pid("input") != killed
    });
    system.postern.call(&["queue", "release", "--all"]).ok();
    system.arrived("alice", "Subject: held");
}

#[test]
fn what_a_front_hands_over_is_not_checked_as_a_client_of_the_next() {
    let refusing = "[instance.output.checks]\nrepeated_field = { mode = \"enforce\" }\n\n";
    let system = System::with(|config| {
        let first = "[[instance.output.route]]";
        config.replacen(first, &format!("{refusing}{first}"), 1)
    });
    let content = format!(
        "From: a@example.org\nFrom: b@example.org\n{}",
        letter("checked once")
    );
    let mut client = system.at_input();
    let to = ["alice@example.test"];
    let reply = offer(&mut client, "a@example.org", &to, &content);
    assert!(reply.starts_with("250"), "{reply}");
    system.arrived("alice", "Subject: checked once");
}
