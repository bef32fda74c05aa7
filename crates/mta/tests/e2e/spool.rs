//! `spool verify`, `dump` and `quarantine`: on a running system, a stopped one and a damaged one.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde_json::Value;
use testkit::Postern;

use crate::system::{System, give, letter, succeeds};

/// Clean, damaged, not all there: the statuses of `spool verify`.
const CLEAN: i32 = 0;
const PARTIAL: i32 = 3;
const DAMAGED: i32 = 5;

/// Mail for elsewhere, which is held: it stays in the spool of output.
fn held(system: &System, mark: &str) -> String {
    let mut client = system.at_submission();
    give(
        &mut client,
        "alice@example.test",
        &["x@far.example", "y@far.example"],
        &letter(mark),
    )
}

/// A large message, whose content lies in a file of its own.
fn held_large(system: &System) {
    let text = format!(
        "{}\n{}",
        letter("large"),
        "0123456789abcdef\n".repeat(100_000)
    );
    let mut client = system.at_submission();
    give(&mut client, "alice@example.test", &["x@far.example"], &text);
}

fn verify(postern: &Postern, status: i32) -> String {
    let ran = postern.call(&["spool", "verify"]);
    assert_eq!(ran.status, Some(status), "{ran:?}");
    ran.out
}

/// The records of one instance's spool, as `dump` lists them.
fn records(postern: &Postern, instance: &str) -> Vec<Value> {
    let ran = postern.call(&["--json", "spool", "dump", "--instance", instance]);
    let lines = ran.ok();
    let value = |line: &str| serde_json::from_str(line).expect("a line of JSON");
    lines.lines().map(value).collect()
}

/// The last record that accepted a message into output's spool.
fn last_accepted(postern: &Postern) -> Value {
    let mut records = records(postern, "output");
    records.retain(|record| record["what"] == "accepted");
    records.pop().expect("output accepted something")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// A file of a spool.
fn file(postern: &Postern, instance: &str, name: &str) -> PathBuf {
    postern.state(&format!("spool/{instance}/{name}"))
}

fn flip(path: PathBuf, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path);
    let file = file.expect("the file is there");
    let mut octet = [0];
    file.read_exact_at(&mut octet, at).expect("it is that long");
    file.write_all_at(&[octet[0] ^ 0x20], at).expect("written");
}

#[test]
fn a_running_system_and_a_stopped_one_are_clean_and_say_what_they_hold() {
    let mut system = System::embedded();
    held(&system, "one");
    held_large(&system);
    system.logged(&["output", "held"]);
    let page = verify(&system.postern, CLEAN);
    for name in ["submission", "input", "output"] {
        let line = page.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {page}"));
        assert!(
            line.contains(" clean: ") && line.contains("(running: "),
            "{line}"
        );
    }
    assert!(page.contains("2 messages, 3 recipients open"), "{page}");
    assert!(page.contains("1 content file"), "{page}");
    system.postern.stop();
    let page = verify(&system.postern, CLEAN);
    assert!(
        !page.contains("running") && page.contains("2 messages"),
        "{page}"
    );
    let answer = system.postern.json(&["spool", "verify"]);
    assert_eq!((&answer["asked"], &answer["read"]), (&3.into(), &3.into()));
    let instances = answer["instances"].as_array().expect("a list");
    let is_clean = |instance: &Value| {
        instance["clean"] == true && instance["findings"] == Value::Array(vec![])
    };
    assert!(instances.iter().all(is_clean), "{answer:#}");
}

