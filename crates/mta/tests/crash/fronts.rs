//! What a handoff costs a front: no sync, and little memory.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testkit::load::{Letters, Load};
use testkit::peer::{is_root, peer};
use testkit::tracer::{Threads, Tracer};
use testkit::wait;

use crate::system::{System, seed};
use crate::victims::processes;

/// Everything that waits for a disk.
const SYNCS: &str = "trace=fsync,fdatasync,sync,msync,sync_file_range,syncfs";

/// How many messages go through while the calls are counted.
const MESSAGES: usize = 200;

/// How long a spool that prepares makes no sync call at most.
const QUIET: Duration = Duration::from_secs(1);

#[test]
fn a_front_that_hands_off_makes_no_sync_call() {
    let Some(strace) = is_root().then(|| peer("strace")).flatten() else {
        return;
    };
    let system = System::start();
    let processes = processes(system.postern.supervisor());
    let mut tracers = ["input", "output"].map(|name| {
        let file = system
            .postern
            .scratch()
            .path()
            .join(format!("syncs-{name}"));
        let threads = Threads::AllOf(processes[name]);
        let mut tracer = Tracer::attach(&strace, &["-e", SYNCS], threads, &file);
        assert!(!tracer.has_ended(), "strace ended");
        tracer
    });
    let before = tracers.each_ref().map(wait_until_quiet);
    let letters = Letters {
        from: "sender@example.test",
        to: &[&["alice@example.test"]],
        sizes: &[4_000],
        pause_max: Duration::ZERO,
    };
    let doors = [
        system.input(),
        system.input(),
        system.input(),
        system.input(),
    ];
    let load = Load::start(&system.oracle, &doors, &letters, seed());
    wait::until_true("messages are handed off", || {
        system.oracle.n_acknowledged() >= MESSAGES
    });
    load.stop();
    tracers.iter_mut().for_each(Tracer::detach);
    let after = tracers.each_ref().map(n_syncs);
    let [input, output] = [after[0] - before[0], after[1] - before[1]];
    let kept = system
        .postern
        .log()
        .lines()
        .filter(|line| line.contains(" input ") && line.contains(" accepted "))
        .count();
    println!("{MESSAGES} messages; sync calls: input {input}, output {output}; kept: {kept}");
    assert_eq!(
        kept, 0,
        "output is slower here than a front's patience: nothing is shown"
    );
    assert_eq!(input, 0, "sync calls of input");
    assert!(
        output > 0,
        "the calls of output must be seen, or nothing is shown"
    );
}

fn n_syncs(tracer: &Tracer) -> usize {
    tracer
        .text()
        .lines()
        .filter(|line| line.contains("sync"))
        .count()
}

/// Waits until a new spool has prepared its first segments, which it does ahead of the mail: until
/// there was no sync call for a while. How many there were.
fn wait_until_quiet(tracer: &Tracer) -> usize {
    let mut last = (n_syncs(tracer), Instant::now());
    wait::until("a new spool is prepared", || {
        let n = n_syncs(tracer);
        if n != last.0 {
            last = (n, Instant::now());
        }
        (last.1.elapsed() >= QUIET).then_some(n)
    })
}

/// How much each instance may hold, in KiB of anonymous memory.
const MEMORY_MAX: u64 = 150 * 1024;

#[test]
fn fifty_large_messages_at_once_leave_each_instance_small() {
    let system = System::start();
    let processes = processes(system.postern.supervisor());
    let letters = Letters {
        from: "sender@example.test",
        to: &[&["anyone@discard.example"]],
        sizes: &[25 << 20],
        pause_max: Duration::ZERO,
    };
    let doors = vec![system.input(); 50];
    let load = Load::start(&system.oracle, &doors, &letters, seed());
    // Everybody finishes the message that was begun, and begins no other one.
    let is_over = AtomicBool::new(false);
    let most = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut most = [0; 3];
            while !is_over.load(Ordering::SeqCst) {
                for (most, name) in most.iter_mut().zip(["submission", "input", "output"]) {
                    *most = (*most).max(anonymous_kib(processes[name]));
                }
                thread::sleep(Duration::from_millis(20));
            }
            most
        });
        thread::sleep(Duration::from_millis(500));
        load.stop();
        is_over.store(true, Ordering::SeqCst);
        sampler.join().expect("the sampler does not panic")
    });
    println!("anonymous memory at most, KiB: submission, input, output: {most:?}");
    assert_eq!(system.oracle.n_acknowledged(), 50);
    assert!(most.iter().all(|kib| *kib < MEMORY_MAX), "{most:?} KiB");
}

fn anonymous_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.unwrap_or_default()
}
