//! A spool that was removed, restored wrongly, put on a disk that cannot be written, or damaged as a
//! whole: it is said in words, the other instances run on, and once it is put right the instance
//! comes back by itself.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use testkit::{Dialogue, wait};

use crate::system::{System, give, letter};

/// The user that a system runs as for which root's files are not its own.
const NOBODY: u32 = 65_534;

fn spool_of(system: &System, instance: &str) -> PathBuf {
    system.postern.state(&format!("spool/{instance}"))
}

/// Kills input after its spool was changed; waits for `words` about why it does not come back.
#[track_caller]
fn input_does_not_come_back(system: &System, words: &str) {
    let mark = words.replace(|c: char| !c.is_alphanumeric(), "-");
    system.postern.signal("input", Signal::KILL);
    system.logged(&["input", "alarm", words]);
    // Between two pauses it is starting.
    wait::until_true("status says so", || {
        let status = system.postern.call(&["status"]);
        status.status == Some(3) && status.out.contains("input        NOT ANSWERING")
    });
    others_run_on(system, &mark);
}

/// The others have started.
#[track_caller]
fn others_come(system: &System) {
    wait::until_true("the others are there", || {
        let status = system.postern.call(&["status"]).out;
        let is_up = |name| {
            status
                .lines()
                .any(|l| l.starts_with(name) && l.contains(" pid "))
        };
        is_up("submission") && is_up("output")
    });
}

/// Mail of this machine is delivered meanwhile.
#[track_caller]
fn others_run_on(system: &System, mark: &str) {
    let mut client = system.at_submission();
    let text = letter(mark);
    give(
        &mut client,
        "bob@example.test",
        &["alice@example.test"],
        &text,
    );
    system.arrived("alice", &format!("Subject: {mark}\n"));
}

/// It is put right: input takes mail again, without anybody's doing.
#[track_caller]
fn input_comes_back(system: &System, mark: &str) {
    let mut client = wait::until("input listens again", || {
        let mut client = Dialogue::try_tcp(system.ports.input)?;
        let greeting = client.try_reply()?;
        greeting.starts_with("220").then_some(client)
    });
    client.play("C: EHLO client.example\nS: 250");
    let text = letter(mark);
    give(&mut client, "x@far.example", &["bob@example.test"], &text);
    system.arrived("bob", &format!("Subject: {mark}\n"));
    assert_eq!(system.postern.call(&["spool", "verify"]).status, Some(0));
}

#[test]
fn a_spool_without_superblocks_is_not_made_anew_over_its_segments() {
    let system = System::embedded();
    let spool = spool_of(&system, "input");
    let kept = fs::read(spool.join("superblock")).expect("there");
    for name in ["superblock", "superblock.copy"] {
        fs::write(spool.join(name), "").expect("written");
    }
    input_does_not_come_back(
        &system,
        "superblock is damaged or gone; restore it from a backup",
    );
    fs::write(spool.join("superblock"), kept).expect("written");
    input_comes_back(&system, "again");
}

#[test]
fn a_spool_of_a_newer_version_is_refused_with_both_versions() {
    let system = System::embedded();
    let spool = spool_of(&system, "input");
    let kept = fs::read(spool.join("superblock")).expect("there");
    let mut newer = kept.clone();
    newer[8] = 9;
    let crc = crc32c(&newer[..64]).to_le_bytes();
    newer[64..68].copy_from_slice(&crc);
    fs::write(spool.join("superblock"), newer).expect("written");
    let words = "the spool has format version 9; this program reads up to 1";
    input_does_not_come_back(&system, words);
    let verify = system.postern.call(&["spool", "verify"]);
    assert!(
        verify.status == Some(3) && verify.out.contains(words),
        "{verify:?}"
    );
    fs::write(spool.join("superblock"), kept).expect("written");
    input_comes_back(&system, "again");
}

/// The checksum of a superblock, as `docs/spool-format.md` has it.
fn crc32c(octets: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    let octet = |crc: u32, octet: &u8| (0..8).fold(crc ^ u32::from(*octet), step);
    !octets.iter().fold(!0, octet)
}

