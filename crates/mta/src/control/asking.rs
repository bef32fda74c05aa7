//! Control's end of an instance's requests channel: many questions at a time, matched by id.
//!
//! # Limits
//! An instance that is silent for [`SILENCE_TIME`] is taken for one that does not answer;
//! [`N_FRAMES_MAX`] frames of one answer wait here for who asked.
//!
//! # Failure
//! An instance that is stopped, busy or dead costs the one who asks that time and nobody else
//! anything. What it answers too late is thrown away, and it does nothing that it reads too late.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use net::Clock;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use operate::Channel;

/// How long an instance may be silent.
pub(super) const SILENCE_TIME: Duration = Duration::from_millis(700);

/// As many frames of one answer wait for who asked.
const N_FRAMES_MAX: usize = 16;

/// How long a frame waits for one who asked and does not listen.
const LISTEN_TIME: Duration = Duration::from_secs(5);

/// Asks one instance.
#[derive(Clone, Debug)]
pub(super) struct Asking(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    channel: Channel,
    clock: Clock,
    open: RefCell<Open>,
}

#[derive(Debug)]
struct Open {
    next_id: u64,
    asked: HashMap<u64, mpsc::Sender<Value>>,
}

/// What one frame of an answer said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// It failed, or there is no answer; nothing follows.
    Failed(String),
    /// It is done; nothing follows.
    Last(Value),
    /// Nothing came in time; nothing follows.
    NoAnswer,
    /// Rows, and more follows.
    Rows(Vec<Value>),
}

/// An answer that is coming in.
#[derive(Debug)]
pub(super) struct Answer {
    asking: Asking,
    id: u64,
    frames: Option<mpsc::Receiver<Value>>,
}

impl Asking {
    /// Over control's end of the channel. Must be called within a runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub(super) fn new(socket: OwnedFd, clock: Clock) -> std::io::Result<Self> {
        // Ids of an earlier control must not come again: its answers may still be on their way.
        let next_id = clock.timestamp().unix_ms() << 20;
        let open = RefCell::new(Open {
            next_id,
            asked: HashMap::new(),
        });
        Ok(Self(Rc::new(Inner {
            channel: Channel::new(socket)?,
            clock,
            open,
        })))
    }

    /// Sends a request; what comes back is read from the answer.
    pub(super) fn ask(&self, verb: &str, args: &Value) -> Answer {
        let (sender, receiver) = mpsc::channel(N_FRAMES_MAX);
        let id = self.0.open.borrow_mut().insert(sender);
        let until = self.0.clock.timestamp().after(SILENCE_TIME).unix_ms();
        let frame = json!({"id": id, "verb": verb, "until": until, "args": args});
        // A channel without room belongs to an instance that has not read for long.
        let is_sent = self.0.channel.try_send(&frame).is_ok();
        Answer {
            asking: self.clone(),
            id,
            frames: is_sent.then_some(receiver),
        }
    }

    /// Gives what the instance says to those who asked, until the channel closes.
    pub(super) async fn listen(self) {
        let mut buffer = Vec::new();
        loop {
            if self.0.channel.receive(&mut buffer).await.is_err() || buffer.is_empty() {
                return;
            }
            let Ok(frame) = serde_json::from_slice::<Value>(&buffer) else {
                continue;
            };
            let Some(id) = frame["id"].as_u64() else {
                continue;
            };
            let asker = self.0.open.borrow().asked.get(&id).cloned();
            if let Some(asker) = asker
                && asker.send_timeout(frame, LISTEN_TIME).await.is_err()
            {
                self.0.open.borrow_mut().asked.remove(&id);
            }
        }
    }
}

impl Open {
    fn insert(&mut self, sender: mpsc::Sender<Value>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.asked.insert(id, sender);
        id
    }
}

impl Answer {
    /// The next part. Cancel-safe.
    pub(super) async fn next(&mut self) -> Part {
        let Some(frames) = &mut self.frames else {
            return Part::NoAnswer;
        };
        let Ok(Some(mut frame)) = tokio::time::timeout(SILENCE_TIME, frames.recv()).await else {
            return Part::NoAnswer;
        };
        if let Some(text) = frame["error"].as_str() {
            return Part::Failed(text.to_owned());
        }
        if let Value::Array(rows) = frame["rows"].take() {
            return Part::Rows(rows);
        }
        Part::Last(frame["ok"].take())
    }

    /// The last part, without the rows before it.
    pub(super) async fn last(mut self) -> Part {
        loop {
            match self.next().await {
                Part::Rows(_) => {}
                part => return part,
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.asking.0.open.borrow_mut().asked.remove(&self.id);
    }
}
