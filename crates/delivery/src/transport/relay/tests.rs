//! Relaying to a scripted host on a port of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Barrier;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use mail::{
    Author, BodyType, Mailbox, Origin, OutcomeKind, Recipient, ReversePath, Timestamp, TraceId,
};
use smtp::client::{Dialect, Settings, Timeouts, TlsWish};

use super::*;

/// What the host does next on a connection. At the end of its steps it closes.
#[derive(Clone, Copy)]
enum Step {
    /// Says a line.
    Say(&'static str),
    /// Hears a line that begins so.
    Hear(&'static str),
    /// Hears content up to its dot, and keeps it.
    HearContent,
    /// Says lines if anybody still listens.
    Offer(&'static str),
    /// Waits for the test to come as far.
    Meet(&'static Barrier),
}

use Step::{Hear, HearContent, Meet, Offer, Say};

/// Where a host and its test wait for each other.
fn meeting() -> &'static Barrier {
    Box::leak(Box::new(Barrier::new(2)))
}

/// Waits for the host while the runtime goes on.
async fn meet(meeting: &'static Barrier) {
    tokio::task::spawn_blocking(|| meeting.wait())
        .await
        .unwrap();
}

const HELLO: [Step; 4] = [
    Say("220 mx.example"),
    Hear("EHLO client.example"),
    Say("250-mx.example"),
    Say("250 PIPELINING"),
];

const ACCEPT: [Step; 9] = [
    Hear("MAIL FROM:<s@x.org>"),
    Hear("RCPT TO:<a@y.org>"),
    Hear("DATA"),
    Say("250 ok"),
    Say("250 ok"),
    Say("354 go"),
    HearContent,
    Say("250 2.0.0 queued"),
    Hear(""),
];

/// A host that serves one connection after the other, and then gives the contents it heard.
fn host(connections: Vec<Vec<Step>>) -> (u16, JoinHandle<Vec<String>>) {
    host_until(connections, std::sync::mpsc::channel::<()>().1)
}

/// As [`host`]; it closes no connection before nobody can send to `done` any more.
fn host_until(connections: Vec<Vec<Step>>, done: Receiver<()>) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        let mut contents = Vec::new();
        for steps in connections {
            let (stream, _) = listener.accept().unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            // What it says is there when it goes on.
            stream.set_nodelay(true).unwrap();
            serve(&stream, &steps, &mut contents);
            let _ = done.recv_timeout(Duration::from_secs(60));
        }
        contents
    });
    (port, serving)
}

fn serve(mut stream: &TcpStream, steps: &[Step], contents: &mut Vec<String>) {
    let mut reader = BufReader::new(stream);
    for step in steps {
        match step {
            Say(line) => stream.write_all(format!("{line}\r\n").as_bytes()).unwrap(),
            Hear(expected) => {
                let mut line = String::new();
                // The other end may also close before it has read everything.
                let read = reader.read_line(&mut line);
                assert!(read.is_ok() || expected.is_empty(), "{read:?}");
                assert!(line.starts_with(expected), "{line:?} for {expected:?}");
            }
            Offer(lines) => drop(stream.write_all(format!("{lines}\r\n").as_bytes())),
            Meet(meeting) => {
                meeting.wait();
            }
            HearContent => {
                let mut content = String::new();
                loop {
                    let start = content.len();
                    assert_ne!(reader.read_line(&mut content).unwrap(), 0, "ended early");
                    if &content[start..] == ".\r\n" {
                        content.truncate(start);
                        break;
                    }
                }
                contents.push(content);
            }
        }
    }
}

fn relay(port: u16, idle_max: Duration) -> Relay {
    relay_with(port, idle_max, Timeouts::LEAST)
}

fn relay_with(port: u16, idle_max: Duration, timeouts: Timeouts) -> Relay {
    let settings = RelaySettings {
        host: "127.0.0.1".into(),
        port,
        client: Arc::new(Settings {
            dialect: Dialect::Smtp,
            hello_name: "client.example".into(),
            timeouts,
            tls: TlsWish::Never,
        }),
        connect_timeout: Duration::from_secs(10),
        connections_max: 2,
        idle_max,
    };
    Relay::new(settings, Clock::start())
}

const LONG: Duration = Duration::from_secs(60);

/// The outcomes of the recipients, in the words that their senders may read.
async fn send(relay: &Relay, recipients: &[&str], content: &[u8]) -> Vec<String> {
    let outcomes = attempt(relay, recipients, content).await;
    let shown = outcomes
        .into_iter()
        .map(|Outcome { kind, reply, .. }| match kind {
            OutcomeKind::Deferred => format!("deferred {reply}"),
            OutcomeKind::Delivered => format!("delivered {reply}"),
            OutcomeKind::Failed => format!("failed {reply}"),
            OutcomeKind::Held => format!("held {reply}"),
        });
    shown.collect()
}

