//! Ports of the loopback that nobody uses.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

/// A port on 127.0.0.1, given once in this process.
///
/// The port carried a connection that this end closed first, so for a minute the kernel gives it
/// to nobody who does not name it: neither another test nor a client finds it by chance.
///
/// # Panics
/// When the loopback has no port left.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let client = TcpStream::connect(address).expect("the loopback connects");
        let server = listener.accept().expect("the connection is there");
        drop(server);
        drop(client);
        let mut given = GIVEN.lock().expect("no thread panics holding this lock");
        if given.insert(address.port()) {
            return address.port();
        }
    }
}
