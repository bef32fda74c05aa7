//! A model of a disk: what is written, what is durable, and what a loss of power leaves.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;

use super::octets::Octets;
use super::operation::{Data, Operation};
use crate::random::Random;

/// What a loss of power leaves of what was not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerCut {
    /// All of it, as a kill of all processes would.
    Kept,
    /// All of it but for the second half of the last write, in blocks of so many octets.
    LastTorn(u64),
    /// Nothing.
    Lost,
    /// The names, without the octets.
    NamesKept,
    /// The octets, without the names.
    NamesLost,
    /// Of each write any blocks, and any changes of names: lost, reordered and torn.
    Torn {
        /// The size of a block in octets.
        block: u64,
        /// What decides.
        seed: u64,
    },
}

/// When in a recording: an index of an edge.
type Edge = usize;

/// A disk on its way through a recording.
#[derive(Clone, Debug)]
pub struct Disk {
    root: String,
    nodes: Vec<Node>,
    /// Changes of names that are not durable, in the order of their entries.
    changes: Vec<Change>,
    /// What was removed and may still be open.
    removed: BTreeMap<String, usize>,
    /// The node and number of the last write.
    last_write: Option<(usize, usize)>,
    /// Counts what changed the durable state, and the written one.
    versions: (usize, usize),
}

#[derive(Clone, Debug)]
enum Node {
    Directory {
        names: BTreeMap<String, usize>,
        durable: BTreeMap<String, usize>,
    },
    File {
        len: u64,
        durable: Octets,
        writes: Vec<Write>,
    },
}

#[derive(Clone, Debug)]
struct Write {
    operation: usize,
    returned: Option<Edge>,
    what: Changed,
}

#[derive(Clone, Debug)]
enum Changed {
    Length(u64),
    Octets(u64, Vec<Data>),
}

#[derive(Clone, Debug)]
struct Change {
    operation: usize,
    returned: Option<Edge>,
    /// A rename has two, which a journal keeps together, unless one of the two directories is
    /// synced alone.
    parts: Vec<Part>,
}

/// Directory, name, and what it means from then on.
type Part = (usize, String, Option<usize>);

/// A loss of power, and what it decided.
struct After {
    cut: PowerCut,
    /// For each change of names.
    kept: Vec<bool>,
    random: Random,
}

/// What is found at a path when the power is back.
enum Found<'a> {
    Directory,
    File(&'a Octets),
}

/// Is shown what is found.
type See<'a> = dyn FnMut(&Path, Found<'_>) -> io::Result<()> + 'a;

const ROOT: usize = 0;

impl Disk {
    /// An empty one, whose root is the directory `root`.
    pub(super) fn new(root: &str) -> Self {
        Self {
            root: root.to_owned(),
            nodes: vec![Node::directory()],
            changes: Vec::new(),
            removed: BTreeMap::new(),
            last_write: None,
            versions: (0, 0),
        }
    }

    /// An operation is entered: it may take effect from here on.
    ///
    /// # Panics
    /// When it has to do with what was not made in this recording.
    pub(super) fn enter(&mut self, number: usize, operation: &Operation) {
        match operation {
            Operation::Create { path, truncates } => match self.find(path) {
                None => self.make(number, path, Node::file()),
                Some(node) if *truncates && !self.nodes[node].is_empty() => {
                    self.write(number, node, Changed::Length(0));
                }
                Some(_) => {}
            },
            Operation::MakeDirectory { path } => self.make(number, path, Node::directory()),
            Operation::Link { from, to } => {
                let parts = vec![self.part(to, Some(self.open_node(from)))];
                self.change(number, parts);
            }
            // A socket was not made by a call that is recorded.
            Operation::Remove { path } => {
                if let Some(node) = self.find(path) {
                    self.removed.insert(path.clone(), node);
                    let parts = vec![self.part(path, None)];
                    self.change(number, parts);
                }
            }
            Operation::Rename { from, to } => {
                let node = self.open_node(from);
                let parts = vec![self.part(from, None), self.part(to, Some(node))];
                self.change(number, parts);
            }
            Operation::SetLength { path, len } => {
                let node = self.open_node(path);
                self.write(number, node, Changed::Length(*len));
            }
            Operation::Write {
                path, offset, data, ..
            } => {
                let node = self.open_node(path);
                let Node::File { len, .. } = &self.nodes[node] else {
                    panic!("a directory is not written: {path}");
                };
                let offset = offset.unwrap_or(*len);
                self.write(number, node, Changed::Octets(offset, data.clone()));
            }
            Operation::Hear { .. } | Operation::Say { .. } | Operation::Sync { .. } => {}
        }
    }

