//! One type for every kind of byte stream that mail travels over.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{client, server};

use crate::tls::Counted;

/// A connected byte stream.
#[derive(Debug)]
pub enum Stream {
    /// Closed, or being turned into a TLS stream; every operation fails.
    Closed,
    /// TCP in the clear.
    Tcp(TcpStream),
    /// TLS where this end is the client.
    TlsClient(Box<client::TlsStream<TcpStream>>),
    /// TLS where this end is the server.
    TlsServer(Box<server::TlsStream<Counted>>),
    /// A local socket, or an edge between two instances.
    Unix(UnixStream),
}

impl Stream {
    /// Connects to a host by TCP: an IP address, or a name, of whose addresses the first that
    /// answers is taken. `within` is for all of it; of what is left, each address has an equal
    /// share, so that one that swallows everything, as IPv6 does where it is set up in half, keeps
    /// none from its turn. Returns the address beside the
    /// stream. Cancel-safe: a dropped future leaves nothing behind.
    ///
    /// # Errors
    /// What came of each address, or of the look for them.
    pub async fn connect(
        host: &str,
        port: u16,
        within: Duration,
    ) -> Result<(Self, IpAddr), ConnectError> {
        let until = Instant::now() + within;
        let addresses = match timeout_at(until, lookup_host((host, port))).await {
            Ok(Ok(addresses)) => addresses.take(ADDRESSES_MAX).collect::<Vec<_>>(),
            Ok(Err(e)) => {
                return Err(ConnectError(format!(
                    "cannot find an address of {host}: {e}"
                )));
            }
            Err(_) => {
                let seconds = within.as_secs();
                return Err(ConnectError(format!(
                    "cannot find an address of {host}: no answer within {seconds} seconds"
                )));
            }
        };
        Self::first(host, port, &addresses, until).await
    }

    /// As [`Self::connect`], to addresses that are known already; `host` only names them.
    ///
    /// # Errors
    /// What came of each address.
    pub async fn connect_to(
        host: &str,
        port: u16,
        addresses: &[IpAddr],
        within: Duration,
    ) -> Result<(Self, IpAddr), ConnectError> {
        let addresses = addresses.iter().take(ADDRESSES_MAX);
        let addresses: Vec<_> = addresses.map(|&ip| SocketAddr::new(ip, port)).collect();
        Self::first(host, port, &addresses, Instant::now() + within).await
    }

    async fn first(
        host: &str,
        port: u16,
        addresses: &[SocketAddr],
        until: Instant,
    ) -> Result<(Self, IpAddr), ConnectError> {
        first_that_answers(addresses, until)
            .await
            .map_err(|failed| {
                let tried = failed.iter().map(|(at, e)| failure(host, port, *at, e));
                let tried = tried.collect::<Vec<_>>().join("; ");
                let nothing = tried.is_empty();
                ConnectError(if nothing {
                    format!("{host} has no address")
                } else {
                    tried
                })
            })
    }

    /// Takes the stream out, leaving a closed one.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Closed)
    }

    /// Whether the system has something for this end that was not read: octets, the end, or an
    /// error. Asks the system itself, and so knows also what the runtime has not heard of yet.
    pub(crate) fn has_input(&mut self) -> bool {
        fn has<T>(looked: Result<T, Errno>) -> bool {
            !matches!(looked, Err(Errno::AGAIN | Errno::INTR))
        }
        fn decrypted(processed: Result<rustls::IoState, rustls::Error>) -> bool {
            processed.map_or(true, |state| state.plaintext_bytes_to_read() > 0)
        }
        let mut octet = [0];
        let octet = &mut octet[..];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match self {
            Self::Closed => true,
            Self::Tcp(s) => has(recv(s, octet, flags)),
            Self::TlsClient(s) => {
                let (s, tls) = s.get_mut();
                decrypted(tls.process_new_packets()) || has(recv(s, octet, flags))
            }
            Self::TlsServer(s) => {
                let (s, tls) = s.get_mut();
                decrypted(tls.process_new_packets()) || has(recv(s.tcp(), octet, flags))
            }
            Self::Unix(s) => has(recv(s, octet, flags)),
        }
    }

    /// Whether a read that fills less than its buffer has read all that there was.
    pub(crate) const fn reads_all(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => true,
            // A read gives one record.
            Self::Closed | Self::TlsClient(_) | Self::TlsServer(_) => false,
        }
    }

    /// Whether the other end has closed, whatever of it is still unread. Of a stream under TLS
    /// nothing is known.
    #[must_use]
    pub fn has_hung_up(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Tcp(stream) => has_hung_up(stream),
            Self::TlsClient(_) | Self::TlsServer(_) => false,
            Self::Unix(stream) => has_hung_up(stream),
        }
    }

    fn closed<T>() -> Poll<io::Result<T>> {
        Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
    }
}

fn has_hung_up(stream: &impl AsFd) -> bool {
    let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    let mut looked_at = [PollFd::new(stream, gone)];
    // What cannot be looked at is not known to be gone.
    poll(&mut looked_at, Some(&Timespec::default())).is_ok()
        && looked_at[0].revents().intersects(gone)
}

/// How many addresses of a name are tried: with more, none would have time to answer.
const ADDRESSES_MAX: usize = 8;