/// The cause of the outcome of the only recipient; `AT` stands for host and port.
async fn cause_at(relay: &Relay) -> String {
    let outcomes = attempt(relay, &["a@y.org"], b"x").await;
    let [Outcome { kind, reply, .. }] = outcomes.as_slice() else {
        panic!("not deferred: {outcomes:?}");
    };
    assert_eq!(*kind, OutcomeKind::Deferred);
    let cause = reply.cause().unwrap_or("none");
    cause.replace(&relay.to_string(), "AT")
}

async fn attempt(relay: &Relay, recipients: &[&str], content: &[u8]) -> Vec<Outcome> {
    let arrived = Timestamp::from_unix_ms(1_000_000_000_000);
    let provenance = Provenance {
        trace: TraceId::new(arrived, 1),
        origin: Origin::Outside,
        arrived,
        client: None,
        visited: Vec::new(),
        about: None,
    };
    let to = recipients
        .iter()
        .map(|address| Recipient::new(Mailbox::parse(address).unwrap()));
    let envelope = Envelope {
        sender: ReversePath::parse("s@x.org").unwrap(),
        recipients: to.collect(),
        body: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
    };
    let indexes: Vec<_> = (0..u32::try_from(recipients.len()).unwrap()).collect();
    let letter = Letter {
        envelope: &envelope,
        indexes: &indexes,
        content_begun: Arc::default(),
        xforward: Some(Box::new(xforward(&provenance))),
    };
    relay.send(&letter, content.to_vec()).await.outcomes
}

/// Waits for the host while the runtime goes on.
async fn contents(serving: JoinHandle<Vec<String>>) -> Vec<String> {
    tokio::task::spawn_blocking(|| serving.join().unwrap())
        .await
        .unwrap()
}

fn steps(parts: &[&[Step]]) -> Vec<Step> {
    parts.concat()
}

#[tokio::test]
async fn messages_follow_each_other_on_one_connection() {
    let (port, serving) = host(vec![steps(&[&HELLO, &ACCEPT[..8], &ACCEPT])]);
    let relay = relay(port, LONG);
    for content in [&b"one\r\n"[..], b".two"] {
        assert_eq!(
            send(&relay, &["a@y.org"], content).await,
            ["delivered 250 2.0.0 queued"]
        );
    }
    drop(relay);
    assert_eq!(contents(serving).await, ["one\r\n", "..two\r\n"]);
}

#[tokio::test]
async fn a_kept_connection_that_died_meanwhile_costs_the_message_nothing() {
    let closing = [Say("421 4.4.2 idle for too long")];
    let (port, serving) = host(vec![
        steps(&[&HELLO, &ACCEPT[..8]]),
        steps(&[&HELLO, &ACCEPT[..8], &closing]),
        steps(&[&HELLO, &ACCEPT]),
    ]);
    let relay = relay(port, LONG);
    for _ in 0..3 {
        assert_eq!(
            send(&relay, &["a@y.org"], b"x\r\n").await,
            ["delivered 250 2.0.0 queued"]
        );
    }
    drop(relay);
    assert_eq!(contents(serving).await.len(), 3);
}

#[tokio::test]
async fn each_recipient_has_its_own_outcome() {
    let (port, serving) = host(vec![steps(&[
        &HELLO,
        &[
            Hear("MAIL"),
            Hear("RCPT"),
            Hear("RCPT"),
            Hear("RCPT"),
            Hear("DATA"),
        ],
        &[
            Say("250 ok"),
            Say("550 5.1.1 no a"),
            Say("250 ok"),
            Say("450 4.2.0 later"),
        ],
        &[Say("354 go"), HearContent, Say("250 ok")],
    ])]);
    let outcomes = send(&relay(port, LONG), &["a@y.org", "b@y.org", "c@y.org"], b"x").await;
    assert_eq!(
        outcomes,
        [
            "failed 550 5.1.1 no a",
            "delivered 250 ok",
            "deferred 450 4.2.0 later"
        ]
    );
    assert_eq!(contents(serving).await, ["x\r\n"]);
}

