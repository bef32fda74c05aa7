//! Reading one value of a section: given, or by default.

use std::time::Duration;

use super::Section;
use crate::model::Role;
use crate::nearest::{nearest, quoted};
use crate::settings::{Kind, Preset, Setting};
use crate::tree::{Node, Value};
use crate::value::{self, Wrong, show_duration, show_size};

impl Section<'_> {
    /// The value in the form that `parse` reads, or the default; `None` where there is neither.
    pub(crate) fn text<T>(&self, key: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let setting = self.setting(key);
        match self.given(key) {
            Some(node) => match self.element(key, node, &parse) {
                Some(value) => return Some(value),
                None if matches!(setting.default, Preset::Required(_)) => return None,
                None => {}
            },
            None => self.note_if_required(setting),
        }
        self.default(setting).map(|text| by_table(parse(text)))
    }

    fn element<T>(
        &self,
        key: &str,
        node: &Node,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        match &node.value {
            Value::Text(text) => match parse(text) {
                Ok(value) => Some(value),
                Err(wrong) => {
                    let wrong = wrong.escape_debug();
                    self.note(node.at, format!("`{key}`{}: {wrong}", self.place()));
                    None
                }
            },
            Value::Integer(_) | Value::List(_) | Value::Other(_) | Value::Table(_) => {
                self.mismatch(key, node, expected(&self.setting(key).kind));
                None
            }
        }
    }

    /// One of the words that the table lists.
    pub(crate) fn choice<T>(&self, key: &str, meaning: impl Fn(&str) -> Option<T>) -> Option<T> {
        let Kind::Choice(words) = self.setting(key).kind else {
            unreachable!("invariant: a setting that is read as a choice is one")
        };
        self.text(key, |word| {
            meaning(word).ok_or_else(|| {
                let hint = nearest(word, words.iter().copied())
                    .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
                format!(
                    "`{word}` is none of {}{hint}",
                    quoted(words.iter().copied())
                )
            })
        })
    }

    /// A whole number.
    pub(crate) fn count(&self, key: &str) -> u32 {
        let setting = self.setting(key);
        let Kind::Count { min, max } = setting.kind else {
            unreachable!("invariant: a setting that is read as a number is one")
        };
        if let Some(node) = self.given(key) {
            match &node.value {
                Value::Integer(number) => match u32::try_from(*number) {
                    Ok(count) if (min..=max).contains(&count) => return count,
                    Ok(_) | Err(_) => self.range(key, node, min, max, number),
                },
                Value::List(_) | Value::Other(_) | Value::Table(_) | Value::Text(_) => {
                    self.mismatch(key, node, "a whole number without quotes");
                }
            }
        }
        let default = self.default(setting).and_then(|text| text.parse().ok());
        default.expect("invariant: a number in the table of settings has a default")
    }

    /// A time.
    pub(crate) fn duration(&self, key: &str) -> Duration {
        let Kind::Duration { min, max } = self.setting(key).kind else {
            unreachable!("invariant: a setting that is read as a time is one")
        };
        let bounds = Duration::from_secs(min)..=Duration::from_secs(max);
        let value = self.text(key, |text| {
            let value = value::duration(text)?;
            if bounds.contains(&value) {
                return Ok(value);
            }
            let (min, max) = (show_duration(min), show_duration(max));
            Err(format!(
                "`{text}` is out of range; it must be from {min} to {max}"
            ))
        });
        value.expect("invariant: a time in the table of settings has a default")
    }

    /// A size, in octets.
    pub(crate) fn size(&self, key: &str) -> u64 {
        let Kind::Size { min, max } = self.setting(key).kind else {
            unreachable!("invariant: a setting that is read as a size is one")
        };
        let value = self.text(key, |text| {
            let value = value::size(text)?;
            if (min..=max).contains(&value) {
                return Ok(value);
            }
            let (min, max) = (show_size(min), show_size(max));
            Err(format!(
                "`{text}` is out of range; it must be from {min} to {max}"
            ))
        });
        value.expect("invariant: a size in the table of settings has a default")
    }

    /// A size of at most 4 GiB, by the table.
    pub(crate) fn size_u32(&self, key: &str) -> u32 {
        u32::try_from(self.size(key)).expect("invariant: the table bounds this size by 4 GiB")
    }

    fn range(
        &self,
        key: &str,
        node: &Node,
        min: impl std::fmt::Display,
        max: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) {
        let place = self.place();
        self.note(
            node.at,
            format!("`{key}`{place} must be from {min} to {max}, not {found}"),
        );
    }

    /// A list of texts, or one text; the default is a list with spaces between. `None` where
    /// neither is there.
    pub(crate) fn list<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        let setting = self.setting(key);
        let single = matches!(setting.kind, Kind::Texts(_));
        let Some(node) = self.given(key) else {
            self.note_if_required(setting);
            let default = self.default(setting)?;
            return Some(
                default
                    .split(' ')
                    .map(|text| by_table(parse(text)))
                    .collect(),
            );
        };
        match &node.value {
            Value::List(nodes) => Some(
                nodes
                    .iter()
                    .filter_map(|node| self.element(key, node, &parse))
                    .collect(),
            ),
            Value::Text(_) if single => Some(self.element(key, node, &parse).into_iter().collect()),
            Value::Integer(_) | Value::Other(_) | Value::Table(_) | Value::Text(_) => {
                self.mismatch(key, node, "a list of texts in brackets");
                Some(Vec::new())
            }
        }
    }

    fn default(&self, setting: &Setting) -> Option<&'static str> {
        match setting.default {
            Preset::Always(text) => Some(text),
            Preset::ByRole {
                input,
                output,
                submission,
            } => Some(match self.role {
                Role::Input => input,
                Role::Output => output,
                Role::Submission => submission,
            }),
            Preset::Nothing(_) | Preset::Required(_) => None,
        }
    }
}

/// What a text of this kind is called where it is missing.
const fn expected(kind: &Kind) -> &'static str {
    match kind {
        Kind::Duration { .. } => "a time in quotes, such as \"30s\"",
        Kind::Size { .. } => "a size in quotes, such as \"64 KiB\"",
        Kind::Choice(_)
        | Kind::Count { .. }
        | Kind::Later(_)
        | Kind::List(_)
        | Kind::Named(_)
        | Kind::Table(_)
        | Kind::Tables(_)
        | Kind::Text(_)
        | Kind::Texts(_)
        | Kind::Variant(_) => "a text in quotes",
    }
}

fn by_table<T>(value: Result<T, Wrong>) -> T {
    value.expect("invariant: a default in the table of settings is in the form of its setting")
}
