//! The content of a message while it arrives: in memory while it is small, in a file when it is
//! not; in between as there is memory.

use std::io;
use std::sync::Arc;

use mail::Header;
use spool::{ContentFile, Spool};

use crate::gathered::{FileSource, Gathered};
use crate::memory::{ContentMemory, Share};

/// Content up to this many octets is kept in memory, where one write makes it durable with its
/// record; fifty such messages at a time are no memory.
pub const CONTENT_IN_MEMORY_MAX: usize = 256 * 1024;
/// Content up to this many octets is kept in memory too, as long as all such contents together take
/// no more than [`CONTENTS_IN_MEMORY_MAX`](crate::CONTENTS_IN_MEMORY_MAX): what is handed on at
/// once needs no file, and a file that is written in one piece costs a fraction of one that grows.
pub const CONTENT_SHARING_MEMORY_MAX: usize = 4 * 1024 * 1024;
/// The most Received fields that a message may have, the one added here included; with more it goes
/// round in circles between hosts. RFC 5321 §6.3 wants at least 100: long chains of forwarding and
/// scanning are real, and each turn of a circle costs less than a message that is lost.
pub const RECEIVED_MAX: u32 = 100;
/// Octets that are gathered before they are written to the file of a large content.
const FILE_PIECE_LEN: usize = 128 * 1024;

/// Content that arrives.
#[derive(Debug)]
pub(crate) struct Body {
    gathered: Vec<u8>,
    /// As its client announced it; 0 where it did not.
    expected_len: usize,
    /// What it takes of the memory for contents of its size.
    share: Option<Share>,
    /// Once it is too much for memory: where it is, and what was seen before it went there. Boxed,
    /// because every session has room for what is passed on while it is written.
    file: Option<(Box<ContentFile>, Seen)>,
    /// Why it cannot be kept. The rest is read over, so that the client learns it by a reply.
    failed: Option<io::Error>,
}

/// What its header section shows of a content. Of a large one only the part that memory held is
/// looked at: a loop adds its fields at the top.
#[derive(Debug)]
pub(crate) struct Seen {
    /// How many Received fields there are.
    pub(crate) n_received: u32,
    /// The Message-ID, where there is one.
    pub(crate) message_id: Option<Box<str>>,
}

impl Seen {
    fn of(beginning: &[u8]) -> Self {
        let header = Header::scan(beginning);
        Self {
            n_received: header.n_received,
            message_id: header.message_id.text().map(Into::into),
        }
    }
}

impl Body {
    /// Begins with `fields`, which stand above what arrives.
    pub(crate) fn new(fields: &str, expected_len: Option<u64>) -> Self {
        let expected_len = usize::try_from(expected_len.unwrap_or(0)).unwrap_or(0);
        let room = expected_len.min(CONTENT_IN_MEMORY_MAX) + fields.len();
        let mut gathered = Vec::with_capacity(room);
        gathered.extend_from_slice(fields.as_bytes());
        Self {
            gathered,
            expected_len,
            share: None,
            file: None,
            failed: None,
        }
    }

