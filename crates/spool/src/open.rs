//! Opening a spool, and what is told about it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::{ReadError, Spool, Stored, limits};

/// How a spool is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The size of new segments in octets, a multiple of 4,096 within
    /// [`limits::SEGMENT_LEN_MIN`] and [`limits::SEGMENT_LEN_MAX`].
    pub segment_len: u32,
    /// How long progress and done may wait for a batch to ride in.
    pub outcome_delay: Duration,
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
            entropy,
        }
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
    #[error("segment_len must be a multiple of 4096 from 64 KiB to 1 GiB")]
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
}

/// Something at opening that an operator should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Octets that had been durable are not what was written. What still could be read was kept.
    Damage {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// The copy in the quarantine directory; `None` when it could not be made.
        quarantine: Option<String>,
    },
    /// A content file that no record names was removed: its message was never acknowledged.
    StrayContent {
        /// The file.
        file: String,
    },
    /// The end of the last batch was not written whole: none of it had been acknowledged.
    Torn {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// The copy in the quarantine directory; `None` when it could not be made.
        quarantine: Option<String>,
    },
}

impl Recovery {
    /// How many messages there are.
    #[must_use]
    pub fn n_messages(&self) -> usize {
        0
    }

    /// Every message, in the order in which they lie on disk, which is the quickest. Each is read
    /// when it is asked for; what is done meanwhile is left out.
    pub fn messages(&self) -> impl Iterator<Item = Result<Stored, ReadError>> + use<'_> {
        let _ = &self.spool;
        std::iter::empty()
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
    pub fn open(
        disk: Arc<dyn crate::Disk>,
        options: Options,
    ) -> Result<(Self, Recovery), OpenError> {
        let _ = (disk, options);
        unimplemented!("lands within the hour")
    }
}
