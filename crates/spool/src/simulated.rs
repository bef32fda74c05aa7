//! A disk in memory that can lose power, fail and be full; for tests.
//!
//! It keeps apart what was written and what is durable: a sync of a file makes its octets durable,
//! a sync of a directory the names in it, and nothing else does; a kill of the process changes
//! neither. Everything that changes something is an *operation* and counted, so that a test can
//! stop the world after each.
//!
//! # Guarantees
//! Deterministic: the same calls and the same seed leave the same disk.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{Disk, DiskFile};

/// The size of a block that can be spoilt.
const BLOCK: usize = 4096;

/// What reading a block gives that the disk cannot read: `EIO`.
const EIO: i32 = 5;

/// What a loss of power leaves of what was not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerCut {
    /// All of it: it was written back in time.
    Kept,
    /// Nothing.
    Lost,
    /// The names, without the octets.
    NamesKept,
    /// The octets, without the names.
    NamesLost,
    /// Of each write any blocks, of the names any changes: lost, reordered and torn.
    Torn {
        /// The size of a block in octets: 512 or 4,096.
        block: usize,
        /// What decides.
        seed: u64,
    },
}

/// What is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// This operation fails. A write that fails writes its first half; a sync that fails forgets
    /// what it should have made durable, as the page cache of an operating system does.
    FailAt(u64),
    /// This operation and all later ones fail so.
    FailFrom(u64),
    /// This operation is said to have failed, and took effect all the same.
    FailLateAt(u64),
    /// This reading of a file fails with `EIO`, once; readings are counted by themselves.
    FailReadAt(u64),
    /// From this operation on, files cannot grow.
    FullFrom(u64),
    /// Opening a file whose name begins so panics, as a mistake in the program would.
    PanicOnOpening(&'static str),
    /// The power is cut, or the process is killed, after this operation: which of the two follows
    /// from whether [`SimulatedDisk::after`] or [`SimulatedDisk::killed`] is called then.
    PowerOffAfter(u64),
}

/// Syncs that are said to have succeeded and did nothing, as if they had been forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// Those of batches.
    Batches,
    /// Those of content files.
    Contents,
    /// Those of a directory.
    Directory(&'static str),
    /// Those of the headers of segments.
    Headers,
}

/// A simulated disk; clones are the same disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<World>>);

struct SimulatedFile {
    disk: SimulatedDisk,
    node: usize,
}

struct Lock(SimulatedDisk);

#[derive(Default)]
struct World {
    nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names that are not durable.
    changes: Vec<Change>,
    n_operations: u64,
    n_reads: u64,
    n_octets_read: u64,
    n_octets_written: u64,
    fault: Option<Fault>,
    forgotten: Option<Forgotten>,
    /// Whether the file system knows no allocating.
    cannot_allocate: bool,
    /// Whether what is written needs room while what it replaces is there.
    copies_on_write: bool,
    /// Blocks that cannot be read, by file.
    spoilt: BTreeSet<(usize, usize)>,
    /// How many octets all files together may have.
    capacity: Option<usize>,
    locked: bool,
}

#[derive(Clone, Default)]
struct Node {
    written: Vec<u8>,
    /// Where the last of all writes ended; behind it lies what was only allocated.
    written_to: usize,
    durable: Vec<u8>,
    /// Writes since the last sync.
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone)]
enum Change {
    Put(String, usize),
    Remove(String),
    Rename(String, String),
}

