//! The supervisor's end of a control channel.

use std::io;
use std::os::fd::OwnedFd;

use super::from_child::FromChild;
use super::socket::{ChannelError, End};
use super::to_child::ToChild;

/// The hand that holds a control channel. What comes over it comes from a process that may be in
/// hostile hands.
#[derive(Debug)]
pub struct Hand(End);

impl Hand {
    /// Takes over an end. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the descriptor.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        End::new(fd).map(Self)
    }

    /// Tells the child something, waiting for room. Cancel-safe: it is told whole or not at all.
    ///
    /// # Errors
    /// When the child has closed its end.
    pub async fn tell(&self, down: ToChild) -> Result<(), ChannelError> {
        self.0.send(&down.encode()).await
    }

    /// What the child says next; `None` when it has closed its end. Cancel-safe.
    ///
    /// # Errors
    /// When it sent what cannot be read: the next call goes on behind it.
    pub async fn hear(&self) -> Result<Option<FromChild>, ChannelError> {
        self.0.receive().await?.map(FromChild::decode).transpose()
    }
}
