//! Where a system is, and what its tools need to know of it, without its configuration file.
//!
//! A system that starts, or takes a changed configuration, writes two things: `STATE/system.toml`,
//! which says what [`Config::published`] says, and a link from the name of its configuration file
//! to its state directory, in `/run/postern`, or where that cannot be written in
//! `$XDG_RUNTIME_DIR/postern`. `POSTERN_RUN` names another directory for the link.
//!
//! # Guarantees
//! Each is replaced whole. Both stay when the system stops or dies: they say where it was.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::Config;
use crate::regular_file;

/// The file in the state directory.
const PUBLISHED: &str = "system.toml";

/// The longest published text, in bytes: a listener of each of some thousand instances fits.
const PUBLISHED_LEN_MAX: u64 = 1 << 20;

/// So many links are looked at, at most, for whether they are of any use.
const LINKS_LOOKED_AT_MAX: usize = 1000;

/// The longest name of a file, in bytes, on the file systems in use.
const NAME_LEN_MAX: usize = 255;

/// What programs of this machine need to know of the system whose state lies there; `None` where
/// nothing can be read.
pub fn read(state: &Path) -> Option<Config> {
    let path = state.join(PUBLISHED);
    let mut text = String::new();
    let file = regular_file::open(&path).ok()?;
    file.take(PUBLISHED_LEN_MAX)
        .read_to_string(&mut text)
        .ok()?;
    Config::parse(&text, &path.display().to_string(), Some(state)).ok()
}

/// The state directory of the system that was started last with that configuration file.
pub fn find(file: &Path) -> Option<PathBuf> {
    let name = link_name(file)?;
    folders()
        .into_iter()
        .find_map(|folder| fs::read_link(folder.join(&name)).ok())
        .filter(|state| state.is_absolute())
}

