//! Notifications as they are sent.

use super::*;
use crate::reply::table;
use crate::{EnhancedStatus, Mailbox, Reply, ReplyCode, Return};

const CONTENT: &[u8] = b"From: alice@example.org\r\nSubject: hello\r\n\
    Message-ID: <1@example.org>\r\n\r\nHello Bob.\r\n";

fn mailbox(address: &str) -> Mailbox {
    Mailbox::parse(address).unwrap()
}

fn envelope(recipients: &[&str]) -> Envelope {
    Envelope {
        sender: ReversePath::Mailbox(mailbox("alice@example.org")),
        recipients: recipients
            .iter()
            .map(|to| Recipient::new(mailbox(to)))
            .collect(),
        body: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
    }
}

fn no_such_user() -> Reply {
    Reply::new(
        ReplyCode::new(550),
        Some(EnhancedStatus::new(5, 1, 1)),
        "no such user here",
    )
}

/// The notification about all recipients of `envelope`, as text.
fn notification(action: Action, envelope: &Envelope, content: &[u8], said: &Reply) -> Notification {
    let at = Timestamp::from_unix_ms(1_795_477_800_000);
    let fate = |recipient| Fate {
        recipient,
        verdict: said,
        remote: Some(Remote {
            host: "mx.example.net",
            reply: said,
        }),
        last_attempt: at,
    };
    let fates: Vec<_> = envelope.recipients.iter().map(fate).collect();
    let report = Report {
        action,
        fates: &fates,
        original: Original {
            trace: TraceId::new(at, 77),
            arrived: at,
            envelope,
            content: &content[..content.len().min(limits::RETURNED_LEN_MAX)],
            content_len: content.len() as u64,
        },
        hostname: "mail.example.org",
        now: at.after(std::time::Duration::from_secs(60)),
        expires: Some(at.after(std::time::Duration::from_secs(5 * 86_400))),
    };
    report.notification().unwrap()
}

fn text(notification: &Notification) -> &str {
    std::str::from_utf8(&notification.content).unwrap()
}

#[test]
fn a_failure_is_told_to_a_person_and_to_a_program() {
    let mut envelope = envelope(&["bob@example.net"]);
    envelope.envid = Some("QQ314159".into());
    envelope.recipients[0].orcpt = Some("rfc822;bob@old.example".into());
    let made = notification(Action::Failed, &envelope, CONTENT, &no_such_user());
    let boundary = format!("=_{}", made.provenance.trace);
    let id = made.provenance.trace.to_string();
    let shown = text(&made)
        .replace(&boundary, "BOUNDARY")
        .replace(&id, "NEW-ID");
    let expected = include_str!("failure.txt").replace('\n', "\r\n");
    assert_eq!(shown, expected);
}

#[test]
fn a_notification_comes_from_nobody_and_asks_for_none_itself() {
    let envelope = envelope(&["bob@example.net"]);
    let made = notification(Action::Failed, &envelope, CONTENT, &no_such_user());
    assert_eq!(made.envelope.sender, ReversePath::Null);
    let to = &made.envelope.recipients[0];
    assert_eq!(
        (to.address.as_str(), to.notify),
        ("alice@example.org", Notify::NEVER)
    );
    assert!(!wanted(Action::Failed, &made.envelope, to));
    assert_eq!(made.provenance.origin, Origin::Generated);
    assert_eq!(
        made.provenance.about.unwrap().made(),
        made.provenance.trace.made()
    );
}

#[test]
fn notify_decides_what_is_wanted() {
    let mut envelope = envelope(&["bob@example.net"]);
    let recipient = |notify| Recipient {
        notify,
        ..Recipient::new(mailbox("bob@x"))
    };
    for (notify, failed, delayed, delivered) in [
        (Notify::UNSPECIFIED, true, true, false),
        (Notify::NEVER, false, false, false),
        (Notify::FAILURE, true, false, false),
        (Notify::DELAY, false, true, false),
        (Notify::SUCCESS.and(Notify::FAILURE), true, false, true),
    ] {
        let to = recipient(notify);
        let found = [
            Action::Failed,
            Action::Delayed,
            Action::Delivered,
            Action::Relayed,
        ]
        .map(|action| wanted(action, &envelope, &to));
        assert_eq!(found, [failed, delayed, delivered, delivered], "{notify:?}");
    }
    envelope.sender = ReversePath::Null;
    assert!(!wanted(
        Action::Failed,
        &envelope,
        &recipient(Notify::FAILURE)
    ));
}