#[test]
fn a_message_is_shown_with_its_history_and_its_content_comes_out_as_it_was() {
    let system = System::embedded();
    let reply = held(&system, "wanted");
    system.logged(&["output", "held"]);
    let id = number(&last_accepted(&system.postern)["id"]);
    let page = system
        .postern
        .call(&["spool", "dump", "--id", &format!("output/{id}")])
        .ok();
    assert!(page.starts_with(&format!("output/{id}: live\n")), "{page}");
    for part in [
        "from <alice@example.test>",
        "to <y@far.example>: held",
        "content ",
        ": whole",
        "accepted",
    ] {
        assert!(page.contains(part), "no {part:?} in {page}");
    }
    let trace = reply.rsplit(' ').next().expect("a trace id").trim();
    let by_trace = system
        .postern
        .call(&["spool", "dump", "--trace", trace])
        .ok();
    assert_eq!(by_trace, page);
    let content = [
        "spool",
        "dump",
        "--content",
        "--instance",
        "output",
        "--id",
        &id.to_string(),
    ];
    let content = system.postern.call(&content).ok();
    let is_there = content.contains("Subject: wanted\r\n");
    let is_whole = content.ends_with("\r\n\r\nGood morning.\r\n");
    assert!(is_there && is_whole, "{content}");
    let nobody = system
        .postern
        .call(&["spool", "dump", "--id", "output/99999"]);
    assert_eq!(nobody.status, Some(1), "{nobody:?}");
}

#[test]
fn a_message_that_cannot_be_read_keeps_nobody_from_starting_and_can_be_given_up() {
    let mut system = System::embedded();
    held(&system, "first");
    let record = last_accepted(&system.postern);
    held(&system, "second");
    system.logged(&["output", "held"]);
    system.postern.stop();
    let (segment, offset) = (
        record["segment"].as_str().expect("a name"),
        number(&record["offset"]),
    );
    // In what the record says of the message; the summary says it once more.
    flip(file(&system.postern, "output", segment), offset + 48 + 4);
    verify(&system.postern, DAMAGED);
    system.postern.start();
    assert_eq!(system.queued("output"), Some(2));
    let id = number(&record["id"]);
    let filter = format!("output/{id}");
    let list = system.postern.ask(&["queue", "list", &filter]);
    assert!(list.contains("x@far.example"), "{list}");
    let summary = file(&system.postern, "output", &format!("{segment}.sum"));
    fs::remove_file(summary).expect("there");
    let list = system.postern.ask(&["queue", "list", &filter]);
    assert!(!list.contains("x@far.example"), "{list}");
    let alarm = system.logged(&["output", "alarm", &format!("message {id} cannot be read")]);
    assert!(alarm.contains(&format!("`postern queue drop {filter}`")));
    let status = system.postern.call(&["status"]);
    assert!(
        status.out.contains("1 in the queue cannot be read"),
        "{status:?}"
    );
    assert_eq!(system.queued("output"), Some(2));
    let list = system
        .postern
        .call(&["queue", "list", "instance=output"])
        .ok();
    assert!(
        list.contains(&format!("  {filter}  CANNOT BE READ  2 recipients  ")),
        "{list}"
    );
    let totals = |verb| {
        let page = system.postern.call(&["queue", verb]).ok();
        let total = page.lines().find(|line| line.starts_with("output "));
        total.expect("a line of output").to_owned()
    };
    assert_eq!(totals("list"), totals("count"));
    system.postern.call(&["queue", "drop", &filter]).ok();
    assert_eq!(system.queued("output"), Some(1));
    held(&system, "third");
}

