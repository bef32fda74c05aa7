//! `reload`: all or nothing, and no connection is dropped.

use std::sync::atomic::{AtomicBool, Ordering};

use testkit::port::free_port;
use testkit::{Dialogue, wait};

use crate::system::{System, letter};

#[test]
fn a_reload_prints_a_line_an_instance_and_a_client_in_the_middle_of_data_finishes() {
    let mut system = System::embedded();
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
    let pids: Vec<u32> = ["input", "output"]
        .map(|name| system.postern.pid(name))
        .into();
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
    let now: Vec<u32> = ["input", "output"]
        .map(|name| system.postern.pid(name))
        .into();
    assert_eq!(pids, now, "routes need no new process");
}

#[test]
fn a_change_of_routes_is_in_use_at_once_also_over_kept_connections() {
    let mut system = System::embedded();
    let mut client = system.at_input();
    // From here on input keeps a connection to output.
    let alice = ["alice@example.test"];
    let reply = crate::system::give(&mut client, "a@example.org", &alice, &letter("kept"));
    assert!(reply.starts_with("250"), "{reply}");
    system.rewrite(|config| config.replace(r#"["alice", "bob"]"#, r#"["alice", "bob", "carol"]"#));
    system.postern.call(&["reload"]).ok();
    let carol = ["carol@example.test"];
    let reply = crate::system::give(&mut client, "a@example.org", &carol, &letter("new-user"));
    assert!(reply.starts_with("250"), "{reply}");
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
fn a_changed_listener_makes_a_new_generation_and_the_old_one_finishes() {
    let mut system = System::embedded();
    let (old_port, new_port) = (system.ports.input, free_port());
    let old_pid = system.postern.pid("input");
    let mut client = system.at_input();
    client.play(
        "C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<alice@example.test>
         S: 250
         C: DATA
         S: 354
         C: Subject: by the old generation
         C:",
    );
    system.rewrite(|config| config.replace(&format!(":{old_port}"), &format!(":{new_port}")));
    let page = system.postern.call(&["reload"]).ok();
    let line = page
        .lines()
        .find(|line| line.starts_with("input "))
        .unwrap_or_default();
    assert!(line.contains("a new process takes over"), "{page}");
    client.play(
        "C: good morning
         C: .
         S: 250 2.0.0",
    );
    system.arrived("alice", "Subject: by the old generation");
    let mut newer = wait::until("the new process greets at the new port", || {
        let stream = std::net::TcpStream::connect(("127.0.0.1", new_port));
        let mut newer = stream.is_ok().then(|| Dialogue::tcp(new_port))?;
        let greeting = newer.try_reply()?;
        greeting.starts_with("220").then_some(newer)
    });
    newer.play("C: EHLO client.example\nS: 250");
    let reply = crate::system::give(
        &mut newer,
        "a@example.org",
        &["bob@example.test"],
        &letter("by-the-new"),
    );
    assert!(reply.starts_with("250"), "{reply}");
    system.arrived("bob", "Subject: by-the-new");
    drop(client);
    wait::until_true("the old generation ends", || {
        !testkit::postern::is_alive(old_pid)
    });
    assert!(std::net::TcpStream::connect(("127.0.0.1", old_port)).is_err());
    assert_ne!(system.postern.pid("input"), old_pid);
}

#[test]
fn clients_are_served_or_told_to_come_back_while_a_new_generation_takes_over() {
    let mut system = System::embedded();
    let (port, old_pid) = (system.ports.input, system.postern.pid("input"));
    let tls = system.ports.tls;
    system.rewrite(|config| config.replace(&format!(":{tls}"), &format!(":{}", free_port())));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                // Nobody is cut off or left without a word.
                let mut client = Dialogue::tcp(port);
                let greeting = client.reply();
                assert!(greeting.starts_with("220") || greeting.starts_with("421"));
                if greeting.starts_with("220") && client.try_say("QUIT") {
                    let farewell = client.reply();
                    assert!(farewell.starts_with("221") || farewell.starts_with("421"));
                }
            }
        });
        system.postern.call(&["reload"]).ok();
        wait::until_true("the new generation is there alone", || {
            !testkit::postern::is_alive(old_pid) && system.queued("input").is_some()
        });
        is_over.store(true, Ordering::SeqCst);
    });
    assert_ne!(system.postern.pid("input"), old_pid);
    system.at_input();
}

#[test]
fn a_reload_answers_when_the_new_processes_are_ready() {
    let mut system = System::embedded();
    let (old_port, new_port) = (system.ports.input, free_port());
    system.rewrite(|config| config.replace(&format!(":{old_port}"), &format!(":{new_port}")));
    let page = system.postern.call(&["reload"]).ok();
    let line = page
        .lines()
        .find(|line| line.starts_with("input "))
        .unwrap_or_default();
    assert!(line.ends_with(", and is ready"), "{page}");
    // Nothing is waited for, and no answer is partial.
    system.postern.call(&["queue"]).ok();
    assert!(Dialogue::tcp(new_port).reply().starts_with("220"));
}
