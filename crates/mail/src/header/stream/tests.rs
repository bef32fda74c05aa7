//! Contents of all kinds, split anywhere.

use super::*;

fn ours() -> Treatment {
    Treatment::Submit(Box::new(Additions {
        domain: "h.example".into(),
        date: "Mon, 23 Nov 2026 23:50:00 +0000".into(),
        from: "me@h.example".into(),
        message_id: "<1@h.example>".into(),
    }))
}

fn pass(treatment: Treatment, pieces: &[&[u8]]) -> (String, Found) {
    let (mut stream, mut out) = (HeaderStream::new(treatment), Vec::new());
    for piece in pieces {
        stream.push(piece, &mut out);
    }
    stream.finish(&mut out);
    assert!(stream.has_ended());
    let text = String::from_utf8_lossy(&out).into_owned();
    (text, stream.found().clone())
}

/// All ways to split it in two, and octet by octet.
#[track_caller]
fn check(treatment: &Treatment, content: &str, expected: &str) {
    let octets = content.as_bytes();
    for at in 0..=octets.len() {
        let (text, _) = pass(treatment.clone(), &[&octets[..at], &octets[at..]]);
        assert_eq!(text, expected, "split at {at}");
    }
    let single: Vec<&[u8]> = octets.chunks(1).collect();
    assert_eq!(pass(treatment.clone(), &single).0, expected);
}

const ALL: &str = "From: me@h.example\r\nDate: Mon, 23 Nov 2026 23:50:00 +0000\r\n\
                   Message-ID: <1@h.example>\r\n";

#[test]
fn what_is_no_field_stays_out_of_the_field_above_it() {
    for (content, expected) in [
        ("", ""),
        ("\r\nbody\r\n", "\r\nbody\r\n"),
        ("A: b\r\n c\r\n\r\nbody", "A: b\r\n c\r\n\r\nbody"),
        (" folded\r\n", "\r\n folded\r\n"),
        ("\tfolded\r\n\r\n", "\r\n\tfolded\r\n\r\n"),
        ("Hello.\r\nB: c\r\n", "\r\nHello.\r\nB: c\r\n"),
        ("Hello", "\r\nHello"),
        ("no field: x\r\n", "\r\nno field: x\r\n"),
        (": x\r\n", "\r\n: x\r\n"),
        ("A: b\r\nHello.\r\n", "A: b\r\nHello.\r\n"),
        (
            "From me Mon 10:00\r\nA: b\r\n\r\n",
            "X-Mailbox-Line: From me Mon 10:00\r\nA: b\r\n\r\n",
        ),
        (
            ">From me Mon\r\nFrom : me@x\r\n\r\n",
            "X-Mailbox-Line: >From me Mon\r\nFrom : me@x\r\n\r\n",
        ),
        ("From me\r\n x\r\n", "X-Mailbox-Line: From me\r\n\r\n x\r\n"),
    ] {
        check(&Treatment::Receive, content, expected);
    }
    let long = format!("{}: x\r\n", "n".repeat(FIELD_NAME_LEN_MAX + 1));
    let (text, _) = pass(Treatment::Receive, &[long.as_bytes()]);
    assert_eq!(text, format!("\r\n{long}"));
}

#[test]
fn what_is_only_read_stays_as_it_is() {
    for content in [
        "",
        " a\r\n",
        "Hello\r\n",
        "Bcc: a\r\n\r\nx",
        "From x\r\n",
        "A: b",
    ] {
        check(&Treatment::Read, content, content);
    }
}

