//! A directory of a test's own, removed with everything in it, but kept when the test fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// An empty directory. Its path is short: a socket's path below it must fit into 108 octets.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes one.
    ///
    /// # Panics
    /// When the temporary directory of this machine cannot be written.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    /// Makes one in `folder`.
    ///
    /// # Panics
    /// When that cannot be written.
    pub fn below(folder: &Path) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("postern-test-{}-{number}", std::process::id());
        let path = folder.join(name);
        // Left by an earlier process of the same id, whose test failed.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("its folder can be written");
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file below it and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path.join(name);
        fs::write(&path, text).expect("the scratch directory can be written");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for you to look at: {}", self.path.display());
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
