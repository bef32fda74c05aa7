//! The system that is hurt: Maildirs and another host behind three instances.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use testkit::load::{Door, Letters, Load};
use testkit::oracle::{Arrival, Judgement, Oracle, Place};
use testkit::port::free_port;
use testkit::power::{Moment, PowerCut, Recorder};
use testkit::remote::{Received, Remote};
use testkit::{Postern, maildir, wait};

const CONFIG: &str = r#"
hostname     = "mail.example.test"
state        = "{scratch}/state"
stop_timeout = "30s"

[instance.submission]
role   = "submission"
listen = ["127.0.0.1:{submission}", "unix:{state}/submission.sock"]
next   = "output"

[instance.submission.limits]
connections_per_client = 500

[instance.input]
role   = "input"
listen = ["127.0.0.1:{input}"]
next   = "output"

[instance.input.limits]
connections_per_client = 500
answer_timeout         = "300s" # a slow machine may need long for 50 large messages

[instance.output]
role = "output"

[instance.output.queue]
retry = ["1s"]

[[instance.output.route]]
domain  = "remote.example"
open_to = "anyone"
to      = { relay = "127.0.0.1:{remote}" }

[[instance.output.route]]
domain = "discard.example"
to     = { discard = "only its size matters" }

[[instance.output.route]]
domain = "example.test"
users  = ["alice", "bob", "postmaster", "sender"]
to     = { maildir = "{state}/mail/{domain}/{local}" }
"#;

/// What the clients send: mostly small, now and then larger than what spools keep in memory.
const LETTERS: Letters = Letters {
    from: SENDER,
    to: &[
        &["alice@example.test"],
        &["bob@example.test"],
        &["carol@remote.example"],
        &[
            "alice@example.test",
            "bob@example.test",
            "dave@remote.example",
        ],
    ],
    sizes: &[
        500, 2_000, 4_000, 8_000, 1_000, 3_000, 700, 20_000, 600, 5_000, 900, 100_000, 400, 1_500,
        2_500, 1_000_000,
    ],
    pause_max: Duration::from_millis(100),
};

/// What they send for long: a run of a thousand kills is to fit into memory and onto a disk.
const FEW_LETTERS: Letters = Letters {
    sizes: &[
        500, 2_000, 4_000, 8_000, 1_000, 3_000, 700, 20_000, 600, 5_000, 900, 400, 1_500, 2_500,
        10_000, 300_000,
    ],
    pause_max: Duration::from_millis(500),
    ..LETTERS
};

/// From so many kills on a run is long, and spread over several systems.
pub(crate) const MANY_KILLS: usize = 200;

/// Gets the notification about a message that failed.
const SENDER: &str = "sender@example.test";

/// A recipient whom the other host refuses, so that the sender is notified.
pub(crate) const REFUSED: &str = "refuse-550@remote.example";

/// How long what was sent may take to get through, once nobody is killed any more: the slowest
/// restart, the longest retry of an edge, and the work itself on a loaded machine.
pub(crate) const DRAIN_TIME: Duration = wait::LIMIT;

/// The line of the log about a message that is held because attempts ended with their process.
const SET_ASIDE: &str = " is set aside, as ";

/// When fronts hand over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handoffs {
    /// Before they reply, as they do unless output is slow.
    BeforeTheReply,
    /// Later, from their own spool: output hangs when the message comes, and they have not much
    /// patience.
    FromTheSpool,
}

/// One test at a time: the other ones' load would look like an instance that hangs.
pub(crate) struct Turn(());

static TURN: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

impl Turn {
    /// Waits until it is this test's.
    pub(crate) fn take() -> Self {
        let (lock, free) = &TURN;
        let taken = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = free.wait_while(taken, |is_taken| *is_taken);
        *taken.unwrap_or_else(PoisonError::into_inner) = true;
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TURN.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
        TURN.1.notify_one();
    }
}

/// The system, the other host, and the judge.
pub(crate) struct System {
    pub(crate) postern: Postern,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) remote: Remote,
    /// What had arrived at another host before the system was started from what a power cut left.
    before: Vec<Arrival>,
    /// What its log had announced by then, which a power cut may take away with the log.
    announced_before: BTreeSet<String>,
    ports: [u16; 2],
    /// The configuration that it was started with.
    pub(crate) config: String,
    _turn: Option<Turn>,
}

