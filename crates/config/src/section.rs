//! One table of a configuration, read by the table of settings.
//!
//! # Guarantees
//! A mistake is noted and reading goes on with the default, so that one run finds them all; what
//! stands under a misspelt key is read as what was meant. A configuration with a mistake is refused
//! by whoever holds the notes.
//!
//! # Failure
//! Asking for a key that the table of settings lacks, or a default there that is not in its own
//! form, is a mistake of this program and panics; reading any configuration shows it.

mod read;
mod unknown;

use std::cell::RefCell;
use std::path::PathBuf;

use super::model::Role;
use super::problem::{Position, Problem, Text};
use super::settings::{Kind, Preset, Setting};
use super::tree::{Node, Table, Value};
use crate::nearest::quoted;

/// What all sections of one text share.
pub(super) struct Notes<'a> {
    pub(super) text: &'a Text<'a>,
    /// What `{state}` stands for.
    pub(super) state: PathBuf,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Notes<'a> {
    /// Begins with what the TOML parser found.
    pub(super) fn new(text: &'a Text<'a>, state: PathBuf, problems: Vec<Problem>) -> Self {
        Self {
            text,
            state,
            problems: RefCell::new(problems),
        }
    }

    /// Notes a mistake.
    pub(super) fn note(&self, at: Position, text: impl Into<String>) {
        self.problems
            .borrow_mut()
            .push(self.text.problem(Some(at), text));
    }

    /// Everything that was noted.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// A table under a header.
pub(super) struct Section<'a> {
    notes: &'a Notes<'a>,
    table: Option<&'a Table>,
    /// What stands under keys that are not known, by the names that were meant.
    meant: Vec<(&'static str, &'a Node)>,
    settings: &'static [Setting],
    role: Role,
    /// Where the section begins.
    pub(super) at: Position,
    /// Its keys from the top, such as `instance.input`; empty at the top.
    path: String,
}

impl<'a> Section<'a> {
    /// The top of a text.
    pub(super) fn top(
        notes: &'a Notes<'a>,
        table: &'a Table,
        settings: &'static [Setting],
    ) -> Self {
        let at = Position { line: 1, column: 1 };
        // No default at the top depends on a role.
        Self {
            notes,
            table: Some(table),
            meant: Vec::new(),
            settings,
            role: Role::Output,
            at,
            path: String::new(),
        }
        .checked()
    }

    /// The same with the defaults of this role.
    pub(super) fn with_role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    fn inner(&self, key: &str, settings: &'static [Setting], node: Option<&'a Node>) -> Self {
        let table = node.and_then(|node| match &node.value {
            Value::Table(table) => Some(table),
            Value::Integer(_) | Value::List(_) | Value::Other(_) | Value::Text(_) => {
                self.mismatch(key, node, "a table");
                None
            }
        });
        let path = if self.path.is_empty() {
            key.into()
        } else {
            format!("{}.{key}", self.path)
        };
        let at = node.map_or(self.at, |node| node.at);
        let (notes, role) = (self.notes, self.role);
        Self {
            notes,
            table,
            meant: Vec::new(),
            settings,
            role,
            at,
            path,
        }
        .checked()
    }

    /// Notes a mistake.
    pub(super) fn note(&self, at: Position, text: impl Into<String>) {
        self.notes.note(at, text);
    }

    /// Where a given key stands; else where the section begins.
    pub(super) fn position(&self, key: &str) -> Position {
        self.given(key).map_or(self.at, |node| node.at)
    }

    /// Whether the key is given.
    pub(super) fn has(&self, key: &str) -> bool {
        self.given(key).is_some()
    }

