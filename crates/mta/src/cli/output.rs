//! What commands print: whole, at once, and never raw.
//!
//! # Guarantees
//! Whatever peers have sent, a terminal is not steered by it: each line goes through
//! [`escape`](events::escape).
//!
//! # Failure
//! A reader that went away (`postern queue | head`) is no error.

use std::fmt::Display;
use std::io::{BufWriter, StdoutLock, Write};
use std::ops::ControlFlow;

use serde_json::Value;

use events::{escape, escape_json};

/// Lines to be printed.
#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    /// Appends a line. Line feeds within it are shown as such.
    pub(crate) fn line(&mut self, line: impl Display) {
        self.0.push_str(&escape(&line.to_string()));
        self.0.push('\n');
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        let _is_read = write_stdout(&self.0);
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// Lines that are printed as they come: for an answer that is too long to be held.
///
/// Each says whether there is still somebody who reads.
pub(crate) struct Lines(BufWriter<StdoutLock<'static>>);

impl Lines {
    /// None yet. Nothing else may print while this exists.
    pub(crate) fn new() -> Self {
        Self(BufWriter::new(std::io::stdout().lock()))
    }

    /// Prints a line.
    pub(crate) fn line(&mut self, line: impl Display) -> ControlFlow<()> {
        self.put(&escape(&line.to_string()))
    }

    /// Prints a value as one line of JSON.
    pub(crate) fn json(&mut self, value: &Value) -> ControlFlow<()> {
        self.put(&escape_json(value))
    }

    fn put(&mut self, line: &str) -> ControlFlow<()> {
        match writeln!(self.0, "{line}") {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// Prints a line.
pub(crate) fn print_line(line: impl Display) {
    let _is_read = write_stdout(&(escape(&line.to_string()) + "\n"));
}

/// Prints lines of ours that were made for people already.
pub(crate) fn print_text(text: &str) {
    for line in text.lines() {
        print_line(line);
    }
}

/// Prints a value as one line of JSON.
pub(crate) fn print_json(value: &Value) {
    let _is_read = write_stdout(&(escape_json(value) + "\n"));
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
        let _ = writeln!(std::io::stderr(), "{name}{}", escape(line));
    }
}

/// Prints a part of something long that was made [escape](escape) already; whether anybody reads
/// it still.
pub(crate) fn print_raw(text: &str) -> bool {
    write_stdout(text)
}

/// Whether somebody reads it.
fn write_stdout(text: &str) -> bool {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    written.and_then(|()| stdout.flush()).is_ok()
}
