//! The files of the maildrop: what is listed, taken, read, removed and kept. All of it blocks, and
//! is called on a thread of its own ([`Files::call`]).

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mail::{HandoffKey, InstanceName};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use maildrop::{COMPLETE_MODE, Envelope, HEADER_LEN_MAX, Maildrop};

/// What the limits of a pass are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Files that are taken.
    pub(super) each_pass_max: usize,
    /// Of one user.
    pub(super) each_user_max: u32,
    /// Files that are no messages and are kept.
    pub(super) refused_max: usize,
    /// After which a file that is not complete goes.
    pub(super) incomplete_max: Duration,
}

/// The directories of one instance.
#[derive(Clone)]
pub(super) struct Files(Arc<Folders>);

struct Folders {
    new: PathBuf,
    taken: PathBuf,
    refused: PathBuf,
    bounds: Bounds,
}

/// What is new.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// When the directory was changed last, before it was read.
    changed: Option<SystemTime>,
    /// Files that are complete.
    pub(super) complete: Vec<PathBuf>,
    /// Whether there may be more to take although the directory does not change.
    is_partial: bool,
}

/// A file that holds a message.
#[derive(Debug)]
pub(super) struct Found {
    /// At the beginning of its content.
    pub(super) file: File,
    /// Its owner.
    pub(super) uid: u32,
    /// What stands above the content.
    pub(super) envelope: Envelope,
}

/// What a file that was taken is.
#[derive(Debug)]
pub(super) enum Opened {
    /// A message.
    Message(Found),
    /// None that is complete; it may still become one.
    NotYet,
    /// None, and why.
    NoMessage(String),
}

/// What was taken before and is still there.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// What may be stored under its key already, the oldest first.
    pub(super) keyed: Vec<(HandoffKey, PathBuf)>,
    /// What was not complete when it was taken, and is ready now.
    pub(super) waiting: Vec<PathBuf>,
}

/// What begins the name of a file that was taken and is not complete.
const WAITING: &str = "waiting.";

impl Files {
    pub(super) fn new(maildrop: &Maildrop, name: &InstanceName, bounds: Bounds) -> Self {
        Self(Arc::new(Folders {
            new: maildrop.new_folder(),
            taken: maildrop.taken_folder(name),
            refused: maildrop.refused_folder(),
            bounds,
        }))
    }

