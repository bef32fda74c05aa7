//! Submission played by a thread at the other end of a socket file.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;

use super::*;

/// Answers each line by the first reply whose word it begins with; gives what it was sent.
fn serve(
    name: &str,
    replies: &'static [(&'static str, &'static str)],
) -> (Door, std::thread::JoinHandle<String>) {
    let path = std::env::temp_dir().join(format!("postern-submit-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("bound");
    let door = Door::Unix(path.clone());
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("accepted");
        let _ = std::fs::remove_file(&path);
        let mut heard = String::new();
        let say = |text: &str| (&stream).write_all(text.as_bytes());
        say("220 x ESMTP\r\n").expect("written");
        for line in BufReader::new(&stream).lines() {
            let Ok(line) = line else { break };
            let reply = replies.iter().find(|(word, _)| line.starts_with(word));
            if let Some((_, reply)) = reply
                && say(reply).is_err()
            {
                break;
            }
            heard += &(line + "\n");
        }
        heard
    });
    (door, server)
}

fn letter() -> Letter {
    let mailbox = |text| Mailbox::parse(text).expect("an address");
    Letter {
        sender: ReversePath::Null,
        recipients: vec![mailbox("a@x.example"), mailbox("b@x.example")],
        content: b"Subject: x\r\n\r\n.dot\r\n".to_vec(),
    }
}

#[test]
fn a_message_is_given_and_its_trace_id_comes_back() {
    let (door, server) = serve(
        "good",
        &[
            ("EHLO", "250-x\r\n250-PIPELINING\r\n250 SIZE 1000\r\n"),
            ("MAIL", "250 ok\r\n"),
            ("RCPT TO:<a", "250 ok\r\n"),
            ("RCPT TO:<b", "550 5.1.1 no such user\r\n"),
            ("DATA", "354 go\r\n"),
            (".", "250 2.0.0 accepted as 01KATQ2CD0000000000000000A\r\n"),
            ("QUIT", "221 bye\r\n"),
        ],
    );
    // The line `..dot` also begins with a dot: the server of this test answers once too often, so
    // the content here has none.
    let letter = Letter {
        content: b"Subject: x\r\n\r\nhello\r\n".to_vec(),
        ..letter()
    };
    let submitted = submit(&door, "host.example", &letter, || Late::Wait).expect("submitted");
    assert_eq!(
        submitted.trace.map(|t| t.to_string()).as_deref(),
        Some("01KATQ2CD0000000000000000A")
    );
    let codes: Vec<_> = submitted
        .replies
        .iter()
        .map(|reply| reply.code.value())
        .collect();
    assert_eq!(codes, [250, 550]);
    let heard = server.join().expect("heard");
    assert!(heard.contains("EHLO host.example\n"));
    assert!(heard.contains("MAIL FROM:<>"));
    assert!(heard.contains("Subject: x\n\nhello\n.\n"));
}

#[test]
fn a_server_that_goes_away_is_an_error_or_a_temporary_reply() {
    let (door, server) = serve("away", &[("EHLO", "421 4.3.2 going down\r\n")]);
    assert!(submit(&door, "host.example", &letter(), || Late::Wait).is_err());
    server.join().expect("heard");
    assert!(matches!(
        submit(&door, "host.example", &letter(), || Late::Wait),
        Err(SubmitError::Away(..))
    ));
}

/// As where the instance behind a listener cannot start.
#[test]
fn a_server_that_does_not_greet_is_told_to_who_waits() {
    let folder = testkit::Scratch::new();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).expect("bound");
    let (late, told) = std::sync::mpsc::channel();
    let door = Door::Unix(path);
    let given = submit(&door, "host.example", &letter(), || Late::GiveUp);
    assert!(matches!(given, Err(SubmitError::Late(_))), "{given:?}");
    let client = std::thread::spawn(move || {
        let say_late = || {
            late.send(()).expect("heard");
            Late::Wait
        };
        submit(&door, "host.example", &letter(), say_late)
    });
    told.recv_timeout(testkit::wait::LIMIT).expect("it is told");
    drop(listener);
    let given = client.join().expect("it ends");
    assert!(matches!(given, Err(SubmitError::Lost(..))), "{given:?}");
}

#[test]
fn the_socket_file_is_chosen_before_a_port() {
    let config = Config::embedded(Some("/tmp/s".as_ref())).expect("the embedded configuration");
    let door = Door::of(&config, None).expect("a door");
    assert_eq!(door, Door::Unix("/tmp/s/submission.sock".into()));
    assert!(matches!(
        Door::of(&config, Some("input")),
        Err(SubmitError::Unknown(_))
    ));
}