#[test]
fn the_same_report_has_the_same_id_and_another_has_another() {
    let one = envelope(&["bob@example.net"]);
    let two = envelope(&["bob@example.net", "carol@example.net"]);
    let id = |action, envelope| {
        notification(action, envelope, CONTENT, &no_such_user())
            .provenance
            .trace
    };
    assert_eq!(id(Action::Failed, &one), id(Action::Failed, &one));
    assert_ne!(id(Action::Failed, &one), id(Action::Delayed, &one));
    assert_ne!(id(Action::Failed, &one), id(Action::Failed, &two));
}

#[test]
fn a_delay_says_until_when_it_is_tried_and_returns_the_header_only() {
    let busy = Reply::new(ReplyCode::new(451), None, "busy");
    let made = notification(Action::Delayed, &envelope(&["bob@x.net"]), CONTENT, &busy);
    let shown = text(&made);
    for expected in [
        "Subject: Your message is delayed\r\n",
        "\r\nAction: delayed\r\nStatus: 4.0.0\r\n",
        "\r\nWill-Retry-Until: Sat, 28 Nov 2026 23:50:00 +0000\r\n",
        "\r\nContent-Type: text/rfc822-headers\r\n",
    ] {
        assert!(shown.contains(expected), "{expected}\n{shown}");
    }
    assert!(!shown.contains("Hello Bob"));
}

#[test]
fn a_success_is_reported_as_one() {
    let said = table::DELIVERED_LOCALLY.reply();
    let made = notification(Action::Delivered, &envelope(&["bob@x.net"]), CONTENT, &said);
    assert!(text(&made).contains("\r\nAction: delivered\r\nStatus: 2.0.0\r\n"));
}

#[test]
fn what_is_returned_follows_ret_and_has_a_limit() {
    let mut envelope = envelope(&["bob@example.net"]);
    let long = [CONTENT, &b"line\r\n".repeat(100_000)].concat();
    let failed = |envelope: &Envelope, content: &[u8]| {
        notification(Action::Failed, envelope, content, &no_such_user())
    };
    assert!(text(&failed(&envelope, CONTENT)).contains("Hello Bob"));
    assert!(!text(&failed(&envelope, CONTENT)).contains("Only the header"));
    assert!(!text(&failed(&envelope, &long)).contains("Hello Bob"));
    assert!(text(&failed(&envelope, &long)).contains("64 KiB"));
    envelope.ret = Some(Return::Full);
    assert!(failed(&envelope, &long).content.len() < limits::RETURNED_LEN_MAX);
    envelope.ret = Some(Return::Headers);
    assert!(!text(&failed(&envelope, CONTENT)).contains("Hello Bob"));
    let endless = b"X: y\r\n".repeat(100_000);
    assert!(failed(&envelope, &endless).content.len() < limits::RETURNED_LEN_MAX + 4_000);
}

/// What RFC 5321 lets every host take: seven bits, in lines of at most 998 octets.
#[track_caller]
fn assert_travels(made: &Notification) {
    let shown = text(made);
    assert_eq!(
        (made.envelope.body, made.envelope.smtputf8),
        (BodyType::SevenBit, false)
    );
    assert!(shown.is_ascii() && made.envelope.recipients[0].address.is_ascii());
    for line in shown.split("\r\n") {
        assert!(line.len() <= 998 && !line.contains(['\r', '\n', '\0']));
    }
}

