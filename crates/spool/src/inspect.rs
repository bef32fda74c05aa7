//! Looking into a spool from outside: checking it, listing what is in it, and reading what lies in
//! quarantine. Nothing is changed, and the lock is not needed.
//!
//! # Guarantees
//! Every octet that a checksum covers can be checked, see [`Inspection::verify`]. Octets that are
//! not what a writer wrote give a [`Finding`] or are passed over, whatever they are.
//!
//! # Limits
//! Memory follows from the number of messages, about 150 octets each, never from contents: those
//! are read in pieces. See [`FINDINGS_MAX`] and [`UNVOUCHED_LEN_MAX`].
//!
//! # Failure
//! A running spool changes while it is read. What is being written is not reported, and what
//! looks wrong in a running spool counts only if a second look finds it too.

mod books;
mod contents;
mod finding;
mod quarantine;
mod record;
mod verify;
mod walk;

use std::io;
use std::sync::Arc;

pub use contents::{ContentPlace, ContentState};
pub use finding::{Fault, Finding, Grade};
pub use quarantine::{Quarantined, Salvage, Salvaged, Standing};
pub use record::{Entry, Keys, Record, RecordKind, SegmentUse, State, Take};
pub use verify::{Totals, Verification};

pub use crate::recover::quarantine::{CopyOf, Lay};

use crate::format::superblock::Superblock;
use crate::recover::files::{NamedError as _, Superblocks, read_superblocks};
use crate::{Disk, OpenError};

/// The most findings that are kept of one spool; the rest is counted. A disk that is broken as a
/// whole would fill the memory with words otherwise.
pub const FINDINGS_MAX: usize = 1_000;

/// The most octets that are looked through, over and over, for records in quarantine whose header
/// is damaged. Without it, a content made for that purpose would keep the reader busy for days.
pub const UNVOUCHED_LEN_MAX: u64 = 1 << 30;

/// A spool that is looked into.
#[derive(Clone)]
pub struct Inspection {
    disk: Arc<dyn Disk>,
    superblock: Superblock,
}

impl Inspection {
    /// Reads the superblock; `None` when there is no spool in the directory.
    ///
    /// The disk is best opened by [`RealDisk::open_to_read`](crate::RealDisk::open_to_read).
    ///
    /// # Errors
    /// [`OpenError::NoSuperblock`], [`OpenError::NewerFormat`] and [`OpenError::Io`].
    pub fn open(disk: Arc<dyn Disk>) -> Result<Option<Self>, OpenError> {
        let names = disk.list("").named("list", ".")?;
        Ok(match read_superblocks(&*disk, &names)? {
            Superblocks::None => None,
            Superblocks::Found { superblock, .. } => Some(Self { disk, superblock }),
        })
    }

    /// Whether a process has the spool now.
    ///
    /// Who looks shares the lock for a moment; a process that starts then tries again.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let taken = self.disk.lock("lock").err();
        taken.is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Which opening of the spool was the last.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.superblock.epoch
    }
}

impl std::fmt::Debug for Inspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = self.superblock.identity.id;
        write!(f, "Inspection({id}, epoch {})", self.superblock.epoch)
    }
}
