//! The system that tests run: the embedded configuration, on ports of its own.

use std::path::PathBuf;
use std::process::Command;

use testkit::port::free_port;
use testkit::{Dialogue, Postern, maildir, wait};

/// What the embedded configuration does, in a directory and on ports of the test's own.
const EMBEDDED: &str = include_str!("../../../config/src/embedded.toml");

const PROGRAM: &str = env!("CARGO_BIN_EXE_postern");

/// The route of the embedded configuration that mail for elsewhere takes.
const HOLD: &str = "{ hold = \"the embedded configuration sends nothing into the world\" }";

/// A system, and where it listens.
pub(crate) struct System {
    pub(crate) postern: Postern,
    pub(crate) ports: Ports,
    pub(crate) config: String,
}

/// Where it listens.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) submission: u16,
    pub(crate) input: u16,
    pub(crate) tls: u16,
}

impl System {
    /// The embedded configuration, started.
    #[track_caller]
    pub(crate) fn embedded() -> Self {
        Self::with(|config| config)
    }

    /// The embedded configuration, but everything for elsewhere goes to a relay on the loopback.
    #[track_caller]
    pub(crate) fn with_relay(port: u16) -> Self {
        Self::with(|config| relaying(&config, port))
    }

    /// The embedded configuration, but fronts soon use their own spools, so that a test in which
    /// they must is short.
    #[track_caller]
    pub(crate) fn impatient() -> Self {
        let patience = |name| format!("[instance.{name}.handoff]\npatience = \"200ms\"\n\n");
        Self::with(|config| {
            config
                .replace(
                    "[instance.input] ",
                    &(patience("submission") + "[instance.input] "),
                )
                .replace(
                    "[instance.output] ",
                    &(patience("input") + "[instance.output] "),
                )
        })
    }

    /// The embedded configuration as `change` has it, started.
    #[track_caller]
    pub(crate) fn with(change: impl FnOnce(String) -> String) -> Self {
        let mut system = Self::stopped(change);
        system.postern.start();
        system
    }

    /// The embedded configuration of an ordinary user, started.
    #[track_caller]
    pub(crate) fn of_user(user: u32) -> Self {
        let make = |config: &str| Postern::of_user(PROGRAM, config, user);
        let mut system = Self::made(|config| config, make);
        system.postern.start();
        system
    }

    /// As [`Self::with`], not started.
    pub(crate) fn stopped(change: impl FnOnce(String) -> String) -> Self {
        Self::made(change, |config| Postern::new(PROGRAM, config))
    }

    fn made(change: impl FnOnce(String) -> String, make: impl FnOnce(&str) -> Postern) -> Self {
        let ports = Ports {
            submission: free_port(),
            input: free_port(),
            tls: free_port(),
        };
        let config = EMBEDDED
            .replace("postern-data", "{scratch}/state")
            .replace(":1587\"", &format!(":{}\"", ports.submission))
            .replace(":1025\"", &format!(":{}\"", ports.input))
            .replace(":1465\"", &format!(":{}\"", ports.tls));
        let config = change(config);
        Self {
            postern: make(&config),
            ports,
            config,
        }
    }

    /// Writes another configuration file; what runs learns of it by a reload.
    pub(crate) fn rewrite(&mut self, change: impl FnOnce(&str) -> String) {
        self.config = change(&self.config);
        self.postern.write_config(&self.config);
    }

    /// A client at input.
    #[track_caller]
    pub(crate) fn at_input(&self) -> Dialogue {
        greeted(Dialogue::tcp(self.ports.input))
    }

    /// A client at submission's port.
    #[track_caller]
    pub(crate) fn at_submission(&self) -> Dialogue {
        greeted(Dialogue::tcp(self.ports.submission))
    }

    /// Where mail for a user lies.
    pub(crate) fn maildir(&self, user: &str) -> PathBuf {
        self.postern.state(&format!("mail/example.test/{user}"))
    }