    /// An operation that was entered at `entered` returns at `now`.
    pub(super) fn leave(&mut self, number: usize, operation: &Operation, entered: Edge, now: Edge) {
        match operation {
            Operation::Sync { path } => {
                let node = self.open_node(path);
                self.sync(node, |returned, _| {
                    returned.is_some_and(|edge| edge < entered)
                });
            }
            Operation::Create { path, .. }
            | Operation::SetLength { path, .. }
            | Operation::Write { path, .. } => {
                let node = self.open_node(path);
                self.set_returned(node, number, now);
                if matches!(
                    operation,
                    Operation::Write {
                        is_durable: true,
                        ..
                    }
                ) {
                    self.sync(node, |_, operation| operation == number);
                }
            }
            _ => {}
        }
        let changes = self.changes.iter_mut();
        for change in changes.filter(|change| change.operation == number) {
            change.returned = Some(now);
        }
    }

    fn set_returned(&mut self, node: usize, number: usize, now: Edge) {
        if let Node::File { writes, .. } = &mut self.nodes[node] {
            for write in writes.iter_mut().filter(|write| write.operation == number) {
                write.returned = Some(now);
            }
        }
    }

    /// Makes durable what is not yet and may be, by when it returned and by its operation.
    fn sync(&mut self, node: usize, covers: impl Fn(Option<Edge>, usize) -> bool) {
        self.versions.0 += 1;
        match &mut self.nodes[node] {
            Node::File {
                durable, writes, ..
            } => {
                writes.retain(|write| {
                    let is_covered = covers(write.returned, write.operation);
                    if is_covered {
                        write.what.apply(durable);
                    }
                    !is_covered
                });
            }
            Node::Directory { durable, .. } => {
                for change in &mut self.changes {
                    if covers(change.returned, change.operation) {
                        change.parts.retain(|(directory, name, to)| {
                            if *directory == node {
                                put(durable, name, *to);
                            }
                            *directory != node
                        });
                    }
                }
                self.changes.retain(|change| !change.parts.is_empty());
            }
        }
    }

    fn write(&mut self, operation: usize, node: usize, what: Changed) {
        self.versions.1 += 1;
        if let Node::File { len, writes, .. } = &mut self.nodes[node] {
            *len = what.len_after(*len);
            writes.push(Write {
                operation,
                returned: None,
                what,
            });
            self.last_write = Some((node, operation));
        }
    }

    fn make(&mut self, operation: usize, path: &str, node: Node) {
        let parts = vec![self.part(path, Some(self.nodes.len()))];
        self.nodes.push(node);
        self.change(operation, parts);
    }

    fn change(&mut self, operation: usize, parts: Vec<Part>) {
        self.versions.1 += 1;
        for (directory, name, to) in &parts {
            if let Node::Directory { names, .. } = &mut self.nodes[*directory] {
                put(names, name, *to);
            }
        }
        let returned = None;
        self.changes.push(Change {
            operation,
            returned,
            parts,
        });
    }

    /// What an entry of the directory that `path` names is to become.
    fn part(&self, path: &str, to: Option<usize>) -> Part {
        let (directory, name) = path.rsplit_once('/').expect("a path is absolute");
        let directory = self
            .find(directory)
            .unwrap_or_else(|| panic!("no directory: {path}"));
        (directory, name.to_owned(), to)
    }

    fn find(&self, path: &str) -> Option<usize> {
        let below = path.strip_prefix(&self.root)?;
        let mut names = below
            .split('/')
            .filter(|name| !name.is_empty() && *name != ".");
        names.try_fold(ROOT, |node, name| match &self.nodes[node] {
            Node::Directory { names, .. } => names.get(name).copied(),
            Node::File { .. } => None,
        })
    }

    /// What has that path, or had it when it was opened.
    fn open_node(&self, path: &str) -> usize {
        let node = self.find(path).or_else(|| self.removed.get(path).copied());
        node.unwrap_or_else(|| panic!("not made in this recording: {path}"))
    }

    /// What `cut` depends on: two moments at which this is the same leave the same.
    pub(super) const fn version(&self, cut: PowerCut) -> (usize, usize) {
        match cut {
            PowerCut::Lost => (self.versions.0, 0),
            PowerCut::Kept => (0, self.versions.1),
            _ => self.versions,
        }
    }

