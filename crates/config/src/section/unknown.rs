//! Keys that a table does not know: what was meant, or where they belong.

use super::Section;
use crate::nearest::{nearest, quoted};
use crate::settings::{COMMON, Kind, Setting};
use crate::tree::Entry;

impl<'a> Section<'a> {
    /// Notes every key that is not known, or not usable yet.
    pub(super) fn checked(mut self) -> Self {
        let table = self.table;
        for entry in table.into_iter().flat_map(|table| &table.entries) {
            let known = self.settings.iter().find(|known| known.key == entry.key);
            match known.map(|known| &known.kind) {
                None => self.unknown(entry),
                Some(Kind::Later(today)) => {
                    let (key, place) = (&entry.key, self.place());
                    let text = format!("`{key}`{place} is known but not built yet; today: {today}");
                    self.note(entry.at, text);
                }
                Some(_) => {}
            }
        }
        self
    }

    fn unknown(&mut self, entry: &'a Entry) {
        let known = self.settings.iter().map(|setting| setting.key);
        let homes = homes(&entry.key);
        let hint = if !homes.is_empty() {
            format!("it belongs {}", homes.join(" or "))
        } else if let Some(name) = nearest(&entry.key, known.clone()) {
            self.meant.push((name, &entry.node));
            format!("did you mean `{name}`?")
        } else {
            format!("known are {}", quoted(known))
        };
        let (key, place) = (entry.key.escape_debug(), self.place());
        self.note(entry.at, format!("unknown key `{key}`{place}; {hint}"));
    }
}

/// The tables that know this key, each as the end of a sentence.
fn homes(key: &str) -> Vec<String> {
    let mut homes = Vec::new();
    if COMMON.iter().any(|setting| setting.key == key) {
        homes.push("at the top of the file, before the first [table]".to_owned());
    }
    add_homes(key, "", COMMON, &mut homes);
    homes
}

fn add_homes(key: &str, path: &str, settings: &[Setting], homes: &mut Vec<String>) {
    for setting in settings {
        let Some((heading, path, inner)) = setting.table(path) else {
            continue;
        };
        let home = match setting.kind {
            Kind::Variant(_) => format!("`{heading}`"),
            _ => heading,
        };
        if inner.iter().any(|known| known.key == key) {
            homes.push(format!("in {home}"));
        }
        add_homes(key, &path, inner, homes);
    }
}
