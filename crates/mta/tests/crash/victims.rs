//! Who is killed, and when.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testkit::postern::{children, send};
use testkit::random::Random;

/// How often new processes are looked for.
const INTERVAL: Duration = Duration::from_millis(10);

/// How long each of them may take to come back, the longest pause of the supervisor included.
const COME_BACK: Duration = testkit::wait::LIMIT;

/// Which processes are killed.
pub(crate) const ALL: [&str; 4] = ["control", "input", "output", "submission"];

/// The processes of a supervisor, by name.
pub(crate) fn processes(supervisor: u32) -> BTreeMap<String, u32> {
    let named = |pid| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let mut words = line.trim_end_matches('\0').split('\0').skip(1);
        let first = words.next()?;
        Some((words.next().unwrap_or(first).to_owned(), pid))
    };
    children(supervisor).into_iter().filter_map(named).collect()
}

/// Kills those of `victims` that run under `supervisor`, each in its own time, until each of them
/// was killed `n_each` times; how many times each was.
///
/// Most of them have served for the second after which the supervisor forgives, so that its
/// back-off keeps nobody down; every fourth dies soon after its start, in the middle of its
/// recovery or of its first sessions.
///
/// # Panics
/// When one does not come back.
#[track_caller]
pub(crate) fn kill(
    supervisor: u32,
    victims: &[&'static str],
    n_each: usize,
    random: &Random,
) -> BTreeMap<&'static str, usize> {
    let mut killed: BTreeMap<&str, usize> = BTreeMap::new();
    let mut due: BTreeMap<&str, (u32, Instant)> = BTreeMap::new();
    let mut last_seen: BTreeMap<&str, Instant> =
        victims.iter().map(|name| (*name, Instant::now())).collect();
    while victims
        .iter()
        .any(|name| killed.get(name).is_none_or(|n| *n < n_each))
    {
        let processes = processes(supervisor);
        let now = Instant::now();
        for &name in victims {
            let Some(&pid) = processes.get(name) else {
                assert!(
                    now - last_seen[name] < COME_BACK,
                    "{name} does not come back"
                );
                continue;
            };
            last_seen.insert(name, now);
            let (victim, at) = *due.entry(name).or_insert_with(|| (pid, now + life(random)));
            if victim != pid {
                due.insert(name, (pid, now + life(random)));
            } else if now >= at {
                send(pid, Signal::KILL);
                *killed.entry(name).or_default() += 1;
                due.remove(name);
            }
        }
        std::thread::sleep(INTERVAL);
    }
    killed
}

fn life(random: &Random) -> Duration {
    if random.below(4) == 0 {
        random.between(Duration::ZERO, Duration::from_millis(300))
    } else {
        random.between(Duration::from_millis(1050), Duration::from_millis(1300))
    }
}
