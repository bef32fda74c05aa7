//! Instances that leave the configuration with mail in their queue: each is emptied by its last
//! settings and shown until it is empty, also after a stop, a crash, and with what it hands to.

use std::fs;

use rustix::process::Signal;
use testkit::port::free_port;
use testkit::{Dialogue, Remote, postern, wait};

use crate::system::{System, give, letter};

/// The configuration with its output under another name.
fn renamed(config: &str) -> String {
    config
        .replace("instance.output", "instance.deliver")
        .replace("next   = \"output\"", "next   = \"deliver\"")
}

/// A system with a relay that is away, and a message for it in the queue of output.
fn with_mail_that_waits() -> (System, u16) {
    let port = free_port();
    let system = System::with_relay(port);
    send(&system, "waits");
    wait::until_true("output holds it", || system.queued("output") == Some(1));
    (system, port)
}

/// An instance of that age, in seconds, has looked more than once.
const LOOKED_AT: u64 = 5;

fn send(system: &System, mark: &str) {
    let mut client = system.at_submission();
    let to = ["carol@far.example"];
    give(&mut client, "bob@example.test", &to, &letter(mark));
}

/// Output is shown with its message; when its relay is back, that is delivered, and output ends.
fn drains(system: &System, port: u16) {
    wait::until_true("the message is counted", || {
        system.queued("output") == Some(1)
    });
    let alarm = "output is no longer in the configuration and has 1 message queued";
    system.logged(&["output", "alarm", alarm]);
    let status = system.postern.ask(&["status"]);
    let line = status.lines().find(|line| line.starts_with("output "));
    assert!(line.unwrap_or_default().contains("draining"), "{status}");
    assert!(
        status.contains("no longer in the configuration"),
        "{status}"
    );
    let queue = system.postern.ask(&["queue"]);
    assert!(queue.contains("carol@far.example"), "{queue}");
    let pid = system.postern.pid("output");

    let remote = Remote::at(port);
    system.postern.ask(&["queue", "retry", "--all"]);
    remote.received("Subject: waits");
    wait::until_true("its process ends", || !postern::is_alive(pid));
    system.logged(&["output", "has left the system: its queue is empty"]);
    wait::until_true("it is shown no longer", || {
        let status = system.postern.call(&["status"]);
        status.status == Some(0) && !status.out.contains("output ")
    });
    // The other one works by the new settings.
    send(system, "later");
    remote.received("Subject: later");
}

#[test]
fn a_renamed_instance_is_emptied_and_shown_until_then() {
    let (mut system, port) = with_mail_that_waits();
    system.rewrite(renamed);
    let mentions = || {
        let checked = system.postern.call(&["check"]).ok();
        checked.contains("there is no instance `output`")
    };
    assert!(mentions());
    let page = system.postern.call(&["reload"]).ok();
    assert!(page.contains("output       leaves"), "{page}");
    drains(&system, port);
    assert!(!mentions());
}

#[test]
fn an_instance_renamed_while_the_system_is_down_is_emptied() {
    let (mut system, port) = with_mail_that_waits();
    system.postern.stop();
    system.rewrite(renamed);
    system.postern.start();
    drains(&system, port);
    // Nothing is left to do at the next start, and nothing is shown for long.
    system.postern.stop();
    system.postern.start();
    wait::until_true("the empty one has ended", || {
        system.postern.call(&["status"]).status == Some(0) && system.queued("output").is_none()
    });
}

#[test]
fn an_instance_that_is_being_emptied_goes_on_after_a_crash() {
    let (mut system, port) = with_mail_that_waits();
    system.rewrite(renamed);
    system.postern.call(&["reload"]).ok();
    postern::send(system.postern.supervisor(), Signal::KILL);
    system.postern.wait_for_end();
    system.postern.start();
    drains(&system, port);
}

#[test]
fn a_front_and_what_it_hands_to_leave_together_and_are_emptied() {
    let mut system = System::impatient();
    // Output does not come back, so submission keeps what it accepts.
    let spool = system.postern.state("spool/output");
    let aside = system.postern.state("aside");
    fs::rename(&spool, &aside).expect("moved");
    fs::write(&spool, "").expect("written");
    system.postern.signal("output", Signal::KILL);
    system.logged(&["output", "alarm", "Not a directory"]);
    let mut client = system.at_submission();
    let to = ["alice@example.test"];
    give(&mut client, "bob@example.test", &to, &letter("kept"));
    wait::until_true("submission keeps it", || {
        system.queued("submission") == Some(1)
    });
    system.postern.stop();
    fs::remove_file(&spool).expect("there");
    fs::rename(&aside, &spool).expect("moved");
    system.rewrite(|config| renamed(config).replace("instance.submission", "instance.local"));
    system.postern.start();
    system.arrived("alice", "Subject: kept");
    for name in ["submission", "output"] {
        system.logged(&[name, "has left the system"]);
    }
}

