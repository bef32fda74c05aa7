//! The directories of Maildirs: found, opened, made where they are missing and may be, and durable
//! before a letter is reported to be.
//!
//! # Guarantees
//! A mailbox is not there only where the directory that would hold it is, is not empty, and lies
//! below the root that was there before. Whatever else keeps it from being seen is [`Trouble`].
//! The root is never made, unless it lies in the state directory: in place of a volume that is
//! away, mail would be written where nobody finds it.
//!
//! A Maildir is not used before the names of all directories on the way to it are on stable
//! storage, whoever made them: another thread whose sync is still under way, or a process that was
//! killed before its own. That is asked for once, and remembered while the process lives.
//!
//! # Limits
//! [`REMEMBERED_MAX`] Maildirs are remembered.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{self, CWD, Dir, Mode, OFlags};
use rustix::io::Errno;

use super::template::Place;
use super::trouble::{Trouble, Why, Within};
use super::{Mailboxes, Step};

/// How many Maildirs are remembered as durable; when there are more, all are asked for again, which
/// costs each a few syncs of directories in which nothing changed.
const REMEMBERED_MAX: usize = 1 << 14;

const READ: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);
/// To look is allowed where to read is not.
const LOOK: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const MODE: Mode = Mode::RWXU;

/// The open directories of a Maildir.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) path: PathBuf,
    pub(super) tmp: OwnedFd,
    pub(super) new: OwnedFd,
    pub(super) cur: OwnedFd,
}

/// Whether a mailbox exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    NotThere,
    There,
}

/// Which directory it is: device and inode.
type Identity = (u64, u64);

/// Called before a step of storage is taken.
pub(super) type Watch = Arc<dyn Fn(Step<'_>) + Send + Sync>;

/// Opens Maildirs.
pub(super) struct Directories {
    mailboxes: Mailboxes,
    /// Below it roots are made.
    state: Option<PathBuf>,
    watch: Option<Watch>,
    /// The root below which a mailbox was found.
    root: Mutex<Option<Identity>>,
    /// Those whose names are durable, and all on the way to them.
    durable: Mutex<HashMap<PathBuf, Identity>>,
}

impl fmt::Debug for Directories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directories")
            .field("mailboxes", &self.mailboxes)
            .finish_non_exhaustive()
    }
}

impl Directories {
    pub(super) fn new(mailboxes: Mailboxes, state: Option<&Path>, watch: Option<Watch>) -> Self {
        Self {
            mailboxes,
            state: state.map(Path::to_owned),
            watch,
            root: Mutex::default(),
            durable: Mutex::default(),
        }
    }

    /// Looks whether the Maildir is there.
    pub(super) fn find(&self, place: &Place) -> Result<Found, Trouble> {
        let way = self.descend(place, LOOK, Mailboxes::Existing)?;
        Ok(match way {
            Some(_) => Found::There,
            None => Found::NotThere,
        })
    }

    /// Opens the Maildir, and makes what is missing of it; `None` where it is not there and must
    /// be.
    pub(super) fn open(&self, place: &Place) -> Result<Option<Mailbox>, Trouble> {
        let Some(way) = self.descend(place, READ, self.mailboxes)? else {
            return Ok(None);
        };
        let path = place.path();
        let within = last(&way);
        let part = |name: &str| self.enter(within, name, &path);
        let (tmp, new, cur) = (part("tmp")?, part("new")?, part("cur")?);
        let failed = |e| Trouble::failed("sync", &path, e, Within::Mailbox);
        let identity = identity(within).map_err(failed)?;
        if !self.is_durable(&path, identity) {
            sync_way_to(&place.root).map_err(failed)?;
            way.iter().try_for_each(fs::fsync).map_err(failed)?;
            self.remember(path.clone(), identity);
        }
        Ok(Some(Mailbox {
            path,
            tmp,
            new,
            cur,
        }))
    }

    /// Makes the names in a directory durable.
    pub(super) fn sync(&self, directory: &OwnedFd, path: &Path) -> Result<(), Trouble> {
        self.watch(Step::Sync(path));
        fs::fsync(directory).map_err(|e| Trouble::failed("sync", path, e, Within::Mailbox))
    }

