//! Other people's programs, where this machine has them.

use std::path::PathBuf;
use std::process::Command;

/// Where `program` lies; without it `None`, and the reason on the standard error stream.
///
/// # Panics
/// When it is missing and `POSTERN_REQUIRE_PEERS=1` says that nothing may be skipped.
pub fn peer(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places =
        std::env::split_paths(&path).chain(["/usr/sbin", "/usr/bin", "/sbin"].map(PathBuf::from));
    let found = places
        .map(|folder| folder.join(program))
        .find(|path| path.is_file());
    if found.is_none() {
        skip(&format!("{program} is not installed"));
    }
    found
}

/// Whether this process is root's, as some peers need it; the reason is told where it is not.
///
/// # Panics
/// As [`peer`].
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("not root");
    }
    root
}

/// A program of Python that this machine's `python3` runs; `None` as [`peer`].
///
/// # Panics
/// As [`peer`].
pub fn python(text: &str) -> Option<Command> {
    let mut command = Command::new(peer("python3")?);
    command.arg("-c").arg(text);
    Some(command)
}

/// Says why a test shows nothing here.
///
/// # Panics
/// When `POSTERN_REQUIRE_PEERS=1` says that nothing may be skipped.
pub fn skip(reason: &str) {
    let required = std::env::var_os("POSTERN_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!required, "required by POSTERN_REQUIRE_PEERS: {reason}");
    eprintln!("skipped: {reason}");
}
