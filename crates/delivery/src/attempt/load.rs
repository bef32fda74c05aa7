//! What an attempt reads of its message, off the threads of the runtime.
//!
//! # Guarantees
//! What is in memory costs no other thread. A content is read after it was recorded that the
//! attempt begins: one that ends the process, or panics, counts as cut short.

use std::panic::resume_unwind;
use std::sync::Arc;

use mail::MessageId;
use spool::{ReadError, Reader, Spool, Stored};
use tokio::task::spawn_blocking;

use crate::delivery::Delivery;
use crate::transport::SMALL_LEN_MAX;

impl Delivery {
    /// The whole message: from memory at its first attempt, else from the spool.
    pub(super) async fn load(&self, id: MessageId) -> Result<Arc<Stored>, ReadError> {
        let fresh = {
            let state = self.state();
            let entry = state.messages.get(&id);
            entry.and_then(|entry| entry.fresh.clone())
        };
        match fresh {
            Some(fresh) => Ok(fresh),
            None => self.read(id).await.map(Arc::new),
        }
    }

    /// The whole message from the spool.
    pub(crate) async fn read(&self, id: MessageId) -> Result<Stored, ReadError> {
        let spool = self.spool.clone();
        let reading = spawn_blocking(move || spool.message(id));
        reading
            .await
            .unwrap_or_else(|e| Err(ReadError::Io(std::io::Error::other(e))))
    }

    /// The content of a message: from memory at its first attempt, else from the spool, whole where
    /// it is small.
    pub(super) async fn content(&self, id: MessageId) -> Result<Reader, ReadError> {
        let kept = {
            let state = self.state();
            let entry = state.messages.get(&id);
            entry.and_then(|entry| entry.content.clone())
        };
        if let Some(content) = kept {
            return Ok(Reader::of_memory(id, content));
        }
        let spool = self.spool.clone();
        let opening = spawn_blocking(move || open(&spool, id));
        opening.await.unwrap_or_else(|e| match e.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(e) => Err(ReadError::Io(std::io::Error::other(e))),
        })
    }
}

/// Opens a content, and reads it where it is small. Blocks.
fn open(spool: &Spool, id: MessageId) -> Result<Reader, ReadError> {
    let mut reader = spool.reader(id)?;
    if reader.content_len() > SMALL_LEN_MAX {
        return Ok(reader);
    }
    let content = reader.read_all()?;
    Ok(Reader::of_memory(id, Arc::new(content)))
}