/// Why nobody was reached: what failed, at which host and address. For operators.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(String);

/// What came of one address of a host.
fn failure(host: &str, port: u16, address: SocketAddr, error: &io::Error) -> String {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
    let what = match error.kind() {
        ConnectionRefused => "connection refused",
        HostUnreachable => "host unreachable",
        NetworkUnreachable => "network unreachable",
        TimedOut => "timed out",
        _ => "",
    };
    let at = host_and_address(host, port, address.ip());
    if what.is_empty() {
        format!("cannot connect to {at}: {error}")
    } else {
        format!("cannot connect to {at}: {what}")
    }
}

/// A host and which of its addresses, for operators: `mx.example:25 (192.0.2.1)`.
#[must_use]
pub fn host_and_address(host: &str, port: u16, address: IpAddr) -> String {
    match host.parse::<IpAddr>() {
        Ok(_) => SocketAddr::new(address, port).to_string(),
        Err(_) => format!("{host}:{port} ({address})"),
    }
}

/// The first address that takes a connection, or what came of each.
async fn first_that_answers(
    addresses: &[SocketAddr],
    until: Instant,
) -> Result<(Stream, IpAddr), Vec<(SocketAddr, io::Error)>> {
    let mut failed = Vec::new();
    for (address, n_left) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(n_left).unwrap_or(u32::MAX);
        let connected = match timeout(share, TcpStream::connect(address)).await {
            // Commands are written whole; to wait for more could only delay them.
            Ok(Ok(stream)) => stream.set_nodelay(true).map(|()| Stream::Tcp(stream)),
            Ok(Err(e)) => Err(e),
            Err(e) => Err(e.into()),
        };
        match connected {
            Ok(stream) => return Ok((stream, address.ip())),
            Err(e) => failed.push((*address, e)),
        }
    }
    Err(failed)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Closed => Self::closed(),
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::TlsClient(s) => Pin::new(s).poll_read(cx, buf),
            Self::TlsServer(s) => Pin::new(s).poll_read(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Closed => Self::closed(),
            Self::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Self::TlsClient(s) => Pin::new(s).poll_write(cx, buf),
            Self::TlsServer(s) => Pin::new(s).poll_write(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // What is written in the clear is with the kernel: there is nothing to flush.
            Self::Closed | Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::TlsClient(s) => Pin::new(s).poll_flush(cx),
            Self::TlsServer(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Who shuts down closes next, and that says the same in one call.
            Self::Closed | Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::TlsClient(s) => Pin::new(s).poll_shutdown(cx),
            Self::TlsServer(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// An address that answers no more connections, as a host does behind a network that swallows
    /// everything; and what keeps it so.
    async fn silent() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) =
            timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            waiting.push(stream.unwrap());
            assert!(waiting.len() < 100, "no bound");
        }
        (address, listener, waiting)
    }

    #[tokio::test]
    async fn an_address_that_says_nothing_leaves_time_to_the_others_of_its_name() {
        let (silent, _listener, _waiting) = silent().await;
        let answering = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [silent, silent, answering.local_addr().unwrap()];
        let until = Instant::now() + Duration::from_secs(3);
        let stream = first_that_answers(&addresses, until).await;
        assert!(stream.is_ok(), "{stream:?}");
    }

    #[tokio::test]
    async fn addresses_that_all_say_nothing_are_given_up_together() {
        let (silent, _listener, _waiting) = silent().await;
        let until = Instant::now() + Duration::from_millis(200);
        let failed = first_that_answers(&[silent; 4], until).await.unwrap_err();
        let kinds: Vec<_> = failed.iter().map(|(_, e)| e.kind()).collect();
        assert_eq!(kinds, [io::ErrorKind::TimedOut; 4]);
        let nobody = first_that_answers(&[], until).await;
        assert!(nobody.is_err());
    }

    #[test]
    fn a_failure_names_host_address_and_what_came_of_it() {
        use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
        let address = "[2001:db8::1]:25".parse().unwrap();
        for (kind, what) in [
            (ConnectionRefused, "connection refused"),
            (HostUnreachable, "host unreachable"),
            (NetworkUnreachable, "network unreachable"),
            (TimedOut, "timed out"),
        ] {
            let of = |host| failure(host, 25, address, &kind.into());
            let named = format!("cannot connect to mx.example:25 (2001:db8::1): {what}");
            assert_eq!(of("mx.example"), named);
            let literal = format!("cannot connect to [2001:db8::1]:25: {what}");
            assert_eq!(of("2001:db8::1"), literal);
        }
        let other = failure("mx.example", 25, address, &io::Error::other("no buffers"));
        let expected = "cannot connect to mx.example:25 (2001:db8::1): no buffers";
        assert_eq!(other, expected);
    }

    #[tokio::test]
    async fn a_name_without_address_is_named() {
        // Too long a label for a question to the DNS.
        let host = format!("{}.invalid", "x".repeat(64));
        let failed = Stream::connect(&host, 25, Duration::from_secs(10)).await;
        let text = failed.map(drop).unwrap_err().to_string();
        let begin = format!("cannot find an address of {host}: ");
        assert!(text.starts_with(&begin), "{text}");
    }
}