#[tokio::test]
async fn a_reply_in_our_words_for_a_lost_connection_is_the_hosts_own() {
    let (port, _serving) = host(vec![steps(&[
        &HELLO,
        &ENVELOPE,
        &[Say("250 ok"), Say("451 4.4.2 connection lost")],
    ])]);
    let relay = relay(port, LONG);
    let outcomes = attempt(&relay, &["a@y.org"], b"x").await;
    let [Outcome { reply, by, .. }] = outcomes.as_slice() else {
        panic!("one recipient: {outcomes:?}");
    };
    assert_eq!(*by, Author::Peer);
    let expected = format!("{relay} replied at RCPT: 451 4.4.2 connection lost");
    assert_eq!(reply.cause(), Some(&*expected));
}

#[tokio::test]
async fn a_connection_lost_after_the_data_defers_and_says_what_may_have_happened() {
    let (port, _serving) = host(vec![steps(&[&HELLO, &ACCEPT[..7]])]);
    assert_eq!(
        send(&relay(port, LONG), &["a@y.org"], b"x").await,
        ["deferred 451 4.4.2 no reply after the data; the next attempt may deliver it twice"]
    );
}

#[tokio::test]
async fn a_connection_lost_before_the_data_defers() {
    let (port, _serving) = host(vec![steps(&[&HELLO, &ACCEPT[..5]])]);
    assert_eq!(
        send(&relay(port, LONG), &["a@y.org"], b"x").await,
        ["deferred 451 4.4.2 connection lost"]
    );
}

#[tokio::test]
async fn a_host_that_is_not_there_or_refuses_us_for_good_defers() {
    let unused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    assert_eq!(
        send(&relay(unused, LONG), &["a@y.org"], b"x").await,
        ["deferred 451 4.4.1 no connection to the next host"]
    );
    let (port, _serving) = host(vec![vec![Say("554 5.7.1 not you")]]);
    assert_eq!(
        send(&relay(port, LONG), &["a@y.org"], b"x").await,
        ["deferred 554 5.7.1 not you"]
    );
}

#[tokio::test]
async fn a_large_content_arrives_whole() {
    let (port, serving) = host(vec![steps(&[&HELLO, &ACCEPT])]);
    let relay = relay(port, LONG);
    let content = "0123456789abcde\r\n".repeat(40_000);
    let outcomes = send(&relay, &["a@y.org"], content.as_bytes()).await;
    assert_eq!(outcomes, ["delivered 250 2.0.0 queued"]);
    drop(relay);
    assert_eq!(contents(serving).await, [content]);
}

#[tokio::test]
async fn a_host_that_refuses_in_the_middle_of_the_content_and_leaves_is_heard() {
    let content = "0123456789abcde\r\n".repeat(400_000);
    // With its content unread the connection is reset under our hands.
    let (port, _serving) = host(vec![steps(&[
        &HELLO,
        &ACCEPT[..6],
        &[Hear("0123"), Say("552 5.3.4 too big")],
    ])]);
    let outcomes = send(&relay(port, LONG), &["a@y.org"], content.as_bytes()).await;
    assert_eq!(outcomes, ["failed 552 5.3.4 too big"]);
}

#[tokio::test]
async fn a_host_that_refuses_in_the_middle_of_the_content_need_not_read_the_rest() {
    let content = "0123456789abcde\r\n".repeat(1_200_000);
    let (refused, is_refused) = std::sync::mpsc::channel::<()>();
    let (port, _serving) = host_until(
        vec![steps(&[
            &HELLO,
            &ACCEPT[..6],
            &[Hear("0123"), Say("552 5.3.4 too big")],
        ])],
        is_refused,
    );
    let outcomes = send(&relay(port, LONG), &["a@y.org"], content.as_bytes()).await;
    drop(refused);
    assert_eq!(outcomes, ["failed 552 5.3.4 too big"]);
}

#[tokio::test]
async fn eight_bit_content_does_not_go_to_a_host_that_takes_seven_whatever_was_declared() {
    let (port, serving) = host(vec![steps(&[&HELLO, &[Hear("")]])]);
    let relay = relay(port, LONG);
    let large = [&b"x\r\n".repeat(200_000)[..], b"\xff"].concat();
    for content in [&b"k\xc3\xa4the\r\n"[..], &large] {
        let outcomes = send(&relay, &["a@y.org"], content).await;
        assert!(outcomes[0].starts_with("failed 554 5.6.3 "), "{outcomes:?}");
    }
    drop(relay);
    assert!(contents(serving).await.is_empty());
}

#[tokio::test]
async fn a_connection_without_work_is_closed_in_order() {
    let (port, serving) = host(vec![steps(&[
        &HELLO,
        &ACCEPT[..8],
        &[Hear("QUIT"), Say("221 bye")],
    ])]);
    let relay = relay(port, Duration::from_millis(1));
    assert_eq!(
        send(&relay, &["a@y.org"], b"x").await,
        ["delivered 250 2.0.0 queued"]
    );
    assert_eq!(contents(serving).await, ["x\r\n"]);
}

