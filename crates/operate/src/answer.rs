//! What an instance answers, as JSON: rows that fit into frames, counts, its status.

use events::fields;
use mail::{Disposition, Origin, Timestamp};
use serde_json::{Map, Value, json};

use super::{Brief, FRAME_LEN_MAX, InstanceStatus, QueueCounts, QueueRow, RecipientRow};
use crate::filter::Selection;

/// How many octets of rows go into one frame; the rest of it is around them.
const ROWS_LEN_MAX: usize = FRAME_LEN_MAX - 4096;

/// Collects rows until a frame is full.
#[derive(Debug)]
pub(super) struct Rows {
    id: u64,
    rows: Vec<Value>,
    len: usize,
}

impl Rows {
    /// No rows yet, for the answer to request `id`.
    pub(super) const fn new(id: u64) -> Self {
        Self {
            id,
            rows: Vec::new(),
            len: 0,
        }
    }

    /// Adds what is chosen of a message; gives the frames that are full. A message with so many
    /// recipients that they do not fit becomes several rows with the same id.
    pub(super) fn push(
        &mut self,
        row: &QueueRow,
        selection: &Selection,
        now: Timestamp,
    ) -> Vec<Value> {
        let mut full = Vec::new();
        let head = head(row, now);
        let head_len = Value::Object(head.clone()).to_string().len();
        let mut part = Vec::new();
        self.make_room(head_len, &mut full);
        for recipient in row.recipients.iter().filter(|r| is_shown(r, selection)) {
            let value = recipient_value(recipient, now);
            let len = value.to_string().len() + 1;
            if self.len + len > ROWS_LEN_MAX {
                if !part.is_empty() {
                    self.rows
                        .push(with_recipients(&head, std::mem::take(&mut part)));
                }
                full.extend(self.take());
                self.len = head_len;
            }
            self.len += len;
            part.push(value);
        }
        self.rows.push(with_recipients(&head, part));
        full
    }

    /// Adds a message that cannot be read; gives the frame that is full, where one is.
    pub(super) fn push_unreadable(&mut self, brief: &Brief) -> Option<Value> {
        let row = json!({
            "id": brief.id.0,
            "unreadable": true,
            "size": brief.size_bytes,
            "n_recipients": brief.n_recipients,
            "n_deferred": brief.n_deferred,
            "n_held": brief.n_held,
            "recipients": [],
        });
        let mut full = Vec::new();
        self.make_room(row.to_string().len() + 1, &mut full);
        self.rows.push(row);
        full.pop()
    }

    /// The frame of the rows that are left; also without any, as a sign of life.
    pub(super) fn take(&mut self) -> Option<Value> {
        self.len = 0;
        let rows = std::mem::take(&mut self.rows);
        Some(json!({"id": self.id, "more": true, "rows": rows}))
    }

    fn make_room(&mut self, head_len: usize, full: &mut Vec<Value>) {
        if self.len + head_len > ROWS_LEN_MAX {
            full.extend(self.take());
        }
        self.len += head_len;
    }
}

fn is_shown(recipient: &RecipientRow, selection: &Selection) -> bool {
    match selection {
        Selection::Message => true,
        Selection::None => false,
        Selection::Recipients(chosen) => chosen.contains(&recipient.index),
    }
}

fn with_recipients(head: &Map<String, Value>, recipients: Vec<Value>) -> Value {
    let mut row = head.clone();
    row.insert("recipients".to_owned(), Value::Array(recipients));
    Value::Object(row)
}

