//! New processes take over again and again while clients send, and some die meanwhile.

use std::time::Duration;

use testkit::random::Random;
use testkit::wait;

use crate::system::{System, seed};
use crate::victims::{ALL, kill};

/// How many reloads, where nobody is killed and where somebody is.
const RELOADS: usize = 6;
/// How many kills meanwhile.
const KILLS: usize = 24;

/// Gives input and output a mail directory that their processes have not seen.
pub(crate) fn another_directory(system: &mut System, config: &str, number: usize) {
    let route = |name: &str| {
        format!(
            "[[instance.{name}.route]]\n\
             domain = \"{name}{number}.example\"\n\
             users  = [\"nobody\"]\n\
             to     = {{ maildir = \"{{state}}/more{number}/{name}/{{local}}\" }}\n\n"
        )
    };
    let before = "[[instance.output.route]]\ndomain  = \"remote.example\"";
    assert!(config.contains(before), "{config}");
    let more = format!("{}{}{before}", route("input"), route("output"));
    system
        .postern
        .write_config(&config.replacen(before, &more, 1));
}

fn wait_for_more(system: &System) {
    let before = system.oracle.n_acknowledged();
    wait::until_true("mail is accepted", || {
        system.oracle.n_acknowledged() > before + 20
    });
}

#[test]
fn what_was_acknowledged_arrives_once_while_new_processes_take_over() {
    let mut system = System::start();
    let config = system.config.clone();
    let load = system.load(seed());
    for number in 0..RELOADS {
        wait_for_more(&system);
        another_directory(&mut system, &config, number);
        let page = system.postern.call(&["reload"]).ok();
        assert_eq!(
            page.matches("a new process takes over").count(),
            2,
            "{page}"
        );
        assert_eq!(page.matches("is ready").count(), 2, "{page}");
    }
    wait_for_more(&system);
    load.stop();
    system.judge().assert_kept();
}

#[test]
fn what_was_acknowledged_arrives_once_when_processes_die_while_others_take_over() {
    let seed = seed();
    let mut system = System::start();
    let config = system.config.clone();
    let load = system.load(seed);
    let supervisor = system.postern.supervisor();
    let killing = std::thread::spawn(move || kill(supervisor, &ALL, KILLS, &Random::new(seed)));
    let mut number = 0;
    let mut n_taken = 0;
    while !killing.is_finished() {
        another_directory(&mut system, &config, number);
        // It may be refused because somebody has just died: then nothing changed.
        n_taken += usize::from(system.postern.call(&["reload"]).status == Some(0));
        number += 1;
        std::thread::sleep(Duration::from_millis(300));
    }
    let killed = killing.join().expect("the victims come back");
    println!("{n_taken} of {number} reloads were taken; killed: {killed:?}");
    assert!(n_taken > 0, "nothing was shown");
    load.stop();
    system.judge().assert_kept();
}