#[tokio::test]
async fn what_a_host_says_while_a_connection_is_idle_answers_no_later_message() {
    for unasked in ["250 2.0.0 queued", "452 4.3.1 full", "554 5.7.1 spam", "25"] {
        let said = meeting();
        let (port, serving) = host(vec![
            steps(&[
                &HELLO,
                &ACCEPT[..8],
                &[Say(unasked), Meet(said), Hear(""), Hear(""), Hear("")],
                &[Offer("250 ok\r\n250 ok\r\n354 go"), Hear("")],
            ]),
            steps(&[
                &HELLO,
                &ACCEPT[..7],
                &[Say("452 4.3.1 not this one"), Hear("")],
            ]),
        ]);
        let relay = relay(port, LONG);
        let first = send(&relay, &["a@y.org"], b"1").await;
        assert_eq!(first, ["delivered 250 2.0.0 queued"]);
        meet(said).await;
        let second = send(&relay, &["a@y.org"], b"2").await;
        assert_eq!(second, ["deferred 452 4.3.1 not this one"], "{unasked}");
        drop(relay);
        let _ = serving;
    }
}

#[tokio::test]
async fn a_reply_that_comes_twice_in_one_packet_answers_no_later_message() {
    let (port, _serving) = host(vec![
        steps(&[
            &HELLO,
            &ACCEPT[..7],
            &[Say("250 2.0.0 queued\r\n250 2.0.0 queued"), Hear("")],
        ]),
        steps(&[&HELLO, &ACCEPT[..7], &[Say("554 5.7.1 spam"), Hear("")]]),
    ]);
    let relay = relay(port, LONG);
    let first = send(&relay, &["a@y.org"], b"1").await;
    assert_eq!(first, ["delivered 250 2.0.0 queued"]);
    let second = send(&relay, &["a@y.org"], b"2").await;
    assert_eq!(second, ["failed 554 5.7.1 spam"]);
}

#[tokio::test]
async fn a_reply_too_many_within_the_envelope_makes_nobody_accepted_or_refused() {
    for second in ["250 ok", "550 5.7.1 spam"] {
        let said = meeting();
        let (port, _serving) = host(vec![steps(&[
            &[Say("220 mx.example"), Hear("EHLO")],
            &[Say("250-mx\r\n250-PIPELINING\r\n250 CHUNKING")],
            &[Hear("MAIL"), Hear("RCPT"), Hear("DATA")],
            &[Say("250 ok"), Say(second), Say("250 ok"), Say("354 go")],
            &[Meet(said), Hear("")],
        ])]);
        let relay = relay(port, LONG);
        let sending = async { send(&relay, &["a@y.org"], b"1").await };
        let (outcomes, ()) = tokio::join!(sending, meet(said));
        assert!(outcomes[0].starts_with("deferred 451 "), "{outcomes:?}");
    }
}

#[tokio::test]
async fn a_host_without_rset_gets_a_new_connection_after_a_refused_recipient() {
    let (port, _serving) = host(vec![
        steps(&[
            &HELLO,
            &[Hear("MAIL"), Hear("RCPT"), Hear("DATA")],
            &[
                Say("250 ok"),
                Say("550 5.1.1 no such user"),
                Say("554 5.5.1 no valid recipients"),
            ],
            &[Hear("RSET"), Say("502 5.5.2 what?"), Hear("")],
        ]),
        steps(&[&HELLO, &ACCEPT]),
    ]);
    let relay = relay(port, LONG);
    let first = send(&relay, &["b@y.org"], b"1").await;
    assert_eq!(first, ["failed 550 5.1.1 no such user"]);
    let second = send(&relay, &["a@y.org"], b"2").await;
    assert_eq!(second, ["delivered 250 2.0.0 queued"]);
}

#[tokio::test]
async fn operators_are_told_which_host_did_not_take_a_connection_and_why() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = unused.local_addr().unwrap().port();
    drop(unused);
    let refused = relay(port, LONG).pool.connect().await.map(drop);
    let refused = refused.unwrap_err();
    let expected = format!("cannot connect to 127.0.0.1:{port}: connection refused");
    assert_eq!(refused.reply.cause(), Some(&*expected));
    // The sender of the message is told no host of ours.
    assert_eq!(refused.reply.text(), "no connection to the next host");
}

