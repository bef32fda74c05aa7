//! Mail that local programs leave while the system is down.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use testkit::peer::is_root;
use testkit::run::{Ran, run};
use testkit::wait;

use crate::system::{System, succeeds};

/// The mode of a file that is complete.
const COMPLETE: u32 = 0o740;

fn sendmail(system: &System, arguments: &[&str]) -> Command {
    let mut command = system.postern.command_as("sendmail");
    command.args(arguments);
    command
}

fn as_user(mut command: Command, uid: u32, input: &str) -> Ran {
    run(command.uid(uid).gid(uid), input, wait::LIMIT)
}

/// What lies in a directory of the maildrop.
fn left(system: &System, folder: &str) -> Vec<PathBuf> {
    let folder = system.postern.state(&format!("maildrop/{folder}"));
    let entries = std::fs::read_dir(folder).expect("it is there");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

fn is_picked_up(system: &System) {
    wait::until_true("the maildrop is empty", || {
        left(system, "new").is_empty() && left(system, "taken/submission").is_empty()
    });
}

#[test]
fn mail_of_any_user_is_left_while_the_system_is_down_and_picked_up_once() {
    if !is_root() {
        return;
    }
    let mut system = System::of_user(1234);
    system.postern.stop();
    let message = "To: alice@example.test\nReply-To: root\nBcc: bob@example.test\nSubject: left\n\n\
                   Hello.\n.\nMore.\n";
    as_user(sendmail(&system, &["-t", "-i"]), 4321, message).ok();
    let [file] = &left(&system, "new")[..] else {
        panic!("one file");
    };
    let metadata = std::fs::metadata(file).expect("a file");
    assert_eq!((metadata.uid(), metadata.gid()), (4321, 1234));
    assert_eq!(metadata.mode() & 0o7777, COMPLETE);
    let folder = system.postern.state("maildrop/new").display().to_string();
    let file = file.display().to_string();
    for forbidden in [
        format!("ls {folder}"),
        format!("cat {file}"),
        format!("echo x >> {file}"),
        format!("rm -f {file}"),
        format!("mv {file} {folder}/x"),
        format!("mv -f $0 {file}"),
    ] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &forbidden]);
        let ran = as_user(shell, 999, "");
        assert_ne!(ran.status, Some(0), "{forbidden}: {ran:?}");
    }
    system.postern.start();
    let content = system.arrived("alice", "Subject: left");
    assert!(
        content.contains("\nReply-To: root@mail.example.test\n"),
        "{content}"
    );
    assert!(
        content.contains("\nFrom: uid-4321@mail.example.test\n"),
        "{content}"
    );
    assert!(
        content.contains("\nDate: ") && content.contains("\nMessage-ID: "),
        "{content}"
    );
    assert!(content.ends_with("\n\nHello.\n.\nMore.\n"), "{content}");
    assert!(!content.contains("bob"), "{content}");
    system.arrived("bob", "Subject: left");
    system.logged(&["accepted", "uid=4321", "previous=maildrop"]);
    is_picked_up(&system);
    system.drained();
    assert_eq!(system.subjects("alice"), ["left"]);
}

#[test]
fn mail_that_is_picked_up_while_all_is_killed_arrives_once() {
    let mut system = System::embedded();
    system.postern.stop();
    let subjects: Vec<String> = (0..30).map(|n| format!("left-{n:02}")).collect();
    for subject in &subjects {
        let message = format!("Subject: {subject}\n\nHello.\n");
        succeeds(
            &mut sendmail(&system, &["-i", "alice@example.test"]),
            &message,
        );
    }
    for n in [1, 9, 17] {
        system.postern.start();
        wait::until_true("some of it has arrived", || {
            system.subjects("alice").len() >= n
        });
        for name in ["submission", "output"] {
            system.postern.signal(name, Signal::KILL);
        }
        system.postern.stop();
    }
    system.postern.start();
    is_picked_up(&system);
    system.all_arrived_once("alice", &subjects);
}

