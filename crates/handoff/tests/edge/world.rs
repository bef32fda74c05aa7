//! A next instance that a test stops, kills and slows down, and a front that hands off to it.
//!
//! Time is paused. It goes on by [`pass`] alone, a step at a time and only when all that was sent
//! has arrived: so nothing here depends on how fast the machine is.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use handoff::{
    Answer, Content, EdgeReceiver, EdgeSender, Handoff, Ledger, Lifetimes, Mode, Next, Parameters,
    Settings,
};
use mail::{
    BodyType, Envelope, Mailbox, Notify, Origin, Provenance, Recipient, Reply, ReversePath,
    SpoolId, Timestamp, TraceId,
};
use net::{Clock, Stream};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::watch;

/// How long a handoff or question may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// The size that a next instance announces: less than all that it is sent.
pub(crate) const SIZE_ANNOUNCED: usize = 1;

/// What a next instance does with what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Answering,
    /// Each answer takes so long.
    Slow(Duration),
    /// Answers everything at once, but for contents, which take so long.
    SlowDisk(Duration),
    /// Its process does nothing.
    Stopped,
    /// There is no process.
    Killed,
}

/// A next instance.
pub(crate) struct Output {
    state: watch::Sender<State>,
    channel: OwnedFd,
    spoken: Arc<Mutex<Vec<String>>>,
    /// What is sent after an answer to a question, unasked for.
    stray: Arc<Mutex<Option<&'static str>>>,
}

/// The two ends of an edge.
fn channel() -> (OwnedFd, OwnedFd) {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    let flags = SocketFlags::CLOEXEC;
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

impl Output {
    /// One that answers, and the front that hands off to it.
    pub(crate) fn with_front() -> (Self, Arc<Next>) {
        let (near, far) = channel();
        let output = Self {
            state: watch::Sender::new(State::Answering),
            channel: near.try_clone().unwrap(),
            spoken: Arc::default(),
            stray: Arc::default(),
        };
        let receiver = EdgeReceiver::new(far).unwrap();
        let (state, spoken, stray) = (
            output.state.subscribe(),
            Arc::clone(&output.spoken),
            Arc::clone(&output.stray),
        );
        tokio::spawn(async move {
            let mut gate = state.clone();
            loop {
                let runs = |state: &State| !matches!(state, State::Stopped | State::Killed);
                gate.wait_for(runs).await.unwrap();
                let Ok(Some(stream)) = receiver.accept().await else {
                    return;
                };
                // One that came while it was away waits in the channel.
                if gate.wait_for(runs).await.is_err() {
                    return;
                }
                let session = Session {
                    stream: BufReader::new(stream),
                    state: state.clone(),
                    spoken: Arc::clone(&spoken),
                    stray: Arc::clone(&stray),
                };
                tokio::spawn(session.serve());
            }
        });
        (output, front(near))
    }

    pub(crate) fn becomes(&self, state: State) {
        self.state.send_replace(state);
    }

    /// Sends `reply` behind each answer to a question from now on.
    pub(crate) fn says_unasked(&self, reply: &'static str) {
        *self.stray.lock().unwrap() = Some(reply);
    }

    /// Connects until the channel has no room.
    pub(crate) fn fill(&self) -> Vec<Stream> {
        let sender = EdgeSender::new(self.channel.try_clone().unwrap());
        let mut held = Vec::new();
        loop {
            match sender.connect() {
                Ok(stream) => held.push(stream),
                Err(e) => {
                    assert_eq!(e.kind(), io::ErrorKind::WouldBlock);
                    return held;
                }
            }
        }
    }

    /// The commands that it was sent.
    pub(crate) fn spoken(&self) -> Vec<String> {
        self.spoken.lock().unwrap().clone()
    }
}

/// One connection of the next instance.
struct Session {
    stream: BufReader<Stream>,
    state: watch::Receiver<State>,
    spoken: Arc<Mutex<Vec<String>>>,
    stray: Arc<Mutex<Option<&'static str>>>,
}

impl Session {
    async fn serve(mut self) -> Option<()> {
        let mut killed = self.state.clone();
        tokio::select! {
            served = self.talk() => served,
            _ = killed.wait_for(|state| *state == State::Killed) => None,
        }
    }

    async fn talk(&mut self) -> Option<()> {
        self.say("220 output\r\n").await?;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            self.spoken.lock().unwrap().push(line.trim().to_owned());
            match line.get(..4)? {
                "EHLO" => {
                    let hello = format!(
                        "250-output\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-DSN\r\n\
                         250-SIZE {SIZE_ANNOUNCED}\r\n250 XPOSTERN 1\r\n"
                    );
                    self.say(&hello).await?;
                }
                "BDAT" => {
                    let len = line.split(' ').nth(1)?.trim().parse().ok()?;
                    self.stream.read_exact(&mut vec![0; len]).await.ok()?;
                    let disk = *self.state.borrow();
                    if let State::SlowDisk(delay) = disk {
                        tokio::time::sleep(delay).await;
                    }
                    self.say("250 2.0.0 accepted\r\n").await?;
                }
                "VRFY" => {
                    let stray = match line.contains("epochs=") {
                        true => None,
                        false => *self.stray.lock().unwrap(),
                    };
                    self.say("250 2.1.5 ok\r\n").await?;
                    if let Some(stray) = stray {
                        settle().await;
                        self.say(stray).await?;
                    }
                }
                _ => self.say("250 2.0.0 ok\r\n").await?,
            }
        }
    }

    async fn say(&mut self, reply: &str) -> Option<()> {
        let runs = |state: &State| *state != State::Stopped;
        self.state.wait_for(runs).await.ok()?;
        let slow = *self.state.borrow();
        if let State::Slow(delay) = slow {
            tokio::time::sleep(delay).await;
        }
        self.stream.write_all(reply.as_bytes()).await.ok()
    }
}

