//! Answers the clients of an instance that is down, so that they try again instead of hanging.
//!
//! # Limits
//! One connection at a time a listener; nothing is read. A client that closes before it has read
//! the reply may miss it and see the connection reset.
//!
//! # Standards
//! RFC 5321 §3.1: a server that cannot serve says 421 and closes.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use mail::reply::table;
use rustix::net::{SendFlags, Shutdown, SocketFlags, accept_with, send, shutdown};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use config::ListenSecurity;

/// How long accepting pauses after an error that will not go away at once.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// Refuses for as long as it lives.
#[derive(Debug)]
pub(super) struct Refuser {
    tasks: Vec<JoinHandle<()>>,
}

impl Refuser {
    /// Begins on these listening, non-blocking sockets. Must be called within a tokio runtime.
    pub(super) fn new(listeners: Vec<(ListenSecurity, OwnedFd)>) -> Self {
        let tasks = listeners.into_iter().map(|(security, socket)| {
            let farewell = match security {
                // Only a handshake could carry a reply.
                ListenSecurity::ImplicitTls => Vec::new(),
                ListenSecurity::Plain => format!("{}\r\n", table::NOT_AVAILABLE.reply()).into(),
            };
            tokio::spawn(refuse(socket, farewell))
        });
        Self {
            tasks: tasks.collect(),
        }
    }
}

impl Drop for Refuser {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn refuse(socket: OwnedFd, farewell: Vec<u8>) {
    // The runtime's type for streams serves only to be told of readiness.
    let Ok(socket) = UnixStream::from_std(socket.into()) else {
        return;
    };
    loop {
        let accepted = socket.async_io(Interest::READABLE, || {
            Ok(accept_with(
                &socket,
                SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            )?)
        });
        match accepted.await {
            Ok(client) => dismiss(&client, &farewell),
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => tokio::time::sleep(PAUSE_AFTER_ERROR).await,
        }
    }
}

/// A fresh connection has room for a line; a client that is gone needs no answer.
fn dismiss(client: &OwnedFd, farewell: &[u8]) {
    let _ = send(client, farewell, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    let _ = shutdown(client, Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_client_is_told_to_come_back_and_the_next_one_too() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (done, finished) = tokio::sync::oneshot::channel();
        let clients = std::thread::spawn(move || {
            let answers: Vec<String> = (0..3)
                .map(|_| io::read_to_string(TcpStream::connect(address).unwrap()).unwrap())
                .collect();
            done.send(()).unwrap();
            answers
        });
        runtime.block_on(async {
            let refuser = Refuser::new(vec![(ListenSecurity::Plain, listener.into())]);
            finished.await.unwrap();
            drop(refuser);
        });
        for answer in clients.join().unwrap() {
            assert!(
                answer.starts_with("421 4.3.2 ") && answer.ends_with("\r\n"),
                "{answer:?}"
            );
        }
    }

    #[test]
    fn a_client_that_expects_tls_sees_the_connection_closed() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (done, finished) = tokio::sync::oneshot::channel();
        let reader = std::thread::spawn(move || {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            done.send(()).unwrap();
            answer
        });
        runtime.block_on(async {
            let _refuser = Refuser::new(vec![(ListenSecurity::ImplicitTls, listener.into())]);
            finished.await.unwrap();
        });
        assert!(reader.join().unwrap().is_empty());
    }
}
