//! Reloads that need new processes: nobody is turned away, and all instances change or none.

use testkit::port::free_port;
use testkit::{Dialogue, Remote, postern, wait};

use crate::callers::Callers;
use crate::system::{System, give, letter};

/// Another route of output, into a directory that its process has not seen.
const MORE: &str = "[[instance.output.route]]\n\
                    domain = \"more.example\"\n\
                    users  = [\"carol\"]\n\
                    to     = { maildir = \"{state}/elsewhere/{local}\" }\n\n";

/// Where the routes of output begin, in the embedded configuration.
const ROUTES: &str = "[[instance.output.route]]\naddress";

/// A system whose output listens, too.
fn with_a_listening_output(port: u16) -> System {
    System::with(|config| {
        let role = "role = \"output\"\n";
        assert!(config.contains(role));
        config.replace(role, &format!("{role}listen = [\"127.0.0.1:{port}\"]\n"))
    })
}

/// A client that has said EHLO.
fn at(port: u16) -> Dialogue {
    let mut client = Dialogue::tcp(port);
    client.play("S: 220\nC: EHLO client.example\nS: 250");
    client
}

const BEGIN_A_LETTER: &str = "C: MAIL FROM:<a@example.org>
    S: 250
    C: RCPT TO:<bob@example.test>
    S: 250
    C: DATA
    S: 354
    C: Subject: to the old process
    C:";

#[test]
fn a_new_process_takes_over_and_nobody_is_turned_away() {
    let port = free_port();
    let mut system = with_a_listening_output(port);
    let old_pid = system.postern.pid("output");
    let callers = [
        Callers::begin("input", system.ports.input),
        Callers::begin("output", port),
    ];
    let (mut in_data, mut kept, mut quiet) = (at(port), at(port), at(port));
    in_data.play(BEGIN_A_LETTER);
    for callers in &callers {
        callers.wait_for(10);
    }
    system.rewrite(|config| config.replace(ROUTES, &format!("{MORE}{ROUTES}")));
    let page = system.postern.call(&["reload"]).ok();
    let line = page.lines().find(|line| line.starts_with("output "));
    let line = line.unwrap_or_default();
    assert!(
        line.contains("a new process takes over (a new directory"),
        "{page}"
    );
    assert!(line.ends_with(", and is ready"), "{page}");
    assert_ne!(system.postern.pid("output"), old_pid);
    // No answer is partial, though the old process is still there.
    system.postern.ask(&["queue"]);
    for callers in &callers {
        callers.wait_for(10);
    }
    let served = callers.map(Callers::end);
    for served in &served {
        assert!(served.turned_away.is_empty(), "{:?}", served.turned_away);
    }
    assert!(postern::is_alive(old_pid), "it has clients");
    in_data.play("C: good morning\nC: .\nS: 250 2.0.0\nC: QUIT\nS: 221");
    give(
        &mut kept,
        "a@example.org",
        &["bob@example.test"],
        &letter("kept"),
    );
    kept.play("C: MAIL FROM:<a@example.org>\nS: 421");
    quiet.play("S: 421");
    wait::until_true("the old process ends", || !postern::is_alive(old_pid));
    give(
        &mut at(port),
        "a@example.org",
        &["carol@more.example"],
        &letter("new"),
    );
    system.arrived("bob", "Subject: to the old process");
    system.arrived("bob", "Subject: kept");
    let elsewhere = system.postern.state("elsewhere/carol");
    testkit::maildir::message_with(&elsewhere, "Subject: new");
    let acknowledged = served.map(|served| served.acknowledged).concat();
    system.all_arrived_once("alice", &acknowledged);
}

#[test]
fn instances_come_and_go_and_mail_finds_its_way_through_them() {
    let mut system = System::embedded();
    let old = system.config.clone();
    let pid = system.postern.pid("input");
    let second = "[instance.second]\n\
                  role = \"output\"\n\n\
                  [[instance.second.route]]\n\
                  domain = \"example.test\"\n\
                  users  = [\"alice\", \"bob\"]\n\
                  to     = { maildir = \"{state}/mail/{domain}/{local}\" }\n\n\
                  [[instance.second.route]]\n\
                  domain = \"*\"\n\
                  to     = { hold = \"why\" }\n\n";
    let tls = format!("\"tls://127.0.0.1:{}\"]\nnext   = ", system.ports.tls);
    let callers = Callers::begin("input", system.ports.input);
    callers.wait_for(10);
    system.rewrite(|config| {
        let to_second = config.replace(&format!("{tls}\"output\""), &format!("{tls}\"second\""));
        assert_ne!(config, to_second);
        to_second.replace("[instance.output] ", &format!("{second}[instance.output] "))
    });
    let page = system.postern.call(&["reload"]).ok();
    assert!(
        page.contains("a new instance starts, and is ready"),
        "{page}"
    );
    callers.wait_for(10);
    system.logged(&[" second ", "previous=input"]);
    let second_pid = system.postern.pid("second");
    system.rewrite(|_| old);
    let page = system.postern.call(&["reload"]).ok();
    assert!(page.contains("leaves the configuration"), "{page}");
    callers.wait_for(10);
    wait::until_true("the removed one ends", || !postern::is_alive(second_pid));
    let served = callers.end();
    assert!(served.turned_away.is_empty(), "{:?}", served.turned_away);
    system.all_arrived_once("alice", &served.acknowledged);
    assert_eq!(system.postern.pid("input"), pid, "it needed no new process");
}