#[test]
fn a_message_of_our_own_gets_what_it_lacks() {
    for (content, expected) in [
        ("", format!("{ALL}\r\n")),
        ("Hello.\r\n", format!("{ALL}\r\nHello.\r\n")),
        (" Hello.\r\n", format!("{ALL}\r\n Hello.\r\n")),
        ("\r\nHello.\r\n", format!("{ALL}\r\nHello.\r\n")),
        ("Subject: x", format!("Subject: x\r\n{ALL}\r\n")),
        (
            "Subject: x\r\nHello.\r\n",
            format!("Subject: x\r\n{ALL}\r\nHello.\r\n"),
        ),
        ("To: root", format!("To: root@h.example\r\n{ALL}\r\n")),
    ] {
        check(&ours(), content, &expected);
    }
    let complete = "FROM: a@x\r\ndate : now\r\nMessage-Id:\r\n <2@x>\r\n\r\nbody\r\n";
    check(&ours(), complete, complete);
    let (_, found) = pass(ours(), &[b"\r\n"]);
    assert_eq!(found.message_id().as_deref(), Some("<1@h.example>"));
}

#[test]
fn fields_that_are_not_for_recipients_go_with_all_their_lines() {
    let content = "Subject: x\r\nBCC : a@x,\r\n b@x\r\n\tc@x\r\nReturn-Path: <r@x>\r\n\
                   Resent-Bcc: d@x\r\nContent-Length: 7\r\nX-Bcc: e@x\r\n\r\nBcc: f@x\r\n";
    let expected = format!("Subject: x\r\nX-Bcc: e@x\r\n{ALL}\r\nBcc: f@x\r\n");
    check(&ours(), content, &expected);
    check(&ours(), "Bcc: a@x", &format!("{ALL}\r\n"));
    check(&Treatment::Receive, content, content);
}

#[test]
fn addresses_of_a_message_of_our_own_get_a_domain() {
    let content = "From: root (Cron Daemon)\r\nTo: a@x,\r\n b\r\nSubject: root\r\n\r\nTo: root\r\n";
    let rest = ALL.replace("From: me@h.example\r\n", "");
    let expected = format!(
        "From: root@h.example (Cron Daemon)\r\nTo: a@x,\r\n b@h.example\r\nSubject: root\r\n\
         {rest}\r\nTo: root\r\n"
    );
    check(&ours(), content, &expected);
    check(&Treatment::Receive, content, content);
    let long = format!("To: {}\r\n\r\n", "a,".repeat(ADDRESSES_LEN_MAX));
    let (text, _) = pass(ours(), &[long.as_bytes()]);
    assert!(text.starts_with(&long[..long.len() - 2]));
}

/// A mail loop adds a field at each turn, however large the header section has become.
#[test]
fn fields_are_counted_to_the_end_of_a_header_of_any_length() {
    let mut stream = HeaderStream::new(Treatment::Read);
    let field = format!(
        "X-Filler: {}\r\nRECEIVED : from x\r\n\tby y\r\n",
        "f".repeat(4000)
    );
    let mut out = Vec::new();
    for _ in 0..2000 {
        stream.push(field.as_bytes(), &mut out);
        out.clear();
    }
    stream.push(
        b"Message-ID:\r\n <late@x>\r\n\r\nReceived: not here\r\n",
        &mut out,
    );
    assert_eq!(stream.found().n_received, 2000);
    let message_id = stream.found().message_id();
    assert_eq!(message_id.as_deref(), Some("<late@x>"));
    assert!(stream.held_len() < 4096);
}

#[test]
fn it_sees_what_a_look_at_the_whole_content_sees() {
    let mut octets =
        b"Received: a\r\nX\r:\nreceived :b\r\n c\r\r\nMessage-ID: <1@x>\r\n\r\n".to_vec();
    let mut seed = 1_u32;
    for _ in 0..2000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let at = usize::try_from(seed >> 8).unwrap_or(0) % octets.len();
        octets[at] = b"\r\n: \tRa\0\xff"[usize::try_from(seed & 7).unwrap_or(0)];
        let (text, found) = pass(Treatment::Read, &[&octets[..at], &octets[at..]]);
        assert_eq!(text, String::from_utf8_lossy(&octets));
        let header = Header::scan(&octets);
        assert_eq!(found.n_received, header.n_received, "{text:?}");
        assert_eq!(
            found.message_id().as_deref(),
            header.message_id.text().as_deref()
        );
    }
}
