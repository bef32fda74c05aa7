//! Who comes and brings no mail: scans, garbage, too many connections, and what the log has of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use testkit::wait;

use crate::system::System;

/// A system whose input takes one connection at a time.
fn with_one_place() -> System {
    System::with(|config| {
        let limits = "[instance.input.limits]\nconnections_per_client = 1\n\n[instance.output] ";
        config.replace("[instance.output] ", limits)
    })
}

#[test]
fn a_connection_that_is_turned_away_is_logged_with_its_address() {
    let system = with_one_place();
    let _client = system.at_input();
    let mut second = TcpStream::connect(("127.0.0.1", system.ports.input)).expect("connected");
    let mut said = String::new();
    second.read_to_string(&mut said).expect("a reply");
    assert!(said.starts_with("421"), "{said}");
    system.logged(&["input - refused client=127.0.0.1 phase=connect", "421"]);
}

#[test]
fn a_scan_garbage_and_a_failed_handshake_are_logged_and_counted() {
    let system = System::embedded();
    let connect = |port: u16| TcpStream::connect(("127.0.0.1", port)).expect("connected");
    drop(connect(system.ports.input));
    system.logged(&[
        "input - disconnected client=127.0.0.1 tls=false",
        "n_refused=0",
    ]);
    for (garbage, code) in [(&b"\x00\xff\xfe\r\n"[..], "421"), (b"XYZZY 1\r\n", "500")] {
        let mut client = connect(system.ports.input);
        client.write_all(garbage).expect("written");
        let reply = format!("reply=\"{code}");
        system.logged(&["input - protocol-error client=127.0.0.1 tls=false", &reply]);
    }
    let mut no_tls = connect(system.ports.tls);
    no_tls.write_all(b"EHLO x\r\n").expect("written");
    system.logged(&[
        "input - disconnected client=127.0.0.1",
        "TLS handshake failed",
    ]);
    wait::until_true("they are counted", || {
        let status = system.postern.call(&["status"]).out;
        status.contains("2 protocol errors") && status.contains("4 connections")
    });
}

#[test]
fn a_name_in_helo_cannot_pass_for_the_address_of_the_client() {
    let system = System::embedded();
    let mut client = system.at_input();
    for (said, expected) in [
        ("EHLO [203.0.113.9]", "250"),
        ("MAIL FROM:<a@example.org>", "250"),
        ("RCPT TO:<nobody@example.test>", "550"),
    ] {
        client.say(said);
        let reply = client.reply();
        assert!(reply.starts_with(expected), "{said}: {reply}");
    }
    let line = system.logged(&["refused", "nobody@example.test"]);
    let (_, fields) = line.split_once(" refused ").expect("fields");
    assert!(
        fields.starts_with("client=127.0.0.1 helo=[203.0.113.9] tls=false phase=rcpt"),
        "{line}"
    );
}
