//! Output hangs while clients send.

use std::time::Duration;

use rustix::process::Signal;
use testkit::postern::send;
use testkit::wait;

use crate::system::{System, seed};
use crate::victims::processes;

/// How long it hangs: longer than a front's patience, so that late commits meet the key.
const PAUSE: Duration = Duration::from_secs(4);

#[test]
fn an_output_that_hangs_delays_mail_and_neither_loses_nor_doubles_it() {
    let mut system = System::start();
    let load = system.load(seed());
    for _ in 0..2 {
        wait_for_more(&system);
        let output = processes(system.postern.supervisor())["output"];
        send(output, Signal::STOP);
        std::thread::sleep(PAUSE);
        // The fronts go on without it: for known recipients, and for programs of this machine.
        wait_for_more(&system);
        send(output, Signal::CONT);
    }
    wait_for_more(&system);
    load.stop();
    let judgement = system.judge();
    println!("{judgement}");
    judgement.assert_kept();
    let log = system.postern.log();
    assert!(
        log.contains("spooled=true"),
        "nothing went through a front's own spool"
    );
}

fn wait_for_more(system: &System) {
    let before = system.oracle.n_acknowledged();
    wait::until_true("mail is accepted", || {
        system.oracle.n_acknowledged() > before + 20
    });
}
