//! Which spools there are, and where.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::Config;
use operate::filter::Filter;
use spool::RealDisk;
use spool::inspect::Inspection;

use super::super::arguments::SystemArguments;
use super::super::exit::Failure;
use crate::errors::with_causes;

/// The spool of one instance.
pub(super) struct Place {
    /// The name of the instance.
    pub(super) name: String,
    /// The directory of the spool.
    pub(super) path: PathBuf,
    /// There is such an instance.
    pub(super) is_configured: bool,
}

impl Place {
    /// The spools of all instances that were asked for, and those left by instances that the
    /// configuration no longer has, by name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub(super) fn all(arguments: &SystemArguments, config: &Config) -> Result<Vec<Self>, Failure> {
        let folder = config.state.join("spool");
        let configured = config.instances.iter().map(|i| i.name.as_str().to_owned());
        let mut names: Vec<(String, bool)> = configured.map(|name| (name, true)).collect();
        for left in directories(&folder) {
            if !names.iter().any(|(name, _)| *name == left) {
                names.push((left, false));
            }
        }
        names.sort_unstable();
        if let Some(wanted) = &arguments.instance {
            let filter = Filter::parse(&[format!("instance={wanted}")])
                .map_err(|error| Failure::usage(error.to_string()))?;
            names.retain(|(name, _)| filter.has_instance(name));
        }
        if names.is_empty() {
            return Err(Failure::usage("there is no such instance"));
        }
        let place = |(name, is_configured): (String, bool)| Self {
            path: folder.join(&name),
            name,
            is_configured,
        };
        Ok(names.into_iter().map(place).collect())
    }

    /// Opens it to look into it.
    ///
    /// # Errors
    /// Why that cannot be done, in words for an operator.
    pub(super) fn open(&self) -> Result<Inspection, String> {
        let disk = RealDisk::open_to_read(&self.path).map_err(|error| self.why_not(&error))?;
        match Inspection::open(Arc::new(disk)) {
            Ok(Some(inspection)) => Ok(inspection),
            Ok(None) => Err(format!(
                "{} holds no spool: it was emptied, or the instance never started",
                self.path.display()
            )),
            Err(error) => Err(format!("{}: {}", self.path.display(), with_causes(&error))),
        }
    }

    fn why_not(&self, error: &io::Error) -> String {
        let path = self.path.display();
        match error.kind() {
            io::ErrorKind::NotFound => format!(
                "{path} is not there: the instance never started, or the directory was removed or \
                 is not mounted"
            ),
            io::ErrorKind::NotADirectory => format!("{path} is no directory"),
            io::ErrorKind::PermissionDenied => format!(
                "{path} may not be read: ask as root or as the user that the instance runs as"
            ),
            _ => format!("{path}: {error}"),
        }
    }

    /// Its name, and whether there is such an instance.
    pub(super) fn label(&self) -> String {
        if self.is_configured {
            self.name.clone()
        } else {
            format!("{} (not in the configuration)", self.name)
        }
    }
}

/// The names of what looks like the directory of a spool.
fn directories(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.parse::<mail::InstanceName>().is_ok())
        .collect()
}

/// Takes `INSTANCE/NAME` apart; the instance need not be said.
pub(super) fn split<'a>(
    places: &'a [Place],
    text: &'a str,
) -> (impl Iterator<Item = &'a Place>, &'a str) {
    let (instance, name) = match text.split_once('/') {
        Some((instance, name)) => (Some(instance), name),
        None => (None, text),
    };
    let is_asked = move |place: &&Place| instance.is_none_or(|name| place.name == name);
    (places.iter().filter(is_asked), name)
}
