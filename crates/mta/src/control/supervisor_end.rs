//! Requests to the supervisor, on their way over the control channel and back.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

/// Asks the supervisor; its copies share one count of ids.
#[derive(Clone, Debug)]
pub(super) struct SupervisorEnd(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    outgoing: mpsc::UnboundedSender<Box<str>>,
    open: RefCell<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last_id: u64,
    asked: HashMap<u64, oneshot::Sender<Value>>,
}

impl SupervisorEnd {
    /// Gives also what is to be said over the control channel, as JSON.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Box<str>>) {
        let (outgoing, to_channel) = mpsc::unbounded_channel();
        let inner = Inner {
            outgoing,
            open: RefCell::default(),
        };
        (Self(Rc::new(inner)), to_channel)
    }

    /// Asks and waits for the answer, `limit` at most; `None` where none came. Connections of
    /// operators are few, so what waits here is bounded by them.
    pub(super) async fn ask(&self, verb: &str, args: &Value, limit: Duration) -> Option<Value> {
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut open = self.0.open.borrow_mut();
            open.last_id += 1;
            let id = open.last_id;
            open.asked.insert(id, sender);
            id
        };
        let frame = json!({"id": id, "verb": verb, "args": args});
        let is_sent = self.0.outgoing.send(frame.to_string().into()).is_ok();
        let answer = tokio::time::timeout(limit, receiver).await;
        self.0.open.borrow_mut().asked.remove(&id);
        answer.ok().and_then(Result::ok).filter(|_| is_sent)
    }

    /// Takes an answer that came over the control channel to its request.
    pub(super) fn take_answer(&self, json: &str) {
        let Ok(answer) = serde_json::from_str::<Value>(json) else {
            return;
        };
        let Some(id) = answer["id"].as_u64() else {
            return;
        };
        if let Some(asker) = self.0.open.borrow_mut().asked.remove(&id) {
            // Who asked may have given up in this moment.
            let _ = asker.send(answer);
        }
    }
}
