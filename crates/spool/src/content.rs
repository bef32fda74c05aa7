//! Contents on their way in and out.

use std::io;
use std::sync::Arc;

use mail::MessageId;

use crate::DiskFile;

/// A large content on its way in, in a file of its own.
///
/// Dropped without being committed or accepted, the file is removed.
pub struct ContentFile {
    file: Arc<dyn DiskFile>,
    len: u64,
}

/// A content that is on stable storage and waits for the record that names it.
///
/// Dropped without being accepted, the file is removed.
pub struct DurableContent {
    len: u64,
}

/// Reads the content of one message.
///
/// While it exists, what it reads stays in place, also when the message is done meanwhile.
pub struct Reader {
    file: Arc<dyn DiskFile>,
    len: u64,
}

/// Why something stored cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The checksum does not fit what the disk gave back.
    #[error("message {0} is damaged on disk")]
    Damaged(MessageId),
    /// The operating system could not read.
    #[error("cannot read the spool")]
    Io(#[source] io::Error),
    /// There is no such message: done before, or never here.
    #[error("no such message: {0}")]
    Unknown(MessageId),
}

impl ContentFile {
    /// Appends octets. Blocks; they are written, not yet durable.
    ///
    /// # Errors
    /// Those of the operating system; the file is of no use then.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(self.len, &[io::IoSlice::new(bytes)])?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Fills `buffer` with what was written at `offset`. Blocks.
    ///
    /// # Errors
    /// Those of the operating system, and that there is less than asked for.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset + filled as u64;
            match self.file.read_at(at, &mut buffer[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => filled += n,
            }
        }
        Ok(())
    }

    /// How many octets it holds.
    #[must_use]
    pub const fn content_len(&self) -> u64 {
        self.len
    }

    /// Puts file and directory on stable storage. Blocks for as long as the disk needs.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn commit(self) -> io::Result<DurableContent> {
        unimplemented!("lands within the hour")
    }
}

impl DurableContent {
    /// How many octets it holds.
    #[must_use]
    pub const fn content_len(&self) -> u64 {
        self.len
    }
}

impl std::fmt::Debug for ContentFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContentFile({} octets)", self.len)
    }
}

impl std::fmt::Debug for DurableContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DurableContent({} octets)", self.len)
    }
}

impl Reader {
    /// Octets of the content.
    #[must_use]
    pub const fn content_len(&self) -> u64 {
        self.len
    }

    /// Reads at `offset` until `buffer` is full or the content ends; returns how much. Blocks.
    ///
    /// Read from start to end without a gap, the content is checked, and the call that reaches
    /// the end fails if it is damaged: who sends while reading must not confirm before that.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] and [`ReadError::Io`].
    pub fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, ReadError> {
        self.file.read_at(offset, buffer).map_err(ReadError::Io)
    }
}
