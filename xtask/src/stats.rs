//! How big the files are: the five largest, the median, and each crate's share.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::workspace::{File, Workspace};

const N_LARGEST: usize = 5;

/// The figures as text; tests are counted apart.
pub(crate) fn report(workspace: &Workspace) -> String {
    let mut text = String::new();
    let written = write_report(workspace, &mut text);
    debug_assert!(written.is_ok(), "a String takes all that is written to it");
    text
}

fn write_report(workspace: &Workspace, text: &mut String) -> fmt::Result {
    let mut files: Vec<_> = workspace.rust().filter(|f| !f.is_test()).collect();
    files.sort_by_key(|f| f.production_len());
    let median = files.get(files.len() / 2).map_or(0, |f| f.production_len());
    writeln!(
        text,
        "{} files, median {median} lines (tests apart)\n",
        files.len()
    )?;
    for file in files.iter().rev().take(N_LARGEST) {
        writeln!(text, "{:>6}  {}", file.production_len(), file.path)?;
    }
    writeln!(text, "\n  code   test")?;
    for (name, (code, test)) in by_crate(workspace) {
        writeln!(text, "{code:>6} {test:>6}  {name}")?;
    }
    Ok(())
}

fn by_crate(workspace: &Workspace) -> BTreeMap<&str, (usize, usize)> {
    let mut crates = BTreeMap::new();
    for file in workspace.rust() {
        let name = file.path.split("/src/").next().unwrap_or_default();
        let name = name.split("/tests/").next().unwrap_or_default();
        let (code, test): &mut (usize, usize) = crates.entry(name).or_default();
        let production = production_len(file);
        *code += production;
        *test += file.text.lines().count() - production;
    }
    crates
}

fn production_len(file: &File) -> usize {
    if file.is_test() {
        0
    } else {
        file.production_len()
    }
}
