//! docs/reference/replies.md is the table of replies, written out.

use std::fmt::Write;
use std::fs;

use mail::reply::table;

use crate::workspace::{Finding, Workspace};

const PATH: &str = "docs/reference/replies.md";

const HEAD: &str = "\
# Every reply that Postern can send

Generated from `crates/mail/src/reply/table.rs` by `cargo test -p xtask`; do not edit.
A place that is filled at run time stands in braces.

| name | reply | when |
|---|---|---|
";

/// Compares the file with the table; a stale file is written anew and reported.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let fresh = render();
    if workspace.file(PATH).is_some_and(|file| file.text == fresh) {
        return Vec::new();
    }
    let written = fs::create_dir_all(workspace.root.join("docs/reference"))
        .and_then(|()| fs::write(workspace.root.join(PATH), fresh));
    let text = match written {
        Ok(()) => "was stale and has been written anew: commit it".into(),
        Err(error) => format!("is stale and cannot be written: {error}"),
    };
    vec![Finding::new(PATH, text)]
}

fn render() -> String {
    let mut page = HEAD.to_owned();
    for row in table::ALL {
        let reply = row.reply().to_string().replace('<', "\\<");
        let written = writeln!(page, "| {} | {reply} | {} |", row.id, row.when);
        debug_assert!(written.is_ok(), "a String takes all that is written to it");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_code_text_and_occasion() {
        let row = "| NO_SUCH_USER | 550 5.1.1 no such user | No mailbox or alias of that name. |";
        assert!(render().lines().any(|line| line == row));
    }
}
