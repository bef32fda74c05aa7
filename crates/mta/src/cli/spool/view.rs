//! How a record of a spool looks: as a line, and as one value.

use mail::{Origin, ReversePath};
use serde_json::{Map, Value, json};
use spool::inspect::{ContentPlace, Entry, Record, SegmentUse, State};
use spool::{Message, RecipientState};

use events::fields;

/// One line, behind the name of the segment.
pub(super) fn line(segment: &str, entry: &Entry) -> String {
    let (offset, rest) = match entry {
        Entry::Batch {
            offset,
            sequence,
            len,
            n_records,
        } => {
            let rest = format!("batch {sequence}: {n_records} records, {len} octets");
            (*offset, rest)
        }
        Entry::Damage { offset, len } => (*offset, format!("DAMAGED: {len} octets")),
        Entry::Record(record) => (record.offset, record_text(record)),
        Entry::Segment {
            generation,
            used,
            len,
        } => {
            let used = match used {
                SegmentUse::Active => "active".to_owned(),
                SegmentUse::Free => "free".to_owned(),
                SegmentUse::Sealed(end) => format!("full up to {end}"),
            };
            let rest = format!("segment in generation {generation}, {used}, {len} octets");
            (0, rest)
        }
        Entry::Torn { offset, len } => (*offset, format!("not written whole: {len} octets")),
    };
    format!("{segment} {offset:>9}  {rest}")
}

fn record_text(record: &Record) -> String {
    let mut text = format!("  {} ", record.kind.word());
    match &record.keys {
        Some(keys) => text += &format!("{} of {} senders", keys.n_keys, keys.n_groups),
        None => text += &record.id.to_string(),
    }
    if let Some(message) = &record.message {
        text += &format!(
            "  trace {}  from <{}>  {} recipients",
            message.provenance.trace,
            message.envelope.sender.as_str(),
            message.envelope.recipients.len(),
        );
    }
    if let Some(content) = &record.content {
        text += &format!("  content {}", content_text(content));
    }
    if let Some(state) = &record.state {
        text += &format!("  {}", state_text(state));
    }
    match &record.original {
        None => {}
        Some((id, None)) => text += &format!("  about {id}, which is done"),
        Some((id, Some(state))) => text += &format!("  about {id}: {}", state_text(state)),
    }
    if record.is_last {
        text += "  (in the last batch)";
    }
    text
}

/// Where a content lies.
pub(super) fn content_text(content: &ContentPlace) -> String {
    let place = if content.is_own_file {
        format!("in {}", content.file)
    } else {
        format!("at {}", content.start)
    };
    format!("{} octets {place}", content.len)
}

/// How many recipients stand where, and when it is due.
fn state_text(state: &State) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for recipient in &state.recipients {
        let name = fields::disposition(recipient.disposition);
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, n)) => *n += 1,
            None => counts.push((name, 1)),
        }
    }
    let mut parts: Vec<String> = counts
        .into_iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    if !state.under_way.is_empty() {
        parts.push(format!("{} under way", state.under_way.len()));
    }
    if let Some(due) = state.next_due {
        parts.push(format!("due {}", due.rfc3339()));
    }
    parts.join(", ")
}

/// The lines about a message: its envelope, and each of its recipients.
pub(super) fn message_lines(message: &Message, state: Option<&State>) -> Vec<String> {
    let provenance = &message.provenance;
    let visited: Vec<&str> = provenance
        .visited
        .iter()
        .map(|name| name.as_str())
        .collect();
    let mut lines = vec![
        format!(
            "  trace {}, {}",
            provenance.trace,
            origin(&provenance.origin)
        ),
        format!("  arrived {}", provenance.arrived.rfc3339()),
        format!("  visited {}", visited.join(", ")),
        format!("  from <{}>", message.envelope.sender.as_str()),
    ];
    if let Some(about) = provenance.about {
        lines.push(format!("  about {about}"));
    }
    if let Some(key) = &message.key {
        lines.push(format!("  came by handoff {}", key.key));
    }
    for (index, recipient) in message.envelope.recipients.iter().enumerate() {
        let at = state.and_then(|state| state.recipients.get(index));
        let at = at.unwrap_or(&RecipientState::NEW);
        let mut line = format!(
            "  to <{}>: {}, {} attempts",
            recipient.address.as_str(),
            fields::disposition(at.disposition),
            at.attempts
        );
        if let Some(reply) = &at.reply {
            line += &format!(", {}", reply.for_operators());
        }
        lines.push(line);
    }
    lines
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Authenticated(identity) => format!("of the authenticated {identity}"),
        Origin::Generated => "generated here".to_owned(),
        Origin::Local { uid } => format!("of the local user {uid}"),
        Origin::Outside => "from outside".to_owned(),
    }
}