/// Writes both; blocks. `file` is the configuration's, where it has one.
///
/// # Errors
/// What could not be written, and why.
pub fn publish(file: Option<&Path>, config: &Config) -> Result<(), String> {
    let path = config.state.join(PUBLISHED);
    write(&path, config.published().as_bytes())
        .map_err(|error| format!("{}: {error}", path.display()))?;
    match file {
        Some(file) => link(file, &config.state),
        None => Ok(()),
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    remove(&beside)?;
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(&beside)?;
    // Whatever mask this process runs under: local programs read it.
    rustix::fs::fchmod(&file, 0o644.into())?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

fn link(file: &Path, state: &Path) -> Result<(), String> {
    let name =
        link_name(file).ok_or_else(|| format!("{}: the path is too long", file.display()))?;
    let mut failures = Vec::new();
    for folder in folders() {
        match link_in(&folder, &name, state) {
            Ok(()) => return Ok(()),
            Err(error) => failures.push(format!("{}: {error}", folder.display())),
        }
    }
    Err(failures.join("; "))
}

fn link_in(folder: &Path, name: &OsString, state: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).create(folder)?;
        // Whatever mask this process was started under: local programs must come through.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    let path = folder.join(name);
    if fs::read_link(&path).is_ok_and(|before| before == state) {
        return Ok(());
    }
    let mut beside = name.clone();
    beside.push("~");
    let beside = folder.join(beside);
    remove(&beside)?;
    std::os::unix::fs::symlink(state, &beside)?;
    fs::rename(&beside, &path)?;
    remove_stale(folder);
    Ok(())
}

/// Removes links of systems of which neither the configuration file nor the state is there.
fn remove_stale(folder: &Path) {
    let is_gone = |path: &Path| matches!(path.try_exists(), Ok(false));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.take(LINKS_LOOKED_AT_MAX) {
        let (link, name) = (entry.path(), entry.file_name());
        let Ok(state) = fs::read_link(&link) else {
            continue;
        };
        if is_gone(&state) && file_of(&name).is_some_and(|file| is_gone(&file)) {
            // It disturbs nobody.
            let _ = fs::remove_file(&link);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Where a link may be, in the order in which it is looked for.
fn folders() -> Vec<PathBuf> {
    let set = |name: &str| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        value.map(PathBuf::from)
    };
    if let Some(folder) = set("POSTERN_RUN") {
        return vec![folder];
    }
    let of_user = set("XDG_RUNTIME_DIR").map(|folder| folder.join("postern"));
    let usual = PathBuf::from("/run/postern");
    std::iter::once(usual).chain(of_user).collect()
}

/// The absolute path of the file as one name: `/` is `%2F`, and `%` is `%25`.
fn link_name(file: &Path) -> Option<OsString> {
    let path = std::path::absolute(file).ok()?;
    let mut name = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' => name.extend(b"%2F"),
            b'%' => name.extend(b"%25"),
            byte => name.push(*byte),
        }
    }
    // One more for the link that is renamed into place.
    (name.len() < NAME_LEN_MAX).then(|| OsString::from_vec(name))
}

/// The path that was made a name.
fn file_of(name: &OsStr) -> Option<PathBuf> {
    let text = name.to_str()?;
    let path = text.replace("%2F", "/").replace("%25", "%");
    path.starts_with('/').then(|| path.into())
}

#[cfg(test)]
mod tests {
    use testkit::Scratch;

    use super::*;

    #[test]
    fn what_is_published_says_where_and_no_secret() {
        let scratch = Scratch::new();
        let config = Config::embedded(Some(scratch.path())).unwrap();
        publish(None, &config).unwrap();
        publish(None, &config).unwrap();
        let published = read(scratch.path()).unwrap();
        assert_eq!(published.hostname, config.hostname);
        assert_eq!(published.state, config.state);
        assert_eq!(published.stop_timeout, config.stop_timeout);
        assert_eq!(published.log, config.log);
        assert_eq!(published.instances[0].listen, config.instances[0].listen);
        for instance in &published.instances {
            assert!(instance.routes.is_empty() && instance.tls.is_none());
        }
        assert!(published.instances[1].listen.is_empty());
        assert_eq!(published.instances.len(), config.instances.len());
    }

    #[test]
    fn the_name_of_a_link_is_one_name_and_each_path_has_its_own() {
        let name = |path: &str| link_name(path.as_ref());
        assert_eq!(name("/etc/p.toml"), Some("%2Fetc%2Fp.toml".into()));
        assert_ne!(name("/a%2Fb"), name("/a/b"));
        assert_eq!(name(&format!("/{}", "x".repeat(300))), None);
    }

    #[test]
    fn links_of_systems_that_are_gone_are_removed_and_no_others() {
        let scratch = Scratch::new();
        let (folder, here) = (scratch.path().join("run"), scratch.path());
        let name = |file: &Path| link_name(file).unwrap();
        let (gone, file) = (here.join("100%/p.toml"), here.join("p.toml"));
        fs::write(&file, "").unwrap();
        link_in(&folder, &name(&gone), &here.join("nowhere")).unwrap();
        for (of, state) in [
            (&file, here.join("nowhere")),
            (&here.join("x"), here.into()),
        ] {
            link_in(&folder, &name(of), &state).unwrap();
        }
        let is_there = |of: &Path| fs::read_link(folder.join(name(of))).is_ok();
        assert!(!is_there(&gone));
        assert!(is_there(&file), "its disk may not be mounted");
        assert!(is_there(&here.join("x")), "a system may run by it");
    }

    #[test]
    fn a_link_is_replaced_and_a_folder_in_its_place_is_an_error() {
        let (scratch, name) = (Scratch::new(), OsString::from("x"));
        let folder = scratch.path().join("run");
        for state in ["/first", "/first", "/second"] {
            link_in(&folder, &name, state.as_ref()).unwrap();
            assert_eq!(fs::read_link(folder.join(&name)).unwrap(), Path::new(state));
        }
        fs::create_dir(folder.join("y")).unwrap();
        assert!(link_in(&folder, &"y".into(), "/first".as_ref()).is_err());
    }
}