    /// Does something that blocks, away from the runtime's thread.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Self) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let files = self.clone();
        let calling = tokio::task::spawn_blocking(move || what(&files));
        calling.await.map_err(|error| error.to_string())?
    }

    /// What was taken and is not yet removed. Makes the directory where it is missing.
    pub(super) fn taken(&self) -> Result<Taken, String> {
        let folder = &self.0.taken;
        let failed = |error: io::Error| at(folder, &error);
        let mut taken = Taken::default();
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = DirBuilder::new().mode(0o700).create(folder);
                let synced = made.and_then(|()| folder.parent().map_or(Ok(()), sync));
                return synced.map(|()| taken).map_err(failed);
            }
            entries => entries.map_err(failed)?,
        };
        for entry in entries.take(self.0.bounds.each_pass_max) {
            let entry = entry.map_err(failed)?;
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_str().unwrap_or_default();
            if let Some(key) = parse_key(name) {
                taken.keyed.push((key, path));
            } else if name.starts_with(WAITING) {
                let metadata = entry.metadata().map_err(failed)?;
                if is_complete(&metadata) || self.is_old(&metadata) {
                    taken.waiting.push(path);
                }
            }
        }
        taken.keyed.sort_by_key(|(key, _)| *key);
        Ok(taken)
    }

    /// What is new since `before`, and what was removed because it can never become a message.
    pub(super) fn list(&self, before: Option<Listing>) -> Result<(Listing, Vec<String>), String> {
        let folder = &self.0.new;
        let failed = |error: io::Error| at(folder, &error);
        let changed = std::fs::metadata(folder)
            .and_then(|it| it.modified())
            .map_err(failed)?;
        let mut listing = Listing {
            changed: Some(changed),
            ..Listing::default()
        };
        let mut removed = Vec::new();
        let is_same = |before: &Listing| before.changed == listing.changed && !before.is_partial;
        if before.as_ref().is_some_and(is_same) {
            return Ok((listing, removed));
        }
        // A change within the same tick of the file system's clock would not show.
        let age = SystemTime::now().duration_since(changed);
        listing.is_partial = age.is_ok_and(|age| age < Duration::from_secs(2));
        let mut by_user = HashMap::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // One that is gone was its owner's to remove.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if !is_complete(&metadata) {
                listing.is_partial |= metadata.is_file();
                removed.extend(self.remove_useless(&entry.path(), &metadata));
                continue;
            }
            let n_taken: &mut u32 = by_user.entry(metadata.uid()).or_default();
            *n_taken += 1;
            if *n_taken > self.0.bounds.each_user_max {
                listing.is_partial = true;
                continue;
            }
            listing.complete.push(entry.path());
            if listing.complete.len() >= self.0.bounds.each_pass_max {
                listing.is_partial = true;
                break;
            }
        }
        Ok((listing, removed))
    }

    /// Removes what lies there for a day and never became complete. By its name alone nothing may
    /// be removed: its owner can take it away, and another can leave a message under that name.
    fn remove_useless(&self, path: &Path, metadata: &Metadata) -> Option<String> {
        if metadata.is_dir() {
            // One that is not empty stays.
            let _ = std::fs::remove_dir(path);
            return None;
        }
        if !self.is_old(metadata) {
            return None;
        }
        let name = path.file_name()?;
        let moved = self.0.refused.join(name);
        renameat_with(CWD, path, CWD, &moved, RenameFlags::NOREPLACE).ok()?;
        let found = std::fs::symlink_metadata(&moved).ok()?;
        if (found.dev(), found.ino()) != (metadata.dev(), metadata.ino()) {
            // Should this fail, it is kept for people.
            let _ = renameat_with(CWD, &moved, CWD, path, RenameFlags::NOREPLACE);
            return None;
        }
        std::fs::remove_file(&moved).ok()?;
        let uid = metadata.uid();
        Some(format!(
            "removed from the maildrop what uid {uid} left there a day ago: no complete message"
        ))
    }

    /// Whether nothing was done with it for long; its owner cannot set this time.
    fn is_old(&self, metadata: &Metadata) -> bool {
        let changed = u64::try_from(metadata.ctime()).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed);
        let age = SystemTime::now().duration_since(changed);
        age.is_ok_and(|age| age >= self.0.bounds.incomplete_max)
    }

    /// Moves a file, durably, to where only this instance can reach it, under a key that was never
    /// given; `None` where it is gone.
    pub(super) fn take(&self, from: &Path, key: &HandoffKey) -> Result<Option<PathBuf>, String> {
        let to = self.0.taken.join(key.to_string());
        match std::fs::rename(from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            renamed => renamed.map_err(|error| at(from, &error))?,
        }
        for folder in [&self.0.taken, &self.0.new] {
            sync(folder).map_err(|error| at(folder, &error))?;
        }
        Ok(Some(to))
    }

    /// Puts what is not complete aside without its key, which others may overtake.
    pub(super) fn let_wait(&self, path: &Path) -> Result<(), String> {
        let mut name = OsString::from(WAITING);
        name.push(path.file_name().unwrap_or_default());
        std::fs::rename(path, path.with_file_name(name)).map_err(|error| at(path, &error))
    }

    /// Opens what was taken: its owner is the user that left it, if it holds a message at all.
    pub(super) fn open(&self, path: &Path, content_len_max: u64) -> Result<Opened, String> {
        let failed = |error: io::Error| at(path, &error);
        let metadata = std::fs::symlink_metadata(path).map_err(failed)?;
        let uid = metadata.uid();
        let no_message = |why: String| Ok(Opened::NoMessage(format!("uid {uid}: {why}")));
        if !is_complete(&metadata) {
            // Its name may have been another file's when it was listed.
            if metadata.is_file() && !self.is_old(&metadata) {
                return Ok(Opened::NotYet);
            }
            return no_message("it is no complete file with one link".to_owned());
        }
        // Nobody else can put anything in its place here.
        let mut file = File::open(path).map_err(failed)?;
        let mut beginning = Vec::new();
        (&file)
            .take(HEADER_LEN_MAX as u64)
            .read_to_end(&mut beginning)
            .map_err(failed)?;
        let (envelope, content_at) = match Envelope::read(&beginning) {
            Ok(read) => read,
            Err(why) => return no_message(why.to_string()),
        };
        let len = envelope.content_len;
        if len > content_len_max {
            return no_message(format!(
                "{len} bytes of content, more than the {content_len_max} of message_size"
            ));
        }
        let begin = SeekFrom::Start(content_at as u64);
        file.seek(begin).map_err(failed)?;
        Ok(Opened::Message(Found {
            file,
            uid,
            envelope,
        }))
    }

    /// Removes a file whose message is stored, durably.
    pub(super) fn remove(&self, path: &Path) -> Result<(), String> {
        match std::fs::remove_file(path) {
            // The process before this one did it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(|error| at(path, &error))?,
        }
        sync(&self.0.taken).map_err(|error| at(&self.0.taken, &error))
    }

    /// Keeps what is no message for people; `None` where there is too much of it.
    pub(super) fn refuse(&self, path: &Path) -> Result<Option<PathBuf>, String> {
        let folder = &self.0.refused;
        let entries = std::fs::read_dir(folder).map_err(|error| at(folder, &error))?;
        if entries.take(self.0.bounds.refused_max).count() >= self.0.bounds.refused_max {
            self.remove(path)?;
            return Ok(None);
        }
        let to = folder.join(path.file_name().unwrap_or_default());
        std::fs::rename(path, &to).map_err(|error| at(path, &error))?;
        sync(folder).map_err(|error| at(folder, &error))?;
        Ok(Some(to))
    }
}

/// Whether its owner says that it is complete, and nobody has it under another name.
fn is_complete(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.nlink() == 1 && metadata.mode() & 0o7777 == COMPLETE_MODE
}

/// Reads `SPOOL.EPOCH.NUMBER`.
fn parse_key(name: &str) -> Option<HandoffKey> {
    let mut parts = name.split('.');
    let key = HandoffKey {
        sender: parts.next()?.parse().ok()?,
        epoch: parts.next()?.parse().ok()?,
        number: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(key)
}

fn sync(folder: impl AsRef<Path>) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn at(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests;
