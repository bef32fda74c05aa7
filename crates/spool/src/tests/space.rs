//! Space, in memory and on disk, under a long mixed load of which a part is put off for ever.

use std::sync::Arc;

use super::crash::{for_each, is_full};
use super::fixture::{content, message, options};
use super::model::{Action, TINY, Trial};
use crate::engine::{Engine, Step};
use crate::limits::SEGMENT_LEN_MIN;
use crate::simulated::{PowerCut, Random, SimulatedDisk};
use crate::{Content, Options, Spool};

/// A record is about as long as this.
const RECORD_LEN: u64 = 1024;

/// How often messages come in and go.
const ROUNDS: usize = 300;

/// After so many rounds a message is given up and its sender notified.
const ROUNDS_MAX: usize = 60;

/// A message on its way out.
struct Queued {
    n: u64,
    /// The round in which it goes or is given up.
    until: usize,
    is_put_off: bool,
}

/// What a load leaves behind, round by round.
struct Load {
    trial: Trial,
    random: Random,
    queue: Vec<Queued>,
    next: u64,
    /// Things held in memory after each round, in percent of those there are: messages, keys, and
    /// records in segments.
    held: Vec<usize>,
}

impl Load {
    fn new(disk: &SimulatedDisk, seed: u64, segment_len: u32) -> Self {
        let options = Options {
            segment_len,
            ..options()
        };
        Self {
            trial: Trial::open_with(disk, options).expect("opens"),
            random: Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            queue: Vec::new(),
            next: 0,
            held: Vec::new(),
        }
    }

    fn round(&mut self, round: usize) {
        let mut asked = Vec::new();
        for _ in 0..1 + self.random.below(12) {
            // Of any size, in files too, or as small as can be; every other one with a key.
            let n = self.next + if self.random.below(4) == 0 { TINY } else { 0 };
            self.next += 1;
            asked.push(if self.random.below(2) == 0 {
                Action::AcceptKeyed(n)
            } else {
                Action::Accept(n)
            });
            let is_put_off = self.random.below(10) == 0;
            let rounds = if is_put_off {
                ROUNDS_MAX
            } else {
                1 + self.random.below(3)
            };
            self.queue.push(Queued {
                n,
                until: round + rounds,
                is_put_off,
            });
        }
        let (gone, left) = self
            .queue
            .drain(..)
            .partition(|q: &Queued| q.until <= round);
        self.queue = left;
        for Queued { n, is_put_off, .. } in gone {
            if is_put_off {
                let notification = 2 * TINY + n;
                asked.push(Action::Notify(n, notification));
                self.queue.push(Queued {
                    n: notification,
                    until: round + 2,
                    is_put_off: false,
                });
            } else {
                asked.push(Action::Done(n));
            }
        }
        for queued in self
            .queue
            .iter()
            .filter(|q| q.is_put_off && q.until < round + ROUNDS_MAX)
        {
            if self.random.below(4) == 0 {
                asked.push(Action::Attempt(queued.n, 1));
                asked.push(Action::Progress(queued.n, 1));
            }
        }
        if self.random.below(5) == 0 {
            asked.push(Action::ForgetKeysBelow(self.next.saturating_sub(60)));
        }
        self.trial.ask(&asked);
        let usage = self.trial.spool.usage();
        let justified = usage.n_messages + usage.n_keys + usage.segment_bytes / RECORD_LEN;
        let held = self.trial.engine.n_held();
        let justified = usize::try_from(justified).expect("small");
        self.held.push(held * 100 / justified.max(1));
    }
}

