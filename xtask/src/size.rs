//! Files that can be read at a sitting, and the test of taste of this project: in most mail
//! servers the SMTP session is the biggest file.

use crate::workspace::{File, Finding, Workspace};

const LINES_MAX: usize = 800;

/// Files that are longer, and why.
const LONG: &[(&str, &str)] = &[];

const SESSIONS: &[&str] = &["crates/smtp/src/client/", "crates/smtp/src/server/"];

/// Looks at the length of each Rust file, tests apart.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let is_listed = |file: &&File| LONG.iter().any(|(path, _)| *path == file.path);
    let mut findings = Vec::new();
    for file in workspace.rust().filter(|f| !f.is_test() && !is_listed(f)) {
        if file.production_len() > LINES_MAX {
            findings.push(file.finding(format!("has more than {LINES_MAX} lines: split it")));
        }
    }
    let biggest = workspace
        .rust()
        .filter(|f| !f.is_test())
        .max_by_key(|f| f.production_len());
    if let Some(file) = biggest.filter(|f| SESSIONS.iter().any(|s| f.path.starts_with(s))) {
        findings.push(file.finding("the SMTP session must not be the biggest file"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_at_the_end_do_not_count() {
        let text = "//! x\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n";
        let file = File {
            path: "crates/x/src/a.rs".into(),
            text: text.into(),
        };
        assert_eq!(file.production_len(), 2);
    }
}