#[tokio::test]
async fn a_kept_connection_lost_after_the_data_is_not_tried_again_at_once() {
    let (port, serving) = host(vec![
        steps(&[&HELLO, &ACCEPT[..8], &ACCEPT[..7]]),
        steps(&[&HELLO, &ACCEPT]),
    ]);
    let relay = relay(port, LONG);
    let first = send(&relay, &["a@y.org"], b"1").await;
    assert_eq!(first, ["delivered 250 2.0.0 queued"]);
    let second = send(&relay, &["a@y.org"], b"2").await;
    assert_eq!(
        second,
        ["deferred 451 4.4.2 no reply after the data; the next attempt may deliver it twice"]
    );
    let third = send(&relay, &["a@y.org"], b"3").await;
    assert_eq!(third, ["delivered 250 2.0.0 queued"]);
    drop(relay);
    assert_eq!(contents(serving).await, ["1\r\n", "2\r\n", "3\r\n"]);
}

const ENVELOPE: [Step; 3] = [Hear("MAIL"), Hear("RCPT"), Hear("DATA")];

#[tokio::test]
async fn a_hosts_own_deferral_names_host_and_phase_for_operators() {
    const REPLY: Step = Say("451 4.7.1 later");
    let greeted = &HELLO[..2];
    let no_mail = [Say("503 5.5.1 MAIL?"), Say("503 5.5.1 MAIL?")];
    let no_rcpt = [Say("503 5.5.1 RCPT?")];
    let cases: [(&str, &[&[Step]]); 6] = [
        ("greeting", &[&[REPLY]]),
        ("EHLO", &[greeted, &[REPLY]]),
        ("MAIL", &[&HELLO, &ENVELOPE, &[REPLY], &no_mail]),
        (
            "RCPT",
            &[&HELLO, &ENVELOPE, &[Say("250 ok"), REPLY], &no_rcpt],
        ),
        ("DATA", &[&HELLO, &ACCEPT[..5], &[REPLY]]),
        ("end of data", &[&HELLO, &ACCEPT[..7], &[REPLY]]),
    ];
    for (phase, parts) in cases {
        let (port, _serving) = host(vec![steps(parts)]);
        let cause = cause_at(&relay(port, LONG)).await;
        assert_eq!(cause, format!("AT replied at {phase}: 451 4.7.1 later"));
    }
}

#[tokio::test]
async fn a_lost_connection_names_host_and_phase_for_operators() {
    let cases: [(&str, &[&[Step]]); 6] = [
        ("greeting", &[]),
        ("EHLO", &[&HELLO[..2]]),
        ("MAIL", &[&HELLO, &ENVELOPE]),
        ("RCPT", &[&HELLO, &ENVELOPE, &[Say("250 ok")]]),
        ("DATA", &[&HELLO, &ACCEPT[..5]]),
        ("end of data", &[&HELLO, &ACCEPT[..7]]),
    ];
    for (phase, parts) in cases {
        let (port, _serving) = host(vec![steps(parts)]);
        let cause = cause_at(&relay(port, LONG)).await;
        let twice = match phase {
            "end of data" => "; the next attempt may deliver it twice",
            _ => "",
        };
        assert_eq!(cause, format!("connection to AT lost at {phase}{twice}"));
    }
}

#[tokio::test]
async fn a_host_that_keeps_silent_is_named_with_the_phase_for_operators() {
    const NONE: Duration = Duration::ZERO;
    let all = Timeouts::LEAST;
    let with_end = Timeouts {
        data_end: NONE,
        ..all
    };
    let with_greeting = Timeouts {
        greeting: NONE,
        ..all
    };
    let with_mail = Timeouts { mail: NONE, ..all };
    let cases: [(&str, Timeouts, &[&[Step]]); 3] = [
        ("greeting", with_greeting, &[]),
        ("MAIL", with_mail, &[&HELLO, &ENVELOPE]),
        ("end of data", with_end, &[&HELLO, &ACCEPT[..7]]),
    ];
    for (phase, timeouts, parts) in cases {
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let (port, _serving) = host_until(vec![steps(parts)], is_done);
        let cause = cause_at(&relay_with(port, LONG, timeouts)).await;
        drop(done);
        let begin = format!("AT timed out at {phase}");
        assert!(cause.starts_with(&begin), "{cause}");
    }
}

#[tokio::test]
async fn what_is_no_smtp_is_shown_to_operators_with_host_and_phase() {
    for (said, expected) in [
        (
            "HTTP/1.1 400 Bad Request",
            "AT sent what is no reply at greeting: ",
        ),
        (
            "220 mx\r\n250 again",
            "AT sent an unexpected reply at EHLO: 250 again",
        ),
    ] {
        let (port, _serving) = host(vec![steps(&[&[Say(said), Hear("")]])]);
        let cause = cause_at(&relay(port, LONG)).await;
        assert!(cause.starts_with(expected), "{cause}");
    }
}
