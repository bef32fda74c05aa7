//! Control's socket and log, with instances that are only the other ends of their channels.

mod continuity;

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use config::{LogFormat, Role};
use events::encoding::{Batch, Lost};
use events::samples;
use operate::Channel;
use serde_json::{Value, json};
use supervisor::channel::InstanceChannels;

use super::*;

/// A scratch directory with the log in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("postern-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn shared(&self) -> Rc<Shared> {
        let file = Some(self.0.join("postern.log"));
        let settings = config::Log {
            file,
            format: LogFormat::Text,
            rotate_size: 1 << 20,
            rotate_keep: 1,
        };
        let clock = Clock::start();
        let log = Log::start(own_name(), settings, clock).expect("a thread");
        Shared::new(clock, log)
    }

    /// The log after everything that was sent has been written.
    async fn log(&self, shared: &Shared) -> String {
        shared.drain().await.expect("a log");
        let turn = shared.log.turn().await;
        turn.flush(Care::None).await.expect("a log");
        std::fs::read_to_string(self.0.join("postern.log")).expect("a log")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What an instance holds of its channels.
struct Instance {
    events: OwnedFd,
    requests: OwnedFd,
}

fn channels(name: &str) -> (InstanceChannels, Instance) {
    let (events, their_events) = supervisor::channel::pair().expect("a pair");
    let (requests, their_requests) = supervisor::channel::pair().expect("a pair");
    let name = name.parse().expect("a name");
    (
        InstanceChannels {
            name,
            role: Role::Input,
            events,
            requests,
        },
        Instance {
            events: their_events,
            requests: their_requests,
        },
    )
}

/// Answers every request like an instance with an empty queue.
async fn answer_all(requests: OwnedFd) {
    let channel = Channel::new(requests).expect("a channel");
    let mut buffer = Vec::new();
    while channel.receive(&mut buffer).await.is_ok() && !buffer.is_empty() {
        let request: Value = serde_json::from_slice(&buffer).expect("JSON");
        let id = &request["id"];
        // An answer to a question of an earlier control comes first.
        let stale = json!({"id": 1, "ok": {"stale": true}});
        let rows = json!({"id": id, "more": true, "rows": [{"id": 1}]});
        let last = json!({"id": id, "ok": {"verb": request["verb"], "by": request["args"]["by"]}});
        for frame in [&stale, &rows, &last] {
            channel.send(frame).await.expect("sent");
        }
    }
}

/// Runs `test` within what control runs within.
fn within_control(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, test);
}

/// What an operator's program is answered.
async fn ask(shared: &Rc<Shared>, scratch: &Scratch, request: Value) -> Vec<Value> {
    let own = rustix::process::geteuid().as_raw();
    ask_as(own, shared, scratch, request).await
}

/// What a program of that user is answered, where everybody may connect.
async fn ask_as(uid: u32, shared: &Rc<Shared>, scratch: &Scratch, request: Value) -> Vec<Value> {
    let path = scratch.0.join("control.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("bound");
    let everybody = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(&path, everybody).expect("it is ours");
    let (supervisor, _to_channel) = SupervisorEnd::new();
    let serving = operators::serve(
        listener.into(),
        Rc::clone(shared),
        supervisor,
        operators::places(),
    );
    let serving = tokio::task::spawn_local(serving);
    let asking = tokio::task::spawn_blocking(move || {
        let connect = || UnixStream::connect(path).expect("connected");
        let mut stream = if uid == rustix::process::geteuid().as_raw() {
            connect()
        } else {
            testkit::user::as_user(uid, connect)
        };
        writeln!(stream, "{request}").expect("written");
        let lines = BufReader::new(stream).lines();
        lines
            .map(|line| serde_json::from_str(&line.expect("read")).expect("JSON"))
            .collect()
    });
    let answer = asking.await.expect("an answer");
    serving.abort();
    answer
}

fn of<'a>(lines: &'a [Value], instance: &str) -> Vec<&'a Value> {
    lines
        .iter()
        .filter(|line| line["instance"] == instance)
        .collect()
}

#[test]
fn an_instance_that_is_silent_is_shown_as_such_and_the_others_are_shown() {
    within_control(async {
        let scratch = Scratch::new("silent");
        let shared = scratch.shared();
        let (input, input_end) = channels("input");
        let (output, _silent) = channels("output");
        shared.add(input).expect("added");
        shared.add(output).expect("added");
        tokio::task::spawn_local(answer_all(input_end.requests));
        let lines = ask(&shared, &scratch, json!({"verb": "queue.list", "args": {}})).await;
        // Who answers is not kept waiting by who does not.
        let silent = lines.iter().position(|line| line["instance"] == "output");
        assert_eq!(silent, Some(lines.len() - 2), "{lines:?}");
        let input = of(&lines, "input");
        assert_eq!(input[0]["rows"], json!([{"id": 1}]));
        assert_eq!(input[1]["ok"]["verb"], "queue.list");
        assert_eq!(of(&lines, "output")[0]["no_answer"], true);
        let end = lines.last().expect("an end");
        assert_eq!((&end["asked"], &end["answered"]), (&json!(2), &json!(1)));
    });
}

