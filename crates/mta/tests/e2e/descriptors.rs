//! Descriptors: an instance without a free one goes on with what it has, and accepts again by
//! itself; and those of others are left to them.

use std::fs;
use std::path::Path;

use intake::CONTENT_SHARING_MEMORY_MAX;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use testkit::{Dialogue, wait};

use crate::system::{System, letter, offer};

/// Connections that find a descriptor at last.
const N_FITTING: usize = 6;
/// Connections that do not.
const N_WAITING: usize = 6;

#[test]
fn who_finds_no_descriptor_waits_and_those_who_are_in_are_served() {
    let system = System::embedded();
    let mut client = system.at_input();
    // From here on the way to the next instance stands.
    assert!(send(&mut client, &letter("before")).starts_with("250"));

    let input = system.postern.pid("input");
    let limit = limit_with_free(input, N_FITTING);
    let before = limit_descriptors(input, Some(limit as u64));
    let connect = |_| Dialogue::tcp(system.ports.input);
    let fitting: Vec<_> = (0..N_FITTING).map(connect).collect();
    wait::until_true("no descriptor is left", || n_free(input, limit) == 0);
    let waiting: Vec<_> = (0..N_WAITING).map(connect).collect();

    let reply = send(&mut client, &letter("meanwhile"));
    assert!(reply.starts_with("250"), "{reply}");
    // What was closed meanwhile has made room for one who waits.
    wait::until_true("none is left again", || n_free(input, limit) == 0);
    // What needs a file finds none: the client keeps it. It may find one that was closed a moment
    // ago, before one who waits has it.
    wait::until_true("a large letter finds no descriptor", || {
        send(&mut client, &large_letter("larger")).starts_with('4')
    });
    assert_eq!(system.queued("input"), Some(0), "control is answered");

    drop(fitting);
    for mut late in waiting {
        let greeting = late.reply();
        assert!(greeting.starts_with("220"), "{greeting}");
    }
    limit_descriptors(input, before);
    let reply = send(&mut client, &large_letter("large"));
    assert!(reply.starts_with("250"), "{reply}");
    for subject in ["before", "meanwhile", "large"] {
        system.arrived("alice", &format!("Subject: {subject}"));
    }
}

#[test]
fn what_the_starting_shell_leaves_open_is_in_no_process() {
    let mut system = System::stopped(|config| config);
    let script = r#"exec 7>left-open 8>&7; exec "$@""#;
    system
        .postern
        .start_under(&["/bin/sh", "-c", script, "sh"].map(Into::into));
    let left_open = system.postern.scratch().path().join("left-open");
    assert!(left_open.exists(), "the shell has opened it");
    let mut pids = vec![system.postern.supervisor()];
    pids.extend(["control", "submission", "input", "output"].map(|name| system.postern.pid(name)));
    for pid in pids {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
        let mut links = open.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        assert!(!links.any(|link| link == left_open), "process {pid} has it");
    }
}

/// Sends alice a letter; the reply to its data.
#[track_caller]
fn send(client: &mut Dialogue, content: &str) -> String {
    offer(client, "a@example.org", &["alice@example.test"], content)
}

/// More than an instance keeps in memory.
fn large_letter(mark: &str) -> String {
    let line = "x".repeat(900);
    letter(mark) + &format!("\n{line}").repeat(1 + CONTENT_SHARING_MEMORY_MAX / line.len())
}

/// How many numbers below `limit` the process can still give to a descriptor. The limit is one of
/// numbers: a descriptor that was inherited may lie above it.
fn n_free(pid: u32, limit: usize) -> usize {
    let is_free = |number: &usize| !Path::new(&format!("/proc/{pid}/fd/{number}")).is_symlink();
    (0..limit).filter(is_free).count()
}

/// The limit under which `n` numbers are free.
fn limit_with_free(pid: u32, n: usize) -> usize {
    let limit = (0..).find(|&limit| n_free(pid, limit) == n);
    limit.expect("there are numbers enough")
}

/// How many descriptors the process may have from now on; returns how many it could.
fn limit_descriptors(pid: u32, current: Option<u64>) -> Option<u64> {
    let pid = Pid::from_raw(pid.cast_signed());
    let limit = getrlimit(Resource::Nofile);
    let before = prlimit(pid, Resource::Nofile, Rlimit { current, ..limit });
    before.expect("it is a child of ours").current
}
