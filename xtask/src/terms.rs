//! Terms that the field has another word for, and that went: they do not come back.

use crate::workspace::{Finding, Workspace};

/// A word that went, in lower case, and what stands in its place. To add one, add a line.
const GONE: &[(&str, &str)] = &[
    (concat!("beq", "ueath"), "forward to the successor"),
    (concat!("beq", "uest"), "what is forwarded to the successor"),
    (concat!("he", "ir"), "successor"),
    (concat!("le", "ash"), "control channel"),
    (concat!("re", "ins"), "supervisor link"),
    (concat!("ten", "ure"), "spool lease"),
];

/// Where old words may stand: what was decided and released stays as it was written.
const HISTORY: &[&str] = &["docs/decisions/", "CHANGELOG.md"];

/// Looks at code and documents.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let files = workspace.files().filter(|file| {
        let is_read = file.path.ends_with(".rs") || file.path.ends_with(".md");
        is_read && !HISTORY.iter().any(|past| file.path.starts_with(past))
    });
    let mut findings = Vec::new();
    for file in files {
        for (number, line) in file.lines() {
            for (word, better) in gone_from(line) {
                let text = format!("`{word}`: the field says {better}");
                findings.push(file.finding_at(number, text));
            }
        }
    }
    findings
}

fn gone_from(line: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let line = line.to_lowercase();
    GONE.iter().copied().filter(move |(gone, _)| {
        line.split(|c: char| !c.is_ascii_alphabetic())
            .any(|word| word == *gone)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_went_is_found_and_a_longer_one_is_not() {
        let found = |line: &str| gone_from(line).count();
        assert_eq!(found(concat!("let le", "ash_len = 1;")), 1);
        assert_eq!(found(concat!("// the Ten", "ure of it")), 1);
        assert_eq!(found("theirs, reinsert, release"), 0);
    }
}
