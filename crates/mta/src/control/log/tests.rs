//! The log in directories and pipes of its own: rotation, files that change, readers that do not
//! read.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use config::LogFormat;
use events::encoding::Lost;
use events::samples;

use super::*;

mod streams;

/// A directory that is removed when the test ends.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("postern-log-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        Self(dir)
    }

    fn log(&self) -> PathBuf {
        self.0.join("postern.log")
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).expect(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn name() -> InstanceName {
    "control".parse().expect("a name")
}

fn settings(file: Option<PathBuf>) -> config::Log {
    config::Log {
        file,
        format: LogFormat::Text,
        rotate_size: 1000,
        rotate_keep: 2,
    }
}

fn open_at(file: PathBuf) -> Writer {
    let settings = settings(Some(file));
    let board = Arc::new(Board::new(settings.file.clone()));
    Writer::new(name(), settings, Clock::start(), board, None)
}

fn open(dir: &Dir) -> Writer {
    open_at(dir.log())
}

fn instance(text: &str) -> Event {
    samples::event(None, What::Instance { text: text.into() })
}

fn write(log: &mut Writer, text: &str) -> bool {
    log.append(&name(), &instance(text));
    log.flush()
}

/// The line without its time and name.
fn said(line: &str) -> &str {
    line.split_once(" control - ")
        .map_or(line, |(_, said)| said)
}

#[test]
fn lines_are_appended_to_what_an_earlier_process_wrote() {
    let dir = Dir::new("append");
    std::fs::write(dir.log(), "an old line\na torn li").expect("written");
    let mut log = open(&dir);
    assert!(write(&mut log, "started"));
    let text = dir.read("postern.log");
    let lines: Vec<_> = text.lines().map(said).collect();
    assert_eq!(
        lines,
        [
            "an old line",
            "a torn li",
            "instance text=\"previous line truncated\"",
            "instance text=started",
        ]
    );
}

#[test]
fn a_file_that_was_moved_away_is_left_without_losing_a_line() {
    let dir = Dir::new("moved");
    let mut log = open(&dir);
    write(&mut log, "one");
    std::fs::rename(dir.log(), dir.0.join("moved")).expect("renamed");
    log.append(&name(), &instance("two"));
    log.look_after();
    write(&mut log, "three");
    assert!(dir.read("moved").contains("text=two"));
    assert!(!dir.read("moved").contains("text=three"));
    assert!(dir.read("postern.log").contains("text=three"));
}

#[test]
fn a_file_that_has_grown_is_put_aside_and_the_oldest_goes() {
    let dir = Dir::new("rotate");
    let mut log = open(&dir);
    for number in 0..4 {
        write(&mut log, &format!("{number} {}", "x".repeat(1000)));
        log.look_after();
    }
    write(&mut log, "now");
    assert!(dir.read("postern.log").contains("text=now"));
    assert!(dir.read("postern.log.1").contains("text=\"3 x"));
    assert!(dir.read("postern.log.2").contains("text=\"2 x"));
    assert!(!dir.0.join("postern.log.3").exists());
}

#[test]
fn lines_that_a_removed_file_took_are_written_again() {
    let dir = Dir::new("removed");
    let mut log = open(&dir);
    write(&mut log, "one");
    std::fs::remove_file(dir.log()).expect("removed");
    assert!(write(&mut log, "two"));
    let text = dir.read("postern.log");
    assert!(
        text.contains("text=two") && !text.contains("text=one"),
        "{text}"
    );
}

#[test]
fn a_file_that_others_emptied_is_rotated_by_the_length_that_it_has() {
    let dir = Dir::new("emptied");
    let mut log = open(&dir);
    write(&mut log, &"x".repeat(990));
    // As copytruncate does.
    std::fs::write(dir.log(), "").expect("emptied");
    write(&mut log, "two");
    log.look_after();
    assert!(!dir.0.join("postern.log.1").exists());
    assert!(dir.read("postern.log").contains("text=two"));
}

#[test]
fn what_could_not_be_written_waits_and_what_did_not_fit_is_counted() {
    let dir = Dir::new("fails");
    let blocked = dir.0.join("not-yet");
    let mut log = open_at(blocked.join("postern.log"));
    let event = &samples::all()[4];
    assert!(!write(&mut log, "first"));
    let now = Timestamp::default();
    let shown = log.board().json(now);
    assert_eq!(shown["state"], "stuck");
    let trouble = shown["trouble"].as_str().expect("a reason");
    assert!(
        trouble.contains("not-yet/postern.log cannot be written: No such"),
        "{trouble}"
    );
    let mut n_appended = 0_u64;
    while log.board().json(now)["lost"] != 10 {
        log.append(&name(), event);
        n_appended += 1;
    }
    std::fs::create_dir(&blocked).expect("a directory");
    assert!(log.flush());
    assert!(write(&mut log, "after"));
    assert_eq!(log.board().json(now)["state"], "written");
    let text = dir.read("not-yet/postern.log");
    // With the first, the last, the recovery, and the loss.
    assert_eq!(text.lines().count() as u64, n_appended - 10 + 4, "{text}");
    assert!(text.contains("alarm text=\"10 lines of control are missing before this one\""));
    assert!(text.contains("alarm text=\"written again after a pause since "));
}

#[test]
fn a_line_that_was_torn_within_a_character_is_whole_in_the_next_file() {
    let dir = Dir::new("torn");
    let mut log = open(&dir);
    let batch = Decoded {
        lost: Lost::default(),
        events: vec![instance("one"), instance("aéb")],
    };
    log.begin_batch(&name(), &batch);
    log.tear_within("é");
    assert!(log.flush());
    let text = dir.read("postern.log");
    let lines: Vec<_> = text.lines().map(said).collect();
    assert_eq!(lines, ["instance text=\"aéb\""]);
}

#[test]
fn a_write_that_does_not_return_is_shown_as_such() {
    let board = Board::new(Some("/var/log/postern.log".into()));
    let at = |seconds: u64| Timestamp::from_unix_ms(1_795_477_800_000 + seconds * 1000);
    board.begin_write(at(0));
    assert!(!board.is_stuck(at(1)));
    assert!(board.is_stuck(at(10)));
    let shown = board.json(at(10));
    assert_eq!(
        shown["trouble"],
        "a write to /var/log/postern.log has not returned"
    );
    assert_eq!(shown["since_seconds"], 10);
    board.end_write();
    assert!(!board.is_stuck(at(11)));
}
