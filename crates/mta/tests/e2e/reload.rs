//! `reload`: all or nothing, and no connection is dropped.

use testkit::port::free_port;
use testkit::{Dialogue, wait};

use crate::callers::Callers;
use crate::system::{System, give, letter};

#[test]
fn a_reload_prints_a_line_an_instance_and_a_client_in_the_middle_of_data_finishes() {
    let mut system = System::embedded();
    let mut client = in_the_middle_of_data(&system);
    let pids = pids(&system);
    system.rewrite(|config| config.replace(r#"["alice", "bob"]"#, r#"["alice", "bob", "carol"]"#));
    let page = system.postern.call(&["reload"]).ok();
    let names: Vec<&str> = page
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, ["submission", "input", "output"], "{page}");
    client.play(
        "C: two
         C: .
         S: 250 2.0.0",
    );
    let message = system.arrived("alice", "Subject: across a reload");
    assert!(
        message.contains("one") && message.contains("two"),
        "{message}"
    );
    assert_eq!(self::pids(&system), pids, "routes need no new process");
}

#[test]
fn a_change_of_routes_is_in_use_at_once_also_over_kept_connections() {
    let mut system = System::embedded();
    let mut client = system.at_input();
    // From here on input keeps a connection to output.
    let alice = ["alice@example.test"];
    give(&mut client, "a@example.org", &alice, &letter("kept"));
    system.rewrite(|config| config.replace(r#"["alice", "bob"]"#, r#"["alice", "bob", "carol"]"#));
    system.postern.call(&["reload"]).ok();
    let carol = ["carol@example.test"];
    give(&mut client, "a@example.org", &carol, &letter("new-user"));
    system.arrived("carol", "Subject: new-user");
}

#[test]
fn an_error_in_the_file_changes_nothing_and_says_where_it_is_and_what_was_meant() {
    let mut system = System::embedded();
    let before = system.postern.json(&["status"]);
    let good = system.config.clone();
    system.rewrite(|config| config.replace("users  = [", "usres  = ["));
    let line = 1 + system
        .config
        .lines()
        .take_while(|line| !line.contains("usres"))
        .count();
    let place = format!("{}:{line}:1:", system.postern.config().display());
    for verb in ["reload", "check"] {
        let text = system.postern.call(&[verb]).fails(1);
        assert!(text.contains(&place), "no {place} in {text}");
        assert!(text.contains("usres") && text.contains("`users`"), "{text}");
    }
    let after = system.postern.json(&["status"]);
    let pids = |status: &serde_json::Value| -> Vec<serde_json::Value> {
        let processes = status["processes"].as_array().expect("a list of processes");
        processes
            .iter()
            .map(|process| process["pid"].clone())
            .collect()
    };
    assert_eq!(pids(&before), pids(&after));
    system.at_input().play(
        "C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<bob@example.test>
         S: 250
         C: RCPT TO:<carol@example.test>
         S: 550",
    );
    system.rewrite(|_| good);
    system.postern.call(&["reload"]).ok();
}

#[test]
fn listeners_come_and_go_in_the_running_process_and_nobody_who_came_in_notices() {
    let mut system = System::embedded();
    let ports = system.ports;
    let (more, instead) = (free_port(), free_port());
    let pids = pids(&system);
    let callers = Callers::begin("input", ports.input);
    callers.wait_for(10);
    let (mut in_data, mut idle) = (in_the_middle_of_data(&system), system.at_input());
    let listen = |ports: &[u16]| -> Vec<String> {
        ports
            .iter()
            .map(|port| format!("\"127.0.0.1:{port}\""))
            .collect()
    };
    let tls = format!("\"tls://127.0.0.1:{}\"", ports.tls);
    let first = format!("\"127.0.0.1:{}\", {tls}", ports.input);
    let mut now = first.clone();
    for next in [
        format!("{first}, {}", listen(&[more]).join(", ")),
        listen(&[ports.input, instead, more]).join(", "),
        listen(&[ports.input, instead]).join(", "),
    ] {
        system.rewrite(|config| config.replace(&now, &next));
        now = next;
        let page = system.postern.call(&["reload"]).ok();
        let line = page.lines().find(|line| line.starts_with("input "));
        assert!(line.unwrap_or_default().ends_with(" changed"), "{page}");
        callers.wait_for(10);
    }
    let served = callers.end();
    assert!(served.turned_away.is_empty(), "{:?}", served.turned_away);
    closes(more);
    closes(ports.tls);
    // The port by which they came in goes as well; they stay.
    system.rewrite(|config| config.replace(&now, &listen(&[instead]).join(", ")));
    system.postern.call(&["reload"]).ok();
    closes(ports.input);
    in_data.play("C: good morning\nC: .\nS: 250 2.0.0");
    let to = ["bob@example.test"];
    give(
        &mut idle,
        "a@example.org",
        &to,
        &letter("by-a-door-that-is-gone"),
    );
    let mut newer = Dialogue::tcp(instead);
    newer.play("S: 220\nC: EHLO client.example\nS: 250");
    give(&mut newer, "a@example.org", &to, &letter("by-a-new-door"));
    system.arrived("alice", "Subject: across a reload");
    system.arrived("bob", "Subject: by-a-door-that-is-gone");
    system.arrived("bob", "Subject: by-a-new-door");
    system.all_arrived_once("alice", &served.acknowledged);
    assert_eq!(self::pids(&system), pids, "no new process was needed");
}

#[track_caller]
fn closes(port: u16) {
    wait::until_true("nobody listens there any more", || {
        Dialogue::try_tcp(port).is_none()
    });
}

fn pids(system: &System) -> Vec<u32> {
    let names = ["control", "submission", "input", "output"];
    names.map(|name| system.postern.pid(name)).into()
}

/// A client at input that has begun to send a letter to alice.
fn in_the_middle_of_data(system: &System) -> Dialogue {
    let mut client = system.at_input();
    client.play(
        "C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<alice@example.test>
         S: 250
         C: DATA
         S: 354
         C: Subject: across a reload
         C:
         C: one",
    );
    client
}
