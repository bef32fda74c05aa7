//! `docs/reference/settings.md`, made of the table of settings.

use std::fmt::Write;
use std::path::Path;

use super::settings::{COMMON, Kind, Preset, Setting};
use super::value::{show_duration, show_size};

const HEAD: &str = "# Settings

<!-- Made from the table of settings in the code by `cargo test`; do not edit. -->

A configuration is one TOML file. Everything that is not given has its default.
Times are written `500ms`, `30s`, `5m`, `4h` or `5d`, sizes `512 B`, `64 KiB`, `25 MiB` or
`2 GiB`, both in quotes.
In a path, `{state}` at the beginning is the state directory.
";

fn reference() -> String {
    let mut page = HEAD.to_owned();
    section(&mut page, "Top of the file", None, COMMON);
    tables(&mut page, "", COMMON);
    page
}

fn tables(page: &mut String, path: &str, settings: &[Setting]) {
    for setting in settings {
        let Some((mut title, path, inner)) = setting.table(path) else {
            continue;
        };
        if matches!(setting.kind, Kind::Variant(_)) {
            title += &format!(" in [[{}]]", parent(&path));
        }
        section(page, &format!("`{title}`"), Some(setting.meaning), inner);
        tables(page, &path, inner);
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(parent, _)| parent)
}

fn section(page: &mut String, title: &str, meaning: Option<&str>, settings: &[Setting]) {
    writeln!(page, "\n## {title}\n").unwrap();
    if let Some(meaning) = meaning {
        writeln!(page, "{meaning}\n").unwrap();
    }
    page.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
    for setting in settings {
        let (key, value, default) = (setting.key, form(&setting.kind), default(setting));
        let meaning = match setting.kind {
            Kind::Later(today) => format!("**Not built yet**; today: {today}. {}", setting.meaning),
            Kind::Choice(_)
            | Kind::Count { .. }
            | Kind::Duration { .. }
            | Kind::List(_)
            | Kind::Named(_)
            | Kind::Size { .. }
            | Kind::Table(_)
            | Kind::Tables(_)
            | Kind::Text(_)
            | Kind::Texts(_)
            | Kind::Variant(_) => setting.meaning.to_owned(),
        };
        writeln!(page, "| `{key}` | {value} | {default} | {meaning} |").unwrap();
    }
}

fn form(kind: &Kind) -> String {
    match kind {
        Kind::Choice(words) => words
            .iter()
            .map(|w| format!("`{w}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Kind::Count { min, max } => format!("number, {min} to {max}"),
        Kind::Duration { min, max } => {
            format!("time, {} to {}", show_duration(*min), show_duration(*max))
        }
        Kind::Later(_) => "–".to_owned(),
        Kind::List(of) => format!("list of: {of}"),
        Kind::Named(_) => "tables under names".to_owned(),
        Kind::Size { min, max } => format!("size, {} to {}", show_size(*min), show_size(*max)),
        Kind::Table(_) => "table".to_owned(),
        Kind::Tables(_) => "list of tables".to_owned(),
        Kind::Text(of) => (*of).to_owned(),
        Kind::Texts(of) => format!("{of}, or a list of such"),
        Kind::Variant(_) => "table with exactly one key".to_owned(),
    }
}

fn default(setting: &Setting) -> String {
    match setting.default {
        Preset::Always(text) => written(&setting.kind, text),
        Preset::ByRole {
            input,
            output,
            submission,
        } => [
            ("input", input),
            ("output", output),
            ("submission", submission),
        ]
        .map(|(role, text)| format!("{role}: {}", written(&setting.kind, text)))
        .join("; "),
        Preset::Nothing(meaning) => meaning.to_owned(),
        Preset::Required(_) => "**required**".to_owned(),
    }
}

/// As it would be written in a file.
fn written(kind: &Kind, text: &str) -> String {
    match kind {
        Kind::Count { .. } => format!("`{text}`"),
        Kind::List(_) | Kind::Texts(_) => format!("`{:?}`", text.split(' ').collect::<Vec<_>>()),
        Kind::Choice(_)
        | Kind::Duration { .. }
        | Kind::Later(_)
        | Kind::Named(_)
        | Kind::Size { .. }
        | Kind::Table(_)
        | Kind::Tables(_)
        | Kind::Text(_)
        | Kind::Variant(_) => format!("`\"{text}\"`"),
    }
}

#[test]
fn the_settings_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/settings.md");
    let (page, found) = (
        reference(),
        std::fs::read_to_string(&path).unwrap_or_default(),
    );
    if page != found {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page).unwrap();
        panic!("docs/reference/settings.md was stale and is rewritten: look at it and commit it");
    }
}

#[test]
fn every_setting_is_explained() {
    fn walk(settings: &[Setting]) {
        for setting in settings {
            assert!(setting.meaning.ends_with('.'), "{}", setting.key);
            assert!(!setting.meaning.contains("  "), "{}", setting.key);
            match setting.kind {
                Kind::Named(inner)
                | Kind::Table(inner)
                | Kind::Tables(inner)
                | Kind::Variant(inner) => walk(inner),
                Kind::Choice(words) => match setting.default {
                    Preset::Always(word) => assert!(words.contains(&word), "{}", setting.key),
                    Preset::ByRole { .. } | Preset::Nothing(_) | Preset::Required(_) => {}
                },
                Kind::Count { .. }
                | Kind::Duration { .. }
                | Kind::Later(_)
                | Kind::List(_)
                | Kind::Size { .. }
                | Kind::Text(_)
                | Kind::Texts(_) => {}
            }
        }
    }
    walk(COMMON);
}
