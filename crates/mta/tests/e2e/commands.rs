//! `send`, `sendmail` and what else people type.

use crate::system::{System, succeeds};

#[test]
fn sendmail_by_its_name_takes_recipients_from_the_header() {
    let system = System::embedded();
    let mut command = system.postern.command_as("sendmail");
    let text = "To: Alice <alice@example.test>\nCc: bob@example.test\nBcc: bob@example.test\n\
                Subject: by sendmail\n\nOne.\n.\nTwo.\n";
    succeeds(command.args(["-t", "-i", "-f", "cron@example.test"]), text);
    let message = system.arrived("alice", "Subject: by sendmail");
    assert!(
        message.starts_with("Return-Path: <cron@example.test>"),
        "{message}"
    );
    assert!(message.contains("One.") && message.contains("\n.") && message.contains("Two."));
    assert!(!message.contains("Bcc:"), "{message}");
    assert!(
        message.contains("\nDate: ") && message.contains("\nMessage-ID: "),
        "{message}"
    );
    system.arrived("bob", "Subject: by sendmail");
}

#[test]
fn sendmail_bp_is_the_queue_of_all_instances() {
    let system = System::embedded();
    let mut command = system.postern.command_as("sendmail");
    let page = succeeds(command.arg("-bp"), "");
    assert_eq!(page, system.postern.ask(&["queue"]));
}

#[test]
fn sendmail_says_by_its_status_why_nothing_was_accepted() {
    let system = System::embedded();
    let mut command = system.postern.command_as("sendmail");
    let refused = testkit::run::run(
        command.args(["-i", "nobody@example.test"]),
        "Subject: x\n\nx\n",
        testkit::wait::LIMIT,
    );
    // EX_NOUSER of sysexits.h.
    assert_eq!(refused.status, Some(67), "{refused:?}");
    let mut command = system.postern.command_as("sendmail");
    let bad = testkit::run::run(
        command.args(["-i", "a b@example.test"]),
        "Subject: x\n\nx\n",
        testkit::wait::LIMIT,
    );
    // EX_DATAERR.
    assert_eq!(bad.status, Some(65), "{bad:?}");
    // Nothing ever ran there, so there is no maildrop either.
    let never = System::stopped(|config| config);
    let mut command = never.postern.command_as("sendmail");
    let away = testkit::run::run(
        command.args(["-i", "alice@example.test"]),
        "Subject: x\n\nx\n",
        testkit::wait::LIMIT,
    );
    // EX_TEMPFAIL: programs keep the message and try again.
    assert_eq!(away.status, Some(75), "{away:?}");
    assert!(
        away.err.contains("not accepted: not running in "),
        "{away:?}"
    );
    assert!(away.err.contains("maildrop/new: No such file"), "{away:?}");
}

#[test]
fn what_needs_a_system_that_does_not_run_says_how_it_is_started() {
    let mut system = System::stopped(|config| config);
    let send = [
        "send",
        "--from",
        "a@example.test",
        "--to",
        "alice@example.test",
    ];
    for arguments in [&["queue"][..], &["status"], &["reload"], &send] {
        let text = system.postern.call_with(arguments, "Hi").fails(4);
        let start = text.split('`').nth(1).expect("a command");
        let config = format!("--config {} ", system.postern.config().display());
        assert!(
            start.contains(&config) && start.ends_with(" start"),
            "{text}"
        );
        assert!(text.contains("not running in "), "{text}");
    }
    system.postern.start();
    std::fs::remove_file(system.postern.state("submission.sock")).expect("it listens there");
    let ran = system.postern.call_with(&send, "Hi");
    assert_eq!(ran.status, Some(3), "{ran:?}");
    assert!(ran.err.contains("the supervisor is process"), "{ran:?}");
}

