//! How a file is laid out: a header that says what it is for, 100 columns, no stray white space.

use crate::workspace::{File, Finding, Workspace};

const COLUMNS_MAX: usize = 100;

/// Files with longer lines, and why.
const WIDE: &[(&str, &str)] = &[(
    "crates/mail/src/reply/table.rs",
    "a table: one row, one line",
)];

/// Looks at each file.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace.files().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Finding> {
    let is_rust = file.path.ends_with(".rs");
    // What a test expects to read stands there as it is read; the rest rustfmt keeps narrow.
    let is_wide = !is_rust || file.is_test() || WIDE.iter().any(|(path, _)| *path == file.path);
    // Transcripts say what is on the wire, and that may end in a space.
    let is_data = file.path.ends_with(".txt");
    let mut findings = Vec::new();
    if is_rust && !file.text.starts_with("//! ") {
        findings.push(file.finding("does not begin with a `//!` header"));
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        findings.push(file.finding("does not end with a newline"));
    }
    for (number, line) in file.lines() {
        if !is_data && line.ends_with([' ', '\t']) {
            findings.push(file.finding_at(number, "ends in white space"));
        }
        if is_rust && line.contains('\t') {
            findings.push(file.finding_at(number, "holds a tab"));
        }
        if !is_wide && line.chars().count() > COLUMNS_MAX {
            findings.push(file.finding_at(number, format!("is over {COLUMNS_MAX} columns wide")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_found_once() {
        let text = format!("fn a() {{}} \n\tb\n// {}\nend", "x".repeat(100));
        let file = File {
            path: "crates/x/src/a.rs".into(),
            text,
        };
        let found: Vec<_> = check_file(&file).iter().map(Finding::to_string).collect();
        assert_eq!(
            found,
            [
                "crates/x/src/a.rs: does not begin with a `//!` header",
                "crates/x/src/a.rs: does not end with a newline",
                "crates/x/src/a.rs:1: ends in white space",
                "crates/x/src/a.rs:2: holds a tab",
                "crates/x/src/a.rs:3: is over 100 columns wide",
            ]
        );
    }
}
