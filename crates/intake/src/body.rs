//! The content of a message while it arrives: in memory while it is small, in a file when it is
//! not; in between as there is memory.

use std::io;
use std::sync::Arc;

use mail::{Found, HeaderStream, Treatment};
use net::Excess;
use spool::{ContentFile, Spool};

use crate::gathered::{FileSource, Gathered};
use crate::memory::{ContentMemory, Purpose, Share};

/// Content up to this many octets is made durable with its record, in one write, where it could be
/// kept in memory.
pub const CONTENT_IN_MEMORY_MAX: usize = 256 * 1024;
/// Content up to this many octets is kept in memory, as long as all contents together take no more
/// than [`CONTENTS_IN_MEMORY_MAX`](crate::CONTENTS_IN_MEMORY_MAX): what is handed on at once needs
/// no file, and a file that is written in one piece costs a fraction of one that grows.
pub const CONTENT_SHARING_MEMORY_MAX: usize = 4 * 1024 * 1024;
/// The most Received fields that a message may have, the one added here included; with more it goes
/// round in circles between hosts. RFC 5321 §6.3 wants at least 100: long chains of forwarding and
/// scanning are real, and each turn of a circle costs less than a message that is lost.
pub const RECEIVED_MAX: u32 = 100;
/// Octets that are gathered before they are written to the file of a large content.
const FILE_PIECE_LEN: usize = 128 * 1024;
/// Room for what a client announced is made before it comes, up to this many octets.
const ROOM_AHEAD_MAX: usize = 16 * 1024;
/// A content that is not small grows in steps of so many octets: twice as much each time would take
/// memory from others.
const GROWTH_STEP: usize = 256 * 1024;

/// Content that arrives.
#[derive(Debug)]
pub(crate) struct Body {
    /// Its header section while that arrives, and what it showed.
    header: HeaderStream,
    /// How many Received fields were added here.
    n_received: u32,
    gathered: Vec<u8>,
    /// As its client announced it; 0 where it did not.
    expected_len: usize,
    /// What it takes of the memory for contents.
    share: Option<Share>,
    /// What it has beyond that, until it is in its file.
    excess: Excess,
    /// Once it is too much for memory: where it is. Boxed, because every session has room for what
    /// is passed on while it is written.
    file: Option<Box<ContentFile>>,
    /// Why it cannot be kept. The rest is read over, so that the client learns it by a reply.
    failed: Option<io::Error>,
}

/// What the header section of a content showed, however long it is.
#[derive(Debug)]
pub(crate) struct Seen {
    /// How many Received fields there are, those added here included.
    pub(crate) n_received: u32,
    /// The Message-ID, where there is one.
    pub(crate) message_id: Option<Box<str>>,
}

impl Seen {
    fn of(found: &Found, n_added: u32) -> Self {
        Self {
            n_received: found.n_received.saturating_add(n_added),
            message_id: found.message_id(),
        }
    }
}

impl Body {
    /// Begins with our trace field, where there is one, which stands above what arrives.
    pub(crate) fn new(trace: &str, treatment: Treatment, expected_len: Option<u64>) -> Self {
        let expected_len = usize::try_from(expected_len.unwrap_or(0)).unwrap_or(0);
        let room = expected_len.min(ROOM_AHEAD_MAX) + trace.len();
        let mut gathered = Vec::with_capacity(room);
        gathered.extend_from_slice(trace.as_bytes());
        Self {
            header: HeaderStream::new(treatment),
            n_received: u32::from(!trace.is_empty()),
            gathered,
            expected_len,
            share: None,
            excess: Excess::NONE,
            file: None,
            failed: None,
        }
    }

    /// What the header section showed so far.
    pub(crate) const fn header(&self) -> &Found {
        self.header.found()
    }

