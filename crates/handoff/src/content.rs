//! The content of a message, from memory or from a file, in pieces of bounded size.

use std::io;
use std::sync::Arc;

/// Octets that are read from a file at once. Large enough that a piece costs few system calls,
/// small enough that fifty messages at a time are no memory.
pub const PIECE_LEN: usize = 128 * 1024;

/// Content that can be read at any offset, again and again. Reading may block.
pub trait Source: Send + Sync {
    /// Its length, in octets.
    fn len(&self) -> u64;

    /// Whether it holds nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or ends before.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// Content to be handed on.
#[derive(Clone)]
pub enum Content<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// To be read when it is needed.
    Source(Arc<dyn Source>),
}

impl Content<'_> {
    /// Its length, in octets.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Source(source) => source.len(),
        }
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} octets)", self.len())
    }
}

/// Reads one piece without holding up the runtime.
///
/// # Errors
/// As [`Source::read_exact_at`].
pub(crate) async fn read_piece(
    source: &Arc<dyn Source>,
    offset: u64,
    mut buffer: Vec<u8>,
) -> io::Result<Vec<u8>> {
    let left = source.len().saturating_sub(offset);
    buffer.resize(
        usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_LEN),
        0,
    );
    let source = Arc::clone(source);
    let reading = tokio::task::spawn_blocking(move || {
        source.read_exact_at(offset, &mut buffer).map(|()| buffer)
    });
    reading.await.map_err(io::Error::other)?
}
