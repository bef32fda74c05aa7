//! TOML as a tree that remembers where everything stood, and can be written again.
//!
//! # Limits
//! The nesting of a text is limited by the TOML parser (80 levels).

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Position, Problem, Text};

/// A table, its entries in the order of the text.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

/// A key and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key stands.
    pub(super) at: Position,
    pub(super) node: Node,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) value: Value,
}

/// A value of the kinds that settings have.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Integer(i64),
    List(Vec<Node>),
    /// A kind that no setting has, by its name: a float, a date, a truth value.
    Other(&'static str),
    Table(Table),
    Text(String),
}

impl Value {
    /// What it is called in a message.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Integer(_) => "a number",
            Self::List(_) => "a list",
            Self::Other(kind) => kind,
            Self::Table(_) => "a table",
            Self::Text(_) => "a text",
        }
    }
}

impl Table {
    /// The place of what no text holds.
    pub(super) const START: Position = Position { line: 1, column: 1 };

    /// A table of one entry that stands in no text.
    pub(super) fn of_one(key: &str, value: Value) -> Self {
        let (at, key) = (Self::START, key.to_owned());
        let node = Node { at, value };
        Self {
            entries: vec![Entry { key, at, node }],
        }
    }

    /// The table under the key.
    pub(super) fn table_mut(&mut self, key: &str) -> Option<&mut Self> {
        let entry = self.entries.iter_mut().find(|entry| entry.key == key)?;
        match &mut entry.node.value {
            Value::Table(table) => Some(table),
            Value::Integer(_) | Value::List(_) | Value::Other(_) | Value::Text(_) => None,
        }
    }

    /// What stands under the key.
    pub(super) fn find(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The key and what stands under it.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Puts a text under a key, in the place of what stands there.
    pub(super) fn set_text(&mut self, key: &str, text: &str) {
        let value = Value::Text(text.to_owned());
        match self.entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => entry.node.value = value,
            None => {
                let at = Self::START;
                self.entries.push(Entry {
                    key: key.to_owned(),
                    at,
                    node: Node { at, value },
                });
            }
        }
    }

    /// Where the deepest part of the path stands that exists; a step into a list is its index.
    pub(super) fn locate(&self, path: &[&str]) -> Option<Position> {
        let (first, rest) = path.split_first()?;
        let Entry { at, node, .. } = self.entry(first)?;
        let own = match node.value {
            // What holds others is known by its name, what holds a value by that.
            Value::List(_) | Value::Table(_) => *at,
            Value::Integer(_) | Value::Other(_) | Value::Text(_) => node.at,
        };
        Some(node.locate(rest).unwrap_or(own))
    }
}

impl Node {
    fn locate(&self, path: &[&str]) -> Option<Position> {
        match &self.value {
            Value::List(nodes) => {
                let (first, rest) = path.split_first()?;
                let node = nodes.get(first.parse::<usize>().ok()?)?;
                Some(node.locate(rest).unwrap_or(node.at))
            }
            Value::Table(table) => table.locate(path),
            Value::Integer(_) | Value::Other(_) | Value::Text(_) => None,
        }
    }
}

/// What the TOML parser calls a key that stands twice.
const DUPLICATE: &str = "duplicate key";

/// What the TOML parser made of a text.
pub(super) struct Parsed {
    pub(super) table: Table,
    pub(super) problems: Vec<Problem>,
    /// Whether the table is what was written; if not, looking at it shows nothing.
    pub(super) whole: bool,
}

/// Reads a text. Every key that stands twice is a problem, and the first thing that is not TOML:
/// what the parser finds after that is mostly its consequence.
pub(super) fn read(text: &Text<'_>) -> Parsed {
    let (root, errors) = DeTable::parse_recoverable(text.content);
    let (doubled, broken): (Vec<_>, Vec<_>) = errors
        .into_iter()
        .partition(|error| error.message() == DUPLICATE);
    let whole = broken.is_empty();
    // Not always the one that the parser tells first.
    let first = broken
        .iter()
        .min_by_key(|error| error.span().map(|span| span.start));
    let problems = doubled
        .iter()
        .chain(first)
        .map(|error| {
            let span = error.span();
            let at = span.clone().map(|span| text.position(span.start));
            let key = span
                .and_then(|span| text.content.get(span))
                .unwrap_or_default();
            match error.message() {
                DUPLICATE => text.problem(at, format!("duplicate key `{}`", key.escape_debug())),
                message => text.problem(at, format!("not TOML: {message}")),
            }
        })
        .collect();
    Parsed {
        table: table(text, root.get_ref()),
        problems,
        whole,
    }
}

fn table(text: &Text<'_>, table: &DeTable<'_>) -> Table {
    let mut entries: Vec<(usize, Entry)> = table
        .iter()
        .map(|(key, value)| {
            let start = key.span().start;
            let entry = Entry {
                key: key.get_ref().to_string(),
                at: text.position(start),
                node: node(text, value),
            };
            (start, entry)
        })
        .collect();
    entries.sort_by_key(|(start, _)| *start);
    Table {
        entries: entries.into_iter().map(|(_, entry)| entry).collect(),
    }
}

fn node(text: &Text<'_>, value: &Spanned<DeValue<'_>>) -> Node {
    let at = text.position(value.span().start);
    let value = match value.get_ref() {
        DeValue::Array(array) => Value::List(array.iter().map(|v| node(text, v)).collect()),
        DeValue::Boolean(_) => Value::Other("a truth value"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Float(_) => Value::Other("a number with a point"),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Value::Other("a number that is too large"), Value::Integer),
        DeValue::String(string) => Value::Text(string.to_string()),
        DeValue::Table(inner) => Value::Table(table(text, inner)),
    };
    Node { at, value }
}

impl Table {
    /// The table as TOML values, for writing.
    pub(super) fn to_toml(&self) -> toml::Table {
        self.entries
            .iter()
            .map(|entry| (entry.key.clone(), entry.node.to_toml()))
            .collect()
    }
}

impl Node {
    /// The value as a TOML value, for writing.
    pub(super) fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Integer(integer) => toml::Value::Integer(*integer),
            Value::List(nodes) => toml::Value::Array(nodes.iter().map(Self::to_toml).collect()),
            // No setting takes one, so a configuration that holds one was refused.
            Value::Other(kind) => toml::Value::String((*kind).to_owned()),
            Value::Table(table) => toml::Value::Table(table.to_toml()),
            Value::Text(text) => toml::Value::String(text.clone()),
        }
    }
}