    /// Lays out below `target` what is found when the power is back.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn lay_out(&self, cut: PowerCut, target: &Path) -> io::Result<()> {
        self.find_after(cut, target, &mut |path, found| match found {
            Found::Directory => fs::create_dir_all(path),
            Found::File(octets) => octets.save(path),
        })
    }

    /// What stands for all that is found when the power is back: two that are the same leave the
    /// same.
    pub(super) fn digest(&self, cut: PowerCut) -> u64 {
        let mut hasher = DefaultHasher::new();
        let found = self.find_after(cut, Path::new(""), &mut |path, found| {
            let octets = match found {
                Found::Directory => None,
                Found::File(octets) => Some(octets.digest()),
            };
            (path, octets).hash(&mut hasher);
            Ok(())
        });
        found.expect("nothing is done that can fail");
        hasher.finish()
    }

    /// Shows all that is found when the power is back, each directory before what is in it.
    fn find_after(&self, cut: PowerCut, target: &Path, see: &mut See<'_>) -> io::Result<()> {
        let random = Random::new(match cut {
            PowerCut::Torn { seed, .. } => seed,
            _ => 0,
        });
        let kept = self.changes.iter().map(|_| match cut {
            PowerCut::Kept | PowerCut::LastTorn(_) | PowerCut::NamesKept => true,
            PowerCut::Lost | PowerCut::NamesLost => false,
            PowerCut::Torn { .. } => random.below(2) == 0,
        });
        let kept: Vec<bool> = kept.collect();
        let after = After { cut, kept, random };
        self.find_node(ROOT, &after, target, see)
    }

    fn find_node(
        &self,
        node: usize,
        after: &After,
        target: &Path,
        see: &mut See<'_>,
    ) -> io::Result<()> {
        match &self.nodes[node] {
            Node::Directory { durable, .. } => {
                let mut names = durable.clone();
                let changes = self.changes.iter().zip(&after.kept);
                let kept = changes.filter(|(_, is_kept)| **is_kept);
                for (_, name, to) in kept.flat_map(|(change, _)| change.parts_of(node)) {
                    put(&mut names, name, *to);
                }
                see(target, Found::Directory)?;
                let mut names = names.iter();
                names.try_for_each(|(name, node)| {
                    self.find_node(*node, after, &target.join(name), see)
                })
            }
            Node::File {
                durable, writes, ..
            } => {
                let mut octets = durable.clone();
                for write in writes {
                    let is_last = self.last_write == Some((node, write.operation));
                    write.what.apply_after(after, is_last, &mut octets);
                }
                see(target, Found::File(&octets))
            }
        }
    }

    /// Where what is written differs from the directory that was recorded, once all is quiet.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(super) fn difference(&self) -> io::Result<Option<String>> {
        self.node_difference(ROOT, &self.root)
    }

    fn node_difference(&self, node: usize, path: &str) -> io::Result<Option<String>> {
        match &self.nodes[node] {
            Node::Directory { names, .. } => {
                for (name, node) in names {
                    let found = self.node_difference(*node, &format!("{path}/{name}"))?;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Ok(None)
            }
            Node::File {
                durable, writes, ..
            } => {
                let mut octets = durable.clone();
                writes
                    .iter()
                    .for_each(|write| write.what.apply(&mut octets));
                Ok((!octets.equal(&fs::read(path)?)).then(|| path.to_owned()))
            }
        }
    }
}

impl Change {
    fn parts_of(&self, directory: usize) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.0 == directory)
    }
}

impl Node {
    fn directory() -> Self {
        Self::Directory {
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
        }
    }

    fn file() -> Self {
        Self::File {
            len: 0,
            durable: Octets::default(),
            writes: Vec::new(),
        }
    }

    const fn is_empty(&self) -> bool {
        matches!(self, Self::File { len: 0, .. })
    }
}

fn put(names: &mut BTreeMap<String, usize>, name: &str, to: Option<usize>) {
    match to {
        Some(node) => names.insert(name.to_owned(), node),
        None => names.remove(name),
    };
}

impl Changed {
    fn len_after(&self, len: u64) -> u64 {
        match self {
            Self::Length(len) => *len,
            Self::Octets(offset, data) => len.max(offset + total(data)),
        }
    }

    fn apply(&self, to: &mut Octets) {
        self.apply_blocks(to, u64::MAX, |_| true);
    }

