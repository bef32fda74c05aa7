//! Each process is killed at each system call that it makes for one message.
//!
//! Which calls those are is seen first, message by message, for each process and kind of thread.
//! Then, for each of them, a message is sent, and the process ends where it would make the call.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use testkit::load::send_one;
use testkit::oracle::Fate;
use testkit::peer::{is_root, peer};
use testkit::postern::{is_alive, send};
use testkit::random::Random;
use testkit::tracer::{self, Threads, Tracer};
use testkit::{maildir, wait};

use crate::system::{Handoffs, System, is_full, seed};
use crate::victims::processes;

/// Of so many calls, one is the last where `POSTERN_CRASH` does not say `full`.
const EACH: usize = 9;

/// The same where a front keeps its messages, which takes it longer than its patience.
const EACH_KEPT: usize = 19;

/// How often what one message needs is looked at: another one may need other calls.
const LOOKS: usize = 3;

const SENDER: &str = "sender@example.test";

/// Who gets what is sent: both kinds of delivery.
const TO: [&str; 2] = ["alice@example.test", "carol@remote.example"];

/// How long a process may go on after the message has arrived: outcomes are recorded then.
const AFTERWARDS: Duration = Duration::from_millis(150);

/// How long a process that is not killed may take for a message.
const ON_THE_WAY: Duration = wait::LIMIT;

/// A call at which a process is to end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Last {
    process: &'static str,
    /// The name of the threads that make it.
    thread: String,
    call: String,
    /// How many of the kind a thread makes before it, counting it.
    number: usize,
}

impl fmt::Display for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            process,
            thread,
            call,
            number,
        } = self;
        write!(f, "{process}, {thread}: {call} {number}")
    }
}

struct Suite {
    system: System,
    handoffs: Handoffs,
    strace: PathBuf,
    n_attempts: usize,
}

impl Suite {
    fn start(handoffs: Handoffs) -> Option<Self> {
        let strace = is_root().then(|| peer("strace")).flatten()?;
        Some(Self {
            system: System::start_with(handoffs),
            handoffs,
            strace,
            n_attempts: 0,
        })
    }

    /// Sends a message by a front, `process` where that is one, and waits until it has arrived
    /// and nothing is left to do, or `is_over`.
    fn send(&mut self, process: &str, handoffs: Handoffs, mut is_over: impl FnMut() -> bool) {
        let before = self.n_arrived();
        self.n_attempts += 1;
        let by_input = match process {
            "input" => true,
            "submission" => false,
            _ => self.n_attempts.is_multiple_of(2),
        };
        let door = if by_input {
            self.system.input()
        } else {
            self.system.submission()
        };
        let attempt = format!("calls-{}", self.n_attempts);
        let hung = (handoffs == Handoffs::FromTheSpool)
            .then(|| self.pid("output"))
            .flatten();
        hung.inspect(|output| send(*output, Signal::STOP));
        let fate = send_one(&self.system.oracle, &door, &attempt, SENDER, &TO, 500);
        hung.inspect(|output| send(*output, Signal::CONT));
        let arrived = wait::within(ON_THE_WAY, || {
            let is_through = self.n_arrived() >= before + TO.len();
            (is_over() || is_through || fate != Some(Fate::Acknowledged)).then_some(())
        });
        let log = || self.system.postern.log();
        assert!(arrived.is_some(), "{attempt} does not arrive:\n{}", log());
        wait::within(AFTERWARDS, || is_over().then_some(()));
    }

    fn n_arrived(&self) -> usize {
        let mailbox = self.system.postern.state("mail/example.test/alice");
        maildir::messages(&mailbox).len() + self.system.remote.messages().len()
    }

    fn pid(&self, process: &str) -> Option<u32> {
        processes(self.system.postern.supervisor())
            .get(process)
            .copied()
    }

    /// The calls that `process` makes for a message, by kind of thread.
    fn look(&mut self, process: &'static str) -> BTreeMap<(String, String), usize> {
        let pid = self.pid(process).expect("nobody is killed yet");
        self.send(process, Handoffs::BeforeTheReply, || false);
        let file = self
            .system
            .postern
            .scratch()
            .path()
            .join(format!("calls-{process}"));
        let mut tracer = Tracer::attach(&self.strace, &["-q"], Threads::AllOf(pid), &file);
        self.send(process, self.handoffs, || false);
        let threads = tracer::of(pid);
        tracer.detach();
        let mut seen: BTreeMap<(u32, String), usize> = BTreeMap::new();
        for line in tracer.text().lines() {
            let Some((thread, rest)) = line.split_once(' ') else {
                continue;
            };
            if let (Ok(thread), Some(name)) = (thread.parse(), tracer::call_in(rest)) {
                *seen.entry((thread, name.to_owned())).or_default() += 1;
            }
        }
        let mut most = BTreeMap::new();
        for ((thread, call), n) in seen {
            if let Some(name) = threads.get(&thread) {
                let entry = most.entry((name.clone(), call)).or_default();
                *entry = n.max(*entry);
            }
        }
        most
    }

