//! A recorded run, and what a loss of power in it leaves behind for a new start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use testkit::load::{Letters, Load};
use testkit::oracle::{Arrival, Oracle};
use testkit::peer::peer;
use testkit::postern::send;
use testkit::power::{Moment, PowerCut, Recorder, Recording};
use testkit::remote::Received;
use testkit::{Scratch, wait};

use crate::reloads::another_directory;
use crate::system::{DRAIN_TIME, REFUSED, System, Turn, of_remote, seed};
use crate::victims::processes;

/// How many images are looked at at a time: most of the time is waiting.
const WORKERS: usize = 8;

/// Messages that are acknowledged in each part of the recorded run.
pub(crate) const MESSAGES: usize = 12;

/// Messages that are acknowledged after a new start that is recorded.
const MESSAGES_AFTER: usize = 4;

/// How often input and output are replaced in it, each of which begins a segment.
const REPLACEMENTS: usize = 4;

/// After how long what is queued counts as stuck: contents that are not there are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is sent: small and large, to every kind of recipient.
const LETTERS: Letters = Letters {
    from: "sender@example.test",
    to: &[
        &["alice@example.test"],
        &["bob@example.test", "carol@remote.example"],
        &["alice@example.test", "bob@example.test"],
        &[REFUSED, "alice@example.test"],
        &["carol@remote.example"],
    ],
    sizes: &[500, 4_000, 20_000, 100_000, 700, 3_000, 300_000],
    pause_max: Duration::from_millis(30),
};

/// What is sent while input and output are replaced.
const FEW_LETTERS: Letters = Letters {
    sizes: &[500, 4_000],
    pause_max: Duration::from_millis(500),
    ..LETTERS
};

/// A run that ended in good order, and what everybody outside knew of it.
pub(crate) struct Run {
    pub(crate) recording: Recording,
    oracle: Arc<Oracle>,
    /// What another host took in it, and what had arrived there before.
    taken: Vec<Received>,
    before: Vec<Arrival>,
}

