//! A model of a disk on its way through a recording: what is written, and what is durable.

mod changed;
mod cut;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io;

use super::octets::Octets;
use super::operation::Operation;
use changed::Changed;

pub use cut::PowerCut;

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
struct Change {
    operation: usize,
    returned: Option<Edge>,
    /// A rename has two, which a journal keeps together, unless one of the two directories is
    /// synced alone.
    parts: Vec<Part>,
}

/// Directory, name, and what it means from then on.
type Part = (usize, String, Option<usize>);

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

    /// What is written to the file `name` below the root, durable or not; `None` where there is no
    /// such file.
    pub fn written(&self, name: &str) -> Option<Vec<u8>> {
        let node = self.find(&format!("{}/{name}", self.root))?;
        match &self.nodes[node] {
            Node::Directory { .. } => None,
            Node::File {
                durable, writes, ..
            } => Some(written(durable, writes).to_vec()),
        }
    }

    /// How many octets that are not zeros are written and not durable, in files whose path below
    /// the root `is_meant` wants.
    pub fn n_not_durable(&self, is_meant: impl Fn(&str) -> bool) -> u64 {
        let mut n = 0;
        let mut left = vec![(ROOT, String::new())];
        while let Some((node, path)) = left.pop() {
            match &self.nodes[node] {
                Node::Directory { names, .. } => {
                    let below = names.iter();
                    left.extend(below.map(|(name, node)| (*node, format!("{path}/{name}"))));
                }
                Node::File { writes, .. } if is_meant(&path) => {
                    n += writes
                        .iter()
                        .map(|write| write.what.n_octets())
                        .sum::<u64>();
                }
                Node::File { .. } => {}
            }
        }
        n
    }

    /// Where what is written differs from the directory that was recorded, once all is quiet:
    /// files and directories below it, and what the files hold.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(super) fn difference(&self) -> io::Result<Option<String>> {
        self.node_difference(ROOT, &self.root)
    }

    fn node_difference(&self, node: usize, path: &str) -> io::Result<Option<String>> {
        match &self.nodes[node] {
            Node::Directory { names, .. } => {
                // Beside the state lies what others made; sockets are made by no call that is
                // recorded.
                for entry in fs::read_dir(path)?.filter(|_| node != ROOT) {
                    let entry = entry?;
                    let (kind, name) = (entry.file_type()?, entry.file_name());
                    let is_known = name.to_str().is_some_and(|name| names.contains_key(name));
                    if !is_known && (kind.is_file() || kind.is_dir()) {
                        return Ok(Some(entry.path().display().to_string()));
                    }
                }
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
                let octets = written(durable, writes);
                Ok((!octets.equal(&fs::read(path)?)).then(|| path.to_owned()))
            }
        }
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

/// A file with all that was written to it.
fn written(durable: &Octets, writes: &[Write]) -> Octets {
    let mut octets = durable.clone();
    writes
        .iter()
        .for_each(|write| write.what.apply(&mut octets));
    octets
}

fn put(names: &mut BTreeMap<String, usize>, name: &str, to: Option<usize>) {
    match to {
        Some(node) => names.insert(name.to_owned(), node),
        None => names.remove(name),
    };
}