/// One value.
pub(super) fn value(segment: &str, entry: &Entry) -> Value {
    let mut value = match entry {
        Entry::Batch {
            offset,
            sequence,
            len,
            n_records,
        } => json!({
            "what": "batch", "offset": offset, "sequence": sequence, "len": len,
            "records": n_records,
        }),
        Entry::Damage { offset, len } => json!({"what": "damage", "offset": offset, "len": len}),
        Entry::Record(record) => record_value(record),
        Entry::Segment {
            generation,
            used,
            len,
        } => {
            let (used, end) = match used {
                SegmentUse::Active => ("active", None),
                SegmentUse::Free => ("free", None),
                SegmentUse::Sealed(end) => ("sealed", Some(*end)),
            };
            json!({
                "what": "segment", "offset": 0, "generation": generation, "len": len,
                "state": used, "end": end,
            })
        }
        Entry::Torn { offset, len } => json!({"what": "torn", "offset": offset, "len": len}),
    };
    value["segment"] = json!(segment);
    value
}

/// What a record says, as one value.
pub(super) fn record_value(record: &Record) -> Value {
    let mut value = Map::new();
    let mut set = |key: &str, to: Value| value.insert(key.to_owned(), to);
    set("what", json!(record.kind.word()));
    set("offset", json!(record.offset));
    set("len", json!(record.len));
    if let Some(keys) = &record.keys {
        set("senders", json!(keys.n_groups));
        set("keys", json!(keys.n_keys));
    } else {
        set("id", json!(record.id.0));
    }
    if let Some(message) = &record.message {
        set("message", message_value(message, record.state.as_ref()));
    } else if let Some(state) = &record.state {
        set("state", json!(state_text(state)));
    }
    if let Some(content) = &record.content {
        set("content", content_value(content));
    }
    if let Some((id, state)) = &record.original {
        let state = state.as_ref().map(state_text);
        set("original", json!({"id": id.0, "state": state}));
    }
    if record.is_last {
        set("last_batch", json!(true));
    }
    Value::Object(value)
}

/// Where a content lies, as one value.
pub(super) fn content_value(content: &ContentPlace) -> Value {
    json!({"file": content.file, "start": content.start, "len": content.len})
}

/// Envelope, provenance and recipients, as one value.
pub(super) fn message_value(message: &Message, state: Option<&State>) -> Value {
    let (envelope, provenance) = (&message.envelope, &message.provenance);
    let recipients = envelope.recipients.iter().enumerate().map(|(index, to)| {
        let at = state.and_then(|state| state.recipients.get(index));
        let at = at.unwrap_or(&RecipientState::NEW);
        json!({
            "to": to.address.as_str(),
            "state": fields::disposition(at.disposition),
            "attempts": at.attempts,
            "reply": at.reply.as_ref().map(|r| r.for_operators().to_string()),
            "orcpt": to.orcpt,
        })
    });
    let is_null = envelope.sender == ReversePath::Null;
    json!({
        "trace": provenance.trace.to_string(),
        "about": provenance.about.map(|about| about.to_string()),
        "origin": origin(&provenance.origin),
        "arrived": provenance.arrived.rfc3339().to_string(),
        "visited": provenance.visited.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        "from": envelope.sender.as_str(),
        "notification": is_null,
        "envid": envelope.envid,
        "smtputf8": envelope.smtputf8,
        "key": message.key.as_ref().map(|key| key.key.to_string()),
        "due": state.and_then(|state| state.next_due).map(|due| due.rfc3339().to_string()),
        "recipients": recipients.collect::<Vec<_>>(),
    })
}
