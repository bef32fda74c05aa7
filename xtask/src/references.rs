//! A document that names a file or a test of this repository names one that exists.

use crate::standards;
use crate::workspace::{File, Finding, Workspace};

/// Beginnings of the paths that are meant when they stand between back-ticks.
const FOLDERS: &[&str] = &[
    ".ci/",
    "bench/",
    "crates/",
    "docs/",
    "examples/",
    "testkit/",
    "xtask/",
];

/// A name with so many is a sentence.
const UNDERSCORES_MIN: usize = 4;

/// Looks at each Markdown file.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let is_markdown = |file: &&File| file.path.ends_with(".md");
    let mut findings = Vec::new();
    for file in workspace.files().filter(is_markdown) {
        for (number, line) in file.lines() {
            for name in quoted(line) {
                let is_missing = is_path(name) && !workspace.exists(name)
                    || is_sentence(name) && !standards::is_test(workspace, name);
                if is_missing {
                    findings.push(file.finding_at(number, format!("`{name}` does not exist")));
                }
            }
        }
    }
    findings
}

/// What stands between back-ticks.
pub(crate) fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Whether it is the path of a file of ours: not a pattern, not a command.
fn is_path(text: &str) -> bool {
    FOLDERS.iter().any(|folder| text.starts_with(folder))
        && !text.contains(['*', '{', '<', ' ', '…'])
}

/// Whether it is the name of a test: those are sentences.
fn is_sentence(text: &str) -> bool {
    text.matches('_').count() >= UNDERSCORES_MIN
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_between_back_ticks() {
        let line = "see `docs/a.md` and `x`, not docs/b.md";
        assert_eq!(quoted(line).collect::<Vec<_>>(), ["docs/a.md", "x"]);
    }

    #[test]
    fn a_test_is_known_by_its_name() {
        assert!(is_sentence("a_test_is_known_by_its_name"));
        assert!(!is_sentence("smtp_data_init_timeout"));
        assert!(is_path("docs/handoff.md") && !is_path("docs/decisions/*.md"));
    }
}
