//! The configuration: one TOML file for all instances, read, checked, divided and compared.
//!
//! A file becomes a [`Config`] or a list of located [`Problems`]; a [`Config`] yields findings
//! about the whole graph of instances ([`Config::check`]), the part of it that one instance is
//! given ([`Config::part_for`]), and what a reload would change ([`Config::difference`]).
//!
//! # Guarantees
//! Every setting, its default and the reason for it stand in one table (`settings`), which the
//! reader walks and from which `docs/reference/settings.md` is made.
//! Nothing here changes a file.
//!
//! # Limits
//! A file holds 16 MiB at most; it is a regular file, in UTF-8.
//!
//! # Failure
//! All mistakes of a file are reported in one run, each as `FILE:LINE:COLUMN: text`.

mod build;
pub mod certificate;
mod check;
mod difference;
mod file;
mod graph;
mod leaving;
mod model;
pub mod nearest;
mod part;
mod problem;
mod published;
#[cfg(test)]
mod reference;
pub mod regular_file;
mod section;
mod settings;
#[cfg(test)]
mod tests;
mod tree;
mod value;
pub mod whereabouts;

use std::path::{Path, PathBuf};
use std::time::Duration;

use mail::InstanceName;
use net::Clock;

pub use difference::Change;
pub use model::*;
pub use problem::{Finding, Location, Position, Problem, Problems, Severity};
pub use settings::{LINE_LENGTH_MAX, MESSAGE_SIZE_MAX, RECIPIENTS_MAX, STATE_DEFAULT};

use problem::Text;
use tree::Table;

/// A whole configuration, or the part of one that an instance is given.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name that the system greets with and signs its trace fields with.
    pub hostname: Box<str>,
    /// Where everything that must survive a restart lies; absolute.
    pub state: PathBuf,
    /// How long a stop may wait for what is in flight.
    pub stop_timeout: Duration,
    /// The one log.
    pub log: Log,
    /// In the order of the file, at least one; then those that are leaving.
    pub instances: Vec<InstanceConfig>,
    /// Those of `instances` that the file no longer names: they empty their queues and end.
    leaving: Vec<InstanceName>,
    /// What the text is called in messages.
    file: Box<str>,
    /// The text, for the places of findings and for the parts of instances.
    tree: Table,
}

/// What the embedded configuration is called in messages.
const EMBEDDED_NAME: &str = "(embedded)";

impl Config {
    /// The configuration for trying things out, used where no file is named. `state` replaces
    /// its directory, `./postern-data`.
    ///
    /// # Errors
    /// Only those of the state directory.
    pub fn embedded(state: Option<&Path>) -> Result<Self, Problems> {
        Self::parse(include_str!("embedded.toml"), EMBEDDED_NAME, state)
    }

    /// Reads a file; blocks. `state` replaces the directory that it names.
    ///
    /// # Errors
    /// All mistakes of the file, or why it cannot be read.
    pub fn load(file: &Path, state: Option<&Path>) -> Result<Self, Problems> {
        let name = file.display().to_string();
        let text = file::read(file, &name)?;
        Self::parse(&text, &name, state)
    }

    /// Reads a text, called `name` in messages. `state` replaces the directory that it names.
    ///
    /// # Errors
    /// All mistakes of the text.
    pub fn parse(text: &str, name: &str, state: Option<&Path>) -> Result<Self, Problems> {
        build::config(&Text::new(name, text), state)
    }

    /// The instance of that name.
    pub fn instance(&self, name: &InstanceName) -> Option<&InstanceConfig> {
        self.instances
            .iter()
            .find(|instance| instance.name == *name)
    }

    /// What is wrong or doubtful about the instances as a whole, in the order of the file. Looks
    /// at nothing but the configuration.
    pub fn check(&self) -> Vec<Finding> {
        check::check(self)
    }

    /// What is wrong with the files that it names, as far as this process may read them; blocks.
    pub fn check_files(&self) -> Vec<Finding> {
        check::check_files(self, Clock::start().timestamp())
    }

    /// The instances and where mail goes from each, for people to read; each line is ended.
    pub fn graph(&self) -> String {
        graph::graph(self)
    }

    /// What the instance needs of this configuration, as a text that [`Self::parse`] reads to an
    /// equal [`InstanceConfig`]; `None` where there is no such instance.
    pub fn part_for(&self, name: &InstanceName) -> Option<String> {
        part::part_for(self, name)
    }

    /// All of this configuration, as a text that [`Self::parse`] reads to an equal one wherever it
    /// is read: the state directory in it is absolute.
    pub fn whole(&self) -> String {
        self.tree.to_toml().to_string()
    }

    /// What a reload from `old` to `new` does to each instance of either.
    pub fn difference(old: &Self, new: &Self) -> Vec<(InstanceName, Change)> {
        difference::difference(old, new)
    }
}
