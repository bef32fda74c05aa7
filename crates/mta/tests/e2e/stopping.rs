//! `stop`: within its limit, under load, and nothing that was acknowledged is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use testkit::{Dialogue, Remote, wait};

use crate::system::{System, give, letter, relaying};

/// The limit in the configuration of these tests.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Clients at a time.
const N_CLIENTS: usize = 8;

/// Messages that are acknowledged before the stop.
const N_BEFORE: usize = 100;

/// Clients that send as fast as they can until their server goes, and keep the marks of what was
/// acknowledged.
struct Load {
    acknowledged: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn begin(port: u16) -> Self {
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let clients = (0..N_CLIENTS)
            .map(|client| {
                let (acknowledged, is_over) = (Arc::clone(&acknowledged), Arc::clone(&is_over));
                thread::spawn(move || {
                    let _gone = send_all(port, client, &acknowledged, &is_over);
                })
            })
            .collect();
        Self {
            acknowledged,
            is_over,
            clients,
        }
    }

    fn n_acknowledged(&self) -> usize {
        self.acknowledged
            .lock()
            .expect("no client panics with it")
            .len()
    }

    /// Ends the clients and returns what was acknowledged to them.
    fn end(self) -> Vec<String> {
        self.is_over.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().expect("a client does not panic");
        }
        let mut marks = self
            .acknowledged
            .lock()
            .expect("no client panics with it")
            .clone();
        marks.sort();
        marks
    }
}

/// Sends until told otherwise; `None` when the server went.
fn send_all(
    port: u16,
    client: usize,
    acknowledged: &Mutex<Vec<String>>,
    is_over: &AtomicBool,
) -> Option<()> {
    let mut session = Dialogue::tcp(port);
    session.try_reply()?;
    step(&mut session, "EHLO client.example")?;
    for number in 0.. {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let mark = format!("mark-{client}-{number}-end");
        step(&mut session, "MAIL FROM:<a@example.org>")?;
        step(&mut session, "RCPT TO:<alice@example.test>")?;
        step(&mut session, "DATA")?;
        step(
            &mut session,
            &format!("Subject: {mark}\r\n\r\nGood morning.\r\n."),
        )?;
        acknowledged
            .lock()
            .expect("no client panics with it")
            .push(mark);
    }
    Some(())
}

/// One command that is answered positively; `None` when it is not.
fn step(session: &mut Dialogue, command: &str) -> Option<()> {
    session.try_say(command).then_some(())?;
    session
        .try_reply()
        .filter(|reply| reply.starts_with(['2', '3']))
        .map(drop)
}

#[test]
fn stop_under_load_ends_all_processes_and_after_a_start_everything_acknowledged_is_delivered() {
    let mut system =
        System::with(|config| format!("stop_timeout = \"{}s\"\n{config}", STOP_TIMEOUT.as_secs()));
    let supervisor = system.postern.supervisor();
    let processes = testkit::postern::children(supervisor);
    assert_eq!(processes.len(), 4, "control and three instances");
    let load = Load::begin(system.ports.input);
    wait::until_true("mail flows", || load.n_acknowledged() >= N_BEFORE);
    system.postern.stop();
    for process in processes {
        assert!(
            !testkit::postern::is_alive(process),
            "process {process} is left"
        );
    }
    let acknowledged = load.end();
    system.postern.start();
    system.all_arrived_once("alice", &acknowledged);
}

#[test]
fn an_instance_that_hangs_does_not_keep_the_system_from_stopping() {
    let mut system = System::with(|config| format!("stop_timeout = \"1s\"\n{config}"));
    let processes = testkit::postern::children(system.postern.supervisor());
    system
        .postern
        .signal("input", rustix::process::Signal::STOP);
    system.postern.stop();
    system.logged(&["input", "alarm", "did not stop in time and is killed"]);
    for process in processes {
        assert!(
            !testkit::postern::is_alive(process),
            "process {process} is left"
        );
    }
}

