//! Frames with descriptors over a pair of connected sockets that keep frames apart.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::{FRAME_FDS_MAX, FRAME_LEN_MAX};

/// Why a frame could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The other process sent what no version of this program sends.
    #[error("unreadable frame: {0}")]
    Garbled(&'static str),
    /// The frame to be sent is over the limit.
    #[error("a frame of {0} octets is too long")]
    TooLong(usize),
    /// The socket failed.
    #[error("the socket to the other process failed")]
    Socket(#[source] io::Error),
}

impl From<Errno> for ChannelError {
    fn from(errno: Errno) -> Self {
        Self::Socket(errno.into())
    }
}

/// What travels: at least one octet, and the descriptors it speaks of.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// The kind of frame, then its fields.
    pub(crate) bytes: Vec<u8>,
    /// In the order in which the fields name them.
    pub(crate) fds: Vec<OwnedFd>,
}

/// A new pair of connected ends, neither inherited by a program that is started.
///
/// # Errors
/// When the process or the system is out of descriptors.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

/// Sends a frame; whether it waits for room is up to `flags`.
fn send(socket: BorrowedFd<'_>, frame: &Frame, flags: SendFlags) -> Result<(), ChannelError> {
    if frame.bytes.len() > FRAME_LEN_MAX || frame.fds.len() > FRAME_FDS_MAX {
        return Err(ChannelError::TooLong(frame.bytes.len()));
    }
    let fds: Vec<BorrowedFd<'_>> = frame.fds.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FRAME_FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(ChannelError::TooLong(frame.bytes.len()));
    }
    let bytes = [IoSlice::new(&frame.bytes)];
    // A child that is gone must be an error here, not a signal.
    rustix::io::retry_on_intr(|| {
        sendmsg(socket, &bytes, &mut control, flags | SendFlags::NOSIGNAL)
    })?;
    Ok(())
}

/// Receives a frame; `None` where the other end is closed. Whether it waits is up to `flags`.
fn receive(socket: BorrowedFd<'_>, flags: RecvFlags) -> Result<Option<Frame>, ChannelError> {
    let mut bytes = vec![0; FRAME_LEN_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FRAME_FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        let mut buffers = [IoSliceMut::new(&mut bytes)];
        recvmsg(
            socket,
            &mut buffers,
            &mut control,
            flags | RecvFlags::CMSG_CLOEXEC,
        )
    });
    let received = match received {
        Ok(received) => received,
        // Closed with frames of ours unread: as good as closed.
        Err(Errno::CONNRESET) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    // Taken out before anything can be refused, so that no descriptor stays open unowned.
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(ChannelError::Garbled("longer than any frame"));
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(ChannelError::Garbled("more descriptors than any frame has"));
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    bytes.truncate(received.bytes);
    Ok(Some(Frame { bytes, fds }))
}

/// Receives a frame, waiting for it; for before a runtime exists.
pub(crate) fn receive_blocking(socket: BorrowedFd<'_>) -> Result<Option<Frame>, ChannelError> {
    receive(socket, RecvFlags::empty())
}

/// Sends a frame, waiting for room; for before a runtime exists.
pub(crate) fn send_blocking(socket: BorrowedFd<'_>, frame: &Frame) -> Result<(), ChannelError> {
    send(socket, frame, SendFlags::empty())
}

/// One end within a tokio runtime.
///
/// The runtime's type for streams serves only to be told of readiness: octets never go through it,
/// since it would lose the bounds of frames and the descriptors.
#[derive(Debug)]
pub(crate) struct End(UnixStream);

impl End {
    /// Takes over an end. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the descriptor.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixStream::from(fd);
        socket.set_nonblocking(true)?;
        UnixStream::from_std(socket).map(Self)
    }

    /// The next frame; `None` where the other end is closed. Cancel-safe.
    pub(crate) async fn receive(&self) -> Result<Option<Frame>, ChannelError> {
        self.when_ready(Interest::READABLE, |fd| receive(fd, RecvFlags::DONTWAIT))
            .await
    }

    /// Sends a frame, waiting for room. Cancel-safe: it is sent whole or not at all.
    pub(crate) async fn send(&self, frame: &Frame) -> Result<(), ChannelError> {
        self.when_ready(Interest::WRITABLE, |fd| {
            send(fd, frame, SendFlags::DONTWAIT)
        })
        .await
    }

    async fn when_ready<T>(
        &self,
        interest: Interest,
        mut step: impl FnMut(BorrowedFd<'_>) -> Result<T, ChannelError>,
    ) -> Result<T, ChannelError> {
        let outcome = self.0.async_io(interest, || match step(self.0.as_fd()) {
            // What is left to wait for is the runtime's to see; all else is the caller's.
            Err(ChannelError::Socket(e)) => Err(e),
            done => Ok(done),
        });
        outcome.await.map_err(ChannelError::Socket)?
    }
}

#[cfg(test)]
mod tests;
