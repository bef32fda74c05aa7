//! Accepting connections on descriptors that the supervisor bound.
//!
//! # Failure
//! When descriptors or memory run out, accepting pauses for a moment instead of spinning.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};

use crate::Stream;

/// How long accepting pauses after an error that will not go away at once.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// A bound, listening socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A path in the file system.
    Unix(UnixListener),
}

/// Who is at the other end of an accepted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A program on this machine, as the kernel says.
    Local {
        /// Its user id.
        uid: u32,
        /// Its process id when it connected.
        pid: Option<i32>,
    },
    /// An address.
    Tcp(SocketAddr),
}

impl Listener {
    /// Takes over a bound TCP descriptor. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When it is no listening TCP socket.
    pub fn tcp(fd: OwnedFd) -> io::Result<Self> {
        // Accepted sockets inherit this: a reply is one segment and must not wait for the next.
        rustix::net::sockopt::set_tcp_nodelay(&fd, true)?;
        let listener = std::net::TcpListener::from(fd);
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Self::Tcp)
    }

    /// Takes over a bound unix descriptor. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When it is no listening unix socket.
    pub fn unix(fd: OwnedFd) -> io::Result<Self> {
        let listener = std::os::unix::net::UnixListener::from(fd);
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener).map(Self::Unix)
    }

    /// The next connection. Cancel-safe. Errors of single connections are skipped; when the
    /// process is out of descriptors or memory, waits and tries again.
    pub async fn accept(&self) -> (Stream, Peer) {
        loop {
            match self.try_accept().await {
                Ok(accepted) => return accepted,
                Err(e) => pause_after(&e).await,
            }
        }
    }

    async fn try_accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Peer::Tcp(address)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let credentials = stream.peer_cred()?;
                let peer = Peer::Local {
                    uid: credentials.uid(),
                    pid: credentials.pid(),
                };
                Ok((Stream::Unix(stream), peer))
            }
        }
    }
}

/// What a client gave up is no reason to pause: the next connection may wait already. Any other
/// error would come again at once.
async fn pause_after(error: &io::Error) {
    if error.kind() != io::ErrorKind::ConnectionAborted {
        tokio::time::sleep(PAUSE_AFTER_ERROR).await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use rustix::io::Errno;

    use super::*;

    #[tokio::test]
    async fn without_a_descriptor_accepting_pauses_instead_of_spinning() {
        let pauses = |errno: Errno| {
            let error = errno.into();
            let mut pause = pin!(pause_after(&error));
            let mut nobody = Context::from_waker(Waker::noop());
            pause.as_mut().poll(&mut nobody).is_pending()
        };
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(pauses(errno), "{errno}");
        }
        assert!(!pauses(Errno::CONNABORTED));
    }
}
