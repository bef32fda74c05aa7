//! Programs that run to their end, within a limit.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::wait;

/// How a program ended and what it said.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error stream.
    pub err: String,
}

impl Ran {
    /// The output of a program that must succeed.
    ///
    /// # Panics
    /// When it did not, with all that it said.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(
            self.status,
            Some(0),
            "out:\n{}\nerr:\n{}",
            self.out,
            self.err
        );
        self.out
    }

    /// Output and error text of a program that must end with `status`.
    ///
    /// # Panics
    /// When it ended in another way, with all that it said.
    #[track_caller]
    pub fn fails(self, status: i32) -> String {
        assert_eq!(
            self.status,
            Some(status),
            "out:\n{}\nerr:\n{}",
            self.out,
            self.err
        );
        self.out + &self.err
    }
}

/// Runs `command` with `input` as its standard input.
///
/// # Panics
/// When it cannot be started or has not ended within `limit`; then it is killed.
pub fn run(command: &mut Command, input: &str, limit: Duration) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let input = input.to_owned();
    let stdin = child.stdin.take();
    // A program may end without reading all of it.
    let writer = thread::spawn(move || stdin.map(|mut pipe| pipe.write_all(input.as_bytes())));
    let out = collect(child.stdout.take());
    let err = collect(child.stderr.take());
    let Some(status) = wait::within(limit, || ended(&mut child)) else {
        let _ = child.kill();
        let _ = child.wait();
        panic!("not ended within {limit:?}: {command:?}");
    };
    let _ = writer.join();
    let text = |reader: JoinHandle<String>| reader.join().expect("the reader does not panic");
    Ran {
        status: status.code(),
        out: text(out),
        err: text(err),
    }
}

fn ended(child: &mut Child) -> Option<std::process::ExitStatus> {
    child.try_wait().expect("a child of ours can be waited for")
}

/// Reads a pipe to its end in a thread of its own, so that the program never waits for us.
fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut octets = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut octets);
        }
        String::from_utf8_lossy(&octets).into_owned()
    })
}
