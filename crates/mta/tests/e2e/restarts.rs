//! An instance that dies, and one that dies at once each time.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;
use testkit::{Dialogue, wait};

use crate::system::{System, give, letter};

/// What `status` says of the process of `name`.
fn process(system: &System, name: &str) -> Value {
    let status = system.postern.json(&["status"]);
    let processes = status["processes"].as_array().cloned().unwrap_or_default();
    let mut found = processes
        .into_iter()
        .filter(|process| process["name"] == name);
    found.next().unwrap_or_default()
}

#[test]
fn an_instance_that_cannot_start_is_tried_later_each_time_and_the_others_do_not_notice() {
    let system = System::embedded();
    let spool = system.postern.state("spool/input");
    let aside = system.postern.state("spool-of-input");
    fs::rename(&spool, &aside).expect("the state is ours");
    fs::write(&spool, b"no directory").expect("the state is ours");
    let others = ["control", "submission", "output"].map(|name| system.postern.pid(name));
    system.postern.signal("input", Signal::KILL);
    wait::until_true("it was tried often", || {
        process(&system, "input")["restarts"].as_u64() >= Some(5)
    });
    let input = process(&system, "input");
    assert!(
        input["last_exit"].to_string().contains("spool/input"),
        "{input}"
    );
    // Each pause is twice as long as the one before.
    system.logged(&[" input ", "alarm", "SIGKILL", "started again in 50 ms"]);
    for ms in [100, 200, 400] {
        system.logged(&[" input ", "alarm", &format!("started again in {ms} ms")]);
    }
    // Its clients are told to come back, and not left without a word.
    let mut client = Dialogue::tcp(system.ports.input);
    assert!(client.reply().starts_with("421"), "{}", client.said());
    let to = ["alice@example.test"];
    give(
        &mut system.at_submission(),
        "bob@example.test",
        &to,
        &letter("meanwhile"),
    );
    system.arrived("alice", "Subject: meanwhile");
    let now = ["control", "submission", "output"].map(|name| system.postern.pid(name));
    assert_eq!(others, now);

    fs::remove_file(&spool).expect("the state is ours");
    fs::rename(&aside, &spool).expect("the state is ours");
    wait::until_true("it is back", || {
        process(&system, "input")["state"] == "ready"
    });
    let mut client = wait::until("it greets", || {
        let mut client = Dialogue::try_tcp(system.ports.input)?;
        client.try_reply()?.starts_with("220").then_some(client)
    });
    client.play("C: EHLO client.example\nS: 250");
    give(&mut client, "a@example.org", &to, &letter("again"));
    system.arrived("alice", "Subject: again");
}
