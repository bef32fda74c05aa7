//! What a client can make a session keep, whatever it sends and never reads.

use std::sync::Arc;
use std::time::Duration;

use mail::reply::table;
use mail::{Moment, Security};
use smtp::limits::{INPUT_LEN_MAX, OUTPUT_LEN_MAX};
use smtp::server::{
    BareNewlines, CloseReason, Committed, Dialect, Event, Extensions, Limits, Offer, Session,
    Settings, Starttls,
};

const NOW: Moment = Moment::START;

/// More than any single reply here has.
const REPLY_LEN_MAX: usize = 512;

const MESSAGE: &str = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n";

/// Commands that can be sent again and again, with what is to be sent before.
const FLOODS: [(&str, &str); 12] = [
    ("", "EHLO a\r\n"),
    ("", "HELO a\r\n"),
    ("", "NOOP\r\n"),
    ("", "RSET\r\n"),
    ("", "HELP\r\n"),
    ("", "VRFY x\r\n"),
    ("", "x\r\n"),
    ("EHLO a\r\n", MESSAGE),
    ("EHLO a\r\nMAIL FROM:<a@b>\r\n", "RCPT TO:<c@d>\r\n"),
    ("EHLO a\r\nMAIL FROM:<a@b>\r\n", "RCPT TO:<refused@d>\r\n"),
    (
        "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
        "BDAT 1\r\nx",
    ),
    ("EHLO a\r\n", "BDAT 1\r\nx"),
];

fn session() -> Session {
    Session::new(settings(), Security::Plain, NOW)
}

fn settings() -> Arc<Settings> {
    let settings = Settings {
        hostname: "mx.example.org".into(),
        dialect: Dialect::Smtp,
        extensions: Extensions {
            binarymime: Offer::Yes,
            chunking: Offer::Yes,
            dsn: Offer::Yes,
            smtputf8: Offer::Yes,
            starttls: Starttls::NotOffered,
            xforward: Offer::No,
        },
        limits: Limits {
            command_len_max: 512,
            command_timeout: Duration::from_secs(300),
            commands_max: u32::MAX,
            content_len_max: 1_000_000,
            content_line_len_max: 998,
            data_rate_min: 100,
            data_timeout: Duration::from_secs(180),
            errors_max: u32::MAX,
            recipients_max: usize::MAX,
            tls_timeout: Duration::from_secs(60),
        },
        newlines: BareNewlines::Refuse,
    };
    Arc::new(settings)
}

/// Takes and answers all events, and what is to be written. Nothing says that it was.
fn drive(session: &mut Session, output: &mut Vec<u8>) {
    while let Some(event) = session.poll_event() {
        match event {
            Event::Commit(question) => {
                let committed = Committed::All(table::OK.reply());
                session.answer_commit(NOW, question, committed);
            }
            Event::Hello(question, _) => session.answer_hello(NOW, question, Ok(())),
            Event::Data(question) => session.answer_data(NOW, question, Ok(())),
            Event::Mail(question, _) => session.answer_mail(NOW, question, Ok(())),
            Event::Rcpt(question, command) => {
                let answer = match format!("{:?}", command.recipient).contains("refused") {
                    true => Err(table::NO_SUCH_USER.reply()),
                    false => Ok(()),
                };
                session.answer_rcpt(NOW, question, answer);
            }
            Event::Body => drop(session.take_body()),
            _ => {}
        }
    }
    session.poll_transmit(output);
}

/// A client that sends for as long as it is read from, and reads nothing itself.
fn flood(session: &mut Session, flood: &(&str, &str), output: &mut Vec<u8>) {
    let text = flood.0.to_owned() + &flood.1.repeat(200_000 / flood.1.len());
    let mut rest = text.as_bytes();
    drive(session, output);
    loop {
        let (now, later) = rest.split_at(session.input_room().min(rest.len()));
        if now.is_empty() {
            return;
        }
        session.handle_input(NOW, now);
        drive(session, output);
        rest = later;
    }
}

#[test]
fn replies_that_are_not_read_are_bounded_whatever_the_client_sends() {
    for commands in &FLOODS {
        let (mut session, mut output) = (session(), Vec::new());
        flood(&mut session, commands, &mut output);
        let (n_output, n_input) = (output.len(), session.n_waiting());
        assert!(n_output < OUTPUT_LEN_MAX + REPLY_LEN_MAX, "{commands:?}");
        assert!(n_output >= OUTPUT_LEN_MAX, "{commands:?}: {n_output}");
        assert!(n_input <= INPUT_LEN_MAX, "{commands:?}: {n_input}");
        assert!(!session.is_closed());
        // Nothing is forgotten: once the replies are written, the next ones come.
        while session.n_waiting() >= commands.1.len() {
            assert!(session.resume(NOW), "{commands:?}");
            let before = output.len();
            drive(&mut session, &mut output);
            let more = output.len() - before;
            assert!(more < OUTPUT_LEN_MAX + REPLY_LEN_MAX, "{commands:?}");
        }
        session.resume(NOW);
        assert!(session.input_room() > 0, "{commands:?}");
    }
}

#[test]
fn what_was_sent_before_the_client_left_is_answered_though_it_waited() {
    let (mut session, mut output) = (session(), Vec::new());
    drive(&mut session, &mut output);
    session.handle_input(NOW, "NOOP\r\n".repeat(500).as_bytes());
    session.handle_eof(NOW);
    loop {
        drive(&mut session, &mut output);
        if !session.resume(NOW) {
            break;
        }
    }
    assert!(session.is_closed());
    let n_replies = String::from_utf8_lossy(&output)
        .matches("250 2.0.0")
        .count();
    assert_eq!(n_replies, 500);
}

#[test]
fn a_client_that_does_not_read_is_closed_after_the_time_for_a_command() {
    let (mut session, mut output) = (session(), Vec::new());
    flood(&mut session, &FLOODS[2], &mut output);
    let deadline = session.poll_timeout();
    assert_eq!(deadline, Some(NOW + Duration::from_secs(300)));
    session.handle_timeout(NOW + Duration::from_secs(300));
    let event = session.poll_event();
    assert!(
        matches!(&event, Some(Event::Closed(CloseReason::Ended(row))) if row.id == "TIMED_OUT"),
        "{event:?}"
    );
}

#[test]
fn events_that_are_not_taken_are_bounded() {
    let mut session = session();
    session.handle_input(NOW, "EXPN a\r\n".repeat(100).as_bytes());
    let mut n_events = 0;
    while session.poll_event().is_some() {
        n_events += 1;
    }
    assert_eq!(n_events, smtp::limits::EVENTS_MAX);
    assert!(session.resume(NOW));
}

#[test]
fn what_comes_before_the_greeting_is_bounded_and_reported_once() {
    let mut session = Session::with_connect_question(settings(), Security::Plain, NOW);
    let asked = session.poll_event();
    assert!(matches!(asked, Some(Event::Connect(_))), "{asked:?}");
    let mut n_early = 0;
    for _ in 0..1000 {
        session.handle_input(
            NOW,
            &b"NOOP\r\n".repeat(100)[..session.input_room().min(600)],
        );
        while let Some(event) = session.poll_event() {
            assert!(matches!(event, Event::EarlyTalk), "{event:?}");
            n_early += 1;
        }
    }
    assert_eq!(n_early, 1);
    assert_eq!(session.input_room(), 0);
    assert!(session.n_waiting() <= INPUT_LEN_MAX);
}