    fn apply_after(&self, after: &After, is_last: bool, to: &mut Octets) {
        match after.cut {
            PowerCut::Lost | PowerCut::NamesKept => {}
            PowerCut::LastTorn(block) if is_last => {
                let half = match self {
                    Self::Length(_) => 0,
                    Self::Octets(offset, data) => (offset + total(data) / 2) / block,
                };
                self.apply_blocks(to, block, |number| number < half);
            }
            PowerCut::Kept | PowerCut::NamesLost | PowerCut::LastTorn(_) => self.apply(to),
            PowerCut::Torn { block, .. } => {
                self.apply_blocks(to, block, |_| after.random.below(2) == 0);
            }
        }
    }

    /// Applies those blocks of the file whose number `keeps` wants.
    fn apply_blocks(&self, to: &mut Octets, block: u64, mut keeps: impl FnMut(u64) -> bool) {
        let (offset, data) = match self {
            Self::Length(len) => {
                if keeps(0) {
                    to.set_len(*len);
                }
                return;
            }
            Self::Octets(offset, data) => (*offset, data),
        };
        let mut at = offset;
        let mut last = None;
        for data in data {
            let mut done = 0;
            while done < data.n_octets() {
                let number = at / block;
                let n = (data.n_octets() - done).min(block - at % block);
                // A block may be written by several slices: it is kept or not, as one.
                let is_kept = match last {
                    Some((before, is_kept)) if before == number => is_kept,
                    _ => keeps(number),
                };
                last = Some((number, is_kept));
                if is_kept {
                    data.apply(done, n, at, to);
                }
                (at, done) = (at + n, done + n);
            }
        }
    }
}

fn total(data: &[Data]) -> u64 {
    data.iter().map(Data::n_octets).sum()
}

