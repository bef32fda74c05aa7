//! Leaving a message in the maildrop, as any user.
//!
//! # Guarantees
//! When [`leave`] returns, the message survives a power cut. A user that may write there cannot
//! see, change or remove what another has left: the directory is sticky and cannot be listed, and
//! files are made anew, never opened.
//!
//! # Limits
//! [`PER_USER_MAX`] files and [`PER_USER_LEN_MAX`] octets of this user: a file has one of so many
//! names, which begin with the number of the user. A name that another took is passed over. A part
//! of the disk is left to the rest of the system ([`LEFT_FREE`]).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{COMPLETE_MODE, Envelope, Maildrop, PER_USER_LEN_MAX, PER_USER_MAX};

/// Octets of the disk that are not used for it.
const LEFT_FREE: u64 = 16 * 1024 * 1024;

/// Why a message could not be left.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// The user has left as much as is allowed.
    #[error(
        "{n} messages of this user wait in {} with {len} octets; more than {PER_USER_MAX}, or \
         {PER_USER_LEN_MAX} octets, are not kept there", .folder.display()
    )]
    Full {
        /// Where.
        folder: PathBuf,
        /// How many are there.
        n: u32,
        /// How large they are.
        len: u64,
    },
    /// The disk has no room.
    #[error("the disk of {} is full", .0.display())]
    NoRoom(PathBuf),
    /// The system has no maildrop, or it cannot be written.
    #[error("cannot leave it in {}: {cause}", .folder.display())]
    Failed {
        /// Where.
        folder: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

/// Leaves a message in the maildrop of the system with this state directory. Blocks until it is on
/// the disk.
///
/// # Errors
/// When it cannot be left; nothing of it remains then.
pub fn leave(state: &Path, envelope: &Envelope, content: &[u8]) -> Result<(), LeaveError> {
    let folder = Maildrop::of(state).new_folder();
    let failed = |cause: io::Error| LeaveError::Failed {
        folder: folder.clone(),
        cause,
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, &folder, flags, Mode::empty());
    let directory = opened.map_err(|errno| failed(errno.into()))?;
    let header = envelope.to_bytes();
    let len = (header.len() + content.len()) as u64;
    let places = Places::look(&directory).map_err(|errno| failed(errno.into()))?;
    let (n, before) = (places.n_taken, places.len);
    if n >= PER_USER_MAX || before.saturating_add(len) > PER_USER_LEN_MAX {
        return Err(LeaveError::Full {
            folder,
            n,
            len: before,
        });
    }
    let disk = rustix::fs::fstatvfs(&directory).map_err(|errno| failed(errno.into()))?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < len.saturating_add(LEFT_FREE) {
        return Err(LeaveError::NoRoom(folder));
    }
    let (name, file) = places
        .make(&directory)
        .map_err(|errno| failed(errno.into()))?;
    let written = write(file, &header, content);
    if written.is_err() {
        // One that cannot be removed is incomplete, and goes by its age.
        let _ = rustix::fs::unlinkat(&directory, &name, AtFlags::empty());
    }
    written.map_err(failed)
}

/// The names that this user may give.
struct Places {
    uid: u32,
    free: Vec<u32>,
    /// Names that another user took.
    n_foreign: u32,
    n_taken: u32,
    /// Octets in the files of this user.
    len: u64,
}

impl Places {
    fn look(directory: &OwnedFd) -> Result<Self, Errno> {
        let uid = rustix::process::geteuid().as_raw();
        let mut places = Self {
            uid,
            free: Vec::new(),
            n_foreign: 0,
            n_taken: 0,
            len: 0,
        };
        for number in 0..PER_USER_MAX {
            let name = format!("{uid}.{number}");
            match rustix::fs::statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) if found.st_uid == uid => {
                    places.n_taken += 1;
                    if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile {
                        let len = u64::try_from(found.st_size).unwrap_or(0);
                        places.len = places.len.saturating_add(len);
                    }
                }
                Ok(_) => places.n_foreign += 1,
                Err(Errno::NOENT) => places.free.push(number),
                Err(errno) => return Err(errno),
            }
        }
        Ok(places)
    }

    /// Makes a file under a name that is free.
    fn make(&self, directory: &OwnedFd) -> Result<(String, File), Errno> {
        for number in &self.free {
            let name = format!("{}.{number}", self.uid);
            match make(directory, &name) {
                Err(Errno::EXIST) => {}
                made => return made.map(|file| (name, file)),
            }
        }
        if self.n_foreign == 0 {
            return Err(Errno::EXIST);
        }
        // Somebody keeps this user's names occupied: one that cannot be guessed is free.
        let mut random = [0; 16];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let name = format!("{}.{:032x}", self.uid, u128::from_be_bytes(random));
        make(directory, &name).map(|file| (name, file))
    }
}

