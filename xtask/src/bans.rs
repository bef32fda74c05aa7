//! What may not stand in the source, and the few places where it may.

use crate::workspace::{File, Finding, Workspace};

/// A word that may not occur, and why.
struct Ban {
    /// Written in two halves, so that this file does not trip over itself.
    halves: (&'static str, &'static str),
    whole_word: Whole,
    where_: fn(&File) -> bool,
    why: &'static str,
}

/// How a ban is compared with a line.
enum Whole {
    /// As a part of any word, whatever its case.
    Part,
    /// As a word of its own.
    Word,
    /// As it is written.
    Exact,
}

const BANS: &[Ban] = &[
    Ban {
        halves: ("#[", "ignore"),
        whole_word: Whole::Exact,
        where_: is_rust,
        why: "assert what the code does wrong, and say so",
    },
    Ban {
        halves: ("to", "do!("),
        whole_word: Whole::Exact,
        where_: is_rust,
        why: "what is not written yet is not there yet",
    },
    Ban {
        halves: ("unimpl", "emented!("),
        whole_word: Whole::Exact,
        where_: is_rust,
        why: "what is not written yet is not there yet",
    },
    Ban {
        halves: ("[al", "low("),
        whole_word: Whole::Exact,
        where_: is_rust,
        why: "use `expect` with a reason: it complains when it is no longer needed",
    },
    Ban {
        halves: ("un", "safe"),
        whole_word: Whole::Word,
        where_: is_rust_without_licence,
        why: "no file may; one that must needs a decision record and a line in xtask/src/bans.rs",
    },
    Ban {
        halves: ("ro", "le"),
        whole_word: Whole::Part,
        where_: is_below_the_program,
        why: "only the program knows presets; below it an instance is what its parts make it",
    },
];

/// The crates that the program is made of above its pipeline: a preset is a setting, and what
/// starts and shows instances names it.
const PRESET_CRATES: &[&str] = &["crates/config/", "crates/mta/", "crates/supervisor/"];

/// Files that may hold code that the compiler cannot check.
const LICENSED: &[&str] = &[];

/// Looks through every file.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let root = workspace.root.to_string_lossy();
    let mut findings = Vec::new();
    for file in workspace.files() {
        let bans: Vec<_> = BANS.iter().filter(|ban| (ban.where_)(file)).collect();
        for (number, line) in file.lines() {
            for ban in bans.iter().filter(|ban| ban.matches(line)) {
                findings.push(file.finding_at(number, format!("`{}`: {}", ban.text(), ban.why)));
            }
            if line.contains(&*root) {
                findings.push(file.finding_at(number, "a path of the machine it was written on"));
            }
        }
        if is_rust(file) {
            findings.extend(exceptions_without_reason(file));
        }
    }
    findings
}

impl Ban {
    fn text(&self) -> String {
        format!("{}{}", self.halves.0, self.halves.1)
    }

    fn matches(&self, line: &str) -> bool {
        let text = self.text();
        match self.whole_word {
            Whole::Exact => line.contains(&text),
            Whole::Part => line.to_ascii_lowercase().contains(&text),
            Whole::Word => {
                let code = line.split("//").next().unwrap_or_default();
                let is_part = |c: char| c.is_alphanumeric() || c == '_';
                code.split(|c| !is_part(c)).any(|word| word == text)
            }
        }
    }
}

fn is_rust(file: &File) -> bool {
    file.path.ends_with(".rs")
}

fn is_rust_without_licence(file: &File) -> bool {
    is_rust(file) && !LICENSED.contains(&file.path.as_str())
}

fn is_below_the_program(file: &File) -> bool {
    let knows = PRESET_CRATES
        .iter()
        .any(|folder| file.path.starts_with(folder));
    is_rust(file) && file.path.starts_with("crates/") && !knows
}

/// Attributes that lift a lint without `reason = "…"`; they may run over several lines.
fn exceptions_without_reason(file: &File) -> Vec<Finding> {
    let starts = |line: &str| {
        let line = line
            .trim_start()
            .trim_start_matches("#!")
            .trim_start_matches('#');
        line.starts_with("[expect(")
    };
    let lines: Vec<_> = file.lines().collect();
    let mut findings = Vec::new();
    for (i, (number, _)) in lines
        .iter()
        .enumerate()
        .filter(|(_, (_, line))| starts(line))
    {
        let mut attribute = Vec::new();
        for (_, line) in &lines[i..] {
            attribute.push(*line);
            if line.trim_end().ends_with(")]") {
                break;
            }
        }
        if !attribute.concat().contains("reason = ") {
            findings.push(file.finding_at(*number, "an exception without `reason = \"…\"`"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.into(),
            text: text.into(),
        }
    }

    #[test]
    fn a_banned_word_is_found_where_it_counts_and_only_there() {
        let word = &BANS[4];
        assert!(word.matches(concat!("    un", "safe { x }")));
        assert!(!word.matches(concat!("un", "safe_code = \"deny\"")));
        assert!(!word.matches(concat!("// nothing un", "safe here")));
    }

    #[test]
    fn the_word_of_the_program_is_unknown_below_it() {
        assert!(is_below_the_program(&file("crates/intake/src/lib.rs", "")));
        assert!(!is_below_the_program(&file("crates/mta/src/main.rs", "")));
        assert!(BANS[5].matches(concat!("struct InstanceRo", "le;")));
    }

    #[test]
    fn an_exception_needs_its_reason() {
        let bare = "//! x\n#[expect(dead_code)]\n";
        assert_eq!(exceptions_without_reason(&file("a.rs", bare)).len(), 1);
        let good = "#[expect(\n    dead_code,\n    reason = \"why\"\n)]\n";
        assert!(exceptions_without_reason(&file("a.rs", good)).is_empty());
    }
}