    /// Whether the key is given as a list with nothing in it.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        let node = self.given(key);
        node.is_some_and(|node| matches!(&node.value, Value::List(nodes) if nodes.is_empty()))
    }

    /// Where this section is, as the end of a phrase.
    fn place(&self) -> String {
        if self.path.is_empty() {
            String::new()
        } else {
            format!(" in [{}]", self.path)
        }
    }

    fn given(&self, key: &str) -> Option<&'a Node> {
        self.all_given(key).next()
    }

    /// What stands under the key, and then under others that were meant to be it.
    fn all_given(&self, key: &str) -> impl Iterator<Item = &'a Node> {
        let given = self.table.and_then(|table| table.find(key));
        let meant = self.meant.iter().filter(move |(name, _)| *name == key);
        given.into_iter().chain(meant.map(|(_, node)| *node))
    }

    fn setting(&self, key: &str) -> &'static Setting {
        let setting = self.settings.iter().find(|setting| setting.key == key);
        setting.expect("invariant: every key that is read stands in the table of settings")
    }

    fn mismatch(&self, key: &str, node: &Node, expected: &str) {
        let found = node.value.kind();
        self.note(
            node.at,
            format!("`{key}`{} must be {expected}, not {found}", self.place()),
        );
    }

    fn note_if_required(&self, setting: &Setting) {
        if let Preset::Required(how) = setting.default {
            let place = if self.path.is_empty() {
                "the file".into()
            } else {
                format!("[{}]", self.path)
            };
            self.note(self.at, format!("{place} needs `{}`, {how}", setting.key));
        }
    }

    /// A table inside; one without entries where it is not given.
    pub(super) fn section(&self, key: &str) -> Self {
        let (Kind::Table(settings) | Kind::Variant(settings)) = self.setting(key).kind else {
            unreachable!("invariant: a setting that is read as a table is one")
        };
        let node = self.given(key);
        if node.is_none() {
            self.note_if_required(self.setting(key));
        }
        self.inner(key, settings, node)
    }

    /// The tables of a list.
    pub(super) fn sections(&self, key: &str) -> Vec<Self> {
        let Kind::Tables(settings) = self.setting(key).kind else {
            unreachable!("invariant: a setting that is read as a list of tables is one")
        };
        let mut sections = Vec::new();
        for node in self.all_given(key) {
            let Value::List(nodes) = &node.value else {
                let expected = format!("a list of tables, each under [[{key}]]");
                self.mismatch(key, node, &expected);
                continue;
            };
            let inner = |node| self.inner(key, settings, Some(node));
            sections.extend(nodes.iter().map(inner));
        }
        sections
    }

    /// The tables under names of their own, with the places of the names.
    pub(super) fn named_sections(&self, key: &str) -> Vec<(&'a str, Position, Self)> {
        let Kind::Named(settings) = self.setting(key).kind else {
            unreachable!("invariant: a setting that is read as named tables is such")
        };
        if !self.has(key) {
            self.note_if_required(self.setting(key));
        }
        let mut sections = Vec::new();
        for node in self.all_given(key) {
            let Value::Table(table) = &node.value else {
                let expected = format!("tables under names, such as [{key}.input]");
                self.mismatch(key, node, &expected);
                continue;
            };
            sections.extend(table.entries.iter().map(|entry| {
                let path = format!("{key}.{}", entry.key.escape_debug());
                let section = self.inner(&path, settings, Some(&entry.node));
                (entry.key.as_str(), entry.at, section)
            }));
        }
        sections
    }

    /// The only key of a table that must have exactly one.
    pub(super) fn variant(&self) -> Option<&'a str> {
        let entries = self.table.map_or(&[][..], |table| &table.entries);
        match entries {
            [one] => Some(self.meant.first().map_or(&one.key, |(name, _)| *name)),
            [] | [_, ..] => {
                if self.table.is_some() {
                    let usable = |s: &&Setting| !matches!(s.kind, Kind::Later(_));
                    let known = quoted(self.settings.iter().filter(usable).map(|s| s.key));
                    self.note(
                        self.at,
                        format!("[{}] needs exactly one of {known}", self.path),
                    );
                }
                None
            }
        }
    }
}
