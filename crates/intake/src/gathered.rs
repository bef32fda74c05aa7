//! A content that has arrived as a whole, on its way to stable storage here or elsewhere.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use handoff::{Content, Source};
use spool::{ContentFile, DurableContent, Spool};

use crate::body::CONTENT_IN_MEMORY_MAX;
use crate::memory::Share;

/// A complete content that is not yet on stable storage.
pub(crate) enum Gathered {
    /// In memory, with its share of what there is of that for contents that are not small.
    Bytes(
        Arc<Vec<u8>>,
        #[expect(dead_code, reason = "it is given back when this is dropped")] Option<Share>,
    ),
    /// Large.
    File(Arc<FileSource>),
}

impl Gathered {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes, _) => bytes.len() as u64,
            Self::File(file) => file.len(),
        }
    }

    pub(crate) fn to_hand_off(&self) -> Content<'_> {
        match self {
            Self::Bytes(bytes, _) => Content::Bytes(bytes),
            Self::File(file) => Content::Source(Arc::clone(file) as Arc<dyn Source>),
        }
    }

    /// All of it, where it is in memory.
    pub(crate) fn in_memory(&self) -> Option<Arc<Vec<u8>>> {
        match self {
            Self::Bytes(bytes, _) => Some(Arc::clone(bytes)),
            Self::File(_) => None,
        }
    }

    /// Makes a large content durable; a small one becomes so with its record. What it takes of the
    /// memory for contents is taken until this is dropped.
    pub(crate) async fn commit(&self, spool: &Spool) -> io::Result<spool::Content> {
        let spool = spool.clone();
        let committing = match self {
            Self::Bytes(bytes, _) if bytes.len() <= CONTENT_IN_MEMORY_MAX => {
                return Ok(spool::Content::Bytes(Arc::clone(bytes)));
            }
            Self::Bytes(bytes, _) => {
                let bytes = Arc::clone(bytes);
                tokio::task::spawn_blocking(move || {
                    let mut file = spool.content_file()?;
                    file.write(&bytes)?;
                    file.commit()
                })
            }
            Self::File(source) => {
                let source = Arc::clone(source);
                tokio::task::spawn_blocking(move || source.commit())
            }
        };
        let committed = committing.await.map_err(io::Error::other)??;
        Ok(spool::Content::File(committed))
    }
}

/// A large content that can be read while it is handed off, and kept when that failed.
pub(crate) struct FileSource {
    // A handoff that was given up may still be reading: the commit waits for it.
    file: Mutex<Option<ContentFile>>,
    len: u64,
}

impl FileSource {
    pub(crate) fn new(file: ContentFile) -> Self {
        Self {
            len: file.content_len(),
            file: Mutex::new(Some(file)),
        }
    }

    /// Makes it durable; whoever reads it afterwards fails. Blocks.
    fn commit(&self) -> io::Result<DurableContent> {
        let file = self.lock().take();
        file.ok_or_else(is_kept)?.commit()
    }

    fn lock(&self) -> MutexGuard<'_, Option<ContentFile>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let file = self.lock();
        file.as_ref()
            .ok_or_else(is_kept)?
            .read_exact_at(offset, buffer)
    }
}

fn is_kept() -> io::Error {
    io::Error::other("the content is no longer handed off but kept")
}
