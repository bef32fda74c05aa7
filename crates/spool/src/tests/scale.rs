//! What opening a long queue reads, and in how many pieces.

use std::any::Any;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fixture::{content, deferral, message, options};
use crate::engine::{Engine, Step};
use crate::simulated::{PowerCut, SimulatedDisk};
use crate::{Content, Disk, DiskFile, Options, Spool};

const N_MESSAGES: u64 = 1_000;
const SEGMENT_LEN: u32 = 256 << 10;

/// Octets of meta and header of a message and of its deferral, amply.
const META_LEN: u64 = 512;

/// A disk that counts what is read.
#[derive(Clone)]
struct Counting {
    disk: Arc<dyn Disk>,
    read: Arc<Read>,
}

#[derive(Default)]
struct Read {
    calls: AtomicU64,
    octets: AtomicU64,
}

struct CountingFile {
    file: Arc<dyn DiskFile>,
    read: Arc<Read>,
}

impl Counting {
    fn new(disk: &SimulatedDisk) -> Self {
        Self {
            disk: Arc::new(disk.clone()),
            read: Arc::default(),
        }
    }

    fn counted(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let read = Arc::clone(&self.read);
        Arc::new(CountingFile { file, read })
    }

    fn octets(&self) -> u64 {
        self.read.octets.load(Ordering::Relaxed)
    }

    fn calls(&self) -> u64 {
        self.read.calls.load(Ordering::Relaxed)
    }
}

impl Disk for Counting {
    fn lock(&self, name: &str) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.disk.lock(name)
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.disk.create_dir(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.counted(self.disk.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.counted(self.disk.open(name)?))
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

impl DiskFile for CountingFile {
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
        let n = self.file.read_at(offset, buffer)?;
        self.read.calls.fetch_add(1, Ordering::Relaxed);
        self.read.octets.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.file.write_at(offset, parts)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

fn open(disk: Counting) -> (Spool, crate::Recovery, Engine) {
    let options = Options {
        segment_len: SEGMENT_LEN,
        ..options()
    };
    Spool::open_unstarted(Arc::new(disk), options).expect("opens")
}

/// A disk with messages of `len` octets, every second deferred.
fn filled(len: usize) -> (SimulatedDisk, Spool, Engine) {
    let disk = SimulatedDisk::new();
    let (spool, _, mut engine) = open(Counting::new(&disk));
    for n in 0..N_MESSAGES {
        let octets = Content::Bytes(content(n, len).into());
        let accepted = spool.accept(&message(n, 1), octets);
        while engine.step() == Step::More {}
        let id = accepted.wait().expect("kept");
        if n % 2 == 0 {
            drop(spool.progress(id, deferral(0, 1)));
        }
    }
    while engine.step() == Step::More {}
    (disk, spool, engine)
}

/// Opens it and takes in all messages; what that read.
fn read_by_opening(disk: &SimulatedDisk) -> Counting {
    let counting = Counting::new(disk);
    let (_spool, recovery, _engine) = open(counting.clone());
    assert!(recovery.notes.is_empty());
    let n = recovery.messages().filter(|(_, read)| read.is_ok()).count();
    assert_eq!(n as u64, N_MESSAGES);
    counting
}

#[test]
fn opening_reads_what_is_known_of_messages_and_not_their_contents() {
    let mut octets = Vec::new();
    for len in [4_096, 8_192] {
        let (disk, spool, engine) = filled(len);
        engine.close();
        drop(spool);
        let n_segments = N_MESSAGES * (len as u64 + META_LEN) / u64::from(SEGMENT_LEN) + 3;
        let read = read_by_opening(&disk);
        // The summaries, once for the books and once for the queue, and of each segment its
        // headers and the first of its messages.
        let most = 2 * N_MESSAGES * META_LEN + n_segments * (2 * 4_096 + META_LEN);
        assert!(read.octets() < most, "{} of {most} octets", read.octets());
        assert!(read.calls() < 10 * n_segments, "{} reads", read.calls());
        octets.push(read.octets());
    }
    let ratio = octets[1] as f64 / octets[0] as f64;
    assert!(
        ratio < 1.2,
        "contents twice as long: {ratio} times as much is read"
    );
}

#[test]
fn after_a_kill_only_the_last_segments_are_read_whole() {
    let (disk, _spool, engine) = filled(4_096);
    let disk = disk.after(PowerCut::Kept);
    drop(engine);
    let n_segments = N_MESSAGES * (4_096 + META_LEN) / u64::from(SEGMENT_LEN) + 3;
    let read = read_by_opening(&disk);
    let whole = 3 * u64::from(SEGMENT_LEN);
    let most = 2 * N_MESSAGES * META_LEN + n_segments * (2 * 4_096 + META_LEN) + 2 * whole;
    assert!(read.octets() < most, "{} of {most} octets", read.octets());
}

#[test]
fn a_browser_reads_a_segments_messages_at_once() {
    let (disk, spool, engine) = filled(4_096);
    engine.close();
    drop(spool);
    let counting = Counting::new(&disk);
    let (spool, _, _engine) = open(counting.clone());
    let ids: Vec<_> = {
        let state = spool.shared().lock();
        state.ledger.live().map(|(id, _)| id).collect()
    };
    let before = counting.calls();
    let mut browser = spool.browser();
    for &id in &ids {
        assert_eq!(browser.message(id).ok(), spool.message(id).ok());
    }
    // `message` reads once each.
    let by_browser = counting.calls() - before - ids.len() as u64;
    assert!(by_browser < N_MESSAGES / 10, "{by_browser} reads");
}
