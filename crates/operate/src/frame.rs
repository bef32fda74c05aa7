//! Requests and answers as frames of JSON over a SEQPACKET channel.

use std::io;
use std::os::fd::OwnedFd;

use mail::{MessageId, Timestamp};
use serde_json::{Value, json};

use super::Step;
use crate::filter::Filter;

/// The longest frame, in octets.
pub const FRAME_LEN_MAX: usize = 64 * 1024;

/// What control wants to know or to have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Control's name for it; answers bear it.
    pub(crate) id: u64,
    /// Nobody waits for the answer after this, and nothing may be done then.
    pub(crate) until: Timestamp,
    /// What.
    pub(super) verb: Verb,
}

/// The verbs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// How many messages and recipients a filter chooses.
    Count { filter: Filter },
    /// The messages that a filter chooses, `limit` of them at most, with ids above `after`.
    List {
        filter: Filter,
        after: Option<MessageId>,
        limit: u64,
    },
    /// About the instance, and the queue in numbers.
    Status,
    /// A step for what a filter chooses.
    Steer {
        step: Step,
        filter: Filter,
        by: Box<str>,
        run: Run,
    },
}

/// Whether a step is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// It is only said what would be touched.
    Dry,
    /// It is.
    Real,
}

impl Request {
    /// Reads a frame.
    ///
    /// # Errors
    /// The answer that says what is wrong; none where not even the id can be read.
    pub(super) fn parse(frame: &[u8]) -> Result<Self, Option<Value>> {
        let value: Value = serde_json::from_slice(frame).map_err(|_| None)?;
        let id = value["id"].as_u64().ok_or(None)?;
        let until = value["until"]
            .as_u64()
            .map_or_else(Timestamp::default, Timestamp::from_unix_ms);
        match parse_verb(&value["verb"], &value["args"]) {
            Ok(verb) => Ok(Self { id, until, verb }),
            Err(text) => Err(Some(error(id, &text))),
        }
    }
}

fn parse_verb(verb: &Value, args: &Value) -> Result<Verb, String> {
    let filter = || {
        let words = args["filter"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        let filter = Filter::parse(&words).map_err(|error| error.to_string())?;
        // Control asks only those instances that the filter has.
        Ok::<_, String>(match args["to"].as_str() {
            Some(instance) => filter.for_instance(instance),
            None => filter,
        })
    };
    let steer = |step| {
        let by = args["by"].as_str().ok_or("it is not said by whom")?.into();
        let run = if args["dry_run"] == json!(true) {
            Run::Dry
        } else {
            Run::Real
        };
        Ok(Verb::Steer {
            step,
            filter: filter()?,
            by,
            run,
        })
    };
    match verb.as_str().unwrap_or_default() {
        "queue.count" => Ok(Verb::Count { filter: filter()? }),
        "queue.list" | "queue.show" => Ok(Verb::List {
            filter: filter()?,
            after: args["after"].as_u64().map(MessageId),
            limit: args["limit"].as_u64().unwrap_or(u64::MAX),
        }),
        "status" => Ok(Verb::Status),
        name => match [Step::Drop, Step::Hold, Step::Release, Step::Retry]
            .into_iter()
            .find(|step| step.verb() == name)
        {
            Some(step) => steer(step),
            None => Err(format!("no such verb: {name}")),
        },
    }
}

/// The last frame of an answer that went well.
pub(super) fn ok(id: u64, value: &Value) -> Value {
    json!({"id": id, "ok": value})
}

/// The last frame of an answer that did not.
pub(super) fn error(id: u64, text: &str) -> Value {
    json!({"id": id, "error": text})
}

/// One end of a requests channel.
#[derive(Debug)]
pub struct Channel(tokio::net::UnixDatagram);

impl Channel {
    /// The channel over a SEQPACKET socket. Must be called within a runtime.
    ///
    /// # Errors
    /// When the socket cannot be polled.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        // SEQPACKET ends are read and written as those of datagrams are.
        let socket = std::os::unix::net::UnixDatagram::from(socket);
        socket.set_nonblocking(true)?;
        tokio::net::UnixDatagram::from_std(socket).map(Self)
    }

    /// Waits for a frame; an empty one means that the other end is closed. Cancel-safe.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        buffer.reserve(FRAME_LEN_MAX);
        self.0.recv_buf(buffer).await.map(drop)
    }

    /// Sends a frame, waiting for room. Cancel-safe: it is sent whole or not at all.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn send(&self, frame: &Value) -> io::Result<()> {
        self.0.send(frame.to_string().as_bytes()).await.map(drop)
    }

    /// Sends a frame if there is room now.
    ///
    /// # Errors
    /// `WouldBlock` where there is none; else when the socket fails.
    pub fn try_send(&self, frame: &Value) -> io::Result<()> {
        self.0.try_send(frame.to_string().as_bytes()).map(drop)
    }
}