fn front(edge: OwnedFd) -> Arc<Next> {
    let settings = Settings {
        own_name: "input".parse().unwrap(),
        next_name: "output".parse().unwrap(),
        patience: PATIENCE,
        connections_max: 20,
        lifetimes: Lifetimes {
            answers_max: 100,
            accepted: Duration::ZERO,
            refused: Duration::ZERO,
            stale: Duration::from_secs(3600),
        },
        client: Arc::new(smtp::client::Settings {
            dialect: smtp::client::Dialect::Edge,
            hello_name: "input".into(),
            timeouts: smtp::client::Timeouts::LEAST,
            tls: smtp::client::TlsWish::Never,
        }),
    };
    let ledger = Arc::new(Mutex::new(Ledger::new(SpoolId::from_bytes([7; 16]), 1)));
    let edge = EdgeSender::new(edge);
    Next::new(edge, settings, ledger, Clock::start(), Box::new(|_, _| ()))
}

/// Whether the next instance takes this recipient; `None` where it does not say.
pub(crate) async fn verify(next: &Arc<Next>, recipient: &str) -> Option<Reply> {
    next.ask(&format!("<{recipient}>;o=outside")).await
}

/// Whether a message gets through to the next instance.
pub(crate) async fn hand_off(next: &Arc<Next>, envelope: &Envelope) -> Answer {
    let key = next.draw_key();
    let arrived = Timestamp::from_unix_ms(0);
    let parameters = Parameters {
        provenance: Provenance {
            trace: TraceId::new(arrived, 1),
            origin: Origin::Outside,
            arrived,
            client: None,
            visited: vec!["input".parse().unwrap()],
            about: None,
        },
        key: Some(key),
        lowest_unsettled: next.lowest_unsettled(&key),
        mode: Mode::All,
    };
    let n = u32::try_from(envelope.recipients.len()).unwrap();
    let answer = next
        .hand_off(&Handoff {
            parameters: &parameters,
            envelope,
            recipients: &Vec::from_iter(0..n),
            content: Content::Bytes(b"\r\n"),
        })
        .await;
    next.settle(&key);
    answer
}

pub(crate) fn envelope() -> Envelope {
    Envelope {
        sender: ReversePath::parse("c@c.example").unwrap(),
        recipients: vec![Recipient {
            address: Mailbox::parse("alice@x.org").unwrap(),
            notify: Notify::UNSPECIFIED,
            orcpt: None,
        }],
        body: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
    }
}

/// How often each task has its turn before time goes on: more than a dialogue has steps.
const N_TURNS: u32 = 40;

/// Lets so much time pass, in such steps.
pub(crate) async fn pass(time: Duration, step: Duration) {
    let until = tokio::time::Instant::now() + time;
    while tokio::time::Instant::now() < until {
        settle().await;
        tokio::time::advance(step).await;
    }
    settle().await;
}

/// Lets everything that was sent arrive, and be answered where it is answered at once.
pub(crate) async fn settle() {
    for _ in 0..N_TURNS {
        tokio::task::yield_now().await;
    }
}
