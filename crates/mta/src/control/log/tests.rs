//! The log in directories of its own: rotation, files moved away, torn lines, a file that fails.

use super::*;
use crate::observe::samples;

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

const NOW: Timestamp = Timestamp::from_unix_ms(1_795_477_800_000);

fn name() -> InstanceName {
    "control".parse().expect("a name")
}

fn settings(file: PathBuf) -> config::Log {
    config::Log {
        file: Some(file),
        format: LogFormat::Text,
        rotate_size: 1000,
        rotate_keep: 2,
    }
}

fn open(dir: &Dir) -> Log {
    let mut log = Log::new(name(), settings(dir.log()));
    log.mirror = Mirror::Off;
    log
}

fn write(log: &mut Log, text: &str) {
    log.note(NOW, text);
    log.flush(NOW);
}

#[test]
fn lines_are_appended_to_what_an_earlier_process_wrote() {
    let dir = Dir::new("append");
    std::fs::write(dir.log(), "an old line\na torn li").expect("written");
    let mut log = open(&dir);
    write(&mut log, "started");
    assert_eq!(
        dir.read("postern.log"),
        "an old line\na torn li\n\
         2026-11-23T23:50:00.000Z control - instance text=\"the line before this one was cut off\"\n\
         2026-11-23T23:50:00.000Z control - instance text=started\n"
    );
}

#[test]
fn a_file_that_was_moved_away_is_left_without_losing_a_line() {
    let dir = Dir::new("moved");
    let mut log = open(&dir);
    write(&mut log, "one");
    std::fs::rename(dir.log(), dir.0.join("moved")).expect("renamed");
    log.note(NOW, "two");
    log.look_after(NOW);
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
        log.look_after(NOW);
    }
    write(&mut log, "now");
    assert!(dir.read("postern.log").contains("text=now"));
    assert!(dir.read("postern.log.1").contains("text=\"3 x"));
    assert!(dir.read("postern.log.2").contains("text=\"2 x"));
    assert!(!dir.0.join("postern.log.3").exists());
}

#[test]
fn what_could_not_be_written_waits_and_what_did_not_fit_is_counted_and_said() {
    let dir = Dir::new("fails");
    let blocked = dir.0.join("not-yet");
    let mut log = Log::new(name(), settings(blocked.join("postern.log")));
    log.mirror = Mirror::Off;
    let event = &samples::all()[4];
    let mut n_appended = 0_u64;
    while log.lines.n_lost < 10 {
        log.append(&name(), event);
        n_appended += 1;
    }
    log.flush(NOW);
    std::fs::create_dir(&blocked).expect("a directory");
    log.flush(NOW);
    write(&mut log, "after");
    let text = dir.read("not-yet/postern.log");
    assert_eq!(text.lines().count() as u64, n_appended - 10 + 2);
    assert!(text.contains("alarm text=\"10 lines of the log are missing before this one\""));
}

#[test]
fn a_line_torn_within_a_character_leaves_the_rest_readable() {
    let mut lines = Lines {
        text: "aéb".to_owned(),
        n_lost: 0,
    };
    lines.drop_written(2);
    assert_eq!(lines.text, "\u{fffd}b");
}