impl Data {
    /// Puts `n` octets from `from` on at `offset`.
    fn apply(&self, from: u64, n: u64, offset: u64, to: &mut Octets) {
        match self {
            Self::Octets(octets) => {
                let [from, n] =
                    [from, n].map(|n| usize::try_from(n).expect("a write fits into memory"));
                to.write(offset, &octets[from..from + n]);
            }
            Self::Zeros(_) => to.fill(offset, n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scratch;

    /// What is found below `target` after the cut.
    fn found(disk: &Disk, cut: PowerCut) -> BTreeMap<String, Vec<u8>> {
        fn walk(path: &Path, name: &str, found: &mut BTreeMap<String, Vec<u8>>) {
            for entry in fs::read_dir(path).unwrap().flatten() {
                let name = format!("{name}/{}", entry.file_name().display());
                if entry.path().is_dir() {
                    walk(&entry.path(), &name, found);
                } else {
                    found.insert(name, fs::read(entry.path()).unwrap());
                }
            }
        }
        let scratch = Scratch::new();
        disk.lay_out(cut, scratch.path()).unwrap();
        let mut all = BTreeMap::new();
        walk(scratch.path(), "", &mut all);
        all
    }

    fn names(disk: &Disk, cut: PowerCut) -> Vec<String> {
        found(disk, cut).into_keys().collect()
    }

    fn write(path: &str, offset: u64, octets: &[u8]) -> Operation {
        Operation::Write {
            path: path.to_owned(),
            offset: Some(offset),
            data: vec![Data::Octets(octets.to_vec())],
            is_durable: false,
        }
    }

    fn create(path: &str) -> Operation {
        Operation::Create {
            path: path.to_owned(),
            truncates: true,
        }
    }

    fn sync(path: &str) -> Operation {
        Operation::Sync {
            path: path.to_owned(),
        }
    }

    fn rename(from: &str, to: &str) -> Operation {
        Operation::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    fn directory(path: &str) -> Operation {
        Operation::MakeDirectory {
            path: path.to_owned(),
        }
    }

    /// A disk after these operations, each of which returned before the next was entered.
    fn after(operations: &[Operation]) -> Disk {
        let mut disk = Disk::new("/r");
        for (number, operation) in operations.iter().enumerate() {
            disk.enter(number, operation);
            disk.leave(number, operation, 2 * number, 2 * number + 1);
        }
        disk
    }

    const TORN: PowerCut = PowerCut::Torn {
        block: 512,
        seed: 3,
    };

    #[test]
    fn what_is_synced_stays_and_nothing_else_needs_to() {
        let disk = after(&[
            create("/r/a"),
            write("/r/a", 0, b"one"),
            sync("/r/a"),
            sync("/r"),
            write("/r/a", 0, b"two"),
            create("/r/b"),
        ]);
        let a = |octets: &[u8]| ("/a".to_owned(), octets.to_vec());
        let b = ("/b".to_owned(), Vec::new());
        assert_eq!(found(&disk, PowerCut::Lost), [a(b"one")].into());
        assert_eq!(found(&disk, PowerCut::NamesLost), [a(b"two")].into());
        assert_eq!(
            found(&disk, PowerCut::NamesKept),
            [a(b"one"), b.clone()].into()
        );
        assert_eq!(found(&disk, PowerCut::Kept), [a(b"two"), b].into());
    }

    #[test]
    fn what_is_left_is_the_same_when_its_digest_is() {
        let mut operations = vec![create("/r/a"), write("/r/a", 0, b"one"), sync("/r/a")];
        operations.push(sync("/r"));
        let quiet = after(&operations);
        let digests = |disk: &Disk| {
            [PowerCut::Lost, PowerCut::Kept, TORN, PowerCut::LastTorn(1)]
                .map(|cut| disk.digest(cut))
        };
        let [lost, rest @ ..] = digests(&quiet);
        assert_eq!(rest, [lost; 3], "all of it is durable");
        operations.push(write("/r/a", 0, b"two"));
        let [still_lost, kept, ..] = digests(&after(&operations));
        assert_eq!(still_lost, lost);
        assert_ne!(kept, lost);
        operations.push(sync("/r/a"));
        assert_eq!(digests(&after(&operations)), [kept; 4]);
        operations.push(rename("/r/a", "/r/b"));
        let [_, renamed, ..] = digests(&after(&operations));
        assert_ne!(renamed, kept);
    }

    #[test]
    fn a_sync_covers_only_what_had_returned_when_it_was_entered() {
        let mut disk = after(&[create("/r/a"), sync("/r")]);
        let (late, sync) = (write("/r/a", 0, b"late"), sync("/r/a"));
        disk.enter(2, &late);
        disk.enter(3, &sync);
        disk.leave(2, &late, 4, 6);
        disk.leave(3, &sync, 5, 7);
        assert_eq!(
            found(&disk, PowerCut::Lost),
            [("/a".to_owned(), Vec::new())].into()
        );
    }

    #[test]
    fn a_directory_that_is_not_synced_takes_all_below_it_with_it() {
        let made = [
            directory("/r/d"),
            create("/r/d/f"),
            write("/r/d/f", 0, b"x"),
            sync("/r/d/f"),
            sync("/r/d"),
        ];
        assert!(names(&after(&made), PowerCut::Lost).is_empty());
        let synced = [&made[..], &[sync("/r")]].concat();
        assert_eq!(names(&after(&synced), PowerCut::Lost), ["/d/f"]);
    }

    #[test]
    fn a_rename_is_lost_or_kept_whole_unless_one_side_of_it_is_synced() {
        let mut operations = vec![
            directory("/r/tmp"),
            directory("/r/new"),
            sync("/r"),
            create("/r/tmp/m"),
            sync("/r/tmp"),
            rename("/r/tmp/m", "/r/new/m"),
        ];
        let disk = after(&operations);
        assert_eq!(names(&disk, PowerCut::Lost), ["/tmp/m"]);
        assert_eq!(names(&disk, PowerCut::Kept), ["/new/m"]);
        assert_eq!(names(&disk, TORN).len(), 1);
        operations.push(sync("/r/new"));
        assert_eq!(
            names(&after(&operations), PowerCut::Lost),
            ["/new/m", "/tmp/m"]
        );
    }

    #[test]
    fn the_last_write_is_torn_at_a_block_and_others_in_any_blocks() {
        let old = vec![b'o'; 2048];
        let new = vec![b'n'; 2048];
        let disk = after(&[
            create("/r/a"),
            sync("/r"),
            write("/r/a", 0, &old),
            sync("/r/a"),
            write("/r/a", 0, &new),
        ]);
        let torn = &found(&disk, PowerCut::LastTorn(512))["/a"];
        assert_eq!(*torn, [&new[..1024], &old[1024..]].concat());
        let torn = &found(&disk, PowerCut::LastTorn(4096))["/a"];
        assert_eq!(*torn, old);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let cut = PowerCut::Torn { block: 512, seed };
            let torn = found(&disk, cut).remove("/a").unwrap();
            let blocks = torn.chunks(512).map(|block| block[0]);
            assert!(
                torn.chunks(512)
                    .all(|block| block.iter().all(|octet| *octet == block[0]))
            );
            seen.insert(blocks.collect::<Vec<_>>());
        }
        assert_eq!(seen.len(), 16, "each subset of four blocks");
    }
}
