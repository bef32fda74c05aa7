//! A disk whose reads hang for as long as a test wants.

use std::any::Any;
use std::io::{self, IoSlice};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};

use spool::simulated::SimulatedDisk;
use spool::{Disk, DiskFile};

use crate::world::LIMIT;

/// The thread that commits, and copies at a start what was written last: nothing begins before.
const COMMITTER: &str = "spool";

/// A simulated disk, but for that.
#[derive(Clone)]
pub(crate) struct HangingDisk {
    pub(crate) disk: SimulatedDisk,
    reads: Arc<Reads>,
}

#[derive(Default)]
struct Reads {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// While it is there, reads of so many octets hang, but on the thread of the runtime.
    hanging: Option<(usize, ThreadId)>,
    n_hanging: usize,
    /// What the thread of the runtime read or opened meanwhile.
    on_runtime: Vec<String>,
}

/// Reads hang until this is dropped, also by a test that fails: its runtime waits for them.
pub(crate) struct Hang(Arc<Reads>);

impl HangingDisk {
    pub(crate) fn new(disk: SimulatedDisk) -> Self {
        let reads = Arc::default();
        Self { disk, reads }
    }

    /// From now on reads of `len_min` octets and more hang, and so does opening a content. A test
    /// calls this on the only thread of its runtime.
    pub(crate) fn hang(&self, len_min: usize) -> Hang {
        let mut state = self.reads.state.lock().unwrap();
        state.hanging = Some((len_min, thread::current().id()));
        Hang(Arc::clone(&self.reads))
    }

    fn file(&self, name: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(HangingFile {
            name: name.into(),
            file,
            reads: Arc::clone(&self.reads),
        })
    }
}

impl Hang {
    /// Waits until `n` reads hang, and sees that the thread of the runtime made none.
    pub(crate) async fn holds(&self, n: usize) {
        let holding = async {
            while self.n_hanging() < n {
                // Reads are made by threads: only time passes here.
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, holding).await.unwrap();
    }

    fn n_hanging(&self) -> usize {
        self.runtime_reads_nothing();
        self.0.state.lock().unwrap().n_hanging
    }

    /// Sees that the thread of the runtime read nothing since reads began to hang.
    pub(crate) fn runtime_reads_nothing(&self) {
        let on_runtime = self.0.state.lock().unwrap().on_runtime.clone();
        assert!(on_runtime.is_empty(), "on the runtime: {on_runtime:?}");
    }
}

impl Drop for Hang {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap();
        state.hanging = None;
        self.0.changed.notify_all();
    }
}

impl Reads {
    fn read(&self, name: &str, len: usize) {
        let mut state = self.state.lock().unwrap();
        let Some((len_min, runtime)) = state.hanging else {
            return;
        };
        if thread::current().id() == runtime {
            state.on_runtime.push(format!("{len} of {name}"));
        } else if len >= len_min && thread::current().name() != Some(COMMITTER) {
            state.n_hanging += 1;
            let hangs = |state: &mut State| state.hanging.is_some();
            drop(self.changed.wait_while(state, hangs).unwrap());
        }
    }
}

impl Disk for HangingDisk {
    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.disk.lock(name)
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.disk.create_dir(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(name, self.disk.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let len = if name.starts_with("content/") {
            usize::MAX
        } else {
            0
        };
        self.reads.read(name, len);
        Ok(self.file(name, self.disk.open(name)?))
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

struct HangingFile {
    name: Box<str>,
    file: Arc<dyn DiskFile>,
    reads: Arc<Reads>,
}

impl DiskFile for HangingFile {
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
        self.reads.read(&self.name, buffer.len());
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.file.write_at(offset, parts)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}