    /// All calls at which the processes can end, one process after the other, so that each has
    /// served long enough for the supervisor to forgive its last end.
    fn plan(&mut self) -> Vec<Last> {
        let mut queues: Vec<VecDeque<Last>> = Vec::new();
        let (processes, n_looks): (&[&str], _) = match self.handoffs {
            Handoffs::BeforeTheReply => (&["control", "input", "output", "submission"], LOOKS),
            Handoffs::FromTheSpool => (&["input", "submission"], 1),
        };
        for &process in processes {
            let mut most: BTreeMap<(String, String), usize> = BTreeMap::new();
            for _ in 0..n_looks {
                for (kind, n) in self.look(process) {
                    let entry = most.entry(kind).or_default();
                    *entry = n.max(*entry);
                }
            }
            let lasts = most.into_iter().flat_map(|((thread, call), n)| {
                (1..=n).map(move |number| Last {
                    process,
                    thread: thread.clone(),
                    call: call.clone(),
                    number,
                })
            });
            queues.push(lasts.collect());
        }
        let mut plan = Vec::new();
        while queues.iter().any(|queue| !queue.is_empty()) {
            plan.extend(queues.iter_mut().filter_map(VecDeque::pop_front));
        }
        plan
    }

    /// Sends a message and ends a process at `last`; whether it came to that.
    fn kill(&mut self, last: &Last) -> bool {
        // The threads that are needed are there when they were needed once.
        self.send(last.process, Handoffs::BeforeTheReply, || false);
        let pid = self
            .pid(last.process)
            .expect("each is back before the next is killed");
        let threads = tracer::of(pid).into_iter();
        let threads: Vec<u32> = threads
            .filter(|(_, name)| *name == last.thread)
            .map(|(id, _)| id)
            .collect();
        if threads.is_empty() {
            return false;
        }
        let trace = format!("trace={}", last.call);
        let inject = format!("inject={}:signal=KILL:when={}", last.call, last.number);
        let file = self.system.postern.scratch().path().join("last");
        let options = ["-q", "-e", &trace, "-e", &inject];
        let mut tracer = Tracer::attach(&self.strace, &options, Threads::These(&threads), &file);
        self.send(last.process, self.handoffs, || !is_alive(pid));
        tracer.detach();
        let is_dead = !is_alive(pid);
        if is_dead {
            self.revive(last.process, pid);
        }
        is_dead
    }

    /// Waits until another process has taken the place of `pid`.
    fn revive(&self, process: &str, pid: u32) {
        wait::until_true(&format!("{process} comes back"), || {
            self.pid(process).is_some_and(|new| new != pid)
        });
        wait::until_true("clients are served", || self.is_served());
    }

    /// Whether clients of both fronts are.
    fn is_served(&self) -> bool {
        [self.system.input(), self.system.submission()]
            .iter()
            .all(testkit::load::is_served)
    }
}

fn kill_at_each_call(handoffs: Handoffs) {
    let seed = seed();
    let Some(mut suite) = Suite::start(handoffs) else {
        return;
    };
    let plan = suite.plan();
    let each = match (is_full(), handoffs) {
        (true, _) => 1,
        (false, Handoffs::BeforeTheReply) => EACH,
        (false, Handoffs::FromTheSpool) => EACH_KEPT,
    };
    let first = usize::try_from(Random::new(seed).below(each as u64)).expect("a small number");
    let chosen: Vec<_> = plan.iter().skip(first).step_by(each).collect();
    let (mut killed, mut missed) = (BTreeMap::<_, usize>::new(), 0);
    for last in &chosen {
        if suite.kill(last) {
            *killed.entry(last.process).or_default() += 1;
        } else {
            missed += 1;
        }
        println!("{last}");
    }
    let judgement = suite.system.judge();
    println!(
        "{handoffs:?}: killed at {} of {} calls: {killed:?}; not reached: {missed}; {judgement}",
        killed.values().sum::<usize>(),
        plan.len()
    );
    judgement.assert_kept();
    assert!(
        judgement.unannounced.is_empty(),
        "{:?}",
        judgement.unannounced
    );
    assert!(
        killed.values().sum::<usize>() > chosen.len() / 2,
        "most calls are to be reached"
    );
}

#[test]
fn what_was_acknowledged_arrives_once_whichever_call_is_the_last_of_a_process() {
    kill_at_each_call(Handoffs::BeforeTheReply);
}

#[test]
fn what_a_front_keeps_arrives_once_whichever_call_is_the_last_of_a_process() {
    kill_at_each_call(Handoffs::FromTheSpool);
}
