//! Names: one word for a thing, nouns of the domain, plain verbs.

use crate::workspace::{File, Finding, Workspace};

/// Words that the glossary has another word for.
const SYNONYMS: &[(&str, &str)] = &[
    (concat!("em", "ail"), "message, or mail"),
    (concat!("em", "ails"), "messages"),
    (
        concat!("it", "em"),
        "what it is: message, recipient, record, row",
    ),
    (
        concat!("it", "ems"),
        "what they are: messages, recipients, records, rows",
    ),
];

/// Endings of type names that say only that something is done.
const DOERS: &[&str] = &["Handler", "Helper", "Manager", "Processor", "Util", "Utils"];

/// Looks at each Rust file.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace.rust().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.lines() {
        for word in line.split(|c: char| !c.is_ascii_alphanumeric()) {
            if let Some((_, better)) = SYNONYMS.iter().find(|(bad, _)| *bad == word) {
                findings.push(file.finding_at(number, format!("`{word}`: say {better}")));
            }
        }
        let declared = |keyword: &str| {
            let (_, rest) = line.split_once(keyword)?;
            rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .next()
        };
        if declared("fn ").is_some_and(|name| name.starts_with("get_")) {
            findings.push(file.finding_at(number, "a function begins with `get_`"));
        }
        let kinds = ["struct ", "enum ", "trait "];
        let type_name = kinds.iter().find_map(|keyword| declared(keyword));
        if let Some(name) = type_name.filter(|name| DOERS.iter().any(|d| name.ends_with(d))) {
            findings.push(file.finding_at(number, format!("`{name}` says nothing of what it is")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_says_nothing_is_found() {
        let text = concat!(
            "pub struct QueueMan",
            "ager;\n",
            "fn ge",
            "t_it() {}\n",
            "fn target_of() {}\n",
            "type Item = u8;\n",
        );
        let file = File {
            path: "crates/x/src/a.rs".into(),
            text: text.into(),
        };
        assert_eq!(check_file(&file).len(), 2);
    }
}
