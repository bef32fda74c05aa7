//! Files that are no TOML in UTF-8, or no files: each is refused at its place, and none is waited
//! for.

use testkit::Scratch;

use super::*;

const GOOD: &str = "hostname = \"h.example\"\n\
                    [instance.output]\n\
                    role = \"output\" # fine\n";

/// What is said of a file with this content, without its path.
fn said(content: &[u8]) -> String {
    let scratch = Scratch::new();
    let path = scratch.path().join("p.toml");
    std::fs::write(&path, content).unwrap();
    told(&path)
}

fn told(path: &Path) -> String {
    match Config::load(path, None) {
        Ok(config) => format!("{} instances", config.instances.len()),
        Err(problems) => problems
            .to_string()
            .replace(&path.display().to_string(), "FILE"),
    }
}

fn with(from: &str, to: &[u8]) -> Vec<u8> {
    let (before, after) = GOOD.split_once(from).unwrap();
    [before.as_bytes(), to, after.as_bytes()].concat()
}

#[test]
fn what_is_no_utf8_is_told_by_line_and_column() {
    let latin1 = said(&with("fine", b"\xfcbel"));
    assert_eq!(
        latin1,
        "FILE:3:19: not UTF-8: the byte 0xFC; save the file as UTF-8"
    );
    // Columns count characters.
    let behind = said(&with("fine", &["ü\u{20ac} ".as_bytes(), b"\xff"].concat()));
    assert!(behind.starts_with("FILE:3:22: not UTF-8"), "{behind}");
    let cut = said(
        "hostname = \"h.example\"\n# \u{20ac}"
            .as_bytes()
            .split_last()
            .unwrap()
            .1,
    );
    assert!(cut.starts_with("FILE:2:3: not UTF-8"), "{cut}");
    let wide: Vec<u8> = std::iter::once(0xfeff)
        .chain(GOOD.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(
        said(&wide),
        "FILE:1:1: this is UTF-16; save the file as UTF-8"
    );
}

#[test]
fn a_byte_order_mark_at_the_beginning_is_skipped_and_nowhere_else() {
    assert_eq!(
        said(&[b"\xef\xbb\xbf", GOOD.as_bytes()].concat()),
        "1 instances"
    );
    let mistake = GOOD.replace("hostname", "hostnam");
    let at = said(&[b"\xef\xbb\xbf", mistake.as_bytes()].concat());
    assert!(at.starts_with("FILE:1:1: "), "{at}");
    let twice = said(&[GOOD.as_bytes(), b"\xef\xbb\xbf", b"x = 1\n"].concat());
    assert!(twice.starts_with("FILE:4:1: "), "{twice}");
}

#[test]
fn control_characters_and_line_ends_of_other_systems_are_told_by_place() {
    assert_eq!(said(GOOD.replace('\n', "\r\n").as_bytes()), "1 instances");
    for (content, place) in [
        (GOOD.replace('\n', "\r"), "FILE:1:24: not TOML"),
        (GOOD.replace("fine", "\0"), "FILE:3:19: not TOML"),
        (GOOD.replace("h.example", "h\0"), "FILE:1:14: not TOML"),
    ] {
        let said = said(content.as_bytes());
        assert!(said.starts_with(place), "{said}");
    }
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let scratch = Scratch::new();
    let pipe = scratch.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
    for (path, words) in [
        (scratch.path(), "it is a directory, not a file"),
        (&pipe, "it is a pipe, not a file"),
        (Path::new("/dev/null"), "it is a device, not a file"),
        (&scratch.path().join("absent"), "No such file"),
    ] {
        let said = told(path);
        assert!(
            said.starts_with("FILE: cannot be read: ") && said.contains(words),
            "{said}"
        );
    }
    let huge = scratch.path().join("huge");
    std::fs::File::create(&huge)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    assert!(told(&huge).contains("longer than 16777216 bytes"));
}
