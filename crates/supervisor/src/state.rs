//! The state directory: its layout, and the two locks that keep it to one system at a time.
//!
//! # Guarantees
//! Nobody but root and the user that runs the system can hold a lock, enter the spools, or put
//! something of their own in the place of a file: the locks are closed to others, since `flock`
//! needs no more than an open file, and a directory that another user owns or everybody may write
//! to is refused.
//!
//! `STATE/pid` is locked by the supervisor alone: whoever finds it locked knows that a system is
//! running. `STATE/lock` is locked by the supervisor and shared with every child: it stays locked
//! until the last process is gone, also when the supervisor died first. So a new supervisor waits
//! for orphans, and two systems never share a spool.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mail::InstanceName;
use maildrop::Maildrop;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// How long a new supervisor waits for the processes of an old one.
const ORPHANS_PATIENCE: Duration = Duration::from_secs(30);

/// How often it looks.
const ORPHANS_INTERVAL: Duration = Duration::from_millis(50);

/// Whoever asks whether a system is running ([`running`]) holds its lock for an instant; so often,
/// and after so long, it is tried again.
const LOOKERS_TRIES: u32 = 10;
const LOOKERS_INTERVAL: Duration = Duration::from_millis(10);

/// The directory in the state directory in which instances keep which spool was theirs.
pub const SPOOL_IDS: &str = "spool-ids";

/// The directories of the state that others may not enter.
const PRIVATE: [&str; 4] = ["spool", SPOOL_IDS, "settings", "tls"];

/// Who may open a lock may hold it.
const LOCK_MODE: u32 = 0o600;

const MODE_BITS: u32 = 0o7777;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_ALL: u32 = 0o007;

/// A link in the place of a lock leads elsewhere.
const NO_FOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();

/// Why the state directory cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A system is running there.
    #[error("already running as process {pid} in {}", state.display())]
    AlreadyRunning {
        /// The supervisor.
        pid: Box<str>,
        /// The state directory.
        state: PathBuf,
    },
    /// Processes of a supervisor that died have not stopped in time.
    #[error(
        "processes of an earlier supervisor still use {} after {} s; see who holds {}",
        state.display(), waited.as_secs(), state.join("lock").display()
    )]
    OrphansRemain {
        /// The state directory.
        state: PathBuf,
        /// How long they were waited for.
        waited: Duration,
    },
    /// Another user could put files of their own there.
    #[error("{} {what}; {advice}", path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What would be right.
        advice: &'static str,
    },
    /// A file or directory cannot be made.
    #[error("cannot use {}: {cause}", path.display())]
    Unusable {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

/// The state directory in the hands of this process.
#[derive(Debug)]
pub(super) struct StateDirectory {
    path: PathBuf,
    /// Its lock is this process's alone.
    pid: File,
    /// Its lock is shared with every child.
    lock: OwnedFd,
}

impl StateDirectory {
    /// Makes the directory where it is missing and takes it over. Waits for processes of an
    /// earlier supervisor; `waiting` is called once when there are any.
    ///
    /// # Errors
    /// When it is in use, or cannot be used.
    pub(super) async fn take(path: &Path, waiting: impl FnOnce()) -> Result<Self, StateError> {
        make_layout(path)?;
        let mut pid = open(&path.join("pid"))?;
        if !lock_in_a_moment(&pid, &path.join("pid")).await? {
            return Err(StateError::AlreadyRunning {
                pid: read_pid(&mut pid),
                state: path.into(),
            });
        }
        let lock = open(&path.join("lock"))?;
        wait_for_orphans(path, &lock, waiting).await?;
        let written = pid
            .set_len(0)
            .and_then(|()| writeln!(pid, "{}", std::process::id()));
        written.map_err(|cause| StateError::Unusable {
            path: path.join("pid"),
            cause,
        })?;
        Ok(Self {
            path: path.into(),
            pid,
            lock: lock.into(),
        })
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A share in the lock, for a child.
    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        self.lock.try_clone()
    }

    /// Makes the directory for an instance's spool where it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn make_spool(&self, name: &InstanceName) -> Result<(), StateError> {
        make_directory(&self.path.join("spool").join(name.as_str()), 0o700)
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        // A number that is no longer ours misleads whoever reads it; the file itself stays, since
        // somebody may be waiting for its lock.
        let _ = self.pid.set_len(0);
    }
}

/// Makes the state directory and those in it, where they are missing.
///
/// # Errors
/// When one cannot be made, or another user could put files of their own there.
pub fn make_layout(path: &Path) -> Result<(), StateError> {
    // Local programs must reach the submission socket; what is private lies deeper.
    make_directory(path, 0o755)?;
    check_owner(path)?;
    make_directory(&path.join("log"), 0o750)?;
    check_owner(&path.join("log"))?;
    for name in PRIVATE {
        let path = path.join(name);
        make_directory(&path, 0o700)?;
        check_owner(&path)?;
        close_to_others(&path)?;
    }
    make_maildrop(&Maildrop::of(path))
}

/// The process id of the supervisor that runs in this state directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn running(state: &Path) -> io::Result<Option<u32>> {
    let mut file = match File::open(state.join("pid")) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        Err(Errno::WOULDBLOCK) => Ok(read_pid(&mut file).parse().ok()),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether no process of a system, supervisor or orphan, is left in this state directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn all_gone(state: &Path) -> io::Result<bool> {
    match File::open(state.join("lock")) {
        Ok(file) => match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(errno.into()),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) => Err(e),
    }
}

