//! Ports of the loopback that nobody uses.
//!
//! They lie below the range from which the kernel gives ports to those who name none, so no client
//! comes to one by chance. A process takes them from blocks that it has for itself: another one
//! that runs tests never looks whether one is free whose owner is just being started again.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

/// The first port that needs no privilege and is no well-known service's.
const FIRST: u16 = 10_000;

/// How many ports a block has.
const BLOCK: u16 = 500;

/// How many blocks a process takes before it gives ports a second time: those of tests that have
/// long ended.
const BLOCKS_MAX: usize = 8;

/// A port on 127.0.0.1 that is free, and that nobody else is given soon.
///
/// # Panics
/// When the loopback has no port left.
pub fn free_port() -> u16 {
    let address = listener().local_addr();
    address.expect("a listener has an address").port()
}

/// A listener on such a port. Who wants to listen in this process takes this: a port that is freed
/// may seem in use for a moment, as a child has a copy of descriptors until it runs its program.
///
/// # Panics
/// As [`free_port`].
pub fn listener() -> TcpListener {
    static PORTS: Mutex<Ports> = Mutex::new(Ports::new());
    let mut ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    let n_ports = BLOCKS_MAX * usize::from(BLOCK);
    let found = (0..n_ports).find_map(|_| TcpListener::bind(("127.0.0.1", ports.next())).ok());
    drop(ports);
    found.expect("a port is free")
}

/// The blocks of this process, and which port was given last.
struct Ports {
    blocks: Vec<Block>,
    /// An index of a block, and what is left of it.
    at: (usize, Range<u16>),
}

/// Ports that no other process of tests gives.
struct Block {
    ports: Range<u16>,
    /// Its name is taken for as long as this process lives.
    _claim: UnixListener,
}

impl Ports {
    const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            at: (0, 0..0),
        }
    }

    fn next(&mut self) -> u16 {
        if let Some(port) = self.at.1.next() {
            return port;
        }
        let claimed = (self.blocks.len() < BLOCKS_MAX).then(Block::claim);
        if let Some(block) = claimed.flatten() {
            self.at = (self.blocks.len(), block.ports.clone());
            self.blocks.push(block);
        } else {
            assert!(!self.blocks.is_empty(), "others have all ports");
            let next = (self.at.0 + 1) % self.blocks.len();
            self.at = (next, self.blocks[next].ports.clone());
        }
        self.at.1.next().expect("a block is not empty")
    }
}

impl Block {
    /// The first that nobody has; `None` when there is none.
    fn claim() -> Option<Self> {
        let n_blocks = (first_ephemeral() - FIRST) / BLOCK;
        (0..n_blocks).find_map(|number| {
            let first = FIRST + number * BLOCK;
            Some(Self {
                ports: first..first + BLOCK,
                _claim: claim(first).ok()?,
            })
        })
    }
}

/// Takes a name that goes with the process, however it ends, and is seen where its ports are.
fn claim(first: u16) -> io::Result<UnixListener> {
    let name = format!("postern-test-ports-{first}");
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

fn first_ephemeral() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let range = range.expect("the kernel says which ports it gives");
    let first = range.split_whitespace().next().expect("two numbers");
    let first = first.parse().expect("a port");
    assert!(
        first > FIRST + 2 * BLOCK,
        "the kernel gives ports from {first} on to clients, which leaves none for listeners: see \
         /proc/sys/net/ipv4/ip_local_port_range"
    );
    first
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nobody_else_is_given_a_port_of_a_block_that_is_taken() {
        let [one, other] = [(); 2].map(|()| Block::claim().expect("a block is left"));
        assert!(one.ports.end <= other.ports.start || other.ports.end <= one.ports.start);
        assert!(claim(one.ports.start).is_err());
    }

    #[test]
    fn ports_are_given_again_only_after_thousands() {
        let mut ports = Ports::new();
        let given: Vec<u16> = (0..2 * BLOCK).map(|_| ports.next()).collect();
        assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), given.len());
    }
}
