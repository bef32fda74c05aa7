//! The supervisor is killed at each system call that it makes while it starts the others, brings one
//! back that was killed, lets new processes take over, and stops them.
//!
//! Which calls those are is seen first, when all of that happens once. Then, for each of them, it
//! happens again, until the supervisor ends where it would make the call; and the next time begins
//! with what the processes that it left, and its sockets and files, make of that.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use testkit::load::send_one;
use testkit::oracle::Judgement;
use testkit::peer::{is_root, peer};
use testkit::postern::{is_alive, send};
use testkit::random::Random;
use testkit::{tracer, wait};

use crate::beside::{divided, side_by_side};
use crate::reloads::another_directory;
use crate::system::{System, Turn, is_full, seed};
use crate::victims::processes;

/// Of so many calls, one is the last where `POSTERN_CRASH` does not say `full`.
const EACH: usize = 61;

/// How many systems run at a time where all calls are tried.
const SIDE_BY_SIDE: usize = 6;

/// How long what was killed, or is told to do something, may take.
const STEP_TIME: Duration = wait::LIMIT;

/// A call of the supervisor, and how many of its kind it makes before, counting this one.
type Last = (String, usize);

struct Story {
    system: System,
    strace: PathBuf,
    /// How often it has been told.
    n_told: usize,
}

impl Story {
    fn new(strace: &Path) -> Self {
        Self {
            system: System::prepare(),
            strace: strace.to_owned(),
            n_told: 0,
        }
    }

    /// Lets everything happen once under strace with `options`, or as much as happens before the
    /// supervisor ends; what strace wrote.
    fn tell(&mut self, options: &[&str]) -> String {
        let file = self.system.postern.scratch().path().join("calls");
        let before = ["-D", "-q", "-o"].map(OsString::from);
        let mut words = vec![self.strace.clone().into()];
        words.extend(before);
        words.push(file.clone().into());
        words.extend(options.iter().map(OsString::from));
        self.n_told += 1;
        self.system.postern.begin_under(&words);
        if self.system.postern.becomes_ready() {
            self.happen();
        }
        self.system.postern.wait_for_end();
        // It also writes how the supervisor ended.
        wait::until("strace writes its last line", || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            text.contains("\n+++ ").then_some(text)
        })
    }

    /// What happens between start and end.
    fn happen(&mut self) {
        let supervisor = self.system.postern.supervisor();
        let is_over = || !is_alive(supervisor);
        let name = format!("{}-before", self.n_told);
        self.send(&name);
        let output = || processes(supervisor).get("output").copied();
        let victim = output();
        victim.inspect(|pid| send(*pid, Signal::KILL));
        let comes_back = || is_over() || output().is_some_and(|pid| Some(pid) != victim);
        wait::within(STEP_TIME, || comes_back().then_some(()))
            .expect("output comes back, or the supervisor has ended");
        let name = format!("{}-between", self.n_told);
        self.send(&name);
        let config = self.system.config.clone();
        another_directory(&mut self.system, &config, self.n_told);
        // Refused where the supervisor ends before.
        self.system.postern.call(&["reload"]);
        let name = format!("{}-after", self.n_told);
        self.send(&name);
        self.system.postern.call(&["stop"]);
    }

    /// Sends a message, to which anything may happen.
    fn send(&self, name: &str) {
        let (oracle, door) = (&self.system.oracle, self.system.input());
        let to = ["alice@example.test", "carol@remote.example"];
        send_one(oracle, &door, name, "sender@example.test", &to, 500);
    }

    /// All calls that the supervisor makes, in no order.
    fn plan(&mut self) -> Vec<Last> {
        let text = self.tell(&[]);
        let mut calls: BTreeMap<&str, usize> = BTreeMap::new();
        for call in text.lines().filter_map(tracer::call_in) {
            *calls.entry(call).or_default() += 1;
        }
        let numbered = |(call, n): (&str, usize)| {
            let call = call.to_owned();
            (1..=n).map(move |number| (call.clone(), number))
        };
        calls.into_iter().flat_map(numbered).collect()
    }

    /// Whether the supervisor ended at that call.
    fn ends_at(&mut self, (call, number): &Last) -> bool {
        let trace = format!("trace={call}");
        let inject = format!("inject={call}:signal=KILL:when={number}");
        let text = self.tell(&["-e", &trace, "-e", &inject]);
        text.contains("\n+++ killed by SIGKILL")
    }

    /// Starts once more, and judges.
    fn end(mut self) -> Judgement {
        self.system.postern.start();
        self.system.judge()
    }
}

#[test]
fn what_was_acknowledged_arrives_once_whichever_call_is_the_last_of_the_supervisor() {
    let Some(strace) = is_root().then(|| peer("strace")).flatten() else {
        return;
    };
    let seed = seed();
    let _turn = Turn::take();
    let mut first = Story::new(&strace);
    let plan = first.plan();
    first.end().assert_kept();
    let (each, n_systems) = if is_full() {
        (1, SIDE_BY_SIDE)
    } else {
        (EACH, 1)
    };
    let begin = usize::try_from(Random::new(seed).below(each as u64)).expect("a small number");
    let chosen: Vec<Last> = plan.iter().skip(begin).step_by(each).cloned().collect();
    let n_killed = side_by_side(divided(&chosen, n_systems), |_, lasts| {
        let mut story = Story::new(&strace);
        let n_killed = lasts.iter().filter(|last| story.ends_at(last)).count();
        let judgement = story.end();
        println!(
            "killed: {{\"supervisor\": {n_killed}}}; not reached: {}; {judgement}",
            lasts.len() - n_killed
        );
        judgement.assert_kept();
        n_killed
    });
    let n_killed: usize = n_killed.into_iter().sum();
    println!("killed at {n_killed} of {} calls", plan.len());
    assert!(n_killed > chosen.len() / 2, "most calls are to be reached");
}
