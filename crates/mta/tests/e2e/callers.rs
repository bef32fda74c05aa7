//! Clients that come all the time, from outside, and count how they were served.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use testkit::{Dialogue, wait};

/// Clients at a time.
const N_CALLERS: usize = 3;

/// Clients of one port, each of which connects, sends a message, leaves, and begins anew.
pub(crate) struct Callers {
    served: Arc<Mutex<Served>>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// How they were served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Served {
    /// The subjects of the messages that were acknowledged.
    pub(crate) acknowledged: Vec<String>,
    /// What was said in each visit that did not end well.
    pub(crate) turned_away: Vec<String>,
}

impl Callers {
    /// They begin to come; each letter's subject begins with `name`.
    pub(crate) fn begin(name: &str, port: u16) -> Self {
        let (served, is_over) = (Arc::<Mutex<Served>>::default(), Arc::default());
        let threads = (0..N_CALLERS).map(|caller| {
            let (served, is_over) = (Arc::clone(&served), Arc::clone(&is_over));
            let name = name.to_owned();
            thread::spawn(move || call(&name, caller, port, &served, &is_over))
        });
        Self {
            threads: threads.collect(),
            served,
            is_over,
        }
    }

    /// Waits until so many more messages were acknowledged.
    #[track_caller]
    pub(crate) fn wait_for(&self, n_more: usize) {
        let n_before = self.so_far().acknowledged.len();
        wait::until_true("clients are served", || {
            let so_far = self.so_far();
            !so_far.turned_away.is_empty() || so_far.acknowledged.len() >= n_before + n_more
        });
    }

    /// They stop coming.
    pub(crate) fn end(self) -> Served {
        self.is_over.store(true, Ordering::SeqCst);
        let served = Arc::clone(&self.served);
        for thread in self.threads {
            thread.join().expect("a caller does not panic");
        }
        lock(&served).clone()
    }

    fn so_far(&self) -> Served {
        lock(&self.served).clone()
    }
}

fn lock(served: &Mutex<Served>) -> std::sync::MutexGuard<'_, Served> {
    served.lock().unwrap_or_else(PoisonError::into_inner)
}

fn call(name: &str, caller: usize, port: u16, served: &Mutex<Served>, is_over: &AtomicBool) {
    for number in 0.. {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        let subject = format!("{name}-{caller}-{number}-end");
        let visited = visit(port, &subject);
        let mut served = lock(served);
        match visited {
            Ok(()) => served.acknowledged.push(subject),
            Err(said) => served.turned_away.push(format!("{subject}: {said}")),
        }
    }
}

/// One visit, from the connection to the end; what was said where it was another than it should.
fn visit(port: u16, subject: &str) -> Result<(), String> {
    let mut client = Dialogue::try_tcp(port).ok_or("no connection")?;
    let letter = format!("Subject: {subject}\r\n\r\nGood morning.\r\n.");
    for (command, expected) in [
        ("", "220"),
        ("EHLO client.example", "250"),
        ("MAIL FROM:<a@example.org>", "250"),
        ("RCPT TO:<alice@example.test>", "250"),
        ("DATA", "354"),
        (letter.as_str(), "250"),
        ("QUIT", "221"),
    ] {
        let said = command.is_empty() || client.try_say(command);
        let reply = client.try_reply().unwrap_or_default();
        if !said || !reply.starts_with(expected) {
            return Err(format!("no {expected} to {command:?}:\n{}", client.said()));
        }
    }
    Ok(())
}
