//! The few things that the spool asks of a disk.
//!
//! Names are relative to the spool's directory and at most one directory deep. Everything blocks.
//! The two implementations are [`RealDisk`] and [`SimulatedDisk`](crate::simulated::SimulatedDisk).
//!
//! # Guarantees
//! What an implementation must keep: octets written to a file survive a loss of power after
//! [`DiskFile::sync`] returned `Ok`; a file that was created, renamed or removed stays so after
//! [`Disk::sync_dir`] of its directory returned `Ok`. Before that, anything may be lost, in any
//! order and in part.

mod copies;
mod reading;
mod real;

use std::any::Any;
use std::io::{self, IoSlice};
use std::sync::Arc;

pub(crate) use reading::{Unread, is_unreadable, read_again, read_around};
pub use real::RealDisk;

/// The directory of one spool.
pub trait Disk: Send + Sync {
    /// Takes the lock that keeps every other process out; it is held until the guard is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another process has it.
    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send + Sync>>;

    /// Makes a directory unless it is there.
    ///
    /// # Errors
    /// Those of the operating system.
    fn create_dir(&self, name: &str) -> io::Result<()>;

    /// Makes a new, empty file; one that is there is emptied.
    ///
    /// # Errors
    /// Those of the operating system.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that is there.
    ///
    /// # Errors
    /// Those of the operating system.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// The names of the files in a directory, without the directory; `""` is the spool's own.
    ///
    /// # Errors
    /// Those of the operating system.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Gives a file another name in its directory, replacing what has it.
    ///
    /// # Errors
    /// Those of the operating system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. What has it open can go on reading.
    ///
    /// # Errors
    /// Those of the operating system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Commits what was created, renamed and removed in a directory; `""` is the spool's own.
    ///
    /// # Errors
    /// Those of the operating system.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Octets that can still be written, as far as the disk can tell: a hint, and cheap.
    fn available(&self) -> u64;

    /// The name of the file system, where it writes nothing in place: there also what is written to
    /// a file that is as long as before needs more room.
    fn copies_on_write(&self) -> Option<&'static str> {
        None
    }
}

/// One file.
pub trait DiskFile: Send + Sync {
    /// How long it is, in octets.
    ///
    /// # Errors
    /// Those of the operating system.
    fn file_len(&self) -> io::Result<u64>;

    /// Makes an empty file so long, and sets room for all of it aside: it reads as zeros, and
    /// writing to it needs no more room. Committed by [`Self::sync`].
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where the file system knows no such thing: then nothing has
    /// changed. Else those of the operating system.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// How far it has been written from its beginning, as far as the disk can tell: a hint, and
    /// cheap. What lies behind is allocated only.
    ///
    /// # Errors
    /// Those of the operating system.
    fn written_len(&self) -> io::Result<u64>;

    /// Reads at `offset` until `buffer` is full or the file ends; returns how much.
    ///
    /// # Errors
    /// Those of the operating system.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `parts`, one behind the other, at `offset`.
    ///
    /// # Errors
    /// Those of the operating system; any part may be written then.
    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()>;

    /// Commits what was written.
    ///
    /// # Errors
    /// Those of the operating system; what was written since the last success may be lost then,
    /// also when a later call succeeds.
    fn sync(&self) -> io::Result<()>;
}
