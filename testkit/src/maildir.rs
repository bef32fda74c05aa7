//! What lies in a Maildir.

use std::fs;
use std::path::Path;

use crate::wait;

/// The messages in `new` and `cur`, in the order of their names; none where there is no such
/// Maildir.
///
/// # Panics
/// When a message cannot be read.
pub fn messages(maildir: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    for folder in ["new", "cur"] {
        let entries = fs::read_dir(maildir.join(folder)).into_iter().flatten();
        paths.extend(entries.flatten().map(|entry| entry.path()));
    }
    paths.sort();
    let read = |path| fs::read(path).expect("a delivered message can be read");
    paths
        .iter()
        .map(|path| String::from_utf8_lossy(&read(path)).into_owned())
        .collect()
}

/// Waits for the one message that contains `mark`.
///
/// # Panics
/// When none arrives, or more than one.
pub fn message_with(maildir: &Path, mark: &str) -> String {
    let what = format!("a message with {mark:?} in {}", maildir.display());
    let mut found = wait::until(&what, || {
        let mut found = messages(maildir);
        found.retain(|message| message.contains(mark));
        (!found.is_empty()).then_some(found)
    });
    assert_eq!(found.len(), 1, "{what}: {found:#?}");
    found.remove(0)
}