#[test]
fn content_that_some_hosts_refuse_is_represented_by_its_header() {
    let envelope = envelope(&["bob@example.net"]);
    for more in [
        &b"gr\xfc\xdfe\r\n"[..],
        b"gr\xc3\xbc\xc3\x9fe\r\n",
        b"bare\nnewline\r\n",
        b"nul\0\r\n",
        &[b'x'; 2000],
    ] {
        let content = [CONTENT, more].concat();
        let made = notification(Action::Failed, &envelope, &content, &no_such_user());
        assert_travels(&made);
        let shown = text(&made);
        assert!(shown.contains("\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: alice@"));
        assert!(!shown.contains("Hello Bob"));
        assert!(shown.contains("Only the header of your message is attached"));
    }
}

#[test]
fn a_header_that_some_hosts_refuse_is_encoded() {
    let mut envelope = envelope(&["bob@example.net"]);
    envelope.smtputf8 = true;
    for (subject, kind, expected) in [
        (&b"gr\xfc\xdfe"[..], "text/rfc822-headers", "gr=FC=DFe"),
        (
            b"gr\xc3\xbc\xc3\x9fe",
            "message/global-headers",
            "gr=C3=BC=C3=9Fe",
        ),
    ] {
        let content = [b"Subject: ", subject, b"\r\n", CONTENT].concat();
        let made = notification(Action::Failed, &envelope, &content, &no_such_user());
        assert_travels(&made);
        let part = format!(
            "\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
             Subject: {expected}\r\n"
        );
        assert!(text(&made).contains(&part), "{}", text(&made));
    }
}

#[test]
fn addresses_beyond_ascii_stand_in_a_report_that_is_ascii() {
    let mut envelope = envelope(&["käthe@bücher.example"]);
    envelope.smtputf8 = true;
    envelope.recipients[0].orcpt = Some("utf-8;käthe@x".into());
    let made = notification(Action::Failed, &envelope, CONTENT, &no_such_user());
    assert_travels(&made);
    for expected in [
        "\r\nContent-Type: message/delivery-status\r\n",
        "\r\nOriginal-Recipient: utf-8; k\\x{E4}the@x\r\n",
        "\r\nFinal-Recipient: utf-8; k\\x{E4}the@b\\x{FC}cher.example\r\n",
        "<k=C3=A4the@b=C3=BCcher.example>",
        "\r\nContent-Type: message/rfc822\r\n",
    ] {
        assert!(
            text(&made).contains(expected),
            "{expected}\n{}",
            text(&made)
        );
    }
}

#[test]
fn only_a_sender_beyond_ascii_makes_a_notification_need_smtputf8() {
    let mut envelope = envelope(&["bob@example.net"]);
    envelope.sender = ReversePath::Mailbox(mailbox("käthe@example.org"));
    let made = notification(Action::Failed, &envelope, CONTENT, &no_such_user());
    assert!(made.envelope.smtputf8);
    assert!(text(&made).contains("To: <käthe@example.org>\r\n"));
}

#[test]
fn a_word_longer_than_any_line_is_broken() {
    let mut envelope = envelope(&["bob@example.net"]);
    envelope.envid = Some("e".repeat(3_000).into());
    envelope.recipients[0].orcpt = Some(format!("rfc822;{}", "ä".repeat(500)).into());
    let made = notification(Action::Failed, &envelope, CONTENT, &no_such_user());
    assert_travels(&made);
    let unfolded = text(&made).replace("\r\n", "").replace(' ', "");
    assert!(unfolded.contains(&"\\x{E4}".repeat(500)));
}

/// A thousand recipients with long addresses, with as long an ORCPT as RFC 3461 allows.
fn the_longest_envelope() -> Envelope {
    let domain = ["d"; 120].join(".");
    let recipients: Vec<_> = (0..1_000)
        .map(|n| format!("{}{n:04}@{domain}.example", "u".repeat(60)))
        .collect();
    let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
    let mut envelope = envelope(&recipients);
    for recipient in &mut envelope.recipients {
        recipient.orcpt = Some(format!("rfc822;{}", "o".repeat(500)).into());
    }
    envelope
}

