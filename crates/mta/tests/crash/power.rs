//! The power is cut, at once for all instances, and the system starts on what is left.

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
use testkit::random::Random;
use testkit::remote::Received;
use testkit::{Scratch, wait};

use crate::system::{DRAIN_TIME, REFUSED, System, Turn, is_full, of_remote, seed};
use crate::victims::processes;

/// How many images, where neither `POSTERN_CRASH_IMAGES` nor `POSTERN_CRASH=full` says so.
const IMAGES: usize = 40;

/// How many images are looked at at a time: most of the time is waiting.
const WORKERS: usize = 4;

/// Messages that are acknowledged in each part of the recorded run.
const MESSAGES: usize = 12;

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

/// A run that ended in good order, and what everybody outside knew of it.
struct Run {
    recording: Recording,
    oracle: Arc<Oracle>,
    taken: Vec<Received>,
}

impl Run {
    /// Records a system that starts for the first time, takes mail, loses its output for longer
    /// than a front's patience, goes on, and stops. `None` without strace.
    fn record(seed: u64) -> Option<Self> {
        let strace = peer("strace")?;
        let folder = Scratch::new();
        let recorder = Recorder::new(&strace, &folder.path().join("trace"));
        let (mut system, tracer) = System::start_recorded(&recorder);
        let doors = [
            system.input(),
            system.submission(),
            system.input(),
            system.submission(),
        ];
        let load = Load::start(&system.oracle, &doors, &LETTERS, seed);
        wait_for_messages(&system);
        let output = processes(system.postern.supervisor())["output"];
        send(output, Signal::STOP);
        wait::until_true("a front keeps what it takes", || {
            let log = system.postern.log();
            let is_kept = |line: &&str| line.contains(" accepted ") && !line.contains(" output ");
            log.lines().filter(is_kept).count() >= MESSAGES
        });
        send(output, Signal::CONT);
        wait_for_messages(&system);
        load.stop();
        let judgement = system.judge();
        judgement.assert_kept();
        println!("recorded: {judgement}");
        Some(Self {
            recording: recorder.finish(tracer, &system.postern.state_folder()),
            oracle: Arc::clone(&system.oracle),
            taken: system.remote.messages(),
        })
    }

    /// Lays out what each of `cuts` leaves, starts the system on it, lets it run until its queues
    /// are empty, and compares with what had been acknowledged by then. What is wrong, in words.
    fn judge_all(&self, cuts: &[(usize, PowerCut)]) -> Vec<String> {
        let (give, take) = mpsc::sync_channel::<(Moment, PowerCut)>(0);
        let (take, wrong) = (Mutex::new(take), Mutex::new(Vec::new()));
        let next = || take.lock().expect("nobody panics with it").recv();
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    while let Ok((moment, cut)) = next() {
                        if let Err(why) = self.judge(&moment, cut) {
                            let mut wrong = wrong.lock().expect("nobody panics with it");
                            wrong.push(format!("{} {cut:?}: {why}", moment.number));
                        }
                    }
                });
            }
            self.recording.visit(|moment| {
                let here = cuts.iter().filter(|(number, _)| *number == moment.number);
                for (_, cut) in here {
                    give.send((moment.clone(), *cut)).expect("the workers wait");
                }
            });
            drop(give);
        });
        wrong.into_inner().expect("nobody panics with it")
    }

    fn judge(&self, moment: &Moment, cut: PowerCut) -> Result<(), String> {
        let mut system = self.start_after(moment, cut);
        let judgement = system.judge_within(DRAIN_TIME);
        let judgement = judgement.ok_or_else(|| format!("queued: {}", system.count()))?;
        println!("{:>6} {cut:?}: {judgement}", moment.number);
        let alarms = system.alarms();
        if judgement.is_kept() && judgement.unannounced.is_empty() && alarms.is_empty() {
            Ok(())
        } else {
            Err(format!("{judgement:#?}\n{alarms:#?}"))
        }
    }

    fn start_after(&self, moment: &Moment, cut: PowerCut) -> System {
        let oracle = self.oracle.as_of(|reply| moment.has_said(reply));
        System::start_after(moment, cut, oracle, self.arrived_by(moment))
    }

    /// What the other host had taken, as far as the system had heard of it.
    fn arrived_by(&self, moment: &Moment) -> Vec<Arrival> {
        let heard = |number: &usize| moment.has_heard(&format!("taken as {number}."));
        let taken = self.taken.iter().zip(1..);
        taken
            .filter(|(_, number)| heard(number))
            .flat_map(|(message, _)| of_remote(message))
            .collect()
    }
}

fn wait_for_messages(system: &System) {
    let before = system.oracle.n_acknowledged();
    wait::until_true("mail is accepted", || {
        system.oracle.n_acknowledged() >= before + MESSAGES
    });
}

/// The run that all tests here look at; `None` without strace.
fn run() -> Option<&'static Run> {
    static RUN: OnceLock<Option<Run>> = OnceLock::new();
    RUN.get_or_init(|| Run::record(seed())).as_ref()
}

