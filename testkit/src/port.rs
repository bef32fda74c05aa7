//! Ports of the loopback that nobody uses.

use std::fs;
use std::net::TcpListener;
use std::sync::Mutex;

/// The first port that needs no privilege and is no well-known service's.
const FIRST: u16 = 10_000;

/// A port on 127.0.0.1, given once in this process.
///
/// It lies below the range from which the kernel gives ports to those who name none, so neither
/// another test nor a client comes to it by chance. Where the first one is found depends on the
/// process, so that two that run at a time do not meet.
///
/// # Panics
/// When the loopback has no port left.
pub fn free_port() -> u16 {
    static LAST: Mutex<Option<u16>> = Mutex::new(None);
    let range = FIRST..first_ephemeral();
    let mut last = LAST.lock().expect("no thread panics holding this lock");
    for _ in range.clone() {
        let port = match *last {
            None => FIRST + u16::try_from(begin(range.len())).expect("within the range"),
            Some(port) if port + 1 < range.end => port + 1,
            Some(_) => FIRST,
        };
        *last = Some(port);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    drop(last);
    panic!("no port from {FIRST} to {} is free", range.end)
}

/// A place in a range of `len` that most other processes do not begin with.
fn begin(len: usize) -> usize {
    // Numbers of processes that run at a time are near each other, and a few hundred ports are
    // enough for one.
    (std::process::id() as usize * 389) % len
}

fn first_ephemeral() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let range = range.expect("the kernel says which ports it gives");
    let first = range.split_whitespace().next().expect("two numbers");
    let first = first.parse().expect("a port");
    assert!(
        first > FIRST + 1_000,
        "the kernel gives ports from {first} on to clients, which leaves none for listeners: see \
         /proc/sys/net/ipv4/ip_local_port_range"
    );
    first
}
