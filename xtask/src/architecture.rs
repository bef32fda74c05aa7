//! ARCHITECTURE.md has a section for every crate, with its invariants, and is short enough to read;
//! the glossary explains the words.

use crate::layering;
use crate::workspace::{Finding, Workspace};

const PATH: &str = "ARCHITECTURE.md";
const LINES_MAX: usize = 400;

/// Words that the code uses in one sense only, each explained in the glossary.
const GLOSSARY: &str = "docs/glossary.md";
const WORDS: &[&str] = &[
    "attempt",
    "check",
    "envelope",
    "fact",
    "handoff",
    "instance",
    "message",
    "origin",
    "outcome",
    "queue",
    "recipient",
    "reply",
    "role",
    "route",
    "site",
    "spool",
    "transport",
    "verdict",
];

/// Looks for what is missing.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = sections(workspace);
    findings.extend(glossary(workspace));
    findings
}

fn sections(workspace: &Workspace) -> Vec<Finding> {
    let Some(file) = workspace.file(PATH) else {
        return vec![Finding::new(PATH, "does not exist")];
    };
    let mut findings = Vec::new();
    if file.text.lines().count() > LINES_MAX {
        findings.push(file.finding(format!("has more than {LINES_MAX} lines")));
    }
    for name in layering::crate_names() {
        let heading = format!("### `{name}`");
        let mut section = file
            .text
            .lines()
            .skip_while(|line| !line.starts_with(&heading));
        if section.next().is_none() {
            findings.push(file.finding(format!("has no section that begins `{heading}`")));
        } else if !section
            .take_while(|line| !line.starts_with("##"))
            .any(has_invariant)
        {
            findings.push(file.finding(format!("the section of `{name}` has no invariant")));
        }
    }
    findings
}

fn has_invariant(line: &str) -> bool {
    line.contains("**Invariant:**")
}

fn glossary(workspace: &Workspace) -> Vec<Finding> {
    let Some(file) = workspace.file(GLOSSARY) else {
        return vec![Finding::new(GLOSSARY, "does not exist")];
    };
    let explains = |word: &str| {
        file.text
            .lines()
            .any(|l| l.starts_with(&format!("**{word}**")))
    };
    let missing = WORDS.iter().filter(|word| !explains(word));
    missing
        .map(|word| file.finding(format!("does not explain `{word}`")))
        .collect()
}