fn make(directory: &OwnedFd, name: &str) -> Result<File, Errno> {
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::EXCL
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    let made = rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR);
    made.map(File::from)
}

fn write(mut file: File, header: &[u8], content: &[u8]) -> io::Result<()> {
    file.write_all(header)?;
    file.write_all(content)?;
    file.sync_all()?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(COMPLETE_MODE))?;
    file.sync_all()?;
    // The directory cannot be opened for reading, and so not synced by itself.
    rustix::fs::syncfs(file.as_fd())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use mail::{Mailbox, ReversePath};
    use testkit::Scratch;

    use super::*;

    fn envelope(content: &[u8]) -> Envelope {
        Envelope {
            sender: ReversePath::Null,
            recipients: vec![Mailbox::parse("a@x").expect("an address")],
            content_len: content.len() as u64,
        }
    }

    fn state() -> (Scratch, PathBuf) {
        let state = Scratch::new();
        let maildrop = Maildrop::of(state.path());
        for (path, mode) in maildrop.folders() {
            std::fs::create_dir_all(&path).expect("made");
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
        }
        let folder = maildrop.new_folder();
        (state, folder)
    }

    #[test]
    fn a_message_that_was_left_is_complete_and_its_owners_alone() {
        let (state, folder) = state();
        let mode = std::fs::metadata(&folder).expect("a folder").mode();
        assert_eq!(mode & 0o7777, 0o3733);
        let content = b"Subject: x\r\n\r\n";
        for n in 1..=2 {
            leave(state.path(), &envelope(content), content).expect("left");
            assert_eq!(std::fs::read_dir(&folder).expect("listed").count(), n);
        }
        for entry in std::fs::read_dir(&folder).expect("listed") {
            let path = entry.expect("an entry").path();
            let mode = std::fs::metadata(&path)
                .expect("a file")
                .permissions()
                .mode();
            assert_eq!(mode & 0o7777, COMPLETE_MODE);
            let octets = std::fs::read(path).expect("read");
            let (read, at) = Envelope::read(&octets).expect("an envelope");
            assert_eq!(read, envelope(content));
            assert_eq!(&octets[at..], content);
        }
    }

    #[test]
    fn a_user_leaves_so_many_messages_and_no_more() {
        let (state, folder) = state();
        let uid = rustix::process::geteuid().as_raw();
        for number in 1..PER_USER_MAX {
            File::create(folder.join(format!("{uid}.{number}"))).expect("made");
        }
        leave(state.path(), &envelope(b""), b"").expect("the last place");
        let more = leave(state.path(), &envelope(b""), b"");
        assert!(
            matches!(more, Err(LeaveError::Full { n: 1000, .. })),
            "{more:?}"
        );
        let large = folder.join(format!("{uid}.7"));
        std::fs::remove_file(folder.join(format!("{uid}.8"))).expect("removed");
        let file = File::create(large).expect("made");
        file.set_len(PER_USER_LEN_MAX).expect("sparse");
        let more = leave(state.path(), &envelope(b""), b"");
        assert!(
            matches!(more, Err(LeaveError::Full { n: 999, .. })),
            "{more:?}"
        );
    }

    #[test]
    fn where_there_is_no_maildrop_it_says_so_with_the_path() {
        let state = Scratch::new();
        let text = leave(state.path(), &envelope(b""), b"").expect_err("nothing");
        assert!(
            text.to_string().contains("maildrop/new: No such file"),
            "{text}"
        );
    }
}