impl Run {
    /// The one that all tests look at, recorded for the first of them; `None` without strace.
    pub(crate) fn shared(_: &Turn) -> Option<&'static Self> {
        static RUN: OnceLock<Option<Run>> = OnceLock::new();
        RUN.get_or_init(|| Self::record(seed())).as_ref()
    }

    /// Records a system that starts for the first time, takes mail, loses its output for longer
    /// than a front's patience, goes on, replaces input and output so often that their segments
    /// are used again, and stops. `None` without strace.
    fn record(seed: u64) -> Option<Self> {
        let strace = peer("strace")?;
        let folder = Scratch::new();
        let recorder = Recorder::new(&strace, &folder.path().join("trace"));
        let mut system = System::prepare();
        let tracer = system.start_recorded(&recorder);
        let doors = [
            system.input(),
            system.submission(),
            system.input(),
            system.submission(),
        ];
        let load = Load::start(&system.oracle, &doors, &LETTERS, seed);
        wait_for_messages(&system, MESSAGES);
        let output = processes(system.postern.supervisor())["output"];
        send(output, Signal::STOP);
        wait::until_true("a front keeps what it takes", || {
            let log = system.postern.log();
            let is_kept = |line: &&str| line.contains(" accepted ") && !line.contains(" output ");
            log.lines().filter(is_kept).count() >= MESSAGES
        });
        send(output, Signal::CONT);
        wait_for_messages(&system, MESSAGES);
        load.stop();
        let few = Load::start(&system.oracle, &doors[..1], &FEW_LETTERS, !seed);
        let config = system.config.clone();
        for number in 0..REPLACEMENTS {
            another_directory(&mut system, &config, number);
            system.postern.call(&["reload"]).ok();
            wait_for_messages(&system, 1);
        }
        few.stop();
        let judgement = system.judge();
        judgement.assert_kept();
        let recording = recorder.finish(tracer, &system.postern.state_folder());
        let n_reused = n_reused(&recording);
        println!("recorded: {judgement}; segments used again: {n_reused}");
        assert_ne!(n_reused, 0, "no segment was used again: replace more often");
        Some(Self {
            recording,
            oracle: Arc::clone(&system.oracle),
            taken: system.remote.messages(),
            before: Vec::new(),
        })
    }

    /// Records the system as it starts on what `cut` left at `moment`: it recovers, delivers what
    /// was queued, takes a few messages more, and stops.
    ///
    /// # Panics
    /// When what was acknowledged does not arrive, which is as wrong here as anywhere.
    pub(crate) fn record_after(&self, moment: &Moment, cut: PowerCut, seed: u64) -> Self {
        let strace = peer("strace").expect("this one was recorded by it");
        let folder = Scratch::new();
        let recorder = Recorder::new(&strace, &folder.path().join("trace"));
        let mut system = self.after(moment, cut);
        let tracer = system.start_recorded(&recorder);
        let doors = [system.input(), system.submission()];
        let load = Load::start(&system.oracle, &doors, &LETTERS, seed);
        wait_for_messages(&system, MESSAGES_AFTER);
        load.stop();
        let found = judge(&mut system, moment.number, cut);
        found.unwrap_or_else(|why| panic!("{} {cut:?}: {why}", moment.number));
        let state = system.postern.state_folder();
        let recording = recorder.finish_after(tracer, &state, moment, cut);
        Self {
            recording,
            oracle: Arc::clone(&system.oracle),
            taken: system.remote.messages(),
            before: self.arrived_by(moment),
        }
    }

    /// Lays out what each of `cuts` leaves, starts the system on it, lets it run until its queues
    /// are empty, and compares with what had been acknowledged by then. What is wrong, in words.
    pub(crate) fn judge_all(&self, cuts: &[(usize, PowerCut)]) -> Vec<String> {
        let (give, take) = mpsc::sync_channel::<(Arc<Moment>, PowerCut)>(0);
        let (take, wrong) = (Mutex::new(take), Mutex::new(Vec::new()));
        let next = || take.lock().expect("nobody panics with it").recv();
        let mut of_moment: BTreeMap<usize, Vec<PowerCut>> = BTreeMap::new();
        for (number, cut) in cuts {
            of_moment.entry(*number).or_default().push(*cut);
        }
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    while let Ok((moment, cut)) = next() {
                        let mut system = self.start_after(&moment, cut);
                        if let Err(why) = judge(&mut system, moment.number, cut) {
                            println!("{:>6} {cut:?}: WRONG: {why}", moment.number);
                            let mut wrong = wrong.lock().expect("nobody panics with it");
                            wrong.push(format!("{} {cut:?}: {why}", moment.number));
                        }
                    }
                });
            }
            self.recording.visit(|moment| {
                let Some(cuts) = of_moment.get(&moment.number) else {
                    return;
                };
                let moment = Arc::new(moment.clone());
                for cut in cuts {
                    give.send((Arc::clone(&moment), *cut))
                        .expect("the workers wait");
                }
            });
            drop(give);
        });
        wrong.into_inner().expect("nobody panics with it")
    }

    /// What a loss of power at one of `moments` takes away that it must not, in words. `recording`
    /// is that of this run, but for some syncs.
    pub(crate) fn loss_in(&self, recording: &Recording, moments: &[usize]) -> Option<String> {
        let mut found = None;
        recording.visit(|moment| {
            if found.is_none() && moments.contains(&moment.number) {
                let mut system = self.start_after(moment, PowerCut::Lost);
                found = match system.judge_within(PATIENCE) {
                    Some(judgement) if judgement.is_kept() => None,
                    Some(judgement) => Some(judgement.to_string()),
                    None => Some("something stays in the queue for ever".to_owned()),
                };
            }
        });
        found
    }

    /// The system, started on what is left.
    fn start_after(&self, moment: &Moment, cut: PowerCut) -> System {
        let mut system = self.after(moment, cut);
        system.postern.start();
        system
    }

    fn after(&self, moment: &Moment, cut: PowerCut) -> System {
        let oracle = self.oracle.as_of(|reply| moment.has_said(reply));
        System::after(moment, cut, oracle, self.arrived_by(moment))
    }

    /// What the other host had taken, as far as the system had heard of it.
    fn arrived_by(&self, moment: &Moment) -> Vec<Arrival> {
        let heard = |number: &usize| moment.has_heard(&format!("taken as {number}."));
        let taken = self.taken.iter().zip(1..);
        let taken = taken.filter(|(_, number)| heard(number));
        let mut arrived = self.before.clone();
        arrived.extend(taken.flat_map(|(message, _)| of_remote(message)));
        arrived
    }
}

/// Lets a system that started on what `cut` left at the moment `number` run until its queues are
/// empty, and compares. What is wrong, in words.
fn judge(system: &mut System, number: usize, cut: PowerCut) -> Result<(), String> {
    let judgement = system.judge_within(DRAIN_TIME);
    let judgement = judgement.ok_or_else(|| format!("queued: {}", system.count()))?;
    let alarms = system.alarms();
    println!("{number:>6} {cut:?}: {judgement}; alarms: {}", alarms.len());
    if judgement.is_kept() && judgement.unannounced.is_empty() && alarms.is_empty() {
        Ok(())
    } else {
        Err(format!("{judgement:#?}\n{alarms:#?}"))
    }
}

fn wait_for_messages(system: &System, n: usize) {
    let before = system.oracle.n_acknowledged();
    wait::until_true("mail is accepted", || {
        system.oracle.n_acknowledged() >= before + n
    });
}

/// How many segments were taken into use more than once.
fn n_reused(recording: &Recording) -> usize {
    activated(recording).values().filter(|n| **n >= 4).count()
}

/// The segments that were taken into use, and how many headers of theirs say so.
/// docs/spool-format.md: a header says it at 52, and is written to two places.
pub(crate) fn activated(recording: &Recording) -> BTreeMap<&str, usize> {
    let is_active = |offset: u64, octets: &[u8]| {
        matches!(offset, 0 | 4096)
            && octets.starts_with(b"PSTNSEG1")
            && octets.get(52..56) == Some(&[1, 0, 0, 0])
    };
    let mut headers = BTreeMap::new();
    for (path, offset, octets) in recording.writes() {
        if is_active(offset, octets) {
            *headers.entry(path).or_default() += 1;
        }
    }
    headers
}
