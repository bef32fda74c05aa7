//! A child process: how it is started, and the task that keeps watch over it.
//!
//! # Guarantees
//! A child inherits three descriptors: the control channel as its standard input, and standard
//! output and error. What the supervisor inherited itself it has closed. There is no environment
//! but what is named here. A signal from the terminal does not reach it. Its end is reported after
//! everything it said.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use mail::{InstanceName, Moment, Timestamp};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::Command;
use tokio::sync::mpsc;

use super::heartbeat::Heartbeat;
use super::member::Who;
use crate::channel::{FromChild, Hand, ToChild, pair};

/// This very executable, also when the file was replaced meanwhile.
const EXECUTABLE: &str = "/proc/self/exe";

/// The environment that is passed on.
const ENVIRONMENT: [&str; 1] = ["RUST_BACKTRACE"];

/// Frames that may wait for one child: more than the largest configuration needs at its start.
const FRAMES_WAITING_MAX: usize = 8 * 1024;

/// How long the last words of a dead process are looked for.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Names one process among all that this supervisor ever started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProcessId(pub(super) u64);

/// What is reported of a process.
#[derive(Debug)]
pub(super) enum Word {
    /// It is gone.
    Exited(io::Result<ExitStatus>),
    /// It sent what cannot be read; the control channel is cut.
    Garbled(String),
    /// It said something.
    Said(FromChild),
}

/// A process that was started and is not known to be gone.
#[derive(Debug)]
pub(super) struct Child {
    /// Which.
    pub(super) id: ProcessId,
    /// As the system knows it.
    pub(super) pid: u32,
    /// When it was started.
    pub(super) started_at: Timestamp,
    /// Since when it accepts.
    pub(super) ready: Option<Moment>,
    /// Why it could not start, in its own words.
    pub(super) failed: Option<Box<str>>,
    /// When it is killed: it has been told to make way or to stop.
    pub(super) kill_at: Option<Moment>,
    /// It was ordered to stop: at once, and not only to make way.
    pub(super) told_to_stop: bool,
    /// It empties its queue, and was told to end where that is empty.
    pub(super) may_leave: bool,
    /// It was killed; its end has not been reported yet.
    pub(super) killed: bool,
    /// The instance that it hands to.
    pub(super) next: Option<InstanceName>,
    /// Begins when it is ready.
    pub(super) heartbeat: Option<Heartbeat>,
    frames: mpsc::Sender<ToChild>,
    pidfd: OwnedFd,
}

/// The child does not take what it is told.
#[derive(Debug, thiserror::Error)]
#[error("it does not take what it is told")]
pub(super) struct Deaf;

impl Child {
    /// Starts a process. What happens to it is sent to `words`.
    ///
    /// # Errors
    /// When processes, memory or descriptors run out.
    pub(super) fn start(
        who: &Who,
        id: ProcessId,
        now: Timestamp,
        words: mpsc::Sender<(ProcessId, Word)>,
    ) -> io::Result<Self> {
        let (ours, theirs) = pair()?;
        let hand = Hand::new(ours)?;
        let mut command = Command::new(EXECUTABLE);
        command
            .arg0("postern")
            .env_clear()
            .current_dir("/")
            .process_group(0);
        match who {
            Who::Control => command.arg("control"),
            Who::Instance(name) => command.arg("instance").arg(name.as_str()),
        };
        for name in ENVIRONMENT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let mut process = command.stdin(Stdio::from(theirs)).spawn()?;
        // The command still holds the child's end: the control channel must break when the child
        // dies.
        drop(command);
        let gone = || io::Error::other("the process has no id");
        let pid = process.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw).ok_or_else(gone)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let (frames, waiting) = mpsc::channel(FRAMES_WAITING_MAX);
        tokio::spawn(async move {
            let keeper = Keeper { id, hand, words };
            let status = keeper.watch(&mut process, waiting).await;
            keeper.report(Word::Exited(status)).await;
        });
        Ok(Self {
            id,
            pid: pid.as_raw_nonzero().get().unsigned_abs(),
            started_at: now,
            ready: None,
            failed: None,
            kill_at: None,
            told_to_stop: false,
            may_leave: false,
            killed: false,
            next: None,
            heartbeat: None,
            frames,
            pidfd,
        })
    }

    /// Tells it something. Does not wait.
    ///
    /// # Errors
    /// When it has left too much unread, or is gone.
    pub(super) fn tell(&self, down: ToChild) -> Result<(), Deaf> {
        self.frames.try_send(down).map_err(|_| Deaf)
    }

    /// Kills it. Reaches no other process, even where it is gone already.
    pub(super) fn kill(&self) {
        // Fails only when it is gone.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

/// Watches over one process until it is gone.
struct Keeper {
    id: ProcessId,
    hand: Hand,
    words: mpsc::Sender<(ProcessId, Word)>,
}

impl Keeper {
    async fn watch(
        &self,
        process: &mut tokio::process::Child,
        mut waiting: mpsc::Receiver<ToChild>,
    ) -> io::Result<ExitStatus> {
        let talk = async {
            let said = self.listen();
            let told = async {
                while let Some(down) = waiting.recv().await {
                    if self.hand.tell(down).await.is_err() {
                        break;
                    }
                }
            };
            tokio::join!(said, told);
        };
        let status = tokio::select! {
            biased;
            // Nothing more can be said to it or heard from it; only its end remains.
            () = talk => process.wait().await,
            status = process.wait() => status,
        };
        // Frames it sent before its end are still in the socket.
        let _ = tokio::time::timeout(LAST_WORDS, self.listen()).await;
        status
    }

    /// Reports what the process says until it closes its end.
    async fn listen(&self) {
        loop {
            match self.hand.hear().await {
                Ok(Some(up)) => self.report(Word::Said(up)).await,
                Ok(None) => return,
                Err(error) => return self.report(Word::Garbled(error.to_string())).await,
            }
        }
    }

    async fn report(&self, word: Word) {
        // Fails only when the supervisor is past watching.
        let _ = self.words.send((self.id, word)).await;
    }
}