fn head(row: &QueueRow, now: Timestamp) -> Map<String, Value> {
    let (origin, identity, uid) = match &row.origin {
        Origin::Authenticated(identity) => ("authenticated", Some(identity.as_ref()), None),
        Origin::Generated => ("generated", None, None),
        Origin::Local { uid } => ("local", None, Some(*uid)),
        Origin::Outside => ("outside", None, None),
    };
    let mut head = Map::new();
    head.insert("id".to_owned(), json!(row.id.0));
    head.insert("trace".to_owned(), json!(row.trace.to_string()));
    head.insert("from".to_owned(), json!(row.from.as_str()));
    head.insert(
        "arrived".to_owned(),
        json!(row.arrived.rfc3339().to_string()),
    );
    head.insert(
        "age_seconds".to_owned(),
        json!(now.since(row.arrived).as_secs()),
    );
    head.insert("size".to_owned(), json!(row.size_bytes));
    head.insert("origin".to_owned(), json!(origin));
    if let Some(identity) = identity {
        head.insert("identity".to_owned(), json!(identity));
    }
    if let Some(uid) = uid {
        head.insert("uid".to_owned(), json!(uid));
    }
    head
}

fn recipient_value(recipient: &RecipientRow, now: Timestamp) -> Value {
    json!({
        "index": recipient.index,
        "to": recipient.address.as_str(),
        "state": state(recipient),
        "attempts": recipient.attempts,
        "next_due": recipient.next_due.map(|due| due.rfc3339().to_string()),
        "next_in_seconds": recipient.next_due.map(|due| due.since(now).as_secs()),
        "reply": recipient.reply.as_ref().map(|r| r.for_operators().to_string()),
        "waits_for": recipient.waits_for,
        "destination": recipient.destination,
    })
}

fn state(recipient: &RecipientRow) -> &'static str {
    if recipient.disposition == Disposition::Pending && recipient.attempts > 0 {
        "deferred"
    } else {
        fields::disposition(recipient.disposition)
    }
}

/// The queue in numbers.
pub(super) fn counts(counts: &QueueCounts) -> Value {
    json!({
        "messages": counts.n_messages,
        "active": counts.n_active,
        "waiting": counts.n_waiting,
    })
}

/// What a filter chose, in numbers.
#[derive(Debug, Default)]
pub(super) struct Tally {
    n_messages: u64,
    n_recipients: u64,
    n_deferred: u64,
    n_held: u64,
    size_bytes: u64,
    oldest_seconds: u64,
}

impl Tally {
    /// Counts what is chosen of a message.
    pub(super) fn add(&mut self, row: &QueueRow, selection: &Selection, now: Timestamp) {
        self.n_messages += 1;
        self.size_bytes = self.size_bytes.saturating_add(row.size_bytes);
        self.oldest_seconds = self.oldest_seconds.max(now.since(row.arrived).as_secs());
        for recipient in row.recipients.iter().filter(|r| is_shown(r, selection)) {
            self.n_recipients += 1;
            match state(recipient) {
                "deferred" => self.n_deferred += 1,
                "held" => self.n_held += 1,
                _ => {}
            }
        }
    }

    /// Counts what is chosen of a message, as memory has it.
    pub(super) fn add_brief(&mut self, brief: &Brief, now: Timestamp) {
        self.n_messages += 1;
        self.size_bytes = self.size_bytes.saturating_add(brief.size_bytes);
        self.oldest_seconds = self.oldest_seconds.max(now.since(brief.arrived).as_secs());
        self.n_recipients += u64::from(brief.n_recipients);
        self.n_deferred += u64::from(brief.n_deferred);
        self.n_held += u64::from(brief.n_held);
    }

    /// The numbers.
    pub(super) fn value(&self) -> Value {
        json!({
            "messages": self.n_messages,
            "recipients": self.n_recipients,
            "deferred": self.n_deferred,
            "held": self.n_held,
            "size": self.size_bytes,
            "oldest_seconds": self.oldest_seconds,
        })
    }
}

/// About the instance.
pub(super) fn status(status: &InstanceStatus, queue: Value) -> Value {
    json!({
        "pid": std::process::id(),
        "uptime_seconds": status.uptime.as_secs(),
        "generation": status.generation,
        "connections": status.n_connections,
        "turned_away": status.n_turned_away,
        "spool_bytes": status.spool_bytes,
        "certificate_until": status.certificate_until.map(|at| at.rfc3339().to_string()),
        "notes": status.notes,
        "queue": queue,
    })
}
