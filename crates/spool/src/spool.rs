//! The spool as its users see it.

use std::io;
use std::sync::Arc;

use mail::{HandoffKey, MessageId, SpoolId};

use crate::{
    Commit, Content, ContentFile, Ending, IndexSet, Message, Progress, ReadError, Reader, Stored,
};

/// A handle on an open spool; clones are the same spool.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<()>,
}

/// What is known of a handoff.
#[derive(Debug)]
pub enum KeyState {
    /// It was accepted, for these recipients of it.
    Accepted(IndexSet),
    /// Its commit is under way; ask again when this resolves, whatever to.
    Pending(Commit<()>),
    /// It is not here.
    Unknown,
}

/// What the spool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Messages.
    pub n_messages: u64,
    /// Octets of the records that are needed.
    pub live_bytes: u64,
    /// Octets of all segment files.
    pub segment_bytes: u64,
    /// Octets of the content files.
    pub content_file_bytes: u64,
    /// Handoff keys that are remembered.
    pub n_keys: u64,
}

/// What the spool did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Batches written.
    pub n_batches: u64,
    /// Records in them.
    pub n_records: u64,
    /// Sync calls of any kind.
    pub n_syncs: u64,
    /// Octets written to segments.
    pub bytes_written: u64,
}

impl Spool {
    /// The id of this spool.
    #[must_use]
    pub fn id(&self) -> SpoolId {
        unimplemented!()
    }

    /// How many times this spool was opened, with this one.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        unimplemented!()
    }

    /// Takes a message. Never blocks on the disk.
    ///
    /// Its acceptance stands for the record of an immediate first attempt: see [`Self::attempt`].
    pub fn accept(&self, message: Message, content: Content) -> Commit<MessageId> {
        let _ = (message, content, &self.shared);
        unimplemented!()
    }

    /// A file for a large content. Blocks shortly.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn content_file(&self) -> io::Result<ContentFile> {
        unimplemented!()
    }

    /// Records that an attempt begins; it must not begin before this resolves. Needed from the
    /// second attempt on.
    pub fn attempt(&self, id: MessageId) -> Commit<()> {
        let _ = id;
        unimplemented!()
    }

    /// Records what an attempt came to. Rides with a later batch within
    /// [`Options::outcome_delay`](crate::Options::outcome_delay).
    pub fn progress(&self, id: MessageId, progress: Progress) -> Commit<()> {
        let _ = (id, progress);
        unimplemented!()
    }

    /// Records that nothing is left to do: the message goes. Rides as [`Self::progress`] does.
    pub fn done(&self, id: MessageId) -> Commit<()> {
        let _ = id;
        unimplemented!()
    }

    /// Takes a notification, and records with it, in one, the end of what it reports on.
    pub fn notify(
        &self,
        id: MessageId,
        ending: Ending,
        notification: Message,
        content: Content,
    ) -> Commit<MessageId> {
        let _ = (id, ending, notification, content);
        unimplemented!()
    }

    /// Reads what is known of a message, without its content. Blocks.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn message(&self, id: MessageId) -> Result<Stored, ReadError> {
        let _ = id;
        unimplemented!()
    }

    /// Opens the content of a message. Blocks shortly.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn reader(&self, id: MessageId) -> Result<Reader, ReadError> {
        let _ = id;
        unimplemented!()
    }

    /// What is known of a handoff to this spool.
    #[must_use]
    pub fn lookup_key(&self, key: &HandoffKey) -> KeyState {
        let _ = key;
        unimplemented!()
    }

    /// Forgets the keys of `(sender, epoch)` with numbers below `below`: the sender has settled
    /// them and will never ask again.
    pub fn forget_keys(&self, sender: SpoolId, epoch: u64, below: u64) {
        let _ = (sender, epoch, below);
    }

    /// Forgets the keys of all epochs of `sender` but those in `keep`.
    pub fn forget_epochs(&self, sender: SpoolId, keep: &[u64]) {
        let _ = (sender, keep);
    }

    /// What the spool holds now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage::default()
    }

    /// What the spool did since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// Commits what waits, stops the committer and gives up the lock. Blocks. Later calls of any
    /// clone fail with [`CommitError::Closed`](crate::CommitError::Closed).
    pub fn close(&self) {}
}