    /// Where arriving octets are appended; [`Self::settle`] must follow.
    pub(crate) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.gathered
    }

    /// Moves what was gathered to the file, where it has become too much for memory. That this
    /// fails shows in [`Self::finish`].
    pub(crate) async fn settle(&mut self, spool: &Spool, memory: &Arc<ContentMemory>) {
        if self.failed.is_none() && !self.stays_in_memory(memory) {
            self.failed = self.spill(spool).await.err();
        }
        if self.failed.is_some() {
            self.gathered = Vec::new();
        }
    }

    fn stays_in_memory(&mut self, memory: &Arc<ContentMemory>) -> bool {
        let len = self.gathered.len();
        if self.file.is_some() {
            return len <= FILE_PIECE_LEN;
        }
        if len <= CONTENT_IN_MEMORY_MAX {
            return true;
        }
        // It will not stay, and what it took meanwhile would be lacking to one that could.
        if self.expected_len > CONTENT_SHARING_MEMORY_MAX {
            return false;
        }
        let share = self.share.get_or_insert_with(|| {
            // Growing step by step would copy it several times; what is not written to takes none.
            let room = self
                .expected_len
                .max(4 * len)
                .min(CONTENT_SHARING_MEMORY_MAX);
            self.gathered.reserve_exact(room.saturating_sub(len));
            memory.share()
        });
        len <= CONTENT_SHARING_MEMORY_MAX && share.grow(len)
    }

    async fn spill(&mut self, spool: &Spool) -> io::Result<()> {
        let (file, seen) = match self.file.take() {
            Some(there) => there,
            None => (Box::new(spool.content_file()?), Seen::of(&self.gathered)),
        };
        self.file = Some((self.write_to(file).await?, seen));
        if self.share.take().is_some() {
            self.gathered = Vec::new();
        }
        Ok(())
    }

    /// The complete content, and what its header section shows.
    ///
    /// # Errors
    /// When a large content could not be written.
    pub(crate) async fn finish(mut self) -> io::Result<(Gathered, Seen)> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.file.take() {
            Some((file, seen)) => {
                let file = self.write_to(file).await?;
                Ok((Gathered::File(Arc::new(FileSource::new(*file))), seen))
            }
            None => {
                let seen = Seen::of(&self.gathered);
                Ok((Gathered::Bytes(self.gathered.into(), self.share), seen))
            }
        }
    }

    /// Writing may block under a busy disk, so it does not happen on the runtime's thread.
    async fn write_to(&mut self, mut file: Box<ContentFile>) -> io::Result<Box<ContentFile>> {
        let mut piece = std::mem::take(&mut self.gathered);
        let writing = tokio::task::spawn_blocking(move || {
            file.write(&piece)?;
            piece.clear();
            Ok::<_, io::Error>((file, piece))
        });
        let (file, piece) = writing.await.map_err(io::Error::other)??;
        self.gathered = piece;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use spool::Options;
    use spool::simulated::{Fault, SimulatedDisk};

    use super::*;
    use crate::CONTENTS_IN_MEMORY_MAX;

    #[tokio::test]
    async fn content_that_finds_no_room_is_read_over_and_says_why_at_its_end() {
        let disk = SimulatedDisk::new();
        let mut options = Options::new([7; 32]);
        options.segment_len = 64 * 1024;
        let (spool, _recovery) = Spool::open(Arc::new(disk.clone()), options).unwrap();
        let memory = Arc::default();
        let mut body = Body::new("Received: by x\r\n", None);
        disk.set_fault(Fault::FullFrom(0));
        for _ in 0..4 {
            body.buffer().resize(CONTENT_SHARING_MEMORY_MAX + 1, b'x');
            body.settle(&spool, &memory).await;
            assert!(body.buffer().is_empty(), "nothing is kept of it");
        }
        let refused = body.finish().await.map(|_| ());
        assert_eq!(
            refused.map_err(|e| e.kind()),
            Err(io::ErrorKind::StorageFull)
        );
    }

    #[tokio::test]
    async fn a_large_content_leaves_memory_to_others_once_it_is_in_its_file() {
        let disk = SimulatedDisk::new();
        let (spool, _recovery) = Spool::open(Arc::new(disk), Options::new([7; 32])).unwrap();
        let memory = Arc::default();
        let is_in_memory = async |body: &mut Body, len: usize| {
            body.buffer().resize(len, b'x');
            body.settle(&spool, &memory).await;
            body.file.is_none()
        };
        let mut large = Body::new("", None);
        assert!(is_in_memory(&mut large, CONTENT_SHARING_MEMORY_MAX).await);
        // All others of its size.
        let mut rest = memory.share();
        assert!(rest.grow(CONTENTS_IN_MEMORY_MAX - CONTENT_SHARING_MEMORY_MAX));
        let mut second = Body::new("", None);
        assert!(is_in_memory(&mut second, CONTENT_IN_MEMORY_MAX).await);
        assert!(!is_in_memory(&mut second, CONTENT_IN_MEMORY_MAX + 1).await);
        assert!(!is_in_memory(&mut large, CONTENT_SHARING_MEMORY_MAX + 1).await);
        assert_eq!(large.buffer().capacity(), 0);
        let announced = CONTENT_SHARING_MEMORY_MAX as u64 + 1;
        let mut larger = Body::new("", Some(announced));
        assert!(!is_in_memory(&mut larger, CONTENT_IN_MEMORY_MAX + 1).await);
        let mut third = Body::new("", None);
        assert!(is_in_memory(&mut third, CONTENT_SHARING_MEMORY_MAX).await);
    }
}