#[test]
fn a_file_in_place_of_a_spool_s_directory_is_said_and_keeps_nobody_else_from_starting() {
    let mut system = System::embedded();
    let spool = spool_of(&system, "input");
    let aside = system.postern.state("aside");
    fs::rename(&spool, &aside).expect("moved");
    fs::write(&spool, "").expect("written");
    input_does_not_come_back(&system, "spool/input: Not a directory");
    system.postern.stop();
    system.postern.begin_under(&[]);
    others_come(&system);
    others_run_on(&system, "meanwhile-1");
    fs::remove_file(&spool).expect("there");
    fs::rename(&aside, &spool).expect("moved");
    input_comes_back(&system, "again");
}

#[test]
fn a_spool_that_was_removed_takes_no_mail_until_there_is_a_new_one() {
    let system = System::embedded();
    let spool = spool_of(&system, "output");
    // Its instance may be about to make a file in it.
    wait::until_true("it is removed", || fs::remove_dir_all(&spool).is_ok());
    // What output cannot keep, submission does, and hands over to the next process.
    others_run_on(&system, "meanwhile-2");
    system.logged(&["output", "alarm", "the spool cannot be written"]);
    system.logged(&["output", "there was no spool: a new one was made"]);
    system.logged(&["output", "alarm", "the spool is new and empty, in place of"]);
    assert_eq!(system.postern.call(&["spool", "verify"]).status, Some(0));
}

#[test]
fn a_segment_that_was_emptied_and_a_content_that_is_gone_are_alarms_and_the_rest_is_delivered() {
    let mut system = System::embedded();
    for mark in ["small", "large"] {
        let mut client = system.at_submission();
        let filling = if mark == "large" { 100_000 } else { 1 };
        let text = format!("{}\n{}", letter(mark), "0123456789abcdef\n".repeat(filling));
        give(&mut client, "bob@example.test", &["x@far.example"], &text);
    }
    wait::until_true("output holds both", || system.queued("output") == Some(2));
    system.postern.stop();
    let spool = spool_of(&system, "output");
    let contents = fs::read_dir(spool.join("content")).expect("there");
    for content in contents {
        fs::remove_file(content.expect("readable").path()).expect("there");
    }
    system.postern.start();
    system.logged(&["output", "alarm", "content/", "is missing", "is kept"]);
    assert_eq!(system.queued("output"), Some(2));
    others_run_on(&system, "meanwhile-3");
    system.postern.stop();
    let segments = fs::read_dir(&spool).expect("there").flatten();
    for segment in segments.filter(|entry| is_segment(&entry.path())) {
        let file = File::options().write(true).open(segment.path());
        file.expect("there").set_len(0).expect("emptied");
    }
    system.postern.start();
    system.logged(&["output", "alarm", "seg-", "is damaged at octet 0"]);
    assert_eq!(system.queued("output"), Some(0));
    others_run_on(&system, "meanwhile-4");
}

fn is_segment(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("seg-") && !name.contains('.'))
}

/// Root may do everything, so the system is somebody else's, and root is who restored its spool.
#[test]
fn a_spool_that_its_instance_may_not_read_or_write_is_said() {
    let system = System::of_user(NOBODY);
    let spool = spool_of(&system, "input");
    let superblock = spool.join("superblock");
    for (path, mode, words) in [
        (
            &superblock,
            0o600,
            "cannot open superblock: Permission denied",
        ),
        (&spool, 0o700, "spool/input: Permission denied"),
    ] {
        let set = |mode| fs::set_permissions(path, Permissions::from_mode(mode));
        set(0).expect("changed");
        input_does_not_come_back(&system, words);
        set(mode).expect("changed");
        input_comes_back(&system, &format!("mode-{mode:o}"));
    }
}

#[test]
fn a_spool_on_a_file_system_that_can_only_be_read_is_said() {
    let Some(unshare) = testkit::peer::peer("unshare") else {
        return;
    };
    let may_mount = Command::new(unshare).args(["--mount", "true"]).status();
    if !may_mount.is_ok_and(|status| status.success()) {
        testkit::peer::skip("this user may not mount");
        return;
    }
    let mut system = System::embedded();
    system.postern.stop();
    let spool = spool_of(&system, "input").display().to_string();
    let script = format!(
        "mount --bind {spool} {spool} && mount -o remount,bind,ro {spool} && exec \"$0\" \"$@\""
    );
    let words = ["unshare", "--mount", "sh", "-c", &script].map(Into::into);
    system.postern.begin_under(&words);
    system.logged(&["input", "alarm", "Read-only file system"]);
    others_come(&system);
    others_run_on(&system, "meanwhile-5");
    let verify = system.postern.call(&["spool", "verify"]);
    assert_eq!(verify.status, Some(0), "{verify:?}");
}
