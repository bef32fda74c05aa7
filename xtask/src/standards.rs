//! docs/standards.md: every standard that the code names, how far it is kept, and what shows it;
//! and every deviation, which has the same name there and where it is made.

use std::collections::{BTreeMap, BTreeSet};

use crate::CHECKS;
use crate::references::quoted;
use crate::workspace::{File, Finding, Workspace};

const PATH: &str = "docs/standards.md";
const STATUSES: &[&str] = &["deliberately not", "no", "partial", "yes"];

/// Compares the code with the ledger, and the ledger with the tests.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let Some(ledger) = workspace.file(PATH) else {
        return vec![Finding::new(PATH, "does not exist")];
    };
    let rows: Vec<Row<'_>> = ledger.lines().filter_map(Row::parse).collect();
    let known: BTreeSet<_> = rows.iter().map(|row| row.rfc).collect();
    let mut findings = Vec::new();
    for (rfc, (file, line)) in named(workspace) {
        if !known.contains(&rfc) {
            findings.push(file.finding_at(line, format!("RFC {rfc} does not stand in {PATH}")));
        }
    }
    findings.extend(quirks(workspace, ledger));
    for row in &rows {
        findings.extend(
            row.faults(workspace)
                .map(|fault| ledger.finding_at(row.line, fault)),
        );
    }
    findings
}

/// One line of the ledger: `| RFC 5321 | status | deviations | tests |`.
struct Row<'a> {
    line: usize,
    rfc: u32,
    status: &'a str,
    tests: Vec<&'a str>,
}

impl<'a> Row<'a> {
    fn parse((line, text): (usize, &'a str)) -> Option<Self> {
        let mut cells = text.strip_prefix('|')?.split('|').map(str::trim);
        let rfc = cells
            .next()?
            .strip_prefix("RFC ")?
            .split(' ')
            .next()?
            .parse()
            .ok()?;
        let status = cells.next()?;
        let tests = cells
            .nth(1)
            .map(|cell| quoted(cell).collect())
            .unwrap_or_default();
        Some(Self {
            line,
            rfc,
            status,
            tests,
        })
    }

    fn faults(&self, workspace: &Workspace) -> impl Iterator<Item = String> {
        let mut faults = Vec::new();
        if !STATUSES.contains(&self.status) {
            faults.push(format!(
                "`{}` is none of {}",
                self.status,
                STATUSES.join(", ")
            ));
        }
        if self.status == "yes" && self.tests.is_empty() {
            faults.push("says yes and names no test".into());
        }
        let missing = self.tests.iter().filter(|test| !is_test(workspace, test));
        faults.extend(missing.map(|test| format!("`{test}` is neither a test nor a file")));
        faults.into_iter()
    }
}

/// Deviations that stand only in the code, or only in the ledger.
fn quirks(workspace: &Workspace, ledger: &File) -> Vec<Finding> {
    let sources = || code(workspace).flat_map(|file| quirk_names(&file.text));
    let (made, told): (BTreeSet<_>, BTreeSet<_>) =
        (sources().collect(), quirk_names(&ledger.text).collect());
    let finding = |name, where_| ledger.finding(format!("`quirk: {name}` stands only {where_}"));
    let unknown = made
        .difference(&told)
        .map(|name| finding(name, "in the code"));
    let unmade = told.difference(&made).map(|name| finding(name, "here"));
    unknown.chain(unmade).collect()
}

fn quirk_names(text: &str) -> impl Iterator<Item = &str> {
    let is_end = |c: char| c != '-' && !c.is_ascii_alphanumeric();
    text.split("quirk: ")
        .skip(1)
        .filter_map(move |rest| rest.split(is_end).next())
}

/// Whether a function of that name, a check of ours, or a file at that path, exists.
pub(crate) fn is_test(workspace: &Workspace, name: &str) -> bool {
    let head = format!("fn {name}(");
    let is_file = name.contains('/') && workspace.exists(name);
    let is_check = CHECKS.iter().any(|check| check.sentence == name);
    is_file || is_check || workspace.rust().any(|file| file.text.contains(&head))
}

/// What is no check of the code.
fn code(workspace: &Workspace) -> impl Iterator<Item = &File> {
    workspace
        .rust()
        .filter(|file| !file.path.starts_with("xtask/"))
}

/// Each RFC that code names, and where it does first.
fn named(workspace: &Workspace) -> BTreeMap<u32, (&File, usize)> {
    let mut named = BTreeMap::new();
    for file in code(workspace) {
        for (number, line) in file.lines() {
            for rfc in rfcs(line) {
                named.entry(rfc).or_insert((file, number));
            }
        }
    }
    named
}

fn rfcs(line: &str) -> impl Iterator<Item = u32> {
    line.split("RFC ").skip(1).filter_map(|rest| {
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_in_their_one_form() {
        let line = "RFC 5321 §4.5.3.1, and RFC 3030; rfc 1 is none";
        assert_eq!(rfcs(line).collect::<Vec<_>>(), [5321, 3030]);
    }

    #[test]
    fn a_quirk_is_known_by_its_name() {
        let line = "// `quirk: bare-lf`: why; quirk: other";
        assert_eq!(quirk_names(line).collect::<Vec<_>>(), ["bare-lf", "other"]);
    }

    #[test]
    fn a_row_of_the_ledger_is_read() {
        let row = Row::parse((7, "| RFC 1870 SIZE | yes | none | `a_test`, `b` |"));
        let row = row.expect("it is a row");
        assert_eq!(
            (row.rfc, row.status, row.tests),
            (1870, "yes", vec!["a_test", "b"])
        );
        assert!(Row::parse((8, "|---|---|---|---|")).is_none());
    }
}