#[test]
fn what_is_no_message_keeps_no_message_from_being_picked_up() {
    if !is_root() {
        return;
    }
    let mut system = System::embedded();
    system.postern.stop();
    let folder = system.postern.state("maildrop/new");
    let secret = system.postern.scratch().file("secret", "To: nobody\n");
    let make = |name: &str, text: &str, mode: u32| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("its mode");
        chown(&path, Some(4321), None).expect("its owner");
        path
    };
    let envelope = "postern maildrop 1\nlength 3\nfrom \nto alice@example.test\n\n";
    symlink(&secret, folder.join("link")).expect("a link");
    let linked = make("linked", &format!("{envelope}a\r\n"), COMPLETE);
    std::fs::hard_link(&linked, system.postern.scratch().path().join("other")).expect("a link");
    make("incomplete", &format!("{envelope}a\r\n"), 0o600);
    std::fs::create_dir(folder.join("folder")).expect("a folder");
    for (name, text) in [
        ("empty", String::new()),
        ("short", format!("{envelope}a")),
        ("long", format!("{envelope}a\r\nbcd\r\n")),
        ("nul", format!("{envelope}a\0\n")),
        ("recipient", envelope.replace("alice@", "alice@@")),
    ] {
        make(name, &text, COMPLETE);
    }
    let lines =
        "postern maildrop 1\nlength 17\nfrom \nto alice@example.test\n\nSubject: x\n\na\rb\n\n";
    make("lines", lines, COMPLETE);
    succeeds(
        &mut sendmail(&system, &["alice@example.test"]),
        "Subject: good\n\n",
    );
    system.postern.start();
    system.arrived("alice", "Subject: good");
    let content = system.arrived("alice", "Subject: x");
    assert!(
        content.ends_with("\n\na\nb\n\n"),
        "whatever ended a line: {content:?}"
    );
    wait::until_true("what is no message is kept", || {
        left(&system, "refused").len() == 5
    });
    assert!(left(&system, "taken/submission").is_empty());
    let mut names: Vec<_> = left(&system, "new");
    names.sort();
    // They may still become something, and for a day are let alone.
    assert_eq!(
        names,
        ["incomplete", "link", "linked"].map(|name| folder.join(name))
    );
    system.logged(&["uid 4321", "kept as"]);
    assert_eq!(
        std::fs::read_to_string(secret).expect("it is there"),
        "To: nobody\n"
    );
}

#[test]
fn a_configuration_that_cannot_be_read_keeps_no_program_from_sending() {
    let mut system = System::embedded();
    let config = system.config.clone();
    for (subject, is_up) in [("broken", true), ("still", false)] {
        if !is_up {
            system.postern.stop();
        }
        system.rewrite(|_| "hostname = \n".to_owned());
        // The state directory is named, as the usual one is known without a name.
        let message = format!("Subject: {subject}\n\nHello.\n");
        succeeds(
            &mut sendmail(&system, &["-i", "alice@example.test"]),
            &message,
        );
        system.rewrite(|_| config.clone());
    }
    system.postern.start();
    system.all_arrived_once("alice", &["broken".to_owned(), "still".to_owned()]);
}

#[test]
fn mail_is_left_where_submission_takes_no_more_clients() {
    let system = System::with(|config| {
        let limits =
            "[instance.submission.limits]\nconnections = 1\nconnections_per_client = 1\n\n";
        config.replace(
            "[instance.input] ",
            &(limits.to_owned() + "[instance.input] "),
        )
    });
    let client = system.at_submission();
    let message = "Subject: by-argument\n\nHello.\n";
    succeeds(
        &mut sendmail(&system, &["-i", "alice@example.test"]),
        message,
    );
    let session = "EHLO x\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<alice@example.test>\r\n\
                   DATA\r\nSubject: by-session\r\n\r\nHello.\r\n.\r\nQUIT\r\n";
    let out = succeeds(&mut sendmail(&system, &["-bs"]), session);
    assert!(out.contains("250 2.0.0 kept in the maildrop"), "{out}");
    system.all_arrived_once(
        "alice",
        &["by-argument".to_owned(), "by-session".to_owned()],
    );
    drop(client);
}

#[test]
fn a_thousand_recipients_and_more_become_several_transactions() {
    let mut system = System::embedded();
    let list: Vec<String> = (0..2500).map(|n| format!("r{n}@far.example")).collect();
    let message = format!("To: {}\nSubject: many\n\nHello.\n", list.join(",\n "));
    let held = |system: &System| {
        let count = system.postern.json(&["queue", "count", "instance=output"]);
        count.to_string()
    };
    succeeds(&mut sendmail(&system, &["-t"]), &message);
    wait::until_true("all are in the queue", || held(&system).contains("2500"));
    system.postern.stop();
    succeeds(&mut sendmail(&system, &["-t"]), &message);
    assert_eq!(left(&system, "new").len(), 3);
    system.postern.start();
    wait::until_true("all are in the queue twice", || {
        held(&system).contains("5000")
    });
}