impl System {
    /// A running one.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::start_with(Handoffs::BeforeTheReply)
    }

    /// A running one that hands over as said.
    #[track_caller]
    pub(crate) fn start_with(handoffs: Handoffs) -> Self {
        let turn = Turn::take();
        let system = Self::start_beside(&turn, handoffs);
        Self {
            _turn: Some(turn),
            ..system
        }
    }

    /// A running one that hands over as said, and may run beside others of one test, whose turn it
    /// is.
    #[track_caller]
    pub(crate) fn start_beside(_: &Turn, handoffs: Handoffs) -> Self {
        let mut system = Self::prepare();
        if handoffs == Handoffs::FromTheSpool {
            let config = std::fs::read_to_string(system.postern.config());
            let config = config.expect("it was just written");
            let impatient =
                |name: &str| format!("\n[instance.{name}.handoff]\npatience = \"1s\"\n");
            let added = impatient("input") + &impatient("submission");
            system.postern.write_config(&(config + &added));
        }
        system.postern.start();
        system
    }

    /// One that does not run yet, on what a power cut left, with what clients and another host knew
    /// then. Who asks has the turn; several may run at a time. They lie in
    /// `POSTERN_CRASH_IMAGES_IN`, which may be memory: the disk is a model here.
    #[track_caller]
    pub(crate) fn after(
        moment: &Moment,
        cut: PowerCut,
        oracle: Oracle,
        before: Vec<Arrival>,
    ) -> Self {
        let folder = std::env::var_os("POSTERN_CRASH_IMAGES_IN");
        let mut system = Self::below(&folder.map_or_else(std::env::temp_dir, PathBuf::from));
        system.oracle = Arc::new(oracle);
        system.before = before;
        let log = moment.disk.written("state/log/postern.log");
        let log = log.unwrap_or_default();
        system.announced_before = announced_in(&String::from_utf8_lossy(&log));
        let laid_out = moment.disk.lay_out(cut, system.postern.scratch().path());
        laid_out.expect("the scratch directory can be written");
        system
    }

    /// Starts it under a recorder; whose tracer that is.
    #[track_caller]
    pub(crate) fn start_recorded(&mut self, recorder: &Recorder) -> u32 {
        self.postern.start_under(&recorder.words());
        Recorder::tracer_of(self.postern.supervisor())
    }

    /// One that does not run yet.
    pub(crate) fn prepare() -> Self {
        Self::below(&std::env::temp_dir())
    }

    fn below(folder: &Path) -> Self {
        let remote = Remote::new();
        let ports = [free_port(), free_port()];
        let config = CONFIG
            .replace("{submission}", &ports[0].to_string())
            .replace("{input}", &ports[1].to_string())
            .replace("{remote}", &remote.port().to_string());
        Self {
            postern: Postern::below(folder, env!("CARGO_BIN_EXE_postern"), &config),
            oracle: Arc::default(),
            remote,
            before: Vec::new(),
            announced_before: BTreeSet::new(),
            ports,
            config,
            _turn: None,
        }
    }

    /// The port of submission.
    pub(crate) fn submission(&self) -> Door {
        Door::Tcp(self.ports[0])
    }

    /// The port of input.
    pub(crate) fn input(&self) -> Door {
        Door::Tcp(self.ports[1])
    }

    /// 20 clients begin to send: half of them through input, the others through submission, by
    /// port and by socket.
    pub(crate) fn load(&self, seed: u64) -> Load {
        let socket = Door::Unix(self.postern.state("submission.sock"));
        let doors: Vec<Door> = (0..20)
            .map(|number| match number % 4 {
                0 | 2 => self.input(),
                1 => self.submission(),
                _ => socket.clone(),
            })
            .collect();
        let is_long = kills_wanted().is_some_and(|n_kills| n_kills >= MANY_KILLS);
        let letters = if is_long { &FEW_LETTERS } else { &LETTERS };
        Load::start(&self.oracle, &doors, letters, seed)
    }

    /// Waits until every queue is empty, stops the system, and compares.
    #[track_caller]
    pub(crate) fn judge(&mut self) -> Judgement {
        let judgement = self.judge_within(DRAIN_TIME);
        judgement.unwrap_or_else(|| panic!("still queued: {}", self.count()))
    }

    /// As [`Self::judge`]; `None` when a queue is not empty in time.
    pub(crate) fn judge_within(&mut self, limit: Duration) -> Option<Judgement> {
        let is_drained = self.drains_within(limit) || self.release() && self.drains_within(limit);
        if !is_drained {
            return None;
        }
        self.postern.stop();
        Some(self.oracle.judge(&self.arrivals(), &self.announced()))
    }

    /// Whether the log says that something happened that no crash explains.
    pub(crate) fn alarms(&self) -> Vec<String> {
        let log = self.postern.log();
        let alarms = log.lines().filter(|line| line.contains(" alarm "));
        alarms.map(str::to_owned).collect()
    }

    fn drains_within(&self, limit: Duration) -> bool {
        wait::within(limit, || self.is_drained().then_some(())).is_some()
    }

    /// Releases what is held because it was under way whenever somebody was killed, as an operator
    /// would whom the alarm told of it; whether there was any. It is not lost, but said.
    fn release(&self) -> bool {
        let n = self.postern.log().matches(SET_ASIDE).count();
        if n > 0 {
            println!("set aside as suspects, and released: {n}");
            self.postern.call(&["queue", "release", "--all"]).ok();
        }
        n > 0
    }

    pub(crate) fn count(&self) -> String {
        self.postern.call(&["--json", "queue", "count"]).out
    }

    fn is_drained(&self) -> bool {
        // Control may just be starting again: what cannot be read is no answer.
        let answer: Value = serde_json::from_str(&self.count()).unwrap_or_default();
        let counts = answer["instances"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        counts.len() == 3 && counts.iter().all(|count| count["ok"]["messages"] == 0)
    }

    fn arrivals(&self) -> Vec<Arrival> {
        let mut arrivals = self.before.clone();
        let notified = maildir::messages(&self.postern.state("mail/example.test/sender"));
        arrivals.extend(notified.iter().map(|text| {
            // Nobody else is ever refused.
            let arrival = Arrival::of_notification(text, REFUSED);
            arrival.unwrap_or_else(|| read(text, REFUSED, Place::Maildir))
        }));
        for user in ["alice", "bob"] {
            let recipient = format!("{user}@example.test");
            let folder = self.postern.state(&format!("mail/example.test/{user}"));
            let found = maildir::messages(&folder);
            arrivals.extend(
                found
                    .iter()
                    .map(|text| read(text, &recipient, Place::Maildir)),
            );
        }
        arrivals.extend(self.remote.messages().iter().flat_map(of_remote));
        arrivals
    }

    /// The trace ids of which the log says, or said, that a delivery may have been made twice.
    fn announced(&self) -> BTreeSet<String> {
        &self.announced_before | &announced_in(&self.postern.log())
    }
}