    /// Takes what has arrived; [`Self::settle`] must follow.
    pub(crate) fn receive(&mut self, octets: Vec<u8>) {
        if !self.header.has_ended() {
            self.header.push(&octets, &mut self.gathered);
        } else if self.gathered.capacity() == 0 {
            self.gathered = octets;
        } else {
            self.gathered.extend_from_slice(&octets);
        }
    }

    /// Moves what was gathered to the file, where it has become too much for memory. That this
    /// fails shows in [`Self::finish`].
    pub(crate) async fn settle(&mut self, spool: &Spool, memory: &Arc<ContentMemory>) {
        if self.failed.is_none() && !self.stays_in_memory(memory) {
            self.excess.set(self.gathered.capacity());
            self.failed = self.spill(spool).await.err();
            self.excess.set(0);
        }
        if self.failed.is_some() {
            self.gathered = Vec::new();
            self.share = None;
        }
    }

    fn stays_in_memory(&mut self, memory: &Arc<ContentMemory>) -> bool {
        let len = self.gathered.len();
        let len_max = if self.file.is_some() {
            FILE_PIECE_LEN
        } else if self.expected_len > CONTENT_SHARING_MEMORY_MAX {
            // It will not stay, and what it took meanwhile would be lacking to one that could.
            CONTENT_IN_MEMORY_MAX
        } else {
            CONTENT_SHARING_MEMORY_MAX
        };
        let is_large = self.file.is_some() || len > CONTENT_IN_MEMORY_MAX;
        let purpose = match is_large {
            true => Purpose::Large,
            false => Purpose::Small,
        };
        let share = self.share.get_or_insert_with(|| memory.share());
        let held = self.header.held_len();
        if len > len_max || !fits(share, held, &mut self.gathered, purpose) {
            return false;
        }
        let room = self.gathered.capacity();
        let grown = held + room + GROWTH_STEP;
        if is_large && room - len < GROWTH_STEP / 2 && share.set(grown, purpose) {
            self.gathered.reserve_exact(room - len + GROWTH_STEP);
        }
        true
    }

    /// Writes what was gathered to the file, and gives its memory back.
    async fn spill(&mut self, spool: &Spool) -> io::Result<()> {
        let piece = std::mem::take(&mut self.gathered);
        self.file = Some(match self.file.take() {
            Some(file) => write_to(|| Ok(file), piece).await?,
            None => {
                let spool = spool.clone();
                write_to(move || spool.content_file().map(Box::new), piece).await?
            }
        });
        self.share = None;
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
        self.header.finish(&mut self.gathered);
        let seen = Seen::of(self.header.found(), self.n_received);
        let gathered = match self.file.take() {
            Some(file) => {
                let file = write_to(|| Ok(file), self.gathered).await?;
                Gathered::File(Arc::new(FileSource::new(*file)))
            }
            None => Gathered::Bytes(self.gathered.into(), self.share),
        };
        Ok((gathered, seen))
    }
}

/// Making a file, and writing to it, may block under a busy disk, so it does not happen on the
/// runtime's thread.
async fn write_to(
    file: impl FnOnce() -> io::Result<Box<ContentFile>> + Send + 'static,
    piece: Vec<u8>,
) -> io::Result<Box<ContentFile>> {
    let writing = tokio::task::spawn_blocking(move || {
        let mut file = file()?;
        file.write(&piece)?;
        Ok::<_, io::Error>(file)
    });
    writing.await.map_err(io::Error::other)?
}

/// Whether a content finds room in memory, where need be without room for more of it.
/// `held` is what its header section has beside it.
fn fits(share: &mut Share, held: usize, gathered: &mut Vec<u8>, purpose: Purpose) -> bool {
    if share.set(held + gathered.capacity(), purpose) {
        return true;
    }
    gathered.shrink_to_fit();
    share.set(held + gathered.capacity(), purpose)
}

#[cfg(test)]
mod tests {
    use spool::Options;
    use spool::simulated::{Fault, SimulatedDisk};

