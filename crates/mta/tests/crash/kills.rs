//! Control and the instances are killed while clients send.

use testkit::random::Random;

use crate::beside::{shares, side_by_side};
use crate::system::{Handoffs, System, Turn, kills_wanted, seed};
use crate::victims::{ALL, kill};

/// How many kills of each process, where `POSTERN_CRASH_KILLS` does not say.
const KILLS: usize = 50;

/// How many kills of output alone.
const OUTPUT_KILLS: usize = 10;

/// How many kills of control alone.
const CONTROL_KILLS: usize = 20;

#[test]
fn what_was_acknowledged_arrives_once_whichever_process_is_killed() {
    let seed = seed();
    let n_each = kills_wanted().unwrap_or(KILLS);
    let turn = Turn::take();
    side_by_side(shares(n_each), |number, n_each| {
        let seed = seed.wrapping_add(number);
        let mut system = System::start_beside(&turn, Handoffs::BeforeTheReply);
        let load = system.load(seed);
        let supervisor = system.postern.supervisor();
        let killed = kill(supervisor, &ALL, n_each, &Random::new(seed));
        load.stop();
        let judgement = system.judge();
        println!("killed: {killed:?}; {judgement}");
        judgement.assert_kept();
        // Otherwise the suite would show nothing.
        assert!(judgement.acknowledged > n_each, "{judgement}");
    });
}

/// A crash between another host's reply and our record of it: the one duplicate that there may be.
#[test]
fn a_delivery_that_a_crash_may_have_doubled_is_announced() {
    let seed = seed();
    let mut system = System::start();
    let load = system.load(seed);
    // Control stays: it writes the log.
    let killed = kill(
        system.postern.supervisor(),
        &["output"],
        OUTPUT_KILLS,
        &Random::new(seed),
    );
    load.stop();
    let judgement = system.judge();
    println!("killed: {killed:?}; {judgement}");
    judgement.assert_kept();
    assert!(
        judgement.unannounced.is_empty(),
        "{:?}",
        judgement.unannounced
    );
}

/// What control had read is in the log before it is taken out of the channel.
#[test]
fn every_delivery_is_in_the_log_once_however_often_control_is_killed() {
    let seed = seed();
    let mut system = System::start();
    let load = system.load(seed);
    let supervisor = system.postern.supervisor();
    let killed = kill(supervisor, &["control"], CONTROL_KILLS, &Random::new(seed));
    load.stop();
    let judgement = system.judge();
    println!("killed: {killed:?}; {judgement}");
    judgement.assert_kept();
    let log = system.postern.log();
    let said_to_be_lost = log
        .lines()
        .any(|line| line.contains("events were lost before"));
    assert!(
        !said_to_be_lost,
        "control was not away for long enough to lose any"
    );
    let delivered = log
        .lines()
        .filter(|line| line.split(' ').nth(3) == Some("delivered"));
    let mut deliveries: Vec<_> = delivered.map(trace_and_recipient).collect();
    assert_eq!(deliveries.len(), judgement.arrived, "a line for each copy");
    deliveries.sort_unstable();
    deliveries.dedup();
    assert_eq!(deliveries.len(), judgement.arrived, "no line twice");
}

fn trace_and_recipient(line: &str) -> (&str, &str) {
    let mut words = line.split(' ');
    let trace = words.nth(2).expect("a trace id");
    (
        trace,
        words.find(|word| word.starts_with("to=")).expect(line),
    )
}
