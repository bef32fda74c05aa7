//! Other people's clients, in the clear, with STARTTLS and with TLS from the start.

use std::process::Command;

use testkit::peer;

use crate::system::{System, letter, succeeds};

/// Says in the `Received` field that the client came over TLS; RFC 3848.
const BY_TLS: &str = "with ESMTPS id";

#[test]
fn swaks_delivers_in_the_clear_by_starttls_and_by_implicit_tls() {
    let Some(swaks) = peer::peer("swaks") else {
        return;
    };
    let system = System::embedded();
    for (mark, port, option) in [
        ("swaks-plain", system.ports.input, None),
        ("swaks-starttls", system.ports.input, Some("--tls")),
        ("swaks-tls", system.ports.tls, Some("--tls-on-connect")),
    ] {
        let mut command = Command::new(&swaks);
        command
            .args(["--server", "127.0.0.1", "--port", &port.to_string()])
            .args(["--helo", "swaks.example", "--from", "a@example.org"])
            .args(["--to", "alice@example.test", "--timeout", "20"])
            .args([
                "--header",
                &format!("Subject: {mark}"),
                "--body",
                "Good morning.",
            ])
            .args(option);
        let said = succeeds(&mut command, "");
        assert!(said.contains("250 2.0.0 accepted as "), "{said}");
        let message = system.arrived("alice", &format!("Subject: {mark}"));
        assert_eq!(message.contains(BY_TLS), option.is_some(), "{message}");
    }
}

#[test]
fn curl_delivers_in_the_clear_by_starttls_and_by_implicit_tls() {
    let Some(curl) = peer::peer("curl") else {
        return;
    };
    let system = System::embedded();
    let certificate = system.postern.state("tls/certificate.pem");
    for (mark, url, options) in [
        (
            "curl-plain",
            format!("smtp://127.0.0.1:{}", system.ports.input),
            vec![],
        ),
        (
            "curl-starttls",
            format!("smtp://127.0.0.1:{}", system.ports.input),
            vec!["--ssl-reqd"],
        ),
        (
            "curl-tls",
            format!("smtps://127.0.0.1:{}", system.ports.tls),
            vec![],
        ),
    ] {
        let is_secure = mark != "curl-plain";
        let mut command = Command::new(&curl);
        command
            .args(["-sS", "--max-time", "20", "--insecure", "--cacert"])
            .arg(&certificate)
            .args([
                "--mail-from",
                "a@example.org",
                "--mail-rcpt",
                "alice@example.test",
            ])
            .args(["--upload-file", "-", &url])
            .args(options);
        succeeds(&mut command, &letter(mark).replace('\n', "\r\n"));
        let message = system.arrived("alice", &format!("Subject: {mark}"));
        assert_eq!(message.contains(BY_TLS), is_secure, "{message}");
    }
}

/// Sends by each way, over one connection where STARTTLS comes in between.
const SMTPLIB: &str = r#"
import smtplib, ssl, sys
plain, tls = int(sys.argv[1]), int(sys.argv[2])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE

def send(server, mark):
    text = f"From: a@example.org\r\nSubject: {mark}\r\n\r\n.dot\r\n..dots\r\nGr\u00fc\u00dfe\r\n"
    refused = server.sendmail("a@example.org", ["alice@example.test", "nobody@example.test"],
                              text.encode(), mail_options=["BODY=8BITMIME"])
    assert list(refused) == ["nobody@example.test"], refused
    assert refused["nobody@example.test"][0] == 550, refused

with smtplib.SMTP("127.0.0.1", plain, local_hostname="python.example", timeout=20) as server:
    send(server, "smtplib-plain")
    server.starttls(context=context)
    send(server, "smtplib-starttls")
with smtplib.SMTP_SSL("127.0.0.1", tls, local_hostname="python.example", timeout=20,
                      context=context) as server:
    send(server, "smtplib-tls")
"#;

#[test]
fn pythons_smtplib_delivers_in_the_clear_by_starttls_and_by_implicit_tls() {
    let Some(mut python) = peer::python(SMTPLIB) else {
        return;
    };
    let system = System::embedded();
    let ports = [system.ports.input, system.ports.tls].map(|port| port.to_string());
    succeeds(python.args(ports), "");
    for mark in ["smtplib-plain", "smtplib-starttls", "smtplib-tls"] {
        let message = system.arrived("alice", &format!("Subject: {mark}"));
        assert_eq!(
            message.contains(BY_TLS),
            mark != "smtplib-plain",
            "{message}"
        );
        assert!(
            message.contains("\n.dot") && message.contains("\n..dots"),
            "{message}"
        );
        assert!(message.contains("Grüße"), "{message}");
    }
}
