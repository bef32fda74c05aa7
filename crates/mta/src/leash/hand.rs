//! The supervisor's end of a leash.

use std::io;
use std::os::fd::OwnedFd;

use super::down::Down;
use super::socket::{End, LeashError};
use super::up::Up;

/// The hand that holds a leash. What comes over it comes from a process that may be in hostile
/// hands.
#[derive(Debug)]
pub(crate) struct Hand(End);

impl Hand {
    /// Takes over an end. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the descriptor.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        End::new(fd).map(Self)
    }

    /// Tells the child something, waiting for room. Cancel-safe: it is told whole or not at all.
    ///
    /// # Errors
    /// When the child has closed its end.
    pub(crate) async fn tell(&self, down: Down) -> Result<(), LeashError> {
        self.0.send(&down.encode()).await
    }

    /// What the child says next; `None` when it has closed its end. Cancel-safe.
    ///
    /// # Errors
    /// When it sent what cannot be read: the next call goes on behind it.
    pub(crate) async fn hear(&self) -> Result<Option<Up>, LeashError> {
        self.0.receive().await?.map(Up::decode).transpose()
    }
}
