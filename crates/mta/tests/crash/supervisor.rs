//! The supervisor itself is killed while clients send.

use std::time::Duration;

use rustix::process::Signal;
use testkit::postern::{is_alive, send};
use testkit::random::Random;
use testkit::wait;

use crate::beside::{shares, side_by_side};
use crate::system::{Handoffs, System, Turn, kills_wanted, seed};
use crate::victims::processes;

/// How often, where `POSTERN_CRASH_KILLS` does not say.
const KILLS: usize = 5;

#[test]
fn without_its_supervisor_everything_ends_and_a_new_one_loses_nothing() {
    let seed = seed();
    let turn = Turn::take();
    side_by_side(
        shares(kills_wanted().unwrap_or(KILLS)),
        |number, n_kills| {
            let seed = seed.wrapping_add(number);
            let mut system = System::start_beside(&turn, Handoffs::BeforeTheReply);
            let load = system.load(seed);
            let random = Random::new(seed);
            for _ in 0..n_kills {
                kill_the_supervisor(&mut system, &random);
            }
            load.stop();
            let judgement = system.judge();
            println!("killed: {{\"supervisor\": {n_kills}}}; {judgement}");
            judgement.assert_kept();
        },
    );
}

fn kill_the_supervisor(system: &mut System, random: &Random) {
    let before = system.oracle.n_acknowledged();
    wait::until_true("mail flows", || {
        system.oracle.n_acknowledged() > before + 20
    });
    std::thread::sleep(random.between(Duration::ZERO, Duration::from_millis(500)));
    let supervisor = system.postern.supervisor();
    let orphans = processes(supervisor);
    assert_eq!(orphans.len(), 4, "{orphans:?}");
    send(supervisor, Signal::KILL);
    system.postern.wait_for_end();
    // Waits until the processes of the one before are gone: they hold its lock.
    system.postern.start();
    let left: Vec<_> = orphans.iter().filter(|(_, pid)| is_alive(**pid)).collect();
    assert!(left.is_empty(), "of the supervisor before: {left:?}");
}
