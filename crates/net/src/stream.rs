//! One type for every kind of byte stream that mail travels over.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

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
    TlsServer(Box<server::TlsStream<TcpStream>>),
    /// A local socket, or an edge between two instances.
    Unix(UnixStream),
}

impl Stream {
    /// Connects to a host by TCP: an IP address, or a name, of whose addresses the first that
    /// answers is taken. Cancel-safe: a dropped future leaves nothing behind.
    ///
    /// # Errors
    /// Those of the operating system; that of the last address where there are several.
    pub async fn connect(host: &str, port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((host, port)).await?;
        // Commands are written whole; to wait for more could only delay them.
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Takes the stream out, leaving a closed one.
    #[must_use]
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Closed)
    }

    fn closed<T>() -> Poll<io::Result<T>> {
        Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
    }
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