    use super::*;

    fn spool() -> (SimulatedDisk, Spool) {
        let disk = SimulatedDisk::new();
        let mut options = Options::new([7; 32]);
        options.segment_len = 64 * 1024;
        let (spool, _recovery) = Spool::open(Arc::new(disk.clone()), options).unwrap();
        (disk, spool)
    }

    /// Lets it arrive; returns whether it is in memory.
    async fn receive(
        body: &mut Body,
        len: usize,
        spool: &Spool,
        memory: &Arc<ContentMemory>,
    ) -> bool {
        body.receive(vec![b'x'; len]);
        body.settle(spool, memory).await;
        body.file.is_none()
    }

    #[tokio::test]
    async fn content_that_finds_no_room_is_read_over_and_says_why_at_its_end() {
        let (disk, spool) = spool();
        let memory = Arc::default();
        let mut body = Body::new("Received: by x\r\n", Treatment::Receive, None);
        disk.set_fault(Fault::FullFrom(0));
        for _ in 0..4 {
            receive(&mut body, CONTENT_SHARING_MEMORY_MAX + 1, &spool, &memory).await;
            assert!(body.gathered.is_empty(), "nothing is kept of it");
        }
        let refused = body.finish().await.map(|_| ());
        assert_eq!(
            refused.map_err(|e| e.kind()),
            Err(io::ErrorKind::StorageFull)
        );
    }

    #[tokio::test]
    async fn a_large_content_leaves_memory_to_others_once_it_is_in_its_file() {
        let (_disk, spool) = spool();
        // For two contents that are large, and what is left to small ones.
        let memory = Arc::new(ContentMemory::new(12 * 1024 * 1024));
        let receive = async |body: &mut Body, len| receive(body, len, &spool, &memory).await;
        let largest = CONTENT_SHARING_MEMORY_MAX;
        let (mut large, mut second) = (
            Body::new("", Treatment::Read, None),
            Body::new("", Treatment::Read, None),
        );
        assert!(receive(&mut large, largest).await);
        assert!(receive(&mut second, largest).await);
        let mut third = Body::new("", Treatment::Read, None);
        assert!(receive(&mut third, CONTENT_IN_MEMORY_MAX).await);
        assert!(!receive(&mut third, largest - CONTENT_IN_MEMORY_MAX).await);
        assert!(!receive(&mut large, 1).await);
        assert_eq!(large.gathered.capacity(), 0);
        let mut larger = Body::new("", Treatment::Read, Some(largest as u64 + 1));
        assert!(!receive(&mut larger, CONTENT_IN_MEMORY_MAX + 1).await);
        let mut third = Body::new("", Treatment::Read, None);
        assert!(receive(&mut third, largest).await);
    }

    #[tokio::test]
    async fn contents_of_any_size_share_one_bound_and_the_rest_goes_to_files() {
        const LEN: usize = 10 * 1024;
        let (_disk, spool) = spool();
        let memory = Arc::new(ContentMemory::new(10 * LEN));
        let mut bodies = Vec::new();
        let mut n_in_memory = 0;
        for _ in 0..100 {
            let mut body = Body::new("", Treatment::Read, None);
            // In pieces, as a slow client sends.
            for _ in 0..LEN / 1024 {
                receive(&mut body, 1024, &spool, &memory).await;
            }
            n_in_memory += usize::from(body.file.is_none());
            bodies.push(body);
        }
        let held: usize = bodies.iter().map(|body| body.gathered.capacity()).sum();
        assert!(held <= 10 * LEN, "{held}");
        assert!((1..=10).contains(&n_in_memory), "{n_in_memory}");
        for body in bodies {
            let (gathered, _) = body.finish().await.unwrap();
            assert_eq!(gathered.len(), LEN as u64);
        }
        let mut all = memory.share();
        assert!(all.set(10 * LEN, Purpose::Small), "all is given back");
    }
}