/// Each cut that leaves something of its own, and the last moment at which it does: that is when
/// most had been acknowledged. In the order of time.
fn all_cuts(recording: &Recording, seed: u64) -> Vec<(usize, PowerCut)> {
    let kinds = |number: u64| {
        let seed = seed ^ number;
        [
            PowerCut::Lost,
            PowerCut::Torn { block: 512, seed },
            PowerCut::Kept,
            PowerCut::NamesKept,
            PowerCut::Torn { block: 4096, seed },
            PowerCut::NamesLost,
            PowerCut::LastTorn(512),
            PowerCut::LastTorn(4096),
        ]
    };
    let mut last = BTreeMap::new();
    recording.visit(|moment| {
        for (kind, cut) in kinds(moment.number as u64).into_iter().enumerate() {
            last.insert((moment.version(cut), kind), (moment.number, cut));
        }
    });
    let mut cuts: Vec<_> = last.into_values().collect();
    cuts.sort_by_key(|(number, _)| *number);
    cuts
}

/// The moments at which somebody is told that a message is safe.
fn acknowledgements(recording: &Recording) -> Vec<usize> {
    let (mut numbers, mut n_said) = (Vec::new(), 0);
    recording.visit(|moment| {
        let n = moment.n_said("accepted as ");
        if n > n_said {
            numbers.push(moment.number);
        }
        n_said = n;
    });
    numbers
}

/// A few of `cuts`, most of them from when there was something to lose.
fn some(
    cuts: &[(usize, PowerCut)],
    first_acknowledgement: usize,
    seed: u64,
) -> Vec<(usize, PowerCut)> {
    let before = cuts.partition_point(|(number, _)| *number < first_acknowledgement);
    let random = Random::new(seed);
    let pick = |from: usize, to: usize| {
        from + usize::try_from(random.below((to - from) as u64)).expect("below a length")
    };
    let wanted = std::env::var("POSTERN_CRASH_IMAGES").ok();
    let n = wanted.map_or(IMAGES, |text| text.parse().expect("a number of images"));
    let first = (0..n / 8).map(|_| pick(0, before));
    let rest = (0..n - n / 8).map(|_| pick(before, cuts.len()));
    first.chain(rest).map(|index| cuts[index]).collect()
}

#[test]
fn what_was_acknowledged_arrives_once_wherever_the_power_is_cut() {
    let _turn = Turn::take();
    let Some(run) = run() else {
        return;
    };
    let seed = seed();
    let mut cuts = all_cuts(&run.recording, seed);
    let n_cuts = cuts.len();
    if !is_full() {
        cuts = some(&cuts, acknowledgements(&run.recording)[0], seed);
    }
    println!("{} of {n_cuts} images", cuts.len());
    let wrong = run.judge_all(&cuts);
    println!("{} images, {} of them wrong", cuts.len(), wrong.len());
    assert!(wrong.is_empty(), "the first of these:\n{}", wrong[0]);
}

/// Which paths are meant.
type Wanted = fn(&str) -> bool;

/// What a program may forget to sync.
const FORGETTABLE: [(&str, Wanted); 5] = [
    ("what output accepts", |path| {
        path.contains("/spool/output/seg-")
    }),
    ("large contents", |path| folder(path) == "content"),
    ("letters", |path| {
        path.contains("/mail/") && folder(path) == "tmp"
    }),
    ("names of letters", |path| path.ends_with("/new")),
    ("the spools' own names", |path| {
        path.ends_with("/state/spool")
    }),
];

fn folder(path: &str) -> &str {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    parent.rsplit_once('/').map_or("", |(_, name)| name)
}

/// How many acknowledgements are looked at, from the first to the last, until one shows the loss.
const LOOKS: usize = 8;

/// After how long what is queued counts as stuck: contents that are not there are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// That the suite finds nothing says something only if it finds what is there.
#[test]
fn a_sync_that_is_forgotten_is_found_wherever_it_is() {
    let _turn = Turn::take();
    let Some(run) = run() else {
        return;
    };
    let all = acknowledgements(&run.recording);
    let chosen: Vec<usize> = (0..LOOKS)
        .map(|n| all[n * (all.len() - 1) / (LOOKS - 1)])
        .collect();
    for (what, is_forgotten) in FORGETTABLE {
        let (recording, n_forgotten) = run.recording.without_syncs(is_forgotten);
        assert_ne!(
            n_forgotten, 0,
            "{what}: nothing is synced, or the paths are others now"
        );
        let mut found = None;
        recording.visit(|moment| {
            if found.is_none() && chosen.contains(&moment.number) {
                let mut system = run.start_after(moment, PowerCut::Lost);
                found = match system.judge_within(PATIENCE) {
                    Some(judgement) if judgement.is_kept() => None,
                    Some(judgement) => Some(judgement.to_string()),
                    None => Some("something stays in the queue for ever".to_owned()),
                };
            }
        });
        let found = found.unwrap_or_else(|| panic!("{what}: not found"));
        println!("{what}: {n_forgotten} syncs forgotten: {found}");
    }
}