#[test]
fn damage_is_found_put_aside_at_the_next_start_and_got_back() {
    let mut system = System::embedded();
    held(&system, "first");
    held(&system, "second");
    system.logged(&["output", "held"]);
    system.postern.stop();
    let record = last_accepted(&system.postern);
    let (segment, offset) = (
        record["segment"].as_str().expect("a name"),
        number(&record["offset"]),
    );
    // Its own header; and the summary that could stand for it.
    flip(file(&system.postern, "output", segment), offset + 17);
    fs::remove_file(file(&system.postern, "output", &format!("{segment}.sum"))).expect("there");
    let page = verify(&system.postern, DAMAGED);
    assert!(
        page.contains(&format!("  damage {segment} at {offset}: ")),
        "{page}"
    );
    assert!(page.contains("input        clean"), "{page}");

    system.postern.start();
    let alarm = system.logged(&["output", "alarm", "postern spool quarantine show output/"]);
    let (_, name) = alarm.rsplit_once("quarantine show ").expect("a command");
    let name: String = name
        .chars()
        .take_while(|c| c.is_alphanumeric() || "/-".contains(*c))
        .collect();
    // The others run on.
    held(&system, "third");
    let list = system.postern.call(&["spool", "quarantine", "list"]).ok();
    assert!(
        list.contains(&name) && list.contains("1 message, 1 with a whole content"),
        "{list}"
    );
    let show = system
        .postern
        .call(&["spool", "quarantine", "show", &name])
        .ok();
    assert!(
        show.contains("nobody vouches") && show.contains("to <x@far.example>"),
        "{show}"
    );
    let folder = system.postern.scratch().path().join("back");
    let to = folder.display().to_string();
    let recover = ["spool", "quarantine", "recover", &name, "--to", &to];
    let said = system.postern.call(&recover).ok();
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("made")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    let [content, envelope] = &files[..] else {
        panic!("{files:?}");
    };
    let content = fs::read_to_string(content).expect("text");
    assert!(content.contains("Subject: second\r\n"), "{content}");
    let envelope = fs::read_to_string(envelope).expect("text");
    let envelope: Value = serde_json::from_str(&envelope).expect("JSON");
    assert_eq!(envelope["message"]["from"], "alice@example.test");
    assert_eq!(envelope["vouched"], false);
    // Not over what is there.
    assert_eq!(system.postern.call(&recover).status, Some(1));
    let (_, command) = said
        .split_once("to send it again: postern ")
        .expect("a command");
    let words: Vec<&str> = command.lines().next().expect("a line").split(' ').collect();
    assert_eq!(words[0], "--config", "{command}");
    let mut postern = std::process::Command::new(env!("CARGO_BIN_EXE_postern"));
    succeeds(postern.args(&words), "");
    verify(&system.postern, CLEAN);
}

#[test]
fn a_spool_that_is_not_there_is_said_and_the_others_are_checked() {
    let mut system = System::embedded();
    held(&system, "one");
    system.logged(&["output", "held"]);
    system.postern.stop();
    fs::remove_dir_all(system.postern.state("spool/input")).expect("there");
    let page = verify(&system.postern, PARTIAL);
    assert!(page.contains("spool/input is not there"), "{page}");
    assert!(page.contains("output       clean: 1 message"), "{page}");
    assert!(page.contains("2 of 3 spools could be read"), "{page}");
    fs::write(system.postern.state("spool/input"), "").expect("written");
    let page = verify(&system.postern, PARTIAL);
    assert!(page.contains("spool/input is no directory"), "{page}");
    // An instance that the configuration no longer has.
    fs::remove_file(system.postern.state("spool/input")).expect("there");
    fs::rename(
        system.postern.state("spool/output"),
        system.postern.state("spool/input"),
    )
    .expect("moved");
    fs::create_dir(system.postern.state("spool/left")).expect("made");
    let page = verify(&system.postern, PARTIAL);
    assert!(page.contains("left (not in the configuration)"), "{page}");
    assert!(page.contains("input        clean: 1 message"), "{page}");
}

#[test]
fn nothing_that_a_sender_put_there_reaches_a_terminal_raw() {
    let system = System::embedded();
    let mut client = system.at_submission();
    // A quoted local part may hold what steers a terminal's title, but for control characters;
    // characters that turn the direction of writing need SMTPUTF8.
    client.play("C: MAIL FROM:<alice@example.test> SMTPUTF8\nS: 250");
    client.play("C: RCPT TO:<\"a\u{202e}b\"@far.example>\nS: 250\nC: DATA\nS: 354");
    for line in letter("odd").lines() {
        client.say(line);
    }
    client.say(".");
    assert!(client.reply().starts_with("250"));
    system.logged(&["output", "held"]);
    for arguments in [
        &["spool", "dump"][..],
        &["spool", "dump", "--id", "output/1"],
    ] {
        let page = system.postern.call(arguments).ok();
        assert!(!page.contains('\u{202e}'), "{page}");
        let ran = system.postern.call(&[&["--json"], arguments].concat());
        assert!(!ran.ok().contains('\u{202e}'));
    }
    let page = system
        .postern
        .call(&["spool", "dump", "--id", "output/1"])
        .ok();
    assert!(page.contains(r"a\u{202e}b"), "{page}");
}
