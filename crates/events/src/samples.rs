//! One event of each kind, for tests; their texts are as hostile as peers can make them.

use std::net::{IpAddr, Ipv6Addr};

use mail::event::{About, Event, Source, What};
use mail::{
    Disposition, Mailbox, MessageId, Origin, Reply, ReplyCode, ReversePath, Timestamp, TraceId,
};

/// What a peer would send to forge a line and steer a terminal.
pub const HOSTILE: &str =
    "x\" event=delivered\r\n2026-01-01T00:00:00.000Z in\u{1b}[2J\u{202e}\\ é\u{9b}";

/// An address.
///
/// # Panics
/// If it is not valid.
#[must_use]
pub fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).expect("a valid address")
}

/// The `n`th trace id.
#[must_use]
pub fn trace(n: u64) -> TraceId {
    TraceId::new(
        Timestamp::from_unix_ms(1_795_477_800_000 + n),
        u128::from(n),
    )
}

/// An event at a fixed time.
#[must_use]
pub fn event(trace: Option<TraceId>, what: What) -> Event {
    Event {
        at: Timestamp::from_unix_ms(1_795_477_800_123),
        trace,
        what,
    }
}

/// What is known of a recipient.
#[must_use]
pub fn about(to: &str, disposition: Disposition) -> About {
    About {
        id: MessageId(12),
        from: ReversePath::Mailbox(mailbox("\"o'neill =\\\" x\"@example.org")),
        to: mailbox(to),
        transport: "relay 192.0.2.1:25".into(),
        attempts: 3,
        age_ms: 61_000,
        disposition,
    }
}

/// A reply whose text and cause are hostile.
#[must_use]
pub fn reply(code: u16) -> Reply {
    Reply::new(ReplyCode::new(code), None, HOSTILE).with_cause(HOSTILE)
}

/// A client over the network that tries to pass for another one.
pub fn client() -> Source {
    Source {
        client: Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        helo: Some("x client=203.0.113.9] [203.0.113.9] uid=0".into()),
        tls: Some(false),
        ..Source::default()
    }
}

fn accepted(origin: Origin) -> What {
    What::Accepted {
        id: MessageId(u64::MAX),
        from: ReversePath::Null,
        n_recipients: 2,
        size_bytes: 4123,
        origin,
        message_id: Some(HOSTILE.into()),
        source: Box::new(Source {
            client: Some([127, 0, 0, 1].into()),
            helo: Some(HOSTILE.into()),
            tls: Some(true),
            uid: Some(7),
            ..Source::default()
        }),
    }
}

/// Every kind, and every form that its fields can take.
pub fn all() -> Vec<Event> {
    [accepted_ones(), about_recipients(), others(), of_clients()].concat()
}

fn traced(n: u64, what: What) -> Event {
    event(Some(trace(n)), what)
}

fn accepted_ones() -> Vec<Event> {
    vec![
        traced(1, accepted(Origin::Outside)),
        traced(2, accepted(Origin::Local { uid: 1000 })),
        traced(3, accepted(Origin::Generated)),
        traced(4, accepted(Origin::Authenticated("bob = \"x\"".into()))),
    ]
}

fn about_recipients() -> Vec<Event> {
    vec![
        event(
            None,
            What::Alarm {
                text: HOSTILE.into(),
            },
        ),
        event(
            None,
            What::Breaker {
                next: "output".into(),
                open: true,
                reason: "slow".into(),
            },
        ),
        event(
            None,
            What::Breaker {
                next: "output".into(),
                open: false,
                reason: "".into(),
            },
        ),
        traced(
            5,
            What::Deferred {
                about: about("käthe@bücher.example", Disposition::Pending),
                reply: reply(451),
                next_due: Timestamp::from_unix_ms(1_795_477_860_000),
            },
        ),
        traced(
            6,
            What::Delivered {
                about: about("a=b@example.org", Disposition::Delivered),
                reply: mail::reply::table::OK.reply(),
            },
        ),
        traced(
            7,
            What::Dropped {
                about: about("a@b", Disposition::Dropped),
                by: "uid 0".into(),
            },
        ),
        traced(
            8,
            What::Failed {
                about: about("a@b", Disposition::Failed),
                reply: reply(550),
            },
        ),
    ]
}

fn others() -> Vec<Event> {
    vec![
        traced(
            9,
            What::HandedOff {
                next: "output".into(),
                from: ReversePath::Mailbox(mailbox("a@b")),
                n_recipients: 1,
                size_bytes: 0,
                spooled: false,
                message_id: None,
                source: Box::new(Source {
                    helo: Some(HOSTILE.into()),
                    uid: Some(0),
                    pid: Some(4711),
                    ..Source::default()
                }),
            },
        ),
        traced(
            10,
            What::Held {
                about: about("a@b", Disposition::Held),
                reason: HOSTILE.into(),
            },
        ),
        traced(
            11,
            What::Notified {
                notification: trace(99),
                to: mailbox("a@b"),
            },
        ),
        traced(
            12,
            What::PossibleDuplicate {
                about: about("a@b", Disposition::Pending),
            },
        ),
        traced(
            14,
            What::Released {
                about: about("a@b", Disposition::Pending),
                by: "uid 0".into(),
            },
        ),
        event(
            None,
            What::Instance {
                text: "started".into(),
            },
        ),
    ]
}

fn of_clients() -> Vec<Event> {
    vec![
        traced(
            13,
            What::Refused {
                phase: "rcpt",
                from: Some(ReversePath::Null),
                to: Some(mailbox("a@b")),
                reply: reply(550),
                source: Box::new(client()),
            },
        ),
        event(
            None,
            What::Refused {
                phase: "mail",
                from: None,
                to: None,
                reply: mail::reply::table::OK.reply(),
                source: Box::default(),
            },
        ),
        event(
            None,
            What::Disconnected {
                source: Box::new(Source {
                    orig_client: Some([192, 0, 2, 7].into()),
                    previous: Some("front".into()),
                    ..client()
                }),
                reason: "QUIT".into(),
                n_messages: 1,
                n_refused: 2,
                duration_ms: 61_000,
            },
        ),
        event(
            Some(trace(14)),
            What::Checked {
                phase: "mail",
                from: Some(ReversePath::Mailbox(mailbox("a@b"))),
                to: Some(mailbox("c@d")),
                verdict: "accept".into(),
                checks: HOSTILE.into(),
                facts: HOSTILE.into(),
                source: Box::new(client()),
            },
        ),
        event(
            None,
            What::ProtocolError {
                source: Box::new(client()),
                reply: reply(500),
            },
        ),
    ]
}
