//! What is found on a disk when the power is back.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;

use super::super::octets::Octets;
use super::changed::{Changed, total};
use super::{Change, Disk, Node, Part, ROOT, put};
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

impl Disk {
    /// What `cut` depends on: two moments at which this is the same leave the same.
    pub(in super::super) const fn version(&self, cut: PowerCut) -> (usize, usize) {
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
    pub(in super::super) fn digest(&self, cut: PowerCut) -> u64 {
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

    /// The disk that is found when the power is back, all of it durable, with `root` for its root.
    pub(in super::super) fn after(&self, cut: PowerCut, root: &str) -> Self {
        let mut disk = Self::new(root);
        let found = self.find_after(cut, Path::new(root), &mut |path, found| {
            let path = path.to_str().expect("a path of ours is text");
            let node = match found {
                Found::Directory if path == root => return Ok(()),
                Found::Directory => Node::directory(),
                Found::File(octets) => Node::File {
                    len: octets.n_octets(),
                    durable: octets.clone(),
                    writes: Vec::new(),
                },
            };
            let (directory, name, to) = disk.part(path, Some(disk.nodes.len()));
            disk.nodes.push(node);
            if let Node::Directory { names, durable } = &mut disk.nodes[directory] {
                put(names, &name, to);
                put(durable, &name, to);
            }
            Ok(())
        });
        found.expect("nothing is done that can fail");
        disk
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
                    after.apply(&write.what, is_last, &mut octets);
                }
                see(target, Found::File(&octets))
            }
        }
    }
}

impl Change {
    fn parts_of(&self, directory: usize) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.0 == directory)
    }
}

impl After {
    /// Does to a file what is left of a write.
    fn apply(&self, what: &Changed, is_last: bool, to: &mut Octets) {
        match self.cut {
            PowerCut::Lost | PowerCut::NamesKept => {}
            PowerCut::LastTorn(block) if is_last => {
                let half = match what {
                    Changed::Length(_) => 0,
                    Changed::Octets(offset, data) => (offset + total(data) / 2) / block,
                };
                what.apply_blocks(to, block, |number| number < half);
            }
            PowerCut::Kept | PowerCut::NamesLost | PowerCut::LastTorn(_) => what.apply(to),
            PowerCut::Torn { block, .. } => {
                what.apply_blocks(to, block, |_| self.random.below(2) == 0);
            }
        }
    }
}