fn announced_in(log: &str) -> BTreeSet<String> {
    let announcements = log
        .lines()
        .filter(|line| line.contains(" possible-duplicate "));
    announcements
        .filter_map(|line| line.split(' ').nth(2).map(str::to_owned))
        .collect()
}

/// What another host was sent.
pub(crate) fn of_remote(message: &Received) -> Vec<Arrival> {
    let to = message.to.iter();
    to.map(|to| read(&message.content, to, Place::Remote))
        .collect()
}

fn read(text: &str, recipient: &str, place: Place) -> Arrival {
    Arrival::of(text, recipient, place).unwrap_or_else(|| {
        println!("nobody sent this to {recipient}:\n{text:.2000}");
        Arrival::unreadable(recipient, place)
    })
}

/// The seed of this run: `POSTERN_CRASH_SEED`, else another one each time. Printed, so that a run
/// that failed can be repeated.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("POSTERN_CRASH_SEED").ok();
    let seed = given.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |since| u64::from(since.subsec_nanos()))
    });
    println!("POSTERN_CRASH_SEED={seed}");
    seed
}

/// Whether everything is to be tried, not a selection: `POSTERN_CRASH=full`.
pub(crate) fn is_full() -> bool {
    std::env::var_os("POSTERN_CRASH").is_some_and(|value| value == "full")
}

/// How often each process is to be killed: `POSTERN_CRASH_KILLS`.
pub(crate) fn kills_wanted() -> Option<usize> {
    let wanted = std::env::var("POSTERN_CRASH_KILLS").ok();
    wanted.map(|text| text.parse().expect("a number of kills"))
}

/// How many images of power cuts are to be looked at: `POSTERN_CRASH_IMAGES`, or all that differ
/// (`None`) where everything is to be tried, or `few`.
pub(crate) fn images_wanted(few: usize) -> Option<usize> {
    let wanted = std::env::var("POSTERN_CRASH_IMAGES").ok();
    let wanted = wanted.map(|text| text.parse().expect("a number of images"));
    wanted.or_else(|| (!is_full()).then_some(few))
}
