//! Programs of one user, or of several, that take all places at submission: others still find one.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use testkit::user::as_user;
use testkit::wait;

use crate::system::System;

/// How many places there are, two of them for operators.
const ALL: usize = 40;

/// How many one user may have.
const OF_A_USER: usize = 10;

/// Connections that stay for as long as this lives, and how each was greeted.
struct Crowd {
    greetings: Vec<String>,
    _kept: Vec<Box<dyn BufRead + Send>>,
}

impl Crowd {
    /// So many of one user, one after the other.
    fn of(uid: u32, n: usize, connect: impl Fn() -> Box<dyn BufRead + Send> + Send + Sync) -> Self {
        let mut kept: Vec<_> = as_user(uid, || (0..n).map(|_| connect()).collect());
        let greeting = |reader: &mut Box<dyn BufRead + Send>| {
            let mut line = String::new();
            reader.read_line(&mut line).expect("it is answered");
            line.chars().take(3).collect()
        };
        Self {
            greetings: kept.iter_mut().map(greeting).collect(),
            _kept: kept,
        }
    }

    fn n_welcome(&self) -> usize {
        let welcome = self.greetings.iter().filter(|code| *code == "220");
        welcome.count()
    }

    fn n_turned_away(&self) -> usize {
        let turned_away = self.greetings.iter().filter(|code| *code == "421");
        turned_away.count()
    }
}

#[test]
fn neither_one_user_nor_all_keep_others_from_submission() {
    if !rustix::process::geteuid().is_root() {
        return testkit::peer::skip("only root can be somebody else");
    }
    let system = System::with(|config| {
        let limits = format!(
            "[instance.submission.limits]\nconnections = {ALL}\n\
             connections_per_user = {OF_A_USER}\n\n"
        );
        config.replace("[instance.input] ", &(limits + "[instance.input] "))
    });
    let (path, port) = (
        system.postern.state("submission.sock"),
        system.ports.submission,
    );
    let by_file = || -> Box<dyn BufRead + Send> {
        Box::new(BufReader::new(UnixStream::connect(&path).expect("there")))
    };
    let by_port = || -> Box<dyn BufRead + Send> {
        let stream = TcpStream::connect(("127.0.0.1", port));
        Box::new(BufReader::new(stream.expect("there")))
    };
    let first = Crowd::of(60_001, OF_A_USER + 5, by_file);
    assert_eq!((first.n_welcome(), first.n_turned_away()), (OF_A_USER, 5));
    // By the other way in it is the same user.
    assert_eq!(Crowd::of(60_001, 2, by_port).n_turned_away(), 2);
    assert_eq!(Crowd::of(60_002, 2, by_port).n_welcome(), 2);
    let words = ["submission", "alarm", "turned away", "user 60001"];
    system.logged(&words);
    let n_turned_away = || {
        let status = system.postern.json(&["status"]);
        let mut instances = status["instances"].as_array()?.iter();
        let own = instances.find(|line| line["instance"] == "submission")?;
        own["ok"]["turned_away"].as_u64()
    };
    assert_eq!(n_turned_away(), Some(7));

    wait::until_true("those who left are gone", || {
        let status = system.postern.ask(&["status"]);
        status.contains(&format!("{OF_A_USER} connections, 7 turned away"))
    });
    let others = (60_002..60_006).map(|uid| Crowd::of(uid, OF_A_USER, by_port));
    let others: Vec<Crowd> = others.collect();
    let n_others: usize = others.iter().map(Crowd::n_welcome).sum();
    assert_eq!(OF_A_USER + n_others, ALL - 2, "all but those for operators");
    let send = ["send", "--from", "root", "--to", "alice@example.test"];
    system
        .postern
        .call_with(&send, "Subject: root\n\nHi\n")
        .ok();
    system.arrived("alice", "Subject: root");
}
