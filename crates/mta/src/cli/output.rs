//! What commands print: whole, at once, and never raw.
//!
//! # Guarantees
//! Whatever peers have sent, a terminal is not steered by it: each line goes through
//! [`neutral`](crate::observe::neutral).
//!
//! # Failure
//! A reader that went away (`postern queue | head`) is no error.

use std::fmt::Display;
use std::io::Write;

use serde_json::Value;

use crate::observe::{neutral, neutral_json};

/// Lines to be printed.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    /// Appends a line. Line feeds within it are shown as such.
    pub(crate) fn line(&mut self, line: impl Display) {
        self.0.push_str(&neutral(&line.to_string()));
        self.0.push('\n');
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        write_stdout(&self.0);
    }

    /// The text, for tests.
    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// Prints a line.
pub(crate) fn print_line(line: impl Display) {
    write_stdout(&(neutral(&line.to_string()) + "\n"));
}

/// Prints lines of ours that were made for people already.
pub(crate) fn print_text(text: &str) {
    for line in text.lines() {
        print_line(line);
    }
}

/// Prints a value as one line of JSON.
pub(crate) fn print_json(value: &Value) {
    write_stdout(&(neutral_json(value) + "\n"));
}

/// Says what went wrong, on the standard error stream. Several lines are a list that speaks for
/// itself, such as the findings about a configuration.
pub(crate) fn complain(text: &str) {
    let name = if text.trim_end().contains('\n') {
        ""
    } else {
        "postern: "
    };
    for line in text.lines() {
        let _ = writeln!(std::io::stderr(), "{name}{}", neutral(line));
    }
}

fn write_stdout(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}
