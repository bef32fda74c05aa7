//! The directories of Maildirs: opened, made where they are missing, and durable before a letter is
//! said to be.
//!
//! # Guarantees
//! A Maildir is not used before the names of all directories on the way to it are on stable
//! storage, whoever made them: another thread whose sync is still under way, or a process that was
//! killed before its own. That is asked for once, and remembered while the process lives.
//!
//! # Limits
//! [`REMEMBERED_MAX`] Maildirs are remembered.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::template::Place;

/// How many Maildirs are remembered as durable; when there are more, all are asked for again, which
/// costs each a few syncs of directories in which nothing changed.
const REMEMBERED_MAX: usize = 1 << 14;

const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
const MODE: Mode = Mode::RWXU;

/// The open directories of a Maildir.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) tmp: OwnedFd,
    pub(super) new: OwnedFd,
    pub(super) cur: OwnedFd,
}

/// Which directory it is: device and inode.
type Identity = (u64, u64);

/// Opens Maildirs.
#[derive(Debug, Default)]
pub(super) struct Directories {
    /// Those whose names are durable, and all on the way to them.
    durable: Mutex<HashMap<PathBuf, Identity>>,
}

impl Directories {
    /// Opens the Maildir, and makes what is missing of it.
    pub(super) fn open(&self, place: &Place) -> Result<Mailbox, Errno> {
        let path = place.path();
        let mut way = vec![self.enter_root(place, &path)?];
        for name in &place.below {
            way.push(self.enter(last(&way), name, &path)?);
        }
        let within = last(&way);
        let mailbox = Mailbox {
            tmp: self.enter(within, "tmp", &path)?,
            new: self.enter(within, "new", &path)?,
            cur: self.enter(within, "cur", &path)?,
        };
        let identity = identity(within)?;
        if !self.is_durable(&path, identity) {
            sync_way_to(&place.root)?;
            way.iter().try_for_each(fs::fsync)?;
            self.remember(path, identity);
        }
        Ok(mailbox)
    }

    /// Opens the directory that the administrator named, and makes what is missing of it.
    fn enter_root(&self, place: &Place, mailbox: &Path) -> Result<OwnedFd, Errno> {
        let open = || fs::openat(CWD, &place.root, FLAGS, Mode::empty());
        match open() {
            Err(Errno::NOENT) => {}
            opened => return opened,
        }
        self.forget(mailbox);
        let mut missing: Vec<_> = place.root.ancestors().collect();
        missing.reverse();
        for path in missing {
            made(fs::mkdirat(CWD, path, MODE))?;
        }
        open()
    }

    /// Opens a directory within another, and makes it where it is missing.
    fn enter(&self, at: BorrowedFd<'_>, name: &str, mailbox: &Path) -> Result<OwnedFd, Errno> {
        let open = || fs::openat(at, name, FLAGS | OFlags::NOFOLLOW, Mode::empty());
        match open() {
            Err(Errno::NOENT) => {}
            opened => return opened,
        }
        self.forget(mailbox);
        made(fs::mkdirat(at, name, MODE))?;
        open()
    }

    fn is_durable(&self, path: &Path, identity: Identity) -> bool {
        self.lock().get(path) == Some(&identity)
    }

    fn remember(&self, path: PathBuf, identity: Identity) {
        let mut durable = self.lock();
        if durable.len() >= REMEMBERED_MAX {
            durable.clear();
        }
        durable.insert(path, identity);
    }

    /// Before something is made of it, so that nobody who finds that takes it for durable.
    fn forget(&self, path: &Path) {
        self.lock().remove(path);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Identity>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn last(way: &[OwnedFd]) -> BorrowedFd<'_> {
    way.last().expect("it begins with the root").as_fd()
}

/// Somebody else may have been quicker.
fn made(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        result => result,
    }
}

fn identity(directory: BorrowedFd<'_>) -> Result<Identity, Errno> {
    let status = fs::fstat(directory)?;
    Ok((status.st_dev, status.st_ino))
}

/// Makes the names on the way to `root` durable, itself among them.
fn sync_way_to(root: &Path) -> Result<(), Errno> {
    for path in root.ancestors().skip(1) {
        let synced = fs::openat(CWD, path, FLAGS, Mode::empty()).and_then(fs::fsync);
        match synced {
            // We made nothing where we may not read, or nobody may write.
            Err(Errno::ACCESS | Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
            synced => synced?,
        }
    }
    Ok(())
}
