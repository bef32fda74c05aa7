//! The disk of the operating system.
//!
//! Every name is resolved against one descriptor of the spool's directory, so that a process
//! confined to it needs no path.

use std::any::Any;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FallocateFlags, FileType, FlockOperation, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::{Disk, DiskFile, copies};

/// A spool's directory in a file system.
#[derive(Debug)]
pub struct RealDisk {
    directory: OwnedFd,
    access: Access,
}

/// What may be done to a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Full,
    /// Nothing is made or changed, and the lock is shared.
    Read,
}

#[derive(Debug)]
struct RealFile(OwnedFd);

/// Other users can read neither mail nor the names of who sends it.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIRECTORY_MODE: Mode = Mode::RWXU;

/// `pwritev` takes no more at once: `UIO_MAXIOV`.
const SLICES_MAX: usize = 1024;

impl RealDisk {
    /// Opens the directory at `path`, making it if its parent is there.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn open(path: &Path) -> io::Result<Self> {
        match rustix::fs::mkdir(path, DIRECTORY_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let directory = open_directory(path)?;
        copies::write_in_place(&directory);
        Ok(Self {
            directory,
            access: Access::Full,
        })
    }

    /// Opens the directory at `path` to look into it: what would change something fails, and the
    /// lock keeps out only who would change something.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn open_to_read(path: &Path) -> io::Result<Self> {
        Ok(Self {
            directory: open_directory(path)?,
            access: Access::Read,
        })
    }

    /// Uses a directory that is open.
    #[must_use]
    pub const fn from_directory(directory: OwnedFd) -> Self {
        Self {
            directory,
            access: Access::Full,
        }
    }

    fn may_change(&self) -> io::Result<()> {
        match self.access {
            Access::Full => Ok(()),
            Access::Read => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        }
    }

    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(rustix::fs::openat(&self.directory, name, flags, FILE_MODE)?)
    }

    fn open_dir(&self, name: &str) -> io::Result<OwnedFd> {
        let name = if name.is_empty() { "." } else { name };
        self.open_file(name, OFlags::RDONLY | OFlags::DIRECTORY)
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

impl Disk for RealDisk {
    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        let (flags, operation) = match self.access {
            Access::Full => (
                OFlags::RDWR | OFlags::CREATE,
                FlockOperation::NonBlockingLockExclusive,
            ),
            Access::Read => (OFlags::RDONLY, FlockOperation::NonBlockingLockShared),
        };
        let file = self.open_file(name, flags)?;
        rustix::fs::flock(&file, operation)?;
        Ok(Box::new(file))
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.may_change()?;
        match rustix::fs::mkdirat(&self.directory, name, DIRECTORY_MODE) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.may_change()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC;
        Ok(Arc::new(RealFile(self.open_file(name, flags)?)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let flags = match self.access {
            Access::Full => OFlags::RDWR,
            // A pipe under the name of a file must not hold up who looks.
            Access::Read => OFlags::RDONLY | OFlags::NONBLOCK,
        };
        Ok(Arc::new(RealFile(self.open_file(name, flags)?)))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::new(self.open_dir(dir)?)? {
            let entry = entry?;
            // Some file systems do not say what an entry is; only directories are left out.
            if entry.file_type() == FileType::Directory {
                continue;
            }
            if let Ok(name) = entry.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.may_change()?;
        Ok(rustix::fs::renameat(
            &self.directory,
            from,
            &self.directory,
            to,
        )?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.may_change()?;
        Ok(rustix::fs::unlinkat(
            &self.directory,
            name,
            AtFlags::empty(),
        )?)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.may_change()?;
        Ok(rustix::fs::fsync(self.open_dir(dir)?)?)
    }

    fn available(&self) -> u64 {
        rustix::fs::fstatvfs(&self.directory)
            .map_or(u64::MAX, |of| of.f_bavail.saturating_mul(of.f_frsize))
    }

    fn copies_on_write(&self) -> Option<&'static str> {
        copies::copies_on_write(&self.directory)
    }
}

impl DiskFile for RealFile {
    fn file_len(&self) -> io::Result<u64> {
        let len = rustix::fs::fstat(&self.0)?.st_size;
        u64::try_from(len).map_err(|_| Errno::INVAL.into())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        loop {
            match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len) {
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    return Err(io::ErrorKind::Unsupported.into());
                }
                result => return Ok(result?),
            }
        }
    }

    fn written_len(&self) -> io::Result<u64> {
        // What is allocated and was never written counts as a hole; a file system that does not
        // tell answers with the length.
        Ok(rustix::fs::seek(&self.0, SeekFrom::Hole(0))?)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match rustix::io::pread(&self.0, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, mut offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut parts = parts.to_vec();
        let mut parts = parts.as_mut_slice();
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let now = &parts[..parts.len().min(SLICES_MAX)];
            match rustix::io::pwritev(&self.0, now, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    IoSlice::advance_slices(&mut parts, n);
                    offset += n as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // Not retried, also not when interrupted: what a failed sync left behind is unknown.
        rustix::fs::fdatasync(&self.0)?;
        // A file that lost its name, as when the whole directory was removed, is gone with this
        // process, whatever was synced.
        if rustix::fs::fstat(&self.0)?.st_nlink == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it was removed"));
        }
        Ok(())
    }
}
