//! An event as a name and a list of fields: the one description that every view is made from.
//!
//! The names are an interface: `docs/reference/events.md` lists them, and a test compares.

use std::fmt;

use mail::event::{About, Event, What};
use mail::{Disposition, Origin, Timestamp};

/// What a field holds.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    /// An address, or nothing for the null path. Text shows it in angle brackets.
    Address(&'a str),
    /// A number.
    Number(u64),
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
pub(crate) const ORDER: [&str; 23] = [
    "id",
    "phase",
    "notification",
    "next",
    "from",
    "to",
    "n_recipients",
    "size",
    "origin",
    "uid",
    "identity",
    "spooled",
    "message_id",
    "transport",
    "attempts",
    "age_ms",
    "state",
    "next_due",
    "reply",
    "by",
    "reason",
    "via",
    "text",
];

/// The name of what happened.
pub(crate) const fn name(what: &What) -> &'static str {
    match what {
        What::Accepted { .. } => "accepted",
        What::Alarm { .. } => "alarm",
        What::Breaker { .. } => "breaker",
        What::Deferred { .. } => "deferred",
        What::Delivered { .. } => "delivered",
        What::Dropped { .. } => "dropped",
        What::Failed { .. } => "failed",
        What::HandedOff { .. } => "handed-off",
        What::Held { .. } => "held",
        What::Instance { .. } => "instance",
        What::Notified { .. } => "notified",
        What::PossibleDuplicate { .. } => "possible-duplicate",
        What::Refused { .. } => "refused",
        What::Released { .. } => "released",
    }
}

/// The word for where a recipient stands.
pub(crate) const fn disposition(disposition: Disposition) -> &'static str {
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
pub(crate) fn each<'a>(event: &'a Event, field: &mut dyn FnMut(&'static str, Value<'a>)) {
    match &event.what {
        What::Accepted {
            id,
            from,
            n_recipients,
            size_bytes,
            origin,
            message_id,
            via,
        } => {
            field("id", Value::Number(id.0));
            field("from", Value::Address(from.as_str()));
            field("n_recipients", Value::Number((*n_recipients).into()));
            field("size", Value::Number(*size_bytes));
            each_of_origin(origin, field);
            each_of_source(message_id.as_deref(), via, field);
        }
        What::Alarm { text } | What::Instance { text } => field("text", Value::Text(text)),
        What::Breaker { next, open, reason } => {
            field("next", Value::Text(next));
            field("state", Value::Text(if *open { "open" } else { "closed" }));
            field("reason", Value::Text(reason));
        }
        What::Deferred {
            about,
            reply,
            next_due,
        } => {
            each_of_about(about, field);
            field("next_due", Value::Time(*next_due));
            field("reply", Value::Shown(reply));
        }
        What::Delivered { about, reply } | What::Failed { about, reply } => {
            each_of_about(about, field);
            field("reply", Value::Shown(reply));
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
            via,
        } => {
            field("next", Value::Text(next));
            field("from", Value::Address(from.as_str()));
            field("n_recipients", Value::Number((*n_recipients).into()));
            field("size", Value::Number(*size_bytes));
            field("spooled", Value::Truth(*spooled));
            each_of_source(message_id.as_deref(), via, field);
        }
        What::Held { about, reason } => {
            each_of_about(about, field);
            field("reason", Value::Text(reason));
        }
        What::Notified { notification, to } => {
            field("notification", Value::Shown(notification));
            field("to", Value::Address(to.as_str()));
        }
        What::PossibleDuplicate { about } => each_of_about(about, field),
        What::Refused {
            phase,
            from,
            to,
            reply,
            via,
        } => {
            field("phase", Value::Text(phase));
            if let Some(from) = from {
                field("from", Value::Address(from.as_str()));
            }
            if let Some(to) = to {
                field("to", Value::Address(to.as_str()));
            }
            field("reply", Value::Shown(reply));
            field("via", Value::Text(via));
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

fn each_of_source<'a>(
    message_id: Option<&'a str>,
    via: &'a str,
    field: &mut dyn FnMut(&'static str, Value<'a>),
) {
    if let Some(message_id) = message_id {
        field("message_id", Value::Text(message_id));
    }
    field("via", Value::Text(via));
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
