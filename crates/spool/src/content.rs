//! Contents on their way in and out.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

use mail::MessageId;

use crate::disk::read_again;
use crate::format::Crc;
use crate::{Disk, DiskFile};

/// The directory of content files.
pub(crate) const DIR: &str = "content";

/// The name of a content file.
pub(crate) fn file_name(number: u64) -> String {
    format!("{DIR}/{number:016x}")
}

/// The number of a content file, if this is the name of one.
pub(crate) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(DIR)?.strip_prefix('/')?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (file_name(number) == name).then_some(number)
}

/// How many bits of a content file's number count within its epoch; epochs have the 34 above, which
/// serve for Unix seconds until the year 2514.
const COUNTER_BITS: u32 = 30;

/// The number of the `n`th content file of an epoch: never used twice. `None` after a billion of
/// one epoch.
pub(crate) const fn file_number(epoch: u64, n: u64) -> Option<u64> {
    if n >> COUNTER_BITS == 0 {
        Some((epoch << COUNTER_BITS) | n)
    } else {
        None
    }
}

/// In which epoch a content file was made.
pub(crate) const fn epoch_of(number: u64) -> u64 {
    number >> COUNTER_BITS
}

// A floor below the limit leaves eight billion openings.
const _: () = assert!(crate::limits::EPOCH_FLOOR_MAX.leading_zeros() >= COUNTER_BITS);

/// A large content on its way in, in a file of its own.
///
/// Dropped without being committed, the file is removed.
pub struct ContentFile {
    file: Arc<dyn DiskFile>,
    crc: Crc,
    content: DurableContent,
}

/// A content that is on stable storage and waits for the record that names it.
///
/// Dropped without being accepted, the file is removed.
pub struct DurableContent {
    disk: Option<Arc<dyn Disk>>,
    pub(crate) number: u64,
    pub(crate) len: u64,
    pub(crate) crc: u32,
}

impl ContentFile {
    pub(crate) fn create(disk: Arc<dyn Disk>, number: u64) -> io::Result<Self> {
        let file = disk.create(&file_name(number))?;
        Ok(Self {
            file,
            crc: Crc::new(),
            content: DurableContent {
                disk: Some(disk),
                number,
                len: 0,
                crc: 0,
            },
        })
    }

    /// Appends octets. Blocks; they are written, not yet durable.
    ///
    /// # Errors
    /// Those of the operating system; the file is of no use then.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file
            .write_at(self.content.len, &[IoSlice::new(bytes)])?;
        self.content.len += bytes.len() as u64;
        self.crc.update(bytes);
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
            match read_again(&*self.file, at, &mut buffer[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => filled += n,
            }
        }
        Ok(())
    }

    /// How many octets it holds.
    #[must_use]
    pub const fn content_len(&self) -> u64 {
        self.content.len
    }

    /// Puts file and directory on stable storage. Blocks for as long as the disk needs.
    ///
    /// # Errors
    /// Those of the operating system; the file is removed then.
    pub fn commit(self) -> io::Result<DurableContent> {
        let Self {
            file,
            crc,
            mut content,
        } = self;
        file.sync()?;
        if let Some(disk) = &content.disk {
            disk.sync_dir(DIR)?;
        }
        content.crc = crc.value();
        Ok(content)
    }
}

impl DurableContent {
    /// How many octets it holds.
    #[must_use]
    pub const fn content_len(&self) -> u64 {
        self.len
    }

    /// A record names it now: the file stays.
    pub(crate) fn keep(mut self) {
        self.disk = None;
    }
}

impl Drop for DurableContent {
    fn drop(&mut self) {
        // The record that names it may be on disk when the committer panics: recovery decides.
        if let Some(disk) = self.disk.take().filter(|_| !std::thread::panicking()) {
            // What cannot be removed is found at the next opening.
            let _ = disk.remove(&file_name(self.number));
        }
    }
}

impl fmt::Debug for DurableContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DurableContent({} octets)", self.len)
    }
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

/// Reads the content of one message.
///
/// While it exists, what it reads stays in place, also when the message is done meanwhile.
pub struct Reader {
    pub(crate) id: MessageId,
    pub(crate) len: u64,
    source: Source,
}

#[expect(
    clippy::large_enum_variant,
    reason = "one lives as long as an attempt, and a box would cost more"
)]
enum Source {
    /// What was committed and is still in memory.
    Memory(Arc<Vec<u8>>),
    Stored(Stored),
}

/// A content on disk.
pub(crate) struct Stored {
    /// Holding the file keeps its segment from being recycled.
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) start: u64,
    pub(crate) expected: u32,
    pub(crate) crc: Crc,
    pub(crate) checked_to: u64,
}

impl Reader {
    /// Reads a content that is still in memory.
    #[must_use]
    pub fn of_memory(id: MessageId, content: Arc<Vec<u8>>) -> Self {
        Self {
            id,
            len: content.len() as u64,
            source: Source::Memory(content),
        }
    }

    pub(crate) const fn of_disk(id: MessageId, len: u64, stored: Stored) -> Self {
        Self {
            id,
            len,
            source: Source::Stored(stored),
        }
    }

    /// The content, where it is in memory.
    #[must_use]
    pub fn in_memory(&self) -> Option<&Arc<Vec<u8>>> {
        match &self.source {
            Source::Memory(content) => Some(content),
            Source::Stored(_) => None,
        }
    }

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
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let buffer = &mut buffer[..wanted];
        match &mut self.source {
            Source::Memory(content) => {
                let from = usize::try_from(offset.min(self.len)).unwrap_or(usize::MAX);
                buffer.copy_from_slice(&content[from..from + wanted]);
            }
            Source::Stored(stored) => stored.read(self.id, self.len, offset, buffer)?,
        }
        Ok(wanted)
    }

    /// Reads all of it, checked. Blocks.
    ///
    /// # Errors
    /// As [`Self::read_at`].
    pub fn read_all(&mut self) -> Result<Vec<u8>, ReadError> {
        let len = usize::try_from(self.len).map_err(|_| ReadError::Damaged(self.id))?;
        let mut content = vec![0; len];
        if let Source::Stored(stored) = &mut self.source {
            stored.crc = Crc::new();
            stored.checked_to = 0;
        }
        self.read_at(0, &mut content)?;
        Ok(content)
    }
}

impl Stored {
    /// Fills `buffer`, and checks the content as far as it was read in order.
    fn read(
        &mut self,
        id: MessageId,
        len: u64,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), ReadError> {
        let read = read_again(&*self.file, self.start + offset, buffer);
        if read.map_err(ReadError::Io)? < buffer.len() {
            return Err(ReadError::Damaged(id));
        }
        if offset == self.checked_to {
            self.crc.update(buffer);
            self.checked_to += buffer.len() as u64;
            if self.checked_to == len && self.crc.value() != self.expected {
                return Err(ReadError::Damaged(id));
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ContentFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentFile({} octets)", self.content_len())
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({} octets)", self.content_len())
    }
}
