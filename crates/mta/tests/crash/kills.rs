//! Control and the instances are killed while clients send.

use testkit::random::Random;

use crate::system::{System, seed};
use crate::victims::{ALL, kill};

/// How many kills, where `POSTERN_CRASH_KILLS` does not say.
const KILLS: usize = 200;

/// How many kills of output alone.
const OUTPUT_KILLS: usize = 10;

#[test]
fn what_was_acknowledged_arrives_once_whichever_process_is_killed() {
    let seed = seed();
    let n_kills = std::env::var("POSTERN_CRASH_KILLS").ok();
    let n_kills = n_kills.map_or(KILLS, |text| text.parse().expect("a number of kills"));
    let mut system = System::start();
    let load = system.load(seed);
    let killed = kill(
        system.postern.supervisor(),
        &ALL,
        n_kills,
        &Random::new(seed),
    );
    println!("killed: {killed:?}");
    load.stop();
    let judgement = system.judge();
    println!("{judgement}");
    judgement.assert_kept();
    // Otherwise the suite would show nothing.
    assert!(
        n_kills < KILLS || ALL.iter().all(|name| killed[name] >= n_kills / 8),
        "{killed:?}"
    );
    assert!(judgement.acknowledged > n_kills, "{judgement}");
}

/// A crash between another host's reply and our record of it: the one duplicate that there may be.
#[test]
fn a_delivery_that_a_crash_may_have_doubled_is_announced() {
    let seed = seed();
    let mut system = System::start();
    let load = system.load(seed);
    // Control stays: it writes the log.
    kill(
        system.postern.supervisor(),
        &["output"],
        OUTPUT_KILLS,
        &Random::new(seed),
    );
    load.stop();
    let judgement = system.judge();
    println!("{judgement}");
    judgement.assert_kept();
    assert!(
        judgement.unannounced.is_empty(),
        "{:?}",
        judgement.unannounced
    );
}