#[test]
fn a_report_about_too_many_becomes_several_that_name_each_once() {
    let envelope = the_longest_envelope();
    let said = Reply::new(ReplyCode::new(550), None, &"long ".repeat(200));
    let at = Timestamp::from_unix_ms(1_795_477_800_000);
    let fate = |recipient| Fate {
        recipient,
        verdict: &said,
        remote: None,
        last_attempt: at,
    };
    let fates: Vec<_> = envelope.recipients.iter().map(fate).collect();
    let content = b"X: y\r\n".repeat(100_000);
    let report = Report {
        action: Action::Failed,
        fates: &fates,
        original: Original {
            trace: TraceId::new(at, 77),
            arrived: at,
            envelope: &envelope,
            content: &content[..limits::RETURNED_LEN_MAX],
            content_len: content.len() as u64,
        },
        hostname: "mail.example.org",
        now: at,
        expires: None,
    };
    let parts = report.parts();
    assert!(parts.len() > 1);
    let (mut named, mut traces) = (Vec::new(), std::collections::BTreeSet::new());
    for part in &parts {
        let made = part.notification().unwrap();
        assert!(made.content.len() <= limits::NOTIFICATION_LEN_MAX);
        assert_travels(&made);
        traces.insert(made.provenance.trace.to_bytes());
        let of_part = part.fates.iter().map(|f| f.recipient.address.as_str());
        named.extend(of_part);
        let n_named = text(&made).matches("Final-Recipient:").count();
        assert_eq!(n_named, part.fates.len());
    }
    let all = envelope.recipients.iter().map(|r| r.address.as_str());
    assert!(named.into_iter().eq(all));
    assert_eq!(traces.len(), parts.len(), "each has an id of its own");
}

#[test]
fn a_hostile_text_stays_the_text_of_its_line() {
    let mut envelope = envelope(&["bob@example.net"]);
    envelope.envid = Some("x\r\nAction: delivered\r\n\r\n--".into());
    envelope.recipients[0].orcpt = Some("rfc822;a\r\nBcc: b".into());
    let said = Reply::new(
        ReplyCode::new(550),
        None,
        &format!(
            "no\r\nAction: delivered\r\n\u{202e}ü {}",
            "long ".repeat(200)
        ),
    );
    let content = b"Message-ID: <1@x>\r\n\tBcc: evil@x\r\n\r\n";
    let made = notification(Action::Failed, &envelope, content, &said);
    let shown = text(&made);
    assert!(shown.is_ascii());
    for line in shown.split("\r\n") {
        assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line}");
        assert!(
            !line.starts_with("Bcc") && line != "Action: delivered",
            "{line}"
        );
    }
    assert!(!shown.contains("In-Reply-To"));
}

#[test]
fn a_thousand_recipients_are_one_report_with_a_short_text() {
    let many: Vec<_> = (0..1_000).map(|n| format!("user{n}@example.net")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let made = notification(Action::Failed, &envelope(&many), CONTENT, &no_such_user());
    assert_eq!(text(&made).matches("Final-Recipient:").count(), 1_000);
    assert!(text(&made).contains("and 980 more, who are listed"));
}

#[test]
fn hosts_without_a_name_stand_as_address_literals() {
    let envelope = envelope(&["a@x.org"]);
    let said = no_such_user();
    let at = Timestamp::from_unix_ms(1_795_477_800_000);
    for (address, literal) in [
        ("192.0.2.1", "[192.0.2.1]"),
        ("2001:db8::1", "[IPv6:2001:db8::1]"),
    ] {
        let fates = [Fate {
            recipient: &envelope.recipients[0],
            verdict: &said,
            remote: Some(Remote {
                host: address,
                reply: &said,
            }),
            last_attempt: at,
        }];
        let report = Report {
            action: Action::Failed,
            fates: &fates,
            original: Original {
                trace: TraceId::new(at, 77),
                arrived: at,
                envelope: &envelope,
                content: b"",
                content_len: 0,
            },
            hostname: address,
            now: at,
            expires: None,
        };
        let made = report.parts()[0].notification().unwrap();
        let made = text(&made);
        for line in [
            format!("Reporting-MTA: dns; {literal}\r\n"),
            format!("Remote-MTA: dns; {literal}\r\n"),
            format!("<mailer-daemon@{literal}>\r\n"),
            format!("@{literal}>\r\n"),
        ] {
            assert!(made.contains(&line), "{line} in {made}");
        }
    }
}