#[test]
fn when_a_new_process_cannot_begin_no_instance_takes_the_configuration() {
    let mut system = System::embedded();
    let old = system.config.clone();
    let before = postern::children(system.postern.supervisor());
    // A spool whose identity is lost.
    let spool = system.postern.state("spool/extra");
    std::fs::create_dir_all(&spool).expect("the state is ours");
    std::fs::write(spool.join("seg-00000001"), b"").expect("the spool is ours");
    system.rewrite(|config| {
        let extra = "[instance.extra]\nrole = \"output\"\n\
                     [[instance.extra.route]]\ndomain = \"*\"\nto = { hold = \"why\" }\n\n";
        config
            .replace("[instance.output] ", &format!("{extra}[instance.output] "))
            .replace(r#"["alice", "bob"]"#, r#"["alice", "bob", "carol"]"#)
            .replace(ROUTES, &format!("{MORE}{ROUTES}"))
    });
    let text = system.postern.call(&["reload"]).fails(1);
    assert!(text.contains("extra: its new process exited"), "{text}");
    assert!(text.contains("superblock"), "{text}");
    system.at_input().play(
        "C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<carol@example.test>
         S: 550",
    );
    wait::until_true("what was started in vain is gone", || {
        postern::children(system.postern.supervisor()) == before
    });
    system.rewrite(|_| old);
    system.postern.call(&["reload"]).ok();
    assert_eq!(postern::children(system.postern.supervisor()), before);
}

#[test]
fn a_stop_does_not_wait_for_the_clients_of_an_old_process() {
    let port = free_port();
    let mut system = with_a_listening_output(port);
    let old_pid = system.postern.pid("output");
    let mut in_data = at(port);
    in_data.play(BEGIN_A_LETTER);
    system.rewrite(|config| {
        let config = config.replace(ROUTES, &format!("{MORE}{ROUTES}"));
        format!("stop_timeout = \"3s\"\n{config}")
    });
    system.postern.call(&["reload"]).ok();
    assert!(postern::is_alive(old_pid));
    system.postern.stop();
    assert!(!postern::is_alive(old_pid));
    system.postern.start();
    assert_eq!(system.queued("output"), Some(0));
}

#[test]
fn a_delivery_that_has_sent_nothing_is_cut_off_and_made_by_the_new_process() {
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = mute.local_addr().expect("it is bound").port();
    let mut system = System::with_relay(port);
    let old_pid = system.postern.pid("output");
    let mut client = system.at_submission();
    let to = ["x@far.example"];
    give(&mut client, "bob@example.test", &to, &letter("slow"));
    let (_connected, _) = mute.accept().expect("output connects");
    let callers = Callers::begin("input", system.ports.input);
    callers.wait_for(10);
    let remote = Remote::new();
    system.rewrite(|config| config.replace(&format!(":{port}"), &format!(":{}", remote.port())));
    let page = system.postern.call(&["reload"]).ok();
    assert!(
        page.contains("a new process takes over (a new remote port"),
        "{page}"
    );
    system.logged(&[" output ", "gave up the spool"]);
    remote.received("Subject: slow");
    wait::until_true("the old process ends", || !postern::is_alive(old_pid));
    callers.wait_for(10);
    let served = callers.end();
    assert!(served.turned_away.is_empty(), "{:?}", served.turned_away);
}

/// A host may take ten minutes for its last reply: it must not be sent the message again.
#[test]
fn a_delivery_that_waits_for_its_host_outlasts_a_reload_and_is_made_once() {
    let mut system = System::embedded();
    let remote = Remote::new();
    system.rewrite(|config| crate::system::relaying(config, remote.port()));
    system.postern.call(&["reload"]).ok();
    let mut client = system.at_submission();
    let to = ["slow@far.example", "refuse-451@far.example"];
    give(&mut client, "alice@example.test", &to, &letter("to-slow"));
    wait::until_true("the host has it", || remote.n_waiting() == 1);
    let old_pid = system.postern.pid("output");
    system.rewrite(|config| config.replace(ROUTES, &format!("{MORE}{ROUTES}")));
    system.postern.call(&["reload"]).ok();
    assert_ne!(system.postern.pid("output"), old_pid);
    // The new process delivers, and leaves that message alone.
    let to = ["x@far.example"];
    give(&mut client, "alice@example.test", &to, &letter("to-x"));
    remote.received("Subject: to-x");
    let left = system.postern.call(&["queue", "drop", "to=slow@*"]);
    assert!(left.fails(1).contains("under way"));
    remote.reply_to_slow();
    remote.received("Subject: to-slow");
    wait::until_true("the old process ends", || !postern::is_alive(old_pid));
    let journey = |mark: &str| {
        let log = system.postern.log();
        log.lines().filter(|line| line.contains(mark)).count()
    };
    wait::until_true("it is delivered", || {
        let page = system.postern.call(&["queue"]).ok();
        page.contains("output       1 message, 1 recipient")
    });
    assert_eq!(remote.messages().len(), 2);
    assert_eq!(remote.n_waiting(), 0);
    assert_eq!(journey("possible duplicate"), 0);
}
