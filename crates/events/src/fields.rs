//! An event as a name and a list of fields: the one description that every view is made from.
//!
//! The names are an interface: `docs/reference/events.md` lists them, and a test compares.

use std::fmt;

use mail::event::{About, Event, Source, What};
use mail::{Disposition, Origin, Reply, Timestamp};

/// What a field holds.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// An address, or nothing for the null path. Text shows it in angle brackets.
    Address(&'a str),
    /// A number.
    Number(u64),
    /// With its cause.
    Reply(&'a Reply),
    /// Anything that can be written, from the world or from here.
    Shown(&'a dyn fmt::Display),
    /// A text, from the world or from here.
    Text(&'a str),
    /// A time of day.
    Time(Timestamp),
    /// Yes or no.
    Truth(bool),
}

/// The fields in the order in which they are shown, whatever the event.
pub const ORDER: [&str; 34] = [
    "client",
    "orig_client",
    "helo",
    "tls",
    "pid",
    "previous",
    "id",
    "phase",
    "notification",
    "next",
    "from",
    "to",
    "n_recipients",
    "size",
    "origin",
    "identity",
    "uid",
    "spooled",
    "message_id",
    "transport",
    "attempts",
    "age_ms",
    "state",
    "next_due",
    "verdict",
    "checks",
    "facts",
    "reply",
    "by",
    "reason",
    "n_messages",
    "n_refused",
    "duration_ms",
    "text",
];

/// The name of what happened.
pub const fn name(what: &What) -> &'static str {
    match what {
        What::Accepted { .. } => "accepted",
        What::Alarm { .. } => "alarm",
        What::Breaker { .. } => "breaker",
        What::Checked { .. } => "checked",
        What::Deferred { .. } => "deferred",
        What::Delivered { .. } => "delivered",
        What::Disconnected { .. } => "disconnected",
        What::Dropped { .. } => "dropped",
        What::Failed { .. } => "failed",
        What::HandedOff { .. } => "handed-off",
        What::Held { .. } => "held",
        What::Instance { .. } => "instance",
        What::Notified { .. } => "notified",
        What::PossibleDuplicate { .. } => "possible-duplicate",
        What::ProtocolError { .. } => "protocol-error",
        What::Refused { .. } => "refused",
        What::Released { .. } => "released",
    }
}

/// The word for where a recipient stands.
pub const fn disposition(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Delivered => "delivered",
        Disposition::Dropped => "dropped",
        Disposition::Failed => "failed",
        Disposition::Held => "held",
        Disposition::Pending => "pending",
    }
}

/// Gives each field of an event to `field`, in the order in which they are shown.
#[expect(clippy::too_many_lines, reason = "one arm for each kind of event")]
pub fn each<'a>(event: &'a Event, field: &mut dyn FnMut(&'static str, Value<'a>)) {
    match &event.what {
        What::Accepted {
            id,
            from,
            n_recipients,
            size_bytes,
            origin,
            message_id,
            source,
        } => {
            // Whose program it was stands beside the origin.
            each_of_source(source, field);
            field("id", Value::Number(id.0));
            field("from", Value::Address(from.as_str()));
            field("n_recipients", Value::Number((*n_recipients).into()));
            field("size", Value::Number(*size_bytes));
            each_of_origin(origin, field);
            if let (Some(uid), false) = (source.uid, matches!(origin, Origin::Local { .. })) {
                field("uid", Value::Number(uid.into()));
            }
            each_of_message_id(message_id.as_deref(), field);
        }
        What::Alarm { text } | What::Instance { text } => field("text", Value::Text(text)),
        What::Breaker { next, open, reason } => {
            field("next", Value::Text(next));
            field("state", Value::Text(if *open { "open" } else { "closed" }));
            field("reason", Value::Text(reason));
        }
        What::Checked {
            phase,
            from,
            to,
            verdict,
            checks,
            facts,
            source,
        } => {
            each_of_source(source, field);
            field("phase", Value::Text(phase));
            if let Some(from) = from {
                field("from", Value::Address(from.as_str()));
            }
            if let Some(to) = to {
                field("to", Value::Address(to.as_str()));
            }
            each_of_uid(source, field);
            field("verdict", Value::Text(verdict));
            field("checks", Value::Text(checks));
            field("facts", Value::Text(facts));
        }
        What::Deferred {
            about,
            reply,
            next_due,
        } => {
            each_of_about(about, field);
            field("next_due", Value::Time(*next_due));
            field("reply", Value::Reply(reply));
        }
        What::Delivered { about, reply } | What::Failed { about, reply } => {
            each_of_about(about, field);
            field("reply", Value::Reply(reply));
        }
        What::Disconnected {
            source,
            reason,
            n_messages,
            n_refused,
            duration_ms,
        } => {
            each_of_source(source, field);
            each_of_uid(source, field);
            field("reason", Value::Text(reason));
            field("n_messages", Value::Number((*n_messages).into()));
            field("n_refused", Value::Number((*n_refused).into()));
            field("duration_ms", Value::Number(*duration_ms));
        }
        What::Dropped { about, by } | What::Released { about, by } => {
            each_of_about(about, field);
            field("by", Value::Text(by));
        }
        What::HandedOff {
            next,
            from,
            n_recipients,
            size_bytes,
            spooled,
            message_id,
            source,
        } => {
            each_of_source(source, field);
            field("next", Value::Text(next));
            field("from", Value::Address(from.as_str()));
            field("n_recipients", Value::Number((*n_recipients).into()));
            field("size", Value::Number(*size_bytes));
            each_of_uid(source, field);
            field("spooled", Value::Truth(*spooled));
            each_of_message_id(message_id.as_deref(), field);
        }
        What::Held { about, reason } => {
            each_of_about(about, field);
            field("reason", Value::Text(reason));
        }
        What::Notified { notification, to } => {
            field("notification", Value::Shown(notification));
            field("to", Value::Address(to.as_str()));
        }
        What::ProtocolError { source, reply } => {
            each_of_source(source, field);
            each_of_uid(source, field);
            field("reply", Value::Reply(reply));
        }
        What::PossibleDuplicate { about } => each_of_about(about, field),
        What::Refused {
            phase,
            from,
            to,
            reply,
            source,
        } => {
            each_of_source(source, field);
            field("phase", Value::Text(phase));
            if let Some(from) = from {
                field("from", Value::Address(from.as_str()));
            }
            if let Some(to) = to {
                field("to", Value::Address(to.as_str()));
            }
            each_of_uid(source, field);
            field("reply", Value::Reply(reply));
        }
    }
}