impl SimulatedDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From here on, operations count from 1, and this goes wrong.
    pub fn set_fault(&self, fault: Fault) {
        let mut world = self.lock_world();
        world.n_operations = 0;
        world.n_reads = 0;
        world.fault = Some(fault);
    }

    /// From here on, these syncs do nothing.
    pub fn forget_syncs(&self, forgotten: Forgotten) {
        self.lock_world().forgotten = Some(forgotten);
    }

    /// From here on, all files together can grow to so many octets: more than they have now, or
    /// less, when others have filled the disk.
    pub fn set_capacity(&self, octets: Option<usize>) {
        self.lock_world().capacity = octets;
    }

    /// From here on, room is set aside only by writing.
    pub fn forbid_allocating(&self) {
        self.lock_world().cannot_allocate = true;
    }

    /// From here on the blocks of a file that these octets touch cannot be read, until they are
    /// written anew as a whole; what changes a part of one fails as well.
    pub fn spoil(&self, name: &str, octets: Range<u64>) {
        let mut world = self.lock_world();
        if let Ok(node) = world.node(name) {
            let blocks = blocks_of(small(octets.start), small(octets.end));
            world.spoilt.extend(blocks.map(|block| (node, block)));
        }
    }

    /// From here on every block can be read again.
    pub fn heal(&self) {
        self.lock_world().spoilt.clear();
    }

    /// From here on nothing is written in place.
    pub fn copy_on_write(&self) {
        self.lock_world().copies_on_write = true;
    }

    /// How many octets all files have together.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.lock_world().octets()
    }

    /// How many operations there were.
    #[must_use]
    pub fn n_operations(&self) -> u64 {
        self.lock_world().n_operations
    }

    /// How many octets were written to files, of any kind.
    #[must_use]
    pub fn n_octets_written(&self) -> u64 {
        self.lock_world().n_octets_written
    }

    /// How many times a file was read.
    #[must_use]
    pub fn n_reads(&self) -> u64 {
        self.lock_world().n_reads
    }

    /// How many octets were read from files.
    #[must_use]
    pub fn n_octets_read(&self) -> u64 {
        self.lock_world().n_octets_read
    }

    /// What is found when the power is back.
    #[must_use]
    pub fn after(&self, cut: PowerCut) -> Self {
        let world = self.lock_world();
        let mut random = Random::new(match cut {
            PowerCut::Torn { seed, .. } => seed,
            _ => 1,
        });
        let names = match cut {
            PowerCut::Kept | PowerCut::NamesKept => world.names.clone(),
            PowerCut::Lost | PowerCut::NamesLost => world.durable_names.clone(),
            PowerCut::Torn { .. } => {
                let mut names = world.durable_names.clone();
                for change in world.changes.iter().filter(|_| random.coin()) {
                    change.apply(&mut names);
                }
                names
            }
        };
        let nodes = world.nodes.iter().map(|node| {
            let left = match cut {
                PowerCut::Kept | PowerCut::NamesLost => node.written.clone(),
                PowerCut::Lost | PowerCut::NamesKept => node.durable.clone(),
                PowerCut::Torn { block, .. } => node.torn(block, &mut random),
            };
            Node {
                durable: left.clone(),
                written_to: node.written_to.min(left.len()),
                written: left,
                unsynced: Vec::new(),
            }
        });
        Self(Arc::new(Mutex::new(World {
            nodes: nodes.collect(),
            durable_names: names.clone(),
            names,
            forgotten: world.forgotten,
            cannot_allocate: world.cannot_allocate,
            copies_on_write: world.copies_on_write,
            spoilt: world.spoilt.clone(),
            ..World::default()
        })))
    }

    /// What the next process finds when this one is killed: all that was written, of which no more
    /// is durable than before.
    #[must_use]
    pub fn killed(&self) -> Self {
        let world = self.lock_world();
        Self(Arc::new(Mutex::new(World {
            nodes: world.nodes.clone(),
            names: world.names.clone(),
            durable_names: world.durable_names.clone(),
            changes: world.changes.clone(),
            forgotten: world.forgotten,
            cannot_allocate: world.cannot_allocate,
            copies_on_write: world.copies_on_write,
            spoilt: world.spoilt.clone(),
            ..World::default()
        })))
    }

    /// The octets of a file as they are written, if there is one.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let world = self.lock_world();
        let node = world.names.get(name)?;
        Some(world.nodes[*node].written.clone())
    }

    /// The names of all files.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.lock_world().names.keys().cloned().collect()
    }

    /// Puts a file there, durably; for damage.
    pub fn put(&self, name: &str, contents: Vec<u8>) {
        let mut world = self.lock_world();
        let node = world.nodes.len();
        world.nodes.push(Node {
            written_to: contents.len(),
            written: contents.clone(),
            durable: contents,
            unsynced: Vec::new(),
        });
        world.names.insert(name.to_owned(), node);
        world.durable_names.insert(name.to_owned(), node);
    }

    fn lock_world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// Counts an operation; fails if it is to fail.
    fn operate(&mut self) -> io::Result<()> {
        self.n_operations += 1;
        let n = self.n_operations;
        let fails = match self.fault {
            Some(Fault::FailAt(at)) => n == at,
            Some(Fault::FailFrom(from)) => n >= from,
            Some(Fault::PowerOffAfter(last)) => n > last,
            Some(
                Fault::FailLateAt(_)
                | Fault::FailReadAt(_)
                | Fault::FullFrom(_)
                | Fault::None
                | Fault::PanicOnOpening(_),
            )
            | None => false,
        };
        if fails {
            return Err(io::Error::other("simulated failure"));
        }
        Ok(())
    }

    /// What an operation that took effect is said to have come to.
    fn said(&self) -> io::Result<()> {
        if self.fault == Some(Fault::FailLateAt(self.n_operations)) {
            return Err(io::Error::other("simulated failure"));
        }
        Ok(())
    }

    /// Whether the sync of a file was forgotten.
    fn is_forgotten(&self, node: usize) -> bool {
        let of = |prefix: &str| {
            let mut names = self.names.iter();
            names.any(|(name, &of)| of == node && name.starts_with(prefix))
        };
        let last = self.nodes[node].unsynced.last();
        let in_headers = last.is_some_and(|&(offset, _)| offset < 8192);
        match self.forgotten {
            None | Some(Forgotten::Directory(_)) => false,
            Some(Forgotten::Batches) => of("seg-") && !in_headers,
            Some(Forgotten::Contents) => of("content/"),
            Some(Forgotten::Headers) => of("seg-") && in_headers,
        }
    }

    /// Whether octets of a file can be read.
    fn check_readable(&self, node: usize, start: usize, end: usize) -> io::Result<()> {
        let spoilt = |block| self.spoilt.contains(&(node, block));
        if blocks_of(start, end).any(spoilt) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(())
    }

    /// Octets of a file are written: blocks that are written as a whole can be read again.
    fn heal(&mut self, node: usize, start: usize, end: usize) -> io::Result<()> {
        for block in blocks_of(start, end) {
            let is_whole = start <= block * BLOCK && (block + 1) * BLOCK <= end;
            if is_whole {
                self.spoilt.remove(&(node, block));
            }
        }
        self.check_readable(node, start, end)
    }

    fn octets(&self) -> usize {
        let files = self.names.values();
        files.map(|&node| self.nodes[node].written.len()).sum()
    }

    /// How many octets files can grow by.
    fn available(&self) -> usize {
        match (self.fault, self.capacity) {
            (Some(Fault::FullFrom(from)), _) if self.n_operations >= from => 0,
            (_, Some(capacity)) => capacity.saturating_sub(self.octets()),
            (_, None) => usize::MAX,
        }
    }

    /// Once it is, nothing changes any more.
    const fn power_is_off(&self) -> bool {
        matches!(self.fault, Some(Fault::PowerOffAfter(last)) if self.n_operations > last)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn node(&self, name: &str) -> io::Result<usize> {
        let node = self.names.get(name).copied();
        node.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Put(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }

    fn is_in(&self, dir: &str) -> bool {
        match self {
            Self::Put(name, _) | Self::Remove(name) => dir_of(name) == dir,
            Self::Rename(_, to) => dir_of(to) == dir,
        }
    }
}

impl Node {
    fn torn(&self, block: usize, random: &mut Random) -> Vec<u8> {
        let mut left = self.durable.clone();
        for (offset, bytes) in &self.unsynced {
            let mut at = 0;
            while at < bytes.len() {
                let block_end = ((offset + at) / block + 1) * block - offset;
                let end = block_end.min(bytes.len());
                if random.coin() {
                    put(&mut left, offset + at, &bytes[at..end]);
                }
                at = end;
            }
        }
        left
    }
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        // Not `resize`, which in a debug build goes octet by octet.
        file.extend_from_slice(&vec![0; end - file.len()]);
    }
    file[offset..end].copy_from_slice(bytes);
}