    /// The directories from the root to the Maildir; `None` where it is not there.
    fn descend(
        &self,
        place: &Place,
        access: OFlags,
        mailboxes: Mailboxes,
    ) -> Result<Option<Vec<OwnedFd>>, Trouble> {
        let whole = place.path();
        self.watch(Step::Look(&whole));
        let root = self.enter_root(place, access, mailboxes, &whole)?;
        let root_is = identity(root.as_fd())
            .map_err(|e| Trouble::failed("look at", &place.root, e, Within::Root))?;
        let mut path = place.root.clone();
        let mut way = vec![root];
        for (depth, name) in place.below.iter().enumerate() {
            let is_base = depth < place.n_base;
            let parent = path.clone();
            path.push(name);
            let opened = fs::openat(last(&way), name, access | OFlags::NOFOLLOW, Mode::empty());
            let opened = match opened {
                Ok(opened) => opened,
                Err(Errno::NOENT) if mailboxes == Mailboxes::Made => {
                    self.expect_root(place, root_is)?;
                    self.enter_part(last(&way), name, &path, &whole)?
                }
                Err(Errno::NOENT) if is_base => return Err(missing(&path, Within::Base)),
                Err(Errno::NOENT) => {
                    self.expect_root(place, root_is)?;
                    expect_entries(last(&way), &parent, place, depth)?;
                    return Ok(None);
                }
                Err(e) => {
                    let within = if is_base {
                        Within::Base
                    } else {
                        Within::Mailbox
                    };
                    return Err(Trouble::failed("open", &path, e, within));
                }
            };
            way.push(opened);
        }
        *self.root.lock().unwrap_or_else(PoisonError::into_inner) = Some(root_is);
        Ok(Some(way))
    }

    /// Opens the directory that the administrator named.
    fn enter_root(
        &self,
        place: &Place,
        access: OFlags,
        mailboxes: Mailboxes,
        mailbox: &Path,
    ) -> Result<OwnedFd, Trouble> {
        let root = &*place.root;
        let open = || fs::openat(CWD, root, access, Mode::empty());
        let failed = |e| Trouble::failed("open", root, e, Within::Root);
        let state = self.state.as_deref().filter(|state| {
            mailboxes == Mailboxes::Made && root.starts_with(state) && root != *state
        });
        match (open(), state) {
            (Ok(opened), _) => Ok(opened),
            (Err(Errno::NOENT), Some(state)) => {
                self.forget(mailbox);
                let below = root.ancestors().take_while(|path| *path != state);
                let mut below: Vec<_> = below.collect();
                below.reverse();
                for path in below {
                    made(fs::mkdirat(CWD, path, MODE))
                        .map_err(|e| Trouble::failed("make", path, e, Within::Root))?;
                }
                open().map_err(failed)
            }
            (Err(Errno::NOENT), None) => Err(missing(root, Within::Root)),
            (Err(e), _) => Err(failed(e)),
        }
    }

    /// Opens a directory of a Maildir, and makes it where it is missing.
    fn enter(&self, at: BorrowedFd<'_>, name: &str, mailbox: &Path) -> Result<OwnedFd, Trouble> {
        let path = mailbox.join(name);
        match fs::openat(at, name, READ | OFlags::NOFOLLOW, Mode::empty()) {
            Err(Errno::NOENT) => self.enter_part(at, name, &path, mailbox),
            opened => opened.map_err(|e| Trouble::failed("open", &path, e, Within::Mailbox)),
        }
    }

    /// Makes a directory within another, and opens it.
    fn enter_part(
        &self,
        at: BorrowedFd<'_>,
        name: &str,
        path: &Path,
        mailbox: &Path,
    ) -> Result<OwnedFd, Trouble> {
        self.forget(mailbox);
        made(fs::mkdirat(at, name, MODE))
            .and_then(|()| fs::openat(at, name, READ | OFlags::NOFOLLOW, Mode::empty()))
            .map_err(|e| Trouble::failed("make", path, e, Within::Mailbox))
    }

    /// Below another root than before nothing is made, and nobody is missing.
    fn expect_root(&self, place: &Place, root_is: Identity) -> Result<(), Trouble> {
        let before = *self.root.lock().unwrap_or_else(PoisonError::into_inner);
        if before.is_none_or(|before| before == root_is) {
            return Ok(());
        }
        Err(Trouble {
            path: place.root.clone(),
            why: Why::Replaced,
            place: Within::Root,
        })
    }

    fn watch(&self, step: Step<'_>) {
        if let Some(watch) = &self.watch {
            watch(step);
        }
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

/// An empty mount point has no mailbox in it, nor anything else.
fn expect_entries(
    directory: BorrowedFd<'_>,
    path: &Path,
    place: &Place,
    depth: usize,
) -> Result<(), Trouble> {
    let within = match depth {
        0 => Within::Root,
        _ if depth <= place.n_base => Within::Base,
        _ => Within::Mailbox,
    };
    let failed = |e| Trouble::failed("list", path, e, within);
    let readable = fs::openat(directory, ".", READ, Mode::empty()).map_err(failed)?;
    for entry in Dir::new(readable).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(());
        }
    }
    Err(Trouble {
        path: path.to_owned(),
        why: Why::Empty,
        place: within,
    })
}

fn missing(path: &Path, place: Within) -> Trouble {
    Trouble {
        path: path.to_owned(),
        why: Why::Missing,
        place,
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
        let synced = fs::openat(CWD, path, READ, Mode::empty()).and_then(fs::fsync);
        match synced {
            // We made nothing where we may not read, or nobody may write.
            Err(Errno::ACCESS | Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
            synced => synced?,
        }
    }
    Ok(())
}
