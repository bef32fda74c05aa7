//! A configuration file that is broken, unreadable, gone, or something else while the system runs:
//! the system is asked, not the file, and no tool and no local mail stops.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use testkit::run::Ran;
use testkit::wait;

use crate::system::System;

/// A command that knows only the configuration file.
fn by_file(system: &System, arguments: &[&str]) -> Ran {
    let mut command = system.postern.command();
    command.env_remove("POSTERN_STATE").args(arguments);
    testkit::run::run(&mut command, "Subject: by file\n\nHi\n", wait::LIMIT)
}

/// The same as `sendmail`.
fn sendmail(system: &System, mark: &str) -> Ran {
    let mut command = system.postern.command_as("sendmail");
    let command = command
        .env_remove("POSTERN_STATE")
        .arg("alice@example.test");
    testkit::run::run(command, &format!("Subject: {mark}\n\nHi\n"), wait::LIMIT)
}

/// Makes the configuration file something else, and puts it right again.
struct Astray {
    what: &'static str,
    make: fn(&Path),
}

const EVERY_WAY: [Astray; 7] = [
    Astray {
        what: "a typo",
        make: |path| write(path, b"hostname = \"mail.example.test\nstate = 7"),
    },
    Astray {
        what: "another state directory, not in force yet",
        make: |path| {
            let text = fs::read_to_string(path).expect("there");
            write(path, text.replace("/state\"", "/elsewhere\"").as_bytes());
        },
    },
    Astray {
        what: "not UTF-8",
        make: |path| write(path, b"hostname = \"\xfc\""),
    },
    Astray {
        what: "empty",
        make: |path| write(path, b""),
    },
    Astray {
        what: "gone",
        make: |path| fs::remove_file(path).expect("there"),
    },
    Astray {
        what: "a directory",
        make: |path| {
            fs::remove_file(path).expect("there");
            fs::create_dir(path).expect("made");
        },
    },
    Astray {
        what: "a pipe",
        make: |path| {
            fs::remove_file(path).expect("there");
            rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o644.into()).expect("made");
        },
    },
];

fn write(path: &Path, content: &[u8]) {
    fs::write(path, content).expect("the scratch directory can be written");
}

fn put_right(path: &Path, config: &[u8]) {
    if path.is_dir() {
        fs::remove_dir(path).expect("empty");
    } else if path.exists() {
        fs::remove_file(path).expect("there");
    }
    write(path, config);
}

#[test]
fn no_tool_and_no_local_mail_needs_the_file_of_a_running_system() {
    let system = System::embedded();
    let config = system.postern.config().to_owned();
    let good = fs::read(&config).expect("there");
    for (n, Astray { what, make }) in EVERY_WAY.iter().enumerate() {
        make(&config);
        let is_good = what.starts_with("another");
        let mark = format!("astray-{n}");
        let ran = sendmail(&system, &mark);
        assert_eq!(ran.status, Some(0), "{what}: {ran:?}");
        system.arrived("alice", &format!("Subject: {mark}\n"));
        system.logged(&["output", "delivered"]);
        for arguments in [
            &["status"][..],
            &["queue"],
            &["queue", "count"],
            &["mailq"],
            &["trace", "alice@example.test"],
            &["spool", "verify"],
            &["spool", "quarantine", "list"],
            &["send", "--from", "bob", "--to", "alice"],
        ] {
            let ran = by_file(&system, arguments);
            assert_eq!(ran.status, Some(0), "{what}, {arguments:?}: {ran:?}");
        }
        // What is about the file says what is wrong with it, and changes nothing.
        for verb in ["reload", "check"].iter().filter(|_| !is_good) {
            let ran = by_file(&system, &[verb]);
            assert_eq!(ran.status, Some(1), "{what}, {verb}: {ran:?}");
        }
        let start = by_file(&system, &["start"]).fails(1);
        assert!(start.contains("already running"), "{what}: {start}");
        put_right(&config, &good);
    }
    by_file(&system, &["reload"]).ok();
}

#[test]
fn a_system_whose_file_is_useless_is_stopped_by_it_all_the_same() {
    let mut system = System::embedded();
    let config = system.postern.config().to_owned();
    fs::remove_file(&config).expect("there");
    fs::create_dir(&config).expect("made");
    by_file(&system, &["stop"]).ok();
    system.postern.wait_for_end();
    // And is known to be down.
    for verb in ["status", "queue", "stop"] {
        let text = by_file(&system, &[verb]).fails(4);
        assert!(text.contains("not running in "), "{text}");
    }
    let text = by_file(&system, &["start"]).fails(1);
    assert!(text.contains("it is a directory"), "{text}");
    // After a stop its log and its spools can still be read.
    by_file(&system, &["spool", "verify"]).ok();
}

/// Root may read everything, so somebody else asks.
#[test]
fn local_mail_of_a_user_who_may_not_read_the_file_is_taken() {
    if !rustix::process::geteuid().is_root() {
        testkit::peer::skip("only root can be somebody else");
        return;
    }
    let mut system = System::stopped(|config| config);
    // Nor does the mask matter under which the system was started.
    let script = "umask 077 && exec \"$0\" \"$@\"";
    system
        .postern
        .start_under(&["sh", "-c", script].map(Into::into));
    let closed = fs::Permissions::from_mode(0o600);
    fs::set_permissions(system.postern.config(), closed).expect("changed");
    let program = system.postern.scratch().path().join("postern");
    fs::copy(env!("CARGO_BIN_EXE_postern"), &program).expect("it can be copied");
    let mut command = Command::new(&program);
    std::os::unix::process::CommandExt::uid(&mut command, 65_534);
    command
        .env("POSTERN_RUN", system.postern.run_directory())
        .arg("--config")
        .arg(system.postern.config())
        .args(["sendmail", "-f", "cron@example.test", "alice@example.test"]);
    testkit::run::run(&mut command, "Subject: closed\n\nHi\n", wait::LIMIT).ok();
    system.arrived("alice", "Subject: closed\n");
}

#[test]
fn a_state_directory_alone_says_the_host_name_of_what_runs_there() {
    let system =
        System::with(|config| config.replace("\"mail.example.test\"", "\"mx.elsewhere.example\""));
    let mut command = system.postern.command();
    command.env_remove("POSTERN_CONFIG").args([
        "send",
        "--from",
        "cron",
        "--to",
        "alice@example.test",
    ]);
    testkit::run::run(&mut command, "Subject: named\n\nHi\n", wait::LIMIT).ok();
    let message = system.arrived("alice", "Subject: named");
    assert!(message.contains("<cron@mx.elsewhere.example>"), "{message}");
}
