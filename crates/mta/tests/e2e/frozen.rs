//! An instance that hangs: shown as such, and left alone.

use rustix::process::Signal;
use testkit::{postern, wait};

use crate::system::{System, give, letter};

#[test]
fn a_stopped_instance_is_shown_as_not_answering_and_the_others_at_once() {
    for name in ["submission", "input", "output"] {
        let system = System::embedded();
        let pid = system.postern.pid(name);
        postern::send(pid, Signal::STOP);
        for command in ["queue", "mailq"] {
            let page = wait::until("the two others answer", || {
                let page = system.postern.call(&[command]).fails(3);
                (page.matches(" empty\n").count() == 2).then_some(page)
            });
            assert!(
                page.contains(&format!("{name:<12} not answering\n")),
                "{page}"
            );
            assert!(
                page.contains("in the 2 of 3 instances that answer"),
                "{page}"
            );
        }
        let page = wait::until("the two others answer", || {
            let page = system.postern.call(&["status"]).fails(3);
            page.contains("2 of 3 instances answer").then_some(page)
        });
        assert!(
            page.contains(&format!("{name:<12} NOT ANSWERING")),
            "{page}"
        );
        wait::until_true("the answer says how many are missing", || {
            let answer = system.postern.json(&["queue"]);
            (&answer["asked"], &answer["answered"]) == (&3.into(), &2.into())
        });

        postern::send(pid, Signal::CONT);
        wait::until_true("it answers again", || {
            system.postern.call(&["queue"]).status == Some(0)
        });
        assert_eq!(system.postern.pid(name), pid, "nobody killed it");
    }
}

#[test]
fn a_hanging_instance_is_reported_and_not_killed() {
    let system = System::embedded();
    let pid = system.postern.pid("output");
    postern::send(pid, Signal::STOP);
    system.logged(&["output", "does not answer"]);
    assert!(postern::is_alive(pid));
    let status = system.postern.call(&["status"]).fails(3);
    assert!(status.contains("silent for"), "{status}");
    postern::send(pid, Signal::CONT);
    system.logged(&["output", "answers again"]);
    assert_eq!(system.postern.pid("output"), pid);
    give(
        &mut system.at_input(),
        "a@example.org",
        &["bob@example.test"],
        &letter("on"),
    );
    system.arrived("bob", "Subject: on");
}
