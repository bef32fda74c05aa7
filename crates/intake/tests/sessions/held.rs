//! A disk on which the sync of one content file takes as long as a test wants.

use std::any::Any;
use std::io::{self, IoSlice};
use std::sync::{Arc, Condvar, Mutex};

use spool::simulated::SimulatedDisk;
use spool::{Disk, DiskFile};

/// Where the syncs of content files are held up.
#[derive(Default)]
pub(crate) struct Holding {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The next sync is to be held up.
    Armed,
    /// A sync is held up.
    Held,
    #[default]
    Open,
}

impl Holding {
    /// The next sync of a content file takes until [`Self::release`].
    pub(crate) fn arm(&self) {
        *self.state.lock().unwrap() = State::Armed;
    }

    /// Waits until a sync is held up.
    pub(crate) async fn holds(self: &Arc<Self>) {
        let holding = Arc::clone(self);
        let waiting = tokio::task::spawn_blocking(move || {
            let state = holding.state.lock().unwrap();
            let armed = |state: &mut State| *state == State::Armed;
            drop(holding.changed.wait_while(state, armed).unwrap());
        });
        waiting.await.unwrap();
    }

    /// The sync goes on, and no other is held up.
    pub(crate) fn release(&self) {
        *self.state.lock().unwrap() = State::Open;
        self.changed.notify_all();
    }

    fn sync(&self) {
        let mut state = self.state.lock().unwrap();
        if *state == State::Armed {
            *state = State::Held;
            self.changed.notify_all();
            let held = |state: &mut State| *state == State::Held;
            drop(self.changed.wait_while(state, held).unwrap());
        }
    }
}

/// A simulated disk, but for that.
pub(crate) struct HeldDisk {
    pub(crate) disk: SimulatedDisk,
    pub(crate) holding: Arc<Holding>,
}

struct HeldFile {
    file: Arc<dyn DiskFile>,
    holding: Arc<Holding>,
}

impl Disk for HeldDisk {
    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.disk.lock(name)
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.disk.create_dir(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.create(name)?;
        let holding = Arc::clone(&self.holding);
        Ok(match name.starts_with("content/") {
            true => Arc::new(HeldFile { file, holding }),
            false => file,
        })
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn available(&self) -> u64 {
        self.disk.available()
    }
}

impl DiskFile for HeldFile {
    fn file_len(&self) -> io::Result<u64> {
        self.file.file_len()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn written_len(&self) -> io::Result<u64> {
        self.file.written_len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.file.write_at(offset, parts)
    }

    fn sync(&self) -> io::Result<()> {
        self.holding.sync();
        self.file.sync()
    }
}