    /// Waits for the one message with `mark` in the Maildir of `user`.
    #[track_caller]
    pub(crate) fn arrived(&self, user: &str, mark: &str) -> String {
        maildir::message_with(&self.maildir(user), mark)
    }

    /// The subjects of what lies in the Maildir of `user`, in their order.
    pub(crate) fn subjects(&self, user: &str) -> Vec<String> {
        let messages = maildir::messages(&self.maildir(user));
        let subject = |message: &String| {
            let mut lines = message.lines();
            let subject = lines.find_map(|line| line.strip_prefix("Subject: "));
            subject.unwrap_or_default().to_owned()
        };
        let mut subjects: Vec<String> = messages.iter().map(subject).collect();
        subjects.sort();
        subjects
    }

    /// Waits until all of `subjects` lie in the Maildir of `user`, and finds each of them once.
    #[track_caller]
    pub(crate) fn all_arrived_once(&self, user: &str, subjects: &[String]) {
        wait::until_true("everything acknowledged is delivered", || {
            let arrived = self.subjects(user);
            let has = |subject| arrived.binary_search(subject).is_ok();
            subjects.iter().all(has)
        });
        self.drained();
        let arrived = self.subjects(user);
        let mut once = arrived.clone();
        once.dedup();
        assert_eq!(
            once.len(),
            arrived.len(),
            "a message came twice: {arrived:?}"
        );
    }

    /// Waits for a line of the log that has all of `words`, and returns it.
    #[track_caller]
    pub(crate) fn logged(&self, words: &[&str]) -> String {
        wait::until(&format!("a line with {words:?} in the log"), || {
            let log = self.postern.log();
            let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
            log.lines().find(has_all).map(str::to_owned)
        })
    }

    /// How many messages an instance has in its queue; `None` while it does not answer.
    #[track_caller]
    pub(crate) fn queued(&self, instance: &str) -> Option<u64> {
        let status = self.postern.json(&["status"]);
        let mut instances = status["instances"].as_array()?.iter();
        instances.find(|line| line["instance"] == instance)?["ok"]["queue"]["messages"].as_u64()
    }

    /// Waits until every queue is empty.
    #[track_caller]
    pub(crate) fn drained(&self) {
        wait::until_true("all queues are empty", || {
            ["submission", "input", "output"]
                .iter()
                .all(|name| self.queued(name) == Some(0))
        });
    }
}

/// `config` with a relay for everything that the embedded configuration holds.
pub(crate) fn relaying(config: &str, port: u16) -> String {
    assert!(config.contains(HOLD), "the embedded configuration holds");
    config.replace(HOLD, &format!("{{ relay = \"127.0.0.1:{port}\" }}"))
}

fn greeted(mut client: Dialogue) -> Dialogue {
    client.play(
        "S: 220
         C: EHLO client.example
         S: 250",
    );
    client
}

/// Sends a message in a session that said EHLO already, which is accepted; returns the last reply.
#[track_caller]
pub(crate) fn give(client: &mut Dialogue, from: &str, to: &[&str], content: &str) -> String {
    let reply = offer(client, from, to, content);
    assert!(reply.starts_with("250"), "{reply}");
    reply
}

/// As [`give`], but whatever the last reply is.
#[track_caller]
pub(crate) fn offer(client: &mut Dialogue, from: &str, to: &[&str], content: &str) -> String {
    client.play(&format!("C: MAIL FROM:<{from}>\nS: 250"));
    for recipient in to {
        client.play(&format!("C: RCPT TO:<{recipient}>\nS: 250"));
    }
    client.play("C: DATA\nS: 354");
    for line in content.lines() {
        client.say(line);
    }
    client.say(".");
    client.reply()
}

/// A message with a mark to be found again.
pub(crate) fn letter(mark: &str) -> String {
    format!(
        "From: <a@example.org>\nMessage-ID: <{mark}@example.org>\nSubject: {mark}\n\nGood morning."
    )
}

/// The output of a peer that must succeed.
#[track_caller]
pub(crate) fn succeeds(command: &mut Command, input: &str) -> String {
    testkit::run::run(command, input, wait::LIMIT).ok()
}
