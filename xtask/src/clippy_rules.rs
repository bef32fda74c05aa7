//! The crates without a clock carry their own clippy.toml: the root's rules and their bans.
//!
//! Clippy takes the nearest file and merges nothing, so the copies have to be kept alike by a test.
//! The bans are those of `mail`; `spool` has the same without those on files and threads.

use crate::workspace::{Finding, Workspace};

const ROOT: &str = "clippy.toml";
const MODEL: &str = "crates/mail/clippy.toml";
const PURE: &[&str] = &["mail", "policy", "queue", "smtp"];
const SPOOL: &str = "crates/spool/clippy.toml";

/// Compares the copies.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let text = |path: &str| workspace.file(path).map_or("", |f| f.text.as_str());
    let model = text(MODEL);
    let mut findings = Vec::new();
    if !model.starts_with(text(ROOT)) || !model.contains("std::time::Instant::now") {
        findings.push(Finding::new(
            MODEL,
            "must be the root's clippy.toml, then the bans",
        ));
    }
    for name in PURE {
        let path = format!("crates/{name}/clippy.toml");
        if text(&path) != model {
            findings.push(Finding::new(&path, format!("must be the same as {MODEL}")));
        }
    }
    let for_spool: String = model
        .split_inclusive('\n')
        .filter(|l| !is_lifted(l))
        .collect();
    if text(SPOOL) != for_spool {
        findings.push(Finding::new(
            SPOOL,
            format!("must be {MODEL} without std::fs and std::thread::spawn"),
        ));
    }
    findings
}

/// Bans that `spool` is free of: it owns files, and the thread that commits to them.
fn is_lifted(ban: &str) -> bool {
    ban.contains("\"std::fs::") || ban.contains("\"std::thread::spawn")
}
