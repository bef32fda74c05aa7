//! The server's side of a handshake, and how much it reads for one.
//!
//! # Limits
//! [`HANDSHAKE_LEN_MAX`] octets of a client before the handshake is done. The library itself would
//! keep 64 KiB of each client that goes on with its first message.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server};

use crate::Stream;

/// The most that a client may send for a handshake, in octets. With keys that withstand quantum
/// computers it sends two thousand; no client is asked for a certificate.
pub const HANDSHAKE_LEN_MAX: usize = 16 * 1024;

/// A connection whose first octets are counted.
#[derive(Debug)]
pub struct Counted {
    tcp: TcpStream,
    /// What may still be read before the handshake is done; `None` afterwards.
    left: Option<usize>,
}

/// Shakes hands with a client.
///
/// # Errors
/// When the handshake fails, or the stream is not TCP.
pub async fn accept(acceptor: &TlsAcceptor, stream: Stream) -> io::Result<Stream> {
    let Stream::Tcp(tcp) = stream else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let counted = Counted {
        tcp,
        left: Some(HANDSHAKE_LEN_MAX),
    };
    // The state of a handshake is large, and the session that follows does not need it.
    let mut tls: Box<server::TlsStream<Counted>> =
        Box::new(Box::pin(acceptor.accept(counted)).await?);
    tls.get_mut().0.left = None;
    Ok(Stream::TlsServer(tls))
}

impl Counted {
    /// The connection itself.
    pub(crate) const fn tcp(&self) -> &TcpStream {
        &self.tcp
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buf))?;
        let n = buf.filled().len() - before;
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(n).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "a handshake that is too long")
            })?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::tls::PemPair;

    #[tokio::test]
    async fn a_handshake_that_goes_on_and_on_is_given_up() {
        let acceptor = PemPair::self_signed("mx.example.org").unwrap();
        let acceptor = acceptor.acceptor().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (accepted, client) = tokio::join!(listener.accept(), connecting);
        let (stream, mut client) = (accepted.unwrap().0, client.unwrap());
        let shaking = tokio::spawn(async move {
            let failed = accept(&acceptor, Stream::Tcp(stream)).await.map(|_| ());
            failed.map_err(|e| e.kind())
        });
        // A first message of 60,000 octets, in records of 4,096, and then nothing.
        let mut message = vec![1, 0, 0xea, 0x60, 3, 3];
        message.resize(HANDSHAKE_LEN_MAX + 4096, 0);
        for piece in message.chunks(4096) {
            let len = u16::try_from(piece.len()).unwrap().to_be_bytes();
            let record = [&[22, 3, 1][..], &len, piece].concat();
            if client.write_all(&record).await.is_err() {
                break;
            }
        }
        drop(client);
        assert_eq!(shaking.await.unwrap(), Err(io::ErrorKind::InvalidData));
    }
}