/// Nobody: a user that root can be, and that runs nothing.
const NOBODY: u32 = 65_534;

/// The mode of the socket keeps others away, too: here it does not.
#[test]
fn another_user_is_refused_whatever_the_mode_of_the_socket() {
    if !rustix::process::geteuid().is_root() {
        return testkit::peer::skip("only root can be somebody else");
    }
    within_control(async {
        let scratch = Scratch::new("another");
        let shared = scratch.shared();
        let (input, input_end) = channels("input");
        shared.add(input).expect("added");
        tokio::task::spawn_local(answer_all(input_end.requests));
        for verb in [
            "status",
            "processes",
            "queue.list",
            "queue.drop",
            "reload",
            "stop",
        ] {
            let request = json!({"verb": verb, "args": {"filter": ["to=*"]}});
            let lines = ask_as(NOBODY, &shared, &scratch, request).await;
            let refusal = "only root and the user that runs this system may ask";
            assert_eq!(lines, [json!({"error": refusal})], "{verb}");
        }
    });
}

#[test]
fn who_does_something_is_taken_from_the_kernel() {
    within_control(async {
        let scratch = Scratch::new("by");
        let shared = scratch.shared();
        let (input, input_end) = channels("input");
        shared.add(input).expect("added");
        tokio::task::spawn_local(answer_all(input_end.requests));
        let request = json!({"verb": "queue.drop", "args": {"filter": ["to=*"], "by": "nobody"}});
        let lines = ask(&shared, &scratch, request).await;
        let uid = rustix::process::getuid().as_raw();
        assert_eq!(of(&lines, "input")[1]["ok"]["by"], format!("uid {uid}"));
    });
}

#[test]
fn what_cannot_be_asked_is_refused_in_words() {
    within_control(async {
        let scratch = Scratch::new("refused");
        let shared = scratch.shared();
        let (input, _input_end) = channels("input");
        shared.add(input).expect("added");
        for (request, part) in [
            (json!({"verb": "queue.bounce"}), "no such verb"),
            (
                json!({"verb": "queue.drop", "args": {"filter": ["12"]}}),
                "INSTANCE/NUMBER",
            ),
            (
                json!({"verb": "queue.list", "args": {"filter": ["form=x"]}}),
                "`form=`",
            ),
            (
                json!({"verb": "queue.list", "args": {"filter": ["instance=x"]}}),
                "there are input",
            ),
            (
                json!({"verb": "status", "args": {"instance": "x*"}}),
                "there are input",
            ),
            (json!("nothing"), "no such verb"),
        ] {
            let lines = ask(&shared, &scratch, request.clone()).await;
            let error = lines[0]["error"].as_str().expect("an error");
            assert!(error.contains(part), "{request}: {error}");
            assert_eq!(lines.len(), 1);
        }
    });
}

#[test]
fn events_are_logged_and_counted_and_hostile_octets_are_an_alarm() {
    within_control(async {
        let scratch = Scratch::new("events");
        let shared = scratch.shared();
        let (input, input_end) = channels("input");
        shared.add(input).expect("added");
        let mut batch = Batch::default();
        samples::all().iter().for_each(|event| batch.push(event));
        let flags = rustix::net::SendFlags::empty();
        let lost = Lost {
            n_events: 7,
            n_final: 2,
        };
        for datagram in [batch.take(lost), b"garbage".to_vec()] {
            rustix::net::send(&input_end.events, &datagram, flags).expect("sent");
        }
        let log = scratch.log(&shared).await;
        assert_eq!(log.lines().count(), samples::all().len() + 2);
        assert!(log.contains("input - alarm text=\"7 events were lost before these: 2 final"));
        assert!(log.contains("control - alarm text=\"unreadable events from input: "));
        let member = &shared.members()[0];
        let delivered = events::counters::Count::Delivered;
        assert_eq!(member.counters.borrow().total(delivered), 1);
    });
}

#[test]
fn an_answer_of_the_supervisor_finds_who_asked() {
    within_control(async {
        let (supervisor, mut to_channel) = SupervisorEnd::new();
        let heard = RefCell::new(Vec::new());
        let answering = async {
            let frame = to_channel.recv().await.expect("a request");
            let request: Value = serde_json::from_str(&frame).expect("JSON");
            supervisor.take_answer("garbage");
            supervisor.take_answer(&json!({"id": 999, "ok": "other"}).to_string());
            supervisor.take_answer(&json!({"id": request["id"], "ok": "this"}).to_string());
            heard.borrow_mut().push(request["verb"].clone());
        };
        let limit = Duration::from_secs(5);
        let nothing = json!({});
        let (answer, ()) = tokio::join!(supervisor.ask("stop", &nothing, limit), answering);
        assert_eq!(answer.expect("an answer")["ok"], "this");
        assert_eq!(*heard.borrow(), [json!("stop")]);
    });
}