#[test]
fn an_instance_that_comes_back_takes_its_queue_and_mail_again() {
    let (mut system, port) = with_mail_that_waits();
    let old = system.config.clone();
    system.rewrite(renamed);
    system.postern.call(&["reload"]).ok();
    let pid = system.postern.pid("output");
    system.rewrite(|_| old);
    let page = system.postern.call(&["reload"]).ok();
    assert!(page.contains("output       changed"), "{page}");
    assert_eq!(system.postern.pid("output"), pid);
    system.logged(&["deliver", "has left the system"]);
    send(&system, "again");
    wait::until_true("it takes mail", || system.queued("output") == Some(2));
    let remote = Remote::at(port);
    system.postern.ask(&["queue", "retry", "--all"]);
    remote.received("Subject: waits");
    remote.received("Subject: again");
    assert_eq!(system.postern.pid("output"), pid);
}

#[test]
fn who_is_in_at_an_instance_that_leaves_finishes_also_at_its_old_process() {
    let port = free_port();
    let mut system = System::with(|config| {
        let listens = format!("role = \"output\"\nlisten = [\"127.0.0.1:{port}\"]\n");
        config.replace("role = \"output\"\n", &listens)
    });
    let begin = |mark: &str| {
        let mut client = Dialogue::tcp(port);
        client.play("S: 220\nC: EHLO client.example\nS: 250");
        client.play("C: MAIL FROM:<a@example.org>\nS: 250");
        client.play("C: RCPT TO:<bob@example.test>\nS: 250\nC: DATA\nS: 354");
        client.say(&format!("Subject: {mark}"));
        client
    };
    let mut first = begin("at the old process");
    // A directory that its process has not seen: a new one takes over.
    system.rewrite(|config| {
        let route = "[[instance.output.route]]\naddress";
        let more = "[[instance.output.route]]\ndomain = \"more.example\"\nusers = [\"x\"]\n\
                    to = { maildir = \"{state}/more/{local}\" }\n\n";
        config.replacen(route, &format!("{more}{route}"), 1)
    });
    let old = system.postern.pid("output");
    system.postern.call(&["reload"]).ok();
    let mut second = begin("at the new process");
    let new = system.postern.pid("output");
    assert_ne!(old, new);
    system.rewrite(|config| {
        renamed(config).replace(&format!("listen = [\"127.0.0.1:{port}\"]\n"), "")
    });
    system.postern.call(&["reload"]).ok();
    second.play("C:\nC: Hi\nC: .\nS: 250");
    drop(second);
    system.arrived("bob", "Subject: at the new process");
    // It looks each second whether it is needed.
    wait::until_true("it found often that it has nothing to do", || {
        let status = system.postern.json(&["status"]);
        let mut instances = status["instances"].as_array().into_iter().flatten();
        let output = instances.find(|line| line["instance"] == "output");
        output.is_none_or(|line| line["ok"]["uptime_seconds"].as_u64() > Some(LOOKED_AT))
    });
    first.play("C:\nC: Hi\nC: .\nS: 250");
    drop(first);
    system.arrived("bob", "Subject: at the old process");
    for pid in [old, new] {
        wait::until_true("its process ends", || !postern::is_alive(pid));
    }
    system.logged(&["output", "has left the system"]);
}

#[test]
fn a_spool_whose_settings_are_lost_is_shown_and_kept() {
    let (mut system, port) = with_mail_that_waits();
    let old = system.config.clone();
    system.postern.stop();
    fs::remove_file(system.postern.state("settings/output.toml")).expect("there");
    system.rewrite(renamed);
    system.postern.start();
    system.logged(&[
        "alarm",
        "output is not in the configuration",
        "put the instance back",
    ]);
    let status = system.postern.call(&["status"]).fails(3);
    assert!(
        status.contains("output       NOT IN THE CONFIGURATION"),
        "{status}"
    );
    system.rewrite(|_| old);
    system.postern.call(&["reload"]).ok();
    system.postern.ask(&["status"]);
    let remote = Remote::at(port);
    system.postern.ask(&["queue", "retry", "--all"]);
    remote.received("Subject: waits");
}
