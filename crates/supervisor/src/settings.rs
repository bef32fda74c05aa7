//! The last settings of each instance, in `STATE/settings`: an instance that the configuration file
//! no longer names empties its queue by them, also after a start.
//!
//! # Guarantees
//! A file is whole or not there: it is written beside, synced, and renamed.
//!
//! # Failure
//! A spool without readable settings is reported and left as it is: what its mail was accepted for
//! is not known.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use mail::InstanceName;

use config::Config;
use config::regular_file;

/// The longest file that is read, in bytes: as long as a whole configuration may be.
const SETTINGS_LEN_MAX: u64 = 32 << 20;

/// The extension of the settings of an instance that left with an empty spool.
const EMPTIED: &str = "emptied";

/// What stands above the settings.
const HEADING: &str = "# Written by Postern: the last settings of this instance. Should it leave \
                       the\n# configuration, its queue is emptied by them. Not to be changed.\n\n";

/// A spool of an instance that the configuration file does not name, and of which no settings can
/// be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stranded {
    /// The instance.
    pub(super) name: InstanceName,
    /// Why they cannot be used.
    pub(super) why: String,
}

/// Takes in, as leaving, every instance that has a spool below `state` and that `config` lacks.
/// Blocks.
///
/// # Errors
/// When the directory of the spools cannot be read.
pub(super) fn take_in_left(config: &mut Config, state: &Path) -> io::Result<Vec<Stranded>> {
    let mut stranded = Vec::new();
    for name in spools(state)? {
        if config.instance(&name).is_some() {
            continue;
        }
        match read(state, &name) {
            Ok(last) => config.keep_leaving(&last, std::iter::once(&name)),
            Err(why) => {
                stranded.push(Stranded { name, why });
                continue;
            }
        }
        if config.instance(&name).is_none() {
            let why = format!("{} does not describe it", path(state, &name).display());
            stranded.push(Stranded { name, why });
        }
    }
    config.hold_where_next_is_gone();
    Ok(stranded)
}

/// Stores the settings of every instance that serves. Blocks.
///
/// # Errors
/// Those of which they could not be stored, and why.
pub(super) fn store(config: &Config, state: &Path) -> Result<(), String> {
    let serving = config
        .instances
        .iter()
        .map(|instance| &instance.name)
        .filter(|name| !config.is_leaving(name));
    let failures: Vec<String> = serving
        .filter_map(|name| {
            let text = format!("{HEADING}{}", config.last_settings(name)?);
            let path = path(state, name);
            let stored = regular_file::replace(&path, text.as_bytes()).and_then(|()| {
                // It may have left once and come back.
                match fs::remove_file(path.with_extension(EMPTIED)) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                    Ok(()) | Err(_) => Ok(()),
                }
            });
            stored.err().map(|e| format!("{}: {e}", path.display()))
        })
        .collect();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("; "))
    }
}

/// Notes that the spool of an instance that left was found empty: `check` does not mention it any
/// more. A start looks into it all the same. Blocks.
///
/// # Errors
/// When that cannot be written.
pub(super) fn mark_emptied(state: &Path, name: &InstanceName) -> io::Result<()> {
    let path = path(state, name);
    match fs::rename(&path, path.with_extension(EMPTIED)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The names of all spools. What has no name of an instance is none.
fn spools(state: &Path) -> io::Result<Vec<InstanceName>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(state.join("spool"))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        // A spool may be a link to another disk, which may not be mounted.
        if !kind.is_dir() && !kind.is_symlink() {
            continue;
        }
        let name = entry.file_name();
        names.extend(name.to_str().and_then(|name| name.parse().ok()));
    }
    names.sort_unstable();
    Ok(names)
}

fn path(state: &Path, name: &InstanceName) -> PathBuf {
    state.join("settings").join(format!("{name}.toml"))
}

fn read(state: &Path, name: &InstanceName) -> Result<Config, String> {
    let path = path(state, name);
    let text = match read_text(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            // Those of one that was empty when it left: something may have been put there since.
            read_text(&path.with_extension(EMPTIED)).map_err(|_| e)
        }
        read => read,
    };
    let text = text.map_err(|e| format!("{}: {e}", path.display()))?;
    let shown = path.display().to_string();
    Config::parse(&text, &shown, Some(state)).map_err(|problems| problems.to_string())
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    regular_file::open(path)?
        .take(SETTINGS_LEN_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