/// As [`try_lock`], but lets those finish that only look whether it is locked.
async fn lock_in_a_moment(file: &File, path: &Path) -> Result<bool, StateError> {
    for _ in 0..LOOKERS_TRIES {
        if try_lock(file, path)? {
            return Ok(true);
        }
        tokio::time::sleep(LOOKERS_INTERVAL).await;
    }
    try_lock(file, path)
}

async fn wait_for_orphans(
    state: &Path,
    lock: &File,
    waiting: impl FnOnce(),
) -> Result<(), StateError> {
    let path = state.join("lock");
    if try_lock(lock, &path)? {
        return Ok(());
    }
    waiting();
    let poll = async {
        loop {
            tokio::time::sleep(ORPHANS_INTERVAL).await;
            if try_lock(lock, &path)? {
                return Ok(());
            }
        }
    };
    let waited = ORPHANS_PATIENCE;
    let late = |_| {
        Err(StateError::OrphansRemain {
            state: state.into(),
            waited,
        })
    };
    tokio::time::timeout(waited, poll)
        .await
        .unwrap_or_else(late)
}

/// Makes a directory where it is missing, durably: what is synced in a directory that a power cut
/// takes away is lost with it.
fn make_directory(path: &Path, mode: u32) -> Result<(), StateError> {
    let made = make_durably(path, mode);
    made.map_err(|cause| StateError::Unusable {
        path: path.into(),
        cause,
    })
}

/// Makes the directories of the maildrop, and gives them their modes: those of a umask would stop
/// local mail.
fn make_maildrop(maildrop: &Maildrop) -> Result<(), StateError> {
    for (path, mode) in maildrop.folders() {
        make_directory(&path, 0o700)?;
        let set = std::fs::set_permissions(&path, Permissions::from_mode(mode));
        set.map_err(|cause| StateError::Unusable { path, cause })?;
    }
    Ok(())
}

fn make_durably(path: &Path, mode: u32) -> io::Result<()> {
    let parent = match path.parent() {
        None => return Ok(()),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    };
    if !parent.is_dir() {
        make_durably(parent, mode)?;
    }
    let made = DirBuilder::new().mode(mode).create(path);
    let is_new = made.is_ok();
    if is_new {
        // Whatever mask this process was started under: local programs must come through.
        std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    } else if !path.is_dir() {
        return made;
    }
    // Whoever made one that is there may have died before this.
    match File::open(parent).and_then(|parent| parent.sync_all()) {
        Err(error) if !is_new && error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Opens a lock. One of an earlier version is closed to others; whoever has it open keeps it.
fn open(path: &Path) -> Result<File, StateError> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(NO_FOLLOW)
        .mode(LOCK_MODE);
    let unusable = |cause| StateError::Unusable {
        path: path.into(),
        cause,
    };
    let file = options.open(path).map_err(unusable)?;
    let mode = file.metadata().map_err(unusable)?.mode() & MODE_BITS;
    if mode != LOCK_MODE {
        let closed = file.set_permissions(Permissions::from_mode(LOCK_MODE));
        closed.map_err(unusable)?;
    }
    Ok(file)
}

/// Refuses a directory in which another user could make, remove or replace files.
fn check_owner(path: &Path) -> Result<(), StateError> {
    let found = std::fs::metadata(path).map_err(|cause| StateError::Unusable {
        path: path.into(),
        cause,
    })?;
    let (owner, own) = (found.uid(), rustix::process::geteuid().as_raw());
    let unsafe_because = |what, advice| {
        Err(StateError::Unsafe {
            path: path.into(),
            what,
            advice,
        })
    };
    if owner != own && owner != 0 {
        let what = format!("belongs to user {owner}, and this system runs as user {own}");
        return unsafe_because(
            what,
            "run it as that user, or give the directory to this one",
        );
    }
    if found.mode() & OTHERS_WRITE != 0 {
        let what = "can be written by every user".to_owned();
        return unsafe_because(what, "take that right away with `chmod o-w`");
    }
    Ok(())
}

/// Takes the rights of others away: a directory that was made by hand may have more than ours.
fn close_to_others(path: &Path) -> Result<(), StateError> {
    let unusable = |cause| StateError::Unusable {
        path: path.into(),
        cause,
    };
    let found = std::fs::metadata(path).map_err(unusable)?;
    let is_ours = found.uid() == rustix::process::geteuid().as_raw();
    if is_ours && found.mode() & OTHERS_ALL != 0 {
        let closed = Permissions::from_mode(found.mode() & MODE_BITS & !OTHERS_ALL);
        std::fs::set_permissions(path, closed).map_err(unusable)?;
    }
    Ok(())
}

/// Whether the lock was free.
fn try_lock(file: &File, path: &Path) -> Result<bool, StateError> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(StateError::Unusable {
            path: path.into(),
            cause: errno.into(),
        }),
    }
}

fn read_pid(file: &mut File) -> Box<str> {
    let mut text = String::new();
    // What cannot be read is shown as unknown: the caller has an error to report already.
    let _ = file.take(20).read_to_string(&mut text);
    let digits = text.trim();
    if digits.is_empty() {
        "(unknown)".into()
    } else {
        digits.into()
    }
}

#[cfg(test)]
mod tests;
