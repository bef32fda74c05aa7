//! `docs/reference/events.md`: each kind of event and its fields, compared with what is rendered.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{fields, samples};

/// Each kind of event, and when it happens.
const EVENTS: &[(&str, &str)] = &[
    (
        "accepted",
        "A message is on stable storage in this instance's spool.",
    ),
    (
        "alarm",
        "Something that an operator should look at, and what to do.",
    ),
    (
        "breaker",
        "Handoff to the next instance was switched off (`open`) or works again (`closed`).",
    ),
    (
        "checked",
        "Checks found something, or could not tell: in effect, or (`would …`) only observed.",
    ),
    ("deferred", "A recipient waits for another attempt."),
    (
        "delivered",
        "A recipient's copy reached its mailbox, or the next host outside of this system.",
    ),
    (
        "disconnected",
        "A client has left, or was told to: one line for each connection, also where nothing came.",
    ),
    ("dropped", "An operator took a recipient out of the queue."),
    ("failed", "A recipient failed permanently."),
    (
        "handed-off",
        "The next instance has the message. Never counted as a delivery.",
    ),
    ("held", "A recipient waits until an operator releases it."),
    (
        "instance",
        "Something about the instance itself: started, stopping, recovered its spool.",
    ),
    (
        "notified",
        "A notification about this message was made; it has a journey of its own.",
    ),
    (
        "possible-duplicate",
        "A crash hid the outcome of an attempt: it may be made twice.",
    ),
    (
        "protocol-error",
        "A command that is none, is misplaced, or breaks the grammar: a scan, garbage, a mistake.",
    ),
    (
        "refused",
        "A connection, a transaction or a recipient was refused; the client got the reply.",
    ),
    ("released", "An operator let a held recipient go on."),
];

/// Each field, and what it holds.
const FIELDS: &[(&str, &str)] = &[
    (
        "age_ms",
        "milliseconds since the message entered the system",
    ),
    (
        "attempts",
        "attempts for this recipient so far, with this one",
    ),
    ("by", "who did it: `uid 0`"),
    (
        "checks",
        "the checks that were asked, in their order, and what each came to",
    ),
    (
        "client",
        "the address at the other end of the connection, as the kernel says; the first field of \
         its line",
    ),
    ("duration_ms", "milliseconds that the client was connected"),
    (
        "facts",
        "the facts that the checks read; `cannot-tell` is one that could not be had",
    ),
    ("from", "the envelope sender; `<>` is the null sender"),
    (
        "helo",
        "the name that the client gave in HELO or EHLO: whatever it likes",
    ),
    ("id", "the message's number in this instance's spool"),
    (
        "identity",
        "who authenticated, where origin is `authenticated`",
    ),
    (
        "message_id",
        "the value of the field Message-ID, where there is one",
    ),
    (
        "n_messages",
        "how many messages were accepted over the connection",
    ),
    (
        "n_recipients",
        "how many recipients were accepted, or handed over",
    ),
    (
        "n_refused",
        "how many commands, senders, recipients and messages were refused over the connection",
    ),
    ("next", "the next instance"),
    ("next_due", "when the next attempt is due"),
    ("notification", "the trace id of the notification"),
    (
        "orig_client",
        "the address of the client behind `client`, from a peer that may use XFORWARD",
    ),
    (
        "origin",
        "where the message entered: `authenticated`, `generated`, `local`, `outside`",
    ),
    (
        "phase",
        "where in the transaction: `connect`, `helo`, `mail`, `rcpt`, `data`, `content`",
    ),
    ("pid", "the process of the program, over a local socket"),
    ("previous", "the instance that handed the message over"),
    ("reason", "why, in words"),
    ("reply", "code, enhanced code and text of the reply"),
    ("size", "bytes of content"),
    (
        "spooled",
        "whether it had been in this instance's spool; if not, nothing was written here",
    ),
    (
        "state",
        "where the recipient stands now; of a breaker: `open` or `closed`",
    ),
    ("text", "in words"),
    ("tls", "whether the connection was protected by TLS"),
    ("to", "the recipient"),
    (
        "transport",
        "the transport and where it led: `relay 192.0.2.1:25`, `maildir`",
    ),
    ("uid", "the user of a local program"),
    (
        "verdict",
        "what the checks came to: `accept`, `defer`, `discard`, `hold`, `reject`",
    ),
];

const INTRODUCTION: &str = "\
# Events

Made by a test from `crates/events/src/reference.rs`; not to be changed here.

The log has one line for each event. As text: `time instance trace event field=value …`; the \
trace id is `-` where the event belongs to no message; a value stands in quotes where it holds \
more than plain ASCII without spaces, with `\\\"`, `\\\\` and `\\u{…}` (a character's number) in \
it. As JSON: one object a line with `at`, `instance`, `trace`, `event` and the fields; addresses \
without angle brackets. Times are UTC.

What a client chooses (`helo`, addresses) stands behind `client`, which is always the address that \
the kernel gives, and in it a `=` after `client` or `uid` is written `\\u{3d}`: a rule such as \
`(refused|protocol-error) client=<ADDR>` of fail2ban cannot be misled by it.

A field in square brackets may be missing. Lines about the system as a whole bear the instance \
name `control`.
";

fn reference() -> String {
    let mut text = String::from(INTRODUCTION);
    for (name, when) in EVENTS {
        let _infallible = write!(
            text,
            "\n## {name}\n\n{when}\n\nFields: {}\n",
            shown_fields(name)
        );
    }
    text.push_str("\n## Fields\n\n| field | what it holds |\n|---|---|\n");
    for (name, what) in FIELDS {
        let _infallible = writeln!(text, "| `{name}` | {what} |");
    }
    text
}

/// The fields about who brought a message: which of them there are depends on how it came.
const OF_SOURCE: [&str; 7] = [
    "client",
    "orig_client",
    "helo",
    "tls",
    "pid",
    "previous",
    "uid",
];

/// The fields of all samples of a kind; those that not every sample has, in brackets.
fn shown_fields(name: &str) -> String {
    let mut order = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let samples = samples::all();
    let of_kind: Vec<_> = samples
        .iter()
        .filter(|e| fields::name(&e.what) == name)
        .collect();
    for event in &of_kind {
        fields::each(event, &mut |key, _| {
            if !order.contains(&key) {
                order.push(key);
            }
            *seen.entry(key).or_default() += 1;
        });
    }
    if OF_SOURCE.iter().any(|key| seen.contains_key(key)) {
        order.retain(|key| !OF_SOURCE.contains(key));
        order.extend(OF_SOURCE);
    }
    order.sort_by_key(|key| fields::ORDER.iter().position(|known| known == key));
    let shown = order.iter().map(|key| {
        let is_optional = OF_SOURCE.contains(key) || *key == "message_id";
        if !is_optional && seen[key] == of_kind.len() {
            format!("`{key}`")
        } else {
            format!("[`{key}`]")
        }
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[test]
fn the_reference_of_events_is_up_to_date() {
    let text = reference();
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reference/events.md"
    );
    if std::fs::read_to_string(path).unwrap_or_default() != text {
        std::fs::write(path, &text).expect("written");
        panic!("docs/reference/events.md was stale and is rewritten: look at it and commit it");
    }
}

#[test]
fn every_event_and_every_field_is_described() {
    for event in samples::all() {
        let name = fields::name(&event.what);
        assert!(EVENTS.iter().any(|(known, _)| *known == name), "{name}");
        fields::each(&event, &mut |key, _| {
            assert!(FIELDS.iter().any(|(known, _)| *known == key), "{key}");
        });
    }
}