#[test]
fn a_client_in_the_middle_of_data_may_finish_during_a_stop() {
    let mut system = System::embedded();
    let mut client = system.at_input();
    client.play(
        "C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<alice@example.test>
         S: 250
         C: DATA
         S: 354
         C: Subject: just in time
         C:",
    );
    let mut idle = system.at_input();
    testkit::postern::send(system.postern.supervisor(), rustix::process::Signal::TERM);
    assert!(idle.reply().starts_with("421"), "{}", idle.said());
    client.play(
        "C: good morning
         C: .
         S: 250 2.0.0",
    );
    system.postern.wait_for_end();
    system.postern.start();
    system.arrived("alice", "Subject: just in time");
}

#[test]
fn start_and_stop_work_in_the_background_and_twice_is_an_error() {
    let mut system = System::stopped(|config| config);
    let text = system.postern.call(&["start"]).ok();
    assert!(text.contains("running as process"), "{text}");
    assert!(
        system
            .postern
            .call(&["start"])
            .fails(1)
            .contains("already running")
    );
    system.at_input();
    system.postern.call(&["stop"]).ok();
    system.postern.call(&["status"]).fails(4);
    system.postern.call(&["queue"]).fails(4);
    assert!(std::net::TcpStream::connect(("127.0.0.1", system.ports.input)).is_err());
    system.postern.start();
    system.postern.stop();
}

#[test]
fn two_supervisors_never_share_a_state_directory() {
    let system = System::embedded();
    let text = system.postern.call(&["run"]).fails(1);
    assert!(
        text.contains("already running") || text.contains("in use"),
        "{text}"
    );
    system.at_input();
}

#[test]
fn a_wrong_configuration_starts_nothing_and_says_where_it_is_wrong() {
    let system = System::stopped(|config| config.replace("next   =", "nxet   ="));
    for verb in ["run", "start", "check"] {
        let text = system.postern.call(&[verb]).fails(1);
        assert!(
            text.contains("postern.toml:") && text.contains("`next`"),
            "{verb}: {text}"
        );
    }
    system.postern.call(&["status"]).fails(4);
}

/// Messages that are on their way to another host when the stop comes.
const N_UNDER_WAY: usize = 40;

#[test]
fn a_stop_does_not_wait_for_a_host_that_says_nothing_and_what_was_on_its_way_there_is_kept() {
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = mute.local_addr().expect("it is bound").port();
    let mut system = System::with(|config| {
        let config = relaying(&config, port);
        format!("stop_timeout = \"{}s\"\n{config}", STOP_TIMEOUT.as_secs())
    });
    let mut client = system.at_submission();
    let marks: Vec<String> = (0..N_UNDER_WAY).map(|n| format!("mark-{n}-end")).collect();
    for mark in &marks {
        give(
            &mut client,
            "bob@example.test",
            &["x@far.example"],
            &letter(mark),
        );
    }
    wait::until_true("attempts are under way", || {
        let status = system.postern.json(&["status"]);
        let instances = status["instances"].as_array().cloned().unwrap_or_default();
        let output = instances.iter().find(|line| line["instance"] == "output");
        output.is_some_and(|line| line["ok"]["queue"]["active"].as_u64() > Some(0))
    });
    let processes = testkit::postern::children(system.postern.supervisor());
    system.postern.stop();
    for process in processes {
        assert!(
            !testkit::postern::is_alive(process),
            "process {process} is left"
        );
    }
    let remote = Remote::new();
    system.rewrite(|config| config.replace(&format!(":{port}"), &format!(":{}", remote.port())));
    system.postern.start();
    wait::until_true("everything acknowledged arrives", || {
        let arrived = remote.messages();
        let has = |mark: &String| arrived.iter().any(|message| message.content.contains(mark));
        marks.iter().all(has)
    });
    assert_eq!(remote.messages().len(), N_UNDER_WAY, "a message came twice");
}
