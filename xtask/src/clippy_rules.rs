//! The crates without a clock carry their own clippy.toml: the root's rules, then their bans.
//!
//! Clippy takes the nearest file and merges nothing, so the copies have to be kept alike by a test.

use crate::workspace::{Finding, Workspace};

const ROOT: &str = "clippy.toml";

/// The pure crates: their files are the same, octet for octet.
const PURE: &[&str] = &["mail", "policy", "queue", "smtp"];

/// `spool` owns files and a thread, and has bans of its own in their place.
const SPOOL: &str = "spool";

/// What every crate without a clock bans.
const CLOCKS: &[&str] = &[
    "std::thread::sleep",
    "std::time::Instant::now",
    "std::time::SystemTime::now",
];

/// Compares the copies.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let text = |path: &str| workspace.file(path).map_or("", |f| f.text.as_str());
    let (root, model) = (text(ROOT), text(&path_of(PURE[0])));
    let mut findings = Vec::new();
    for name in PURE.iter().chain([&SPOOL]) {
        let path = path_of(name);
        let bans = text(&path).strip_prefix(root).unwrap_or_default();
        if *name != SPOOL && text(&path) != model {
            findings.push(Finding::new(
                &path,
                format!("must be the same as {}", path_of(PURE[0])),
            ));
        } else if !CLOCKS
            .iter()
            .all(|clock| bans.contains(&format!("\"{clock}\"")))
        {
            findings.push(Finding::new(
                &path,
                "must be the root's rules, then bans of all clocks",
            ));
        }
    }
    findings
}

fn path_of(name: &str) -> String {
    format!("crates/{name}/clippy.toml")
}