fn each_of_origin<'a>(origin: &'a Origin, field: &mut dyn FnMut(&'static str, Value<'a>)) {
    match origin {
        Origin::Authenticated(identity) => {
            field("origin", Value::Text("authenticated"));
            field("identity", Value::Text(identity));
        }
        Origin::Generated => field("origin", Value::Text("generated")),
        Origin::Local { uid } => {
            field("origin", Value::Text("local"));
            field("uid", Value::Number((*uid).into()));
        }
        Origin::Outside => field("origin", Value::Text("outside")),
    }
}

/// The address first, so that nothing that a client can choose stands before it.
fn each_of_source<'a>(source: &'a Source, field: &mut dyn FnMut(&'static str, Value<'a>)) {
    if let Some(client) = &source.client {
        field("client", Value::Shown(client));
    }
    if let Some(client) = &source.orig_client {
        field("orig_client", Value::Shown(client));
    }
    if let Some(helo) = &source.helo {
        field("helo", Value::Text(helo));
    }
    if let Some(tls) = source.tls {
        field("tls", Value::Truth(tls));
    }
    if let Some(pid) = source.pid {
        field("pid", Value::Number(pid.into()));
    }
    if let Some(previous) = &source.previous {
        field("previous", Value::Text(previous));
    }
}

fn each_of_uid<'a>(source: &'a Source, field: &mut dyn FnMut(&'static str, Value<'a>)) {
    if let Some(uid) = source.uid {
        field("uid", Value::Number(uid.into()));
    }
}

fn each_of_message_id<'a>(
    message_id: Option<&'a str>,
    field: &mut dyn FnMut(&'static str, Value<'a>),
) {
    if let Some(message_id) = message_id {
        field("message_id", Value::Text(message_id));
    }
}

fn each_of_about<'a>(about: &'a About, field: &mut dyn FnMut(&'static str, Value<'a>)) {
    field("id", Value::Number(about.id.0));
    field("from", Value::Address(about.from.as_str()));
    field("to", Value::Address(about.to.as_str()));
    field("transport", Value::Text(&about.transport));
    field("attempts", Value::Number(about.attempts.into()));
    field("age_ms", Value::Number(about.age_ms));
    field("state", Value::Text(disposition(about.disposition)));
}
