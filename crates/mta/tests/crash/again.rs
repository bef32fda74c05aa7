//! The power is cut, and cut again while the system recovers from that.
//!
//! The real executable is recorded a second time, as it starts on what a first cut left and goes on
//! from there; then it starts on what a cut of that leaves. What clients had been told before the
//! first cut and before the second must be there.

use std::sync::OnceLock;

use testkit::power::{Moment, PowerCut, Recording};
use testkit::random::Random;

use crate::beside::{divided, side_by_side};
use crate::cuts::{self, ACCEPTED, Cut};
use crate::recorded::{MESSAGES, Run, activated};
use crate::system::{Turn, images_wanted, is_full, seed};

/// How many images of each recovery, where neither `POSTERN_CRASH_IMAGES` (for all of them together)
/// nor `POSTERN_CRASH=full` says so; and a quarter more of what follows it.
const IMAGES: usize = 5;

/// How many recoveries are recorded at a time.
const SIDE_BY_SIDE: usize = 4;

/// What a recovery begins with that finds the end of a batch torn.
const TORN_BATCH: &str = "a torn batch";

/// What a recovery begins with whose fronts have most to do.
const AT_FRONTS: &str = "all is at the fronts";

/// A recorded recovery.
struct Recovery {
    /// From what.
    what: &'static str,
    run: Run,
}

impl Recovery {
    /// Whether it put the end of a batch aside.
    fn found_torn(&self) -> bool {
        let mut writes = self.run.recording.writes();
        writes.any(|(path, ..)| path.contains("/quarantine/torn-"))
    }
}

/// The moments of a recording after which there is most to do for a recovery, by their numbers.
struct Busiest {
    /// As much as ever is not durable in segments, as the last of it is being written.
    in_spools: usize,
    /// As much as ever is not durable in files of any kind.
    in_all: usize,
    /// Fronts keep what they took, as output hangs.
    at_fronts: usize,
    /// The last acknowledgement, long after segments were used again.
    last: usize,
}

impl Busiest {
    fn of(recording: &Recording) -> Self {
        let (mut in_spools, mut in_all, mut at_fronts) = ((0, 0), (0, 0), None);
        recording.visit(|moment| {
            let more = |n: u64, most: &mut (u64, usize)| {
                if n > most.0 {
                    *most = (n, moment.number);
                }
            };
            let in_segments = |path: &str| path.contains("/seg-");
            more(moment.disk.n_not_durable(in_segments), &mut in_spools);
            more(moment.disk.n_not_durable(|_| true), &mut in_all);
            if at_fronts.is_none() && moment.n_said(ACCEPTED) >= 2 * MESSAGES {
                at_fronts = Some(moment.number);
            }
        });
        let acknowledgements = cuts::acknowledgements(recording);
        let last = acknowledgements.last().copied();
        Self {
            in_spools: in_spools.1,
            in_all: in_all.1,
            at_fronts: at_fronts.expect("fronts kept as many"),
            last: last.expect("something was acknowledged"),
        }
    }

    /// What recoveries begin with; the last ones only where everything is to be tried.
    fn images(&self, seed: u64) -> Vec<(&'static str, Cut)> {
        let torn = |block| PowerCut::Torn { block, seed };
        let mut images = vec![
            (TORN_BATCH, (self.in_spools, PowerCut::LastTorn(512))),
            (AT_FRONTS, (self.at_fronts, PowerCut::Lost)),
            ("all is half written", (self.in_all, torn(512))),
            ("segments were used again", (self.last, PowerCut::Kept)),
        ];
        if is_full() {
            images.extend([
                ("a whole batch", (self.in_spools, PowerCut::Kept)),
                ("fronts, half written", (self.at_fronts, torn(4096))),
            ]);
        }
        images
    }
}

/// The recoveries that all tests here look at; `None` without strace.
fn recoveries(turn: &Turn) -> Option<&'static [Recovery]> {
    static RECOVERIES: OnceLock<Option<Vec<Recovery>>> = OnceLock::new();
    let recoveries = RECOVERIES.get_or_init(|| Some(record(Run::shared(turn)?, seed())));
    recoveries.as_deref()
}