#[test]
fn a_slip_of_the_finger_is_told_what_was_meant() {
    let mut system = System::embedded();
    let gone = "01KATQ2CD0000000000000000A";
    for (arguments, status, words) in [
        (&["queue", "rety"][..], 2, "did you mean `queue retry`?"),
        (&["queue", "lst"], 2, "did you mean `queue list`?"),
        (&["statsu"], 2, "'status'"),
        (
            &["queue", "show", "output/99"],
            1,
            " spool dump --id output/99` shows what",
        ),
        (
            &["queue", "drop", "output/99"],
            1,
            "no message output/99 is queued; ",
        ),
        (
            &["queue", "release", gone],
            1,
            &format!(" trace {gone}` shows what"),
        ),
        (
            &["queue", "show", "nope/5"],
            1,
            "there are submission, input, output",
        ),
        (&["queue", "--limit", "0"], 2, "0 is not in 1.."),
    ] {
        let text = system.postern.call(arguments).fails(status);
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
    let send = |more: &[&str]| {
        let usual = [
            "send",
            "--from",
            "a@example.test",
            "--to",
            "alice@example.test",
        ];
        system.postern.call_with(&[&usual, more].concat(), "x")
    };
    let text = send(&["/no/such/file"]).fails(1);
    assert!(
        text.contains("cannot read the message from /no/such/file: "),
        "{text}"
    );
    let text = send(&["--instance", "input"]).fails(1);
    assert!(text.contains("no submission instance `input`"), "{text}");

    // A message that is there has nothing to do for a step: that is no mistake.
    send(&["--to", "x@far.example"]).ok();
    testkit::wait::until_true("it is held", || system.queued("output") == Some(1));
    system.logged(&["output", "held"]);
    // While the attempt that held it ends, a step is put off with an error.
    let page = testkit::wait::until("a step is taken", || {
        let ran = system.postern.call(&["queue", "hold", "output/1"]);
        (!ran.out.contains("is under way")).then(|| ran.ok())
    });
    assert!(page.contains("held: 0 recipients of 0 messages"), "{page}");
    system.postern.stop();
    let text = system.postern.call(&["stop"]).fails(4);
    assert!(
        text.contains("not running in ") && !text.contains("start"),
        "{text}"
    );
}

/// Root may do everything, so the system is somebody else's, and a third user asks.
#[test]
fn who_may_not_ask_is_told_who_may() {
    let system = System::embedded();
    if !rustix::process::geteuid().is_root() {
        testkit::peer::skip("only root can be somebody else");
        return;
    }
    let program = system.postern.scratch().path().join("postern");
    std::fs::copy(env!("CARGO_BIN_EXE_postern"), &program).expect("it can be copied");
    let as_nobody = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&program);
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
        command
            .arg("--config")
            .arg(system.postern.config())
            .args(arguments);
        testkit::run::run(&mut command, "x", testkit::wait::LIMIT)
    };
    for verb in ["status", "queue", "reload", "stop"] {
        let ran = as_nobody(&[verb]);
        assert_eq!(ran.status, Some(1), "{ran:?}");
        let who = "ask as root or as the user that runs it";
        assert!(ran.err.contains(who), "{ran:?}");
    }
    as_nobody(&[
        "send",
        "--from",
        "a@example.test",
        "--to",
        "bob@example.test",
    ])
    .ok();
}

#[test]
fn status_shows_each_process_with_pid_uptime_connections_queue_and_rates() {
    let system = System::embedded();
    let _idle = system.at_input();
    system
        .postern
        .call_with(
            &[
                "send",
                "--from",
                "me@example.org",
                "--to",
                "alice@example.test",
            ],
            "Hi",
        )
        .ok();
    system.arrived("alice", "Hi");
    system.logged(&["output", "delivered"]);
    let page = system.postern.ask(&["status"]);
    for name in ["supervisor", "control", "submission", "input", "output"] {
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("{name:<12} pid ")));
        let line = line.unwrap_or_else(|| panic!("no {name} in {page}"));
        assert!(line.contains("up "), "{line}");
    }
    assert!(
        page.contains("1 connection, 0 messages queued (0 active)"),
        "{page}"
    );
    assert!(
        page.contains("last minute: 1 accepted, 1 delivered"),
        "{page}"
    );
    let status = system.postern.json(&["status"]);
    let processes = status["processes"].as_array().map(Vec::len);
    assert_eq!((processes, &status["answered"]), (Some(5), &3.into()));
}

#[test]
fn run_prints_where_each_listens_and_three_things_to_try_that_work_as_printed() {
    let Some(shell) = testkit::peer::peer("sh").filter(|_| testkit::peer::peer("curl").is_some())
    else {
        return;
    };
    let system = System::embedded();
    let printed = system.postern.printed();
    for listener in [
        format!(
            "submission   listens on 127.0.0.1:{}",
            system.ports.submission
        ),
        format!(
            "submission   listens on unix:{}",
            system.postern.state("submission.sock").display()
        ),
        format!("input        listens on 127.0.0.1:{}", system.ports.input),
        format!(
            "input        listens on tls://127.0.0.1:{}",
            system.ports.tls
        ),
        format!("state and log in {}", system.postern.state("").display())
            .trim_end_matches('/')
            .to_owned(),
    ] {
        assert!(printed.contains(&listener), "no {listener:?} in {printed}");
    }
    let (_, tries) = printed
        .split_once("Things to try, in another terminal:\n\n")
        .expect("tries");
    let tries: Vec<&str> = tries.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(tries.len(), 3, "{printed}");
    let mut said = String::new();
    for line in tries {
        let mut command = std::process::Command::new(&shell);
        said += &succeeds(
            command
                .current_dir(system.postern.scratch().path())
                .args(["-c", line]),
            "",
        );
    }
    assert!(said.contains("\ntotal        "), "{said}");
    testkit::wait::until_true("both messages arrive", || {
        testkit::maildir::messages(&system.maildir("alice")).len() == 2
    });
}

#[test]
fn help_is_given_where_it_is_asked_for_and_a_verb_that_is_near_is_named() {
    let system = System::stopped(|config| config);
    for (arguments, words) in [
        (&["help"][..], "Usage: postern"),
        (&["help", "queue"], "Show and steer the queues"),
        (&["help", "queue", "hold"], "Keep messages or recipients"),
        (&["queue", "help"], "Show and steer the queues"),
        (&["queue", "help", "hold"], "Keep messages or recipients"),
        (&["--help"], "Usage: postern"),
    ] {
        let text = system.postern.call(arguments).ok();
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
    for (arguments, words) in [
        (&["statsu"][..], "'status'"),
        (&["stpo"], "'stop'"),
        (&["help", "queu"], "queu"),
        (&["queue", "relase"], "did you mean `queue release`?"),
    ] {
        let text = system.postern.call(arguments).fails(2);
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}
