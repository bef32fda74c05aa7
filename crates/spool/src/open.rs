//! Opening a spool, and what is told about it.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mail::MessageId;

use crate::engine::Engine;
use crate::format::BLOCK;
use crate::note::Note;
use crate::recover::{Messages, Recovered, recover};
use crate::{Disk, ReadError, Spool, Stored, limits};

/// How a spool is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The size of new segments in octets, a multiple of 4,096 within
    /// [`limits::SEGMENT_LEN_MIN`] and [`limits::SEGMENT_LEN_MAX`].
    pub segment_len: u32,
    /// How long progress and done may wait for a batch to ride in.
    pub outcome_delay: Duration,
    /// The epoch is at least this: Unix time in seconds, so that a spool that is restored from a
    /// backup does not repeat epochs that came after it was made. 0 for no floor, at most
    /// [`limits::EPOCH_FLOOR_MAX`].
    pub epoch_floor: u64,
    /// Random octets from which a new spool takes its id and the secret that seeds its
    /// checksums. Not used when there is a spool.
    pub entropy: [u8; 32],
}

impl Options {
    /// The defaults.
    #[must_use]
    pub const fn new(entropy: [u8; 32]) -> Self {
        Self {
            segment_len: limits::SEGMENT_LEN_DEFAULT,
            outcome_delay: limits::OUTCOME_DELAY_DEFAULT,
            epoch_floor: 0,
            entropy,
        }
    }

    /// Two records of this length fit a segment, so that a segment is at least half used; and so do
    /// a message and what became of it.
    pub(crate) const fn record_len_max(&self) -> usize {
        (self.segment_len / 2 - 2 * BLOCK) as usize
    }
}

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the spool is in use by another process")]
    Locked,
    /// It was written by a newer version of this program.
    #[error("the spool has format version {found}; this program reads up to {known}")]
    NewerFormat {
        /// The version on disk.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// Both copies of the superblock are damaged or gone while there are segments.
    #[error("the spool's superblock is damaged or gone; restore it from a backup")]
    NoSuperblock,
    /// The options make no sense.
    #[error("segment_len must be a multiple of 4096 from 32 KiB to 1 GiB")]
    Options,
    /// The operating system refused something.
    #[error("cannot {action} {name}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file of the spool's directory.
        name: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// What was found at opening.
pub struct Recovery {
    pub(crate) spool: Spool,
    /// Damage and leftovers, for the log; empty after an orderly end.
    pub notes: Vec<Note>,
    /// There was no spool in the directory: this one is new, and empty.
    pub is_new: bool,
}

impl OpenError {
    /// Whether the disk cannot read what was asked for.
    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(self, Self::Io { source, .. } if crate::disk::is_unreadable(source))
    }

    pub(crate) fn io(action: &'static str, name: &str, source: io::Error) -> Self {
        Self::Io {
            action,
            name: name.to_owned(),
            source,
        }
    }
}

impl Recovery {
    /// How many messages there are.
    #[must_use]
    pub fn n_messages(&self) -> u64 {
        self.spool.usage().n_messages
    }

    /// Every message that is live when this is called, in the order in which they lie on disk,
    /// which is the quickest. Each is read when it is asked for; blocks then.
    pub fn messages(
        &self,
    ) -> impl Iterator<Item = (MessageId, Result<Stored, ReadError>)> + Send + use<> {
        Messages::new(self.spool.clone())
    }
}

impl Spool {
    /// Opens the spool in a directory, or makes one in an empty directory; starts its committer.
    ///
    /// Takes the lock, bumps the epoch and commits it. Blocks for as long as recovery takes,
    /// which follows from the number of messages.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was changed on [`OpenError::Locked`] and
    /// [`OpenError::NewerFormat`].
    pub fn open(disk: Arc<dyn Disk>, options: Options) -> Result<(Self, Recovery), OpenError> {
        let (spool, recovery, engine) = Self::open_unstarted(disk, options)?;
        let thread = thread::Builder::new()
            .name("spool".into())
            .spawn(move || engine.run())
            .map_err(|error| OpenError::io("start", "the committer", error))?;
        spool.set_committer(thread);
        Ok((spool, recovery))
    }

    /// As [`Self::open`], but whoever calls this makes the engine's steps.
    pub(crate) fn open_unstarted(
        disk: Arc<dyn Disk>,
        options: Options,
    ) -> Result<(Self, Recovery, Engine), OpenError> {
        let Recovered {
            engine,
            notes,
            is_new,
        } = recover(disk, options)?;
        let spool = Self::new(Arc::clone(&engine.shared));
        let recovery = Recovery {
            spool: spool.clone(),
            notes,
            is_new,
        };
        Ok((spool, recovery, engine))
    }
}