fn record(run: &Run, seed: u64) -> Vec<Recovery> {
    let images = Busiest::of(&run.recording).images(seed);
    let mut moments: Vec<(&'static str, Moment, PowerCut)> = Vec::new();
    run.recording.visit(|moment| {
        let here = images.iter().filter(|(_, (n, _))| *n == moment.number);
        moments.extend(here.map(|(what, (_, cut))| (*what, moment.clone(), *cut)));
    });
    let recorded = side_by_side(divided(&moments, SIDE_BY_SIDE), |_, moments| {
        let recoveries = moments.into_iter().map(|(what, moment, cut)| Recovery {
            what,
            run: run.record_after(&moment, cut, seed),
        });
        recoveries.collect::<Vec<_>>()
    });
    let recoveries: Vec<Recovery> = recorded.into_iter().flatten().collect();
    let torn = recoveries.iter().filter(|recovery| recovery.found_torn());
    let torn: Vec<&str> = torn.map(|recovery| recovery.what).collect();
    assert!(torn.contains(&TORN_BATCH), "torn was only: {torn:?}");
    recoveries
}

#[test]
fn what_was_acknowledged_arrives_once_wherever_the_power_is_cut_while_it_recovers() {
    let turn = Turn::take();
    let Some(recoveries) = recoveries(&turn) else {
        return;
    };
    let seed = seed();
    let random = Random::new(seed);
    let mut wrong = Vec::new();
    for Recovery { what, run } in recoveries {
        let all = cuts::all(&run.recording, seed);
        let (within, beyond) = cuts::divided(&run.recording, &all);
        // Most of them from before it has recovered and takes mail again.
        let within = match images_wanted(IMAGES * recoveries.len()) {
            None => cuts::distinct(&run.recording, within),
            Some(n) => cuts::some(within, n.div_ceil(recoveries.len()), &random),
        };
        let beyond = cuts::some(beyond, within.len() / 4, &random);
        let cuts = [within, beyond].concat();
        println!("{what}: {} images of {} power cuts", cuts.len(), all.len());
        let found = run.judge_all(&cuts);
        println!("{what}: {} of them wrong", found.len());
        wrong.extend(found.into_iter().map(|why| format!("{what}: {why}")));
    }
    assert!(wrong.is_empty(), "the first of these:\n{}", wrong[0]);
}

/// How many moments of a recovery are looked at until one shows the loss.
const LOOKS: usize = 4;

/// What lies in a batch of which nothing later says that it is durable is written once more, and
/// synced, before its segment is sealed without it: also where clients were told of it.
#[test]
fn a_sync_that_recovery_forgets_is_found() {
    let turn = Turn::take();
    let Some(recoveries) = recoveries(&turn) else {
        return;
    };
    let mut at_fronts = recoveries.iter();
    let recovery = at_fronts.find(|recovery| recovery.what == AT_FRONTS);
    let run = &recovery
        .expect("it is one of those that are always tried")
        .run;
    let fresh = activated(&run.recording);
    let (recording, n_forgotten) = run.recording.without_syncs(|path| fresh.contains_key(path));
    assert_ne!(n_forgotten, 0, "nothing is synced: {fresh:?}");
    let all = cuts::all(&recording, 0);
    let (within, _) = cuts::divided(&recording, &all);
    let lost = within.iter().filter(|(_, cut)| *cut == PowerCut::Lost);
    let lost: Vec<usize> = lost.map(|(number, _)| *number).collect();
    // At first nothing is sealed, so nothing is lost.
    let looks = cuts::spread(&lost[lost.len() / 2..], LOOKS);
    let found = run.loss_in(&recording, &looks);
    let found = found.expect("a recovery that does not sync what it carries on loses it");
    println!("recovery: {n_forgotten} syncs forgotten: {found}");
}
