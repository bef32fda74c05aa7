//! Mistakes of a text and findings about a configuration, each with its place.

use std::cell::Cell;
use std::fmt;

/// A place in a text, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

/// A place in a named text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file as it was named to us.
    pub file: Box<str>,
    /// The place in it, where one can be named.
    pub position: Option<Position>,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(Position { line, column }) => write!(f, "{}:{line}:{column}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// One mistake: the configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: Location,
    /// What is wrong, and what would be right; one line.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.text)
    }
}

/// All mistakes of a text in the order of their places, at least one; shown one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts them by place.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.at.position);
        Self(problems)
    }

    /// The mistakes, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration must not be used.
    Error,
    /// It can be used, and somebody should look at it.
    Warning,
}

/// What `check` found about a configuration that could be read. Shown as a line, and an example
/// below it, indented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// Where.
    pub at: Location,
    /// What follows, and what would be right; one line.
    pub text: String,
    /// Lines that could be written, where that says more than words.
    pub example: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}: {severity}: {}", self.at, self.text)?;
        for line in self.example.iter().flat_map(|example| example.lines()) {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// A text that is read: its name, its content and the beginnings of its lines.
pub(super) struct Text<'a> {
    pub(super) name: &'a str,
    pub(super) content: &'a str,
    lines: Vec<usize>,
    /// The octet offset that was asked for last, and its place.
    last: Cell<(usize, Position)>,
}

impl<'a> Text<'a> {
    /// Of a text shown as `name` in messages.
    pub(super) fn new(name: &'a str, content: &'a str) -> Self {
        let lines = std::iter::once(0)
            .chain(content.match_indices('\n').map(|(offset, _)| offset + 1))
            .collect();
        let last = Cell::new((0, Position { line: 1, column: 1 }));
        Self {
            name,
            content,
            lines,
            last,
        }
    }

    /// The place of an octet offset.
    pub(super) fn position(&self, offset: usize) -> Position {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        // A list of a million users may be one line: counting goes on where it ended.
        let (from, column) = match self.last.get() {
            (last, place) if place.line == line && last <= offset => (last, place.column),
            _ => (start, 1),
        };
        let between = self.content.get(from..offset).unwrap_or_default();
        let column = column + between.chars().count();
        let place = Position { line, column };
        self.last.set((offset, place));
        place
    }

    /// A mistake at a place of this text.
    pub(super) fn problem(&self, position: Option<Position>, text: impl Into<String>) -> Problem {
        Problem {
            at: Location {
                file: self.name.into(),
                position,
            },
            text: text.into(),
        }
    }
}