fn dir_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// The blocks that these octets touch.
fn blocks_of(start: usize, end: usize) -> Range<usize> {
    start / BLOCK..end.div_ceil(BLOCK)
}

fn small(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Disk for SimulatedDisk {
    fn lock(&self, _name: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut world = self.lock_world();
        if std::mem::replace(&mut world.locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock(self.clone())))
    }

    fn create_dir(&self, _name: &str) -> io::Result<()> {
        // Directories are there: what is tested is what is in them.
        self.lock_world().operate()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.lock_world();
        world.operate()?;
        let node = world.nodes.len();
        world.nodes.push(Node::default());
        world.change(Change::Put(name.to_owned(), node));
        world.said()?;
        let disk = self.clone();
        Ok(Arc::new(SimulatedFile { disk, node }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let world = self.lock_world();
        let node = world.node(name)?;
        let panics = matches!(world.fault, Some(Fault::PanicOnOpening(of)) if name.starts_with(of));
        drop(world);
        assert!(!panics, "simulated panic");
        let disk = self.clone();
        Ok(Arc::new(SimulatedFile { disk, node }))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let world = self.lock_world();
        let names = world.names.keys().filter(|name| dir_of(name) == dir);
        let last = |name: &String| name.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(names.map(last).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.lock_world();
        world.operate()?;
        world.node(from)?;
        world.change(Change::Rename(from.to_owned(), to.to_owned()));
        world.said()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.lock_world();
        world.operate()?;
        world.node(name)?;
        world.change(Change::Remove(name.to_owned()));
        world.said()
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut world = self.lock_world();
        world.operate()?;
        if matches!(world.forgotten, Some(Forgotten::Directory(of)) if of == dir) {
            return Ok(());
        }
        let changes = std::mem::take(&mut world.changes);
        for change in changes {
            if change.is_in(dir) {
                change.apply(&mut world.durable_names);
            } else {
                world.changes.push(change);
            }
        }
        world.said()
    }

    fn available(&self) -> u64 {
        self.lock_world().available() as u64
    }

    fn copies_on_write(&self) -> Option<&'static str> {
        self.lock_world().copies_on_write.then_some("simulated")
    }
}

impl DiskFile for SimulatedFile {
    fn file_len(&self) -> io::Result<u64> {
        let world = self.disk.lock_world();
        Ok(world.nodes[self.node].written.len() as u64)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut world = self.disk.lock_world();
        world.operate()?;
        if world.cannot_allocate {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let len = small(len);
        if len > world.available() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let node = &mut world.nodes[self.node];
        assert!(node.written.is_empty(), "only what is empty is allocated");
        node.written = vec![0; len];
        node.unsynced.push((0, vec![0; len]));
        world.said()
    }

    fn written_len(&self) -> io::Result<u64> {
        let world = self.disk.lock_world();
        Ok(world.nodes[self.node].written_to as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut world = self.disk.lock_world();
        world.n_reads += 1;
        if world.fault == Some(Fault::FailReadAt(world.n_reads)) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let written = &world.nodes[self.node].written;
        let rest = written.get(small(offset)..).unwrap_or_default();
        let n = rest.len().min(buffer.len());
        world.check_readable(self.node, small(offset), small(offset) + n)?;
        buffer[..n].copy_from_slice(&rest[..n]);
        world.n_octets_read += n as u64;
        Ok(n)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut world = self.disk.lock_world();
        let mut result = world.operate();
        let mut bytes = Vec::new();
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        if result.is_err() {
            if world.power_is_off() {
                return result;
            }
            bytes.truncate(bytes.len() / 2);
        }
        let offset = small(offset);
        let available = world.available();
        if world.copies_on_write && bytes.len() > available {
            return Err(io::ErrorKind::StorageFull.into());
        }
        world.heal(self.node, offset, offset + bytes.len())?;
        world.n_octets_written += bytes.len() as u64;
        let node = &mut world.nodes[self.node];
        let fits = node.written.len().saturating_add(available);
        if offset + bytes.len() > fits {
            // What fits is written all the same.
            bytes.truncate(fits.saturating_sub(offset));
            result = Err(io::ErrorKind::StorageFull.into());
        }
        put(&mut node.written, offset, &bytes);
        node.written_to = node.written_to.max(offset + bytes.len());
        node.unsynced.push((offset, bytes));
        result.and_then(|()| world.said())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.lock_world();
        let result = world.operate();
        if world.is_forgotten(self.node) {
            return result;
        }
        let power_is_off = world.power_is_off();
        let node = &mut world.nodes[self.node];
        if result.is_ok() {
            for (offset, bytes) in node.unsynced.drain(..) {
                put(&mut node.durable, offset, &bytes);
            }
        } else if !power_is_off {
            node.unsynced.clear();
        }
        result.and_then(|()| world.said())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.lock_world().locked = false;
    }
}

/// A generator of coins that needs no more than to be the same each time.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    const fn coin(&mut self) -> bool {
        self.next() & 0x100 != 0
    }
}