/// Runs a load, and checks what it took.
fn check(seed: u64) {
    let (segment_len, amplification_max) = if seed.is_multiple_of(2) {
        (2 * SEGMENT_LEN_MIN, 5.0)
    } else {
        (8 * SEGMENT_LEN_MIN, 4.5)
    };
    let disk = SimulatedDisk::new();
    let mut load = Load::new(&disk, seed, segment_len);
    for round in 0..ROUNDS {
        load.round(round);
        let usage = load.trial.spool.usage();
        assert_eq!(load.trial.over_bound(), 0, "round {round}: {usage:?}");
    }
    let trial = &load.trial;
    let written = disk.n_octets_written();
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    let amplification = written as f64 / trial.octets_accepted() as f64;
    let held = load.held.iter().copied().max().unwrap_or(0);
    println!(
        "seed {seed}, segments of {segment_len} octets: {amplification:.2} octets written for each \
         accepted; {} octets over the bound while housekeeping was under way; {held} percent held \
         in memory; {:?}",
        trial.excess,
        trial.spool.usage()
    );
    assert!(amplification < amplification_max);
    assert!(trial.excess <= 2 * u64::from(segment_len));
    assert!(held < 300, "memory holds more than what is there explains");
    let left = disk.after(PowerCut::Lost);
    load.trial.reopen(&left);
}

#[test]
fn a_long_load_takes_bounded_space_on_disk_and_in_memory() {
    for_each(if is_full() { 100 } else { 4 }, check);
}

/// Segments of tests of zeroing.
const LARGE_LEN: u32 = 8 * SEGMENT_LEN_MIN;

fn open_large(disk: &SimulatedDisk) -> (Spool, Engine) {
    let options = Options {
        segment_len: LARGE_LEN,
        ..options()
    };
    let opened = Spool::open_unstarted(Arc::new(disk.clone()), options);
    let (spool, _, mut engine) = opened.expect("opens");
    while engine.step() == Step::More {}
    (spool, engine)
}

/// Takes messages, each of which is done before the next but one comes, until so many octets were
/// written in batches.
fn keep_up(spool: &Spool, engine: &mut Engine, octets: u64) {
    let mut before = None;
    let until = spool.stats().bytes_written + octets;
    while spool.stats().bytes_written < until {
        let promise = spool.accept(&message(1, 1), Content::Bytes(content(1, 4_000).into()));
        let ended = before.map(|id| spool.done(id));
        while engine.step() == Step::More {}
        before = Some(promise.wait().expect("kept"));
        if let Some(ended) = ended {
            ended.wait().expect("recorded");
        }
    }
}

#[test]
fn a_spool_that_keeps_up_zeroes_two_segments_once_and_writes_little_but_its_batches() {
    let disk = SimulatedDisk::new();
    let (spool, mut engine) = open_large(&disk);
    let two = 2 * u64::from(LARGE_LEN);
    let at_first = disk.n_octets_written() - spool.stats().bytes_written;
    assert!(
        (two - 65_536..two + 8_192).contains(&at_first),
        "{at_first}"
    );
    keep_up(&spool, &mut engine, 5 * two);
    let besides = disk.n_octets_written() - spool.stats().bytes_written - at_first;
    assert!(besides < u64::from(LARGE_LEN) / 8, "{besides}");

    drop((spool, engine));
    let disk = disk.after(PowerCut::Kept);
    let (spool, mut engine) = open_large(&disk);
    keep_up(&spool, &mut engine, 5 * two);
    let besides = disk.n_octets_written() - spool.stats().bytes_written;
    assert!(
        besides < u64::from(LARGE_LEN) / 4,
        "after a restart {besides}"
    );
}

#[test]
fn where_segments_cannot_be_allocated_all_of_them_are_zeroed_when_they_are_made() {
    let disk = SimulatedDisk::new();
    disk.forbid_allocating();
    let (spool, mut engine) = open_large(&disk);
    let at_first = disk.n_octets_written();
    assert!(at_first > spool.usage().segment_bytes, "{at_first}");
    keep_up(&spool, &mut engine, 2 * u64::from(LARGE_LEN));
}

#[test]
fn housekeeping_ends_where_a_snapshot_of_the_keys_takes_what_emptying_would_gain() {
    let disk = SimulatedDisk::new();
    let mut load = Load::new(&disk, 4, SEGMENT_LEN_MIN);
    (0..ROUNDS).for_each(|round| load.round(round));
    assert!(load.trial.spool.usage().n_keys > 100);
}
