//! The content of a message while it arrives: in memory while it is small, in a file when it is
//! not.

use std::io;
use std::sync::Arc;

use spool::{ContentFile, Spool};

use crate::accept::{FileSource, Gathered};

/// Content up to this many octets is kept in memory, where one write makes it durable with its
/// record; fifty such messages at a time are no memory.
pub const CONTENT_IN_MEMORY_MAX: usize = 256 * 1024;
/// Octets that are gathered before they are written to the file of a large content.
const FILE_PIECE_LEN: usize = 128 * 1024;

/// Content that arrives.
#[derive(Debug)]
pub(crate) struct Body {
    gathered: Vec<u8>,
    file: Option<ContentFile>,
}

impl Body {
    /// Begins with `fields`, which stand above what arrives.
    pub(crate) fn new(fields: &str, expected_len: Option<u64>) -> Self {
        let expected = usize::try_from(expected_len.unwrap_or(0)).unwrap_or(0);
        let room = expected.min(CONTENT_IN_MEMORY_MAX) + fields.len();
        let mut gathered = Vec::with_capacity(room);
        gathered.extend_from_slice(fields.as_bytes());
        Self {
            gathered,
            file: None,
        }
    }

    /// Where arriving octets are appended; [`Self::settle`] must follow.
    pub(crate) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.gathered
    }

    /// Moves what was gathered to the file, where it has become too much for memory.
    ///
    /// # Errors
    /// When the file cannot be made or written; the message must be refused then.
    pub(crate) async fn settle(&mut self, spool: &Spool) -> io::Result<()> {
        let bound = if self.file.is_some() {
            FILE_PIECE_LEN
        } else {
            CONTENT_IN_MEMORY_MAX
        };
        if self.gathered.len() <= bound {
            return Ok(());
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => spool.content_file()?,
        };
        self.write_to(file).await
    }

    /// The first octets, for a look at the header section.
    pub(crate) fn beginning(&self) -> &[u8] {
        // Only what never left memory; a large message's header is looked at before it goes.
        if self.file.is_some() {
            &[]
        } else {
            &self.gathered
        }
    }

    /// The complete content.
    ///
    /// # Errors
    /// When the rest of a large content cannot be written.
    pub(crate) async fn finish(mut self) -> io::Result<Gathered> {
        if let Some(file) = self.file.take() {
            self.write_to(file).await?;
        }
        Ok(match self.file {
            Some(file) => Gathered::File(Arc::new(FileSource(file))),
            None => Gathered::Bytes(self.gathered),
        })
    }

    /// Writing may block under a busy disk, so it does not happen on the runtime's thread.
    async fn write_to(&mut self, mut file: ContentFile) -> io::Result<()> {
        let mut piece = std::mem::take(&mut self.gathered);
        let writing = tokio::task::spawn_blocking(move || {
            file.write(&piece)?;
            piece.clear();
            Ok::<_, io::Error>((file, piece))
        });
        let (file, piece) = writing.await.map_err(io::Error::other)??;
        self.file = Some(file);
        self.gathered = piece;
        Ok(())
    }
}
