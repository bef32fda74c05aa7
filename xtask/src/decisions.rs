//! Decision records: `docs/decisions/YYYY-MM-DD-slug.md`, one page, with what was rejected.

use crate::workspace::{Finding, Workspace};

const FOLDER: &str = "docs/decisions/";
const LINES_MAX: usize = 80;
const SECTIONS: &[&str] = &[
    "## Context",
    "## Decision",
    "## Rejected",
    "## How it can fail",
    "## How we will know",
];

/// Looks at each record.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in workspace.files().filter(|f| f.path.starts_with(FOLDER)) {
        if !is_dated(&file.path[FOLDER.len()..]) {
            findings.push(file.finding("is not named YYYY-MM-DD-slug.md"));
        }
        if file.text.lines().count() > LINES_MAX {
            findings.push(file.finding("is longer than a page"));
        }
        for section in SECTIONS {
            if !file.text.lines().any(|line| line == *section) {
                findings.push(file.finding(format!("has no section `{section}`")));
            }
        }
    }
    findings
}

fn is_dated(name: &str) -> bool {
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let date: String = name.chars().take(11).map(shape).collect();
    date == "0000-00-00-" && name.ends_with(".md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_by_its_date() {
        assert!(is_dated("2026-11-24-sans-io.md"));
        assert!(!is_dated("0014-sans-io.md"));
    }
}
