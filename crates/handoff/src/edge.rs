//! The private channel between two instances: one end makes connections, the other gets them.
//!
//! A connection is a pair of stream sockets, one of which travels over the channel. There is no
//! path and no port: who is at the other end is known because the supervisor made the channel.
//!
//! # Guarantees
//! What a sender puts into the channel that is no connection is skipped: only the end of all
//! sending ends closes it.
//!
//! # Limits
//! A channel holds as many waiting connections as its socket buffer does; beyond that the next
//! instance counts as busy.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use net::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The end of an edge from which connections are made.
#[derive(Debug)]
pub struct EdgeSender {
    channel: OwnedFd,
}

/// The end of an edge at which connections arrive.
#[derive(Debug)]
pub struct EdgeReceiver {
    /// A SEQPACKET socket. Of the stream's methods only those that wait are used: tokio has no
    /// type of its own for such sockets.
    channel: UnixStream,
}

/// What travels beside the descriptor: a message of this kind must not be empty.
const CONNECTION: &[u8] = b"connection";

impl EdgeSender {
    /// Takes over the descriptor that the supervisor passed.
    #[must_use]
    pub const fn new(channel: OwnedFd) -> Self {
        Self { channel }
    }

    /// Makes a connection. It waits in the channel until the other instance takes it; whether
    /// anybody is there shows in the greeting. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the channel is full, or descriptors have run out.
    pub fn connect(&self) -> io::Result<Stream> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = [theirs.as_fd()];
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        sendmsg(
            &self.channel,
            &[IoSlice::new(CONNECTION)],
            &mut ancillary,
            flags,
        )?;
        let stream = std::os::unix::net::UnixStream::from(ours);
        Ok(Stream::Unix(UnixStream::from_std(stream)?))
    }
}

impl EdgeReceiver {
    /// Takes over the descriptor that the supervisor passed. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// When the descriptor cannot be watched.
    pub fn new(channel: OwnedFd) -> io::Result<Self> {
        let channel = std::os::unix::net::UnixStream::from(channel);
        channel.set_nonblocking(true)?;
        UnixStream::from_std(channel).map(|channel| Self { channel })
    }

    /// The next connection; `None` when the channel is closed for good. Cancel-safe.
    ///
    /// # Errors
    /// When receiving fails for now; what is no connection is skipped.
    pub async fn accept(&self) -> io::Result<Option<Stream>> {
        loop {
            self.channel.readable().await?;
            match self
                .channel
                .try_io(Interest::READABLE, || receive(&self.channel))
            {
                Ok(Received::Connection(fd)) => {
                    // The sender made it, and may have made anything.
                    if let Some(stream) = stream(fd) {
                        return Ok(Some(stream));
                    }
                }
                Ok(Received::Closed) => return Ok(None),
                Ok(Received::Nothing) => {}
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                    ) => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// The descriptor as a stream, where it is a stream socket.
fn stream(fd: OwnedFd) -> Option<Stream> {
    let is_stream =
        socket_domain(&fd) == Ok(AddressFamily::UNIX) && socket_type(&fd) == Ok(SocketType::STREAM);
    if !is_stream {
        return None;
    }
    let stream = std::os::unix::net::UnixStream::from(fd);
    stream.set_nonblocking(true).ok()?;
    Some(Stream::Unix(UnixStream::from_std(stream).ok()?))
}

enum Received {
    Closed,
    Connection(OwnedFd),
    Nothing,
}

fn receive(channel: &UnixStream) -> io::Result<Received> {
    let mut text = [0; 16];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(
        channel,
        &mut [IoSliceMut::new(&mut text)],
        &mut ancillary,
        flags,
    )?;
    let fd = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok(match fd {
        Some(fd) => Received::Connection(fd),
        // A packet may be empty, too.
        None if received.bytes == 0 && has_hung_up(channel) => Received::Closed,
        None => Received::Nothing,
    })
}

fn has_hung_up(channel: &UnixStream) -> bool {
    let mut looked_at = [PollFd::new(channel, PollFlags::RDHUP)];
    let gone = PollFlags::RDHUP | PollFlags::HUP;
    poll(&mut looked_at, Some(&Timespec::default())).is_ok()
        && looked_at[0].revents().intersects(gone)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn channel() -> (EdgeSender, OwnedFd) {
        let flags = SocketFlags::CLOEXEC;
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        (EdgeSender::new(a), b)
    }

    #[tokio::test]
    async fn a_connection_made_before_the_other_side_looks_is_served_when_it_does() {
        let (sender, receiving) = channel();
        let mut near = sender.connect().unwrap();
        near.write_all(b"hello").await.unwrap();
        let receiver = EdgeReceiver::new(receiving).unwrap();
        let mut far = receiver.accept().await.unwrap().unwrap();
        let mut read = [0; 5];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"hello");
        drop(sender);
        assert!(receiver.accept().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_full_channel_says_so_instead_of_blocking() {
        let (sender, _receiving) = channel();
        let mut held = Vec::new();
        let error = loop {
            match sender.connect() {
                Ok(stream) => held.push(stream),
                Err(e) => break e,
            }
            assert!(held.len() < 100_000, "no bound");
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn garbage_on_the_channel_is_skipped() {
        let (sender, receiving) = channel();
        rustix::net::send(&sender.channel, b"garbage", SendFlags::empty()).unwrap();
        let _near = sender.connect().unwrap();
        let receiver = EdgeReceiver::new(receiving).unwrap();
        assert!(receiver.accept().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn an_empty_packet_does_not_close_the_channel() {
        let (sender, receiving) = channel();
        let receiver = EdgeReceiver::new(receiving).unwrap();
        for _ in 0..2 {
            rustix::net::send(&sender.channel, b"", SendFlags::empty()).unwrap();
            let _near = sender.connect().unwrap();
            assert!(receiver.accept().await.unwrap().is_some());
        }
        rustix::net::send(&sender.channel, b"", SendFlags::empty()).unwrap();
        drop(sender);
        assert!(receiver.accept().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_descriptor_that_is_no_connection_is_skipped() {
        let (sender, receiving) = channel();
        let receiver = EdgeReceiver::new(receiving).unwrap();
        let file = OwnedFd::from(std::fs::File::open("/proc/self/exe").unwrap());
        let flags = SocketFlags::CLOEXEC;
        let (datagrams, _other) =
            socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None).unwrap();
        for fd in [&file, &datagrams] {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let fds = [fd.as_fd()];
            ancillary.push(SendAncillaryMessage::ScmRights(&fds));
            let parts = [IoSlice::new(CONNECTION)];
            let flags = SendFlags::empty();
            sendmsg(&sender.channel, &parts, &mut ancillary, flags).unwrap();
        }
        let mut near = sender.connect().unwrap();
        let mut far = receiver.accept().await.unwrap().unwrap();
        near.write_all(b"x").await.unwrap();
        let limit = std::time::Duration::from_secs(20);
        let read = tokio::time::timeout(limit, far.read_u8()).await.unwrap();
        assert_eq!(read.unwrap(), b'x');
    }
}
