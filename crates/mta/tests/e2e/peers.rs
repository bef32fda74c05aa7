//! Other people's servers: Postfix before and behind an instance, `smtp-sink` as the remote side.

use std::fs;
use std::process::{Child, Command, Stdio};

use testkit::postfix::Postfix;
use testkit::{Remote, Scratch, peer, port, wait};

use crate::system::{System, give, letter};

#[test]
fn postfix_behind_an_output_gets_the_mail_and_is_told_of_the_client() {
    let remote = Remote::new();
    let Some(postfix) = Postfix::start(&format!(
        "relay_domains = branch.test\n\
         relay_recipient_maps = inline:{{ alice@branch.test=OK }}\n\
         smtpd_relay_restrictions = reject_unauth_destination\n\
         smtpd_authorized_xforward_hosts = 127.0.0.0/8\n\
         relayhost = [127.0.0.1]:{}\n",
        remote.port()
    )) else {
        return;
    };
    let system = System::with(|config| {
        config.replace(
            "[[instance.output.route]]\naddress",
            &format!(
                "[[instance.output.route]]\n\
                 domain = \"branch.test\"\n\
                 users = [\"alice\"]\n\
                 open_to = \"anyone\"\n\
                 to = {{ relay = \"127.0.0.1:{}\" }}\n\n\
                 [[instance.output.route]]\naddress",
                postfix.port()
            ),
        )
    });
    let mut client = system.at_input();
    let reply = give(
        &mut client,
        "a@example.org",
        &["alice@branch.test"],
        &letter("to-postfix"),
    );
    assert!(reply.starts_with("250 2.0.0"), "{reply}\n{}", postfix.log());
    let received = remote.received("Subject: to-postfix");
    assert_eq!(
        (received.from.as_str(), received.to.len()),
        ("a@example.org", 1)
    );
    // Postfix writes what it was told of our client where it would write of ours.
    assert!(
        received.content.contains("from client.example"),
        "{received:?}"
    );
    client.play(
        "C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<nobody@branch.test>
         S: 550 5.1.1",
    );
}

#[test]
fn postfix_behind_an_input_gets_what_the_input_lets_through() {
    let remote = Remote::new();
    let Some(postfix) = Postfix::start(&format!(
        "relay_domains = branch.test\n\
         smtpd_relay_restrictions = reject_unauth_destination\n\
         smtpd_authorized_xforward_hosts = 127.0.0.0/8\n\
         relayhost = [127.0.0.1]:{}\n",
        remote.port()
    )) else {
        return;
    };
    let system = System::with(|config| {
        let (head, _) = config
            .split_once("[instance.submission]")
            .expect("embedded");
        format!(
            "{head}[instance.input]\nrole = \"input\"\nlisten = [\"127.0.0.1:{}\"]\n\
             next = \"smtp://127.0.0.1:{1}\"\n\n\
             [[instance.input.route]]\ndomain = \"branch.test\"\nusers = [\"alice\"]\n\
             open_to = \"anyone\"\nto = {{ relay = \"127.0.0.1:{1}\" }}\n",
            port::free_port(),
            postfix.port()
        )
    });
    let listener = system.postern.printed();
    let port = listener.split("127.0.0.1:").nth(1).expect("it listens");
    let port = port.lines().next().and_then(|port| port.parse().ok());
    let mut client = testkit::Dialogue::tcp(port.expect("a port"));
    client.play("S: 220\nC: EHLO client.example\nS: 250");
    let reply = give(
        &mut client,
        "a@example.org",
        &["alice@branch.test"],
        &letter("through-input"),
    );
    assert!(reply.starts_with("250 2.0.0"), "{reply}\n{}", postfix.log());
    let received = remote.received("Subject: through-input");
    assert!(
        received.content.contains("from client.example"),
        "{received:?}"
    );
    client.play(
        "C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<nobody@branch.test>
         S: 550 5.1.1
         C: RCPT TO:<someone@elsewhere.test>
         S: 550 5.7.1",
    );
}

#[test]
fn postfix_in_front_of_an_output_hands_its_mail_over() {
    let system = System::with(|config| {
        let (head, rest) = config
            .split_once("[instance.submission]")
            .expect("embedded");
        let (_, output) = rest.split_once("role = \"output\"").expect("embedded");
        format!(
            "{head}[instance.output]\nrole = \"output\"\nlisten = [\"127.0.0.1:{}\"]\n\n\
             [[instance.output.peer]]\nnetwork = \"127.0.0.1\"\nxforward = \"allowed\"\n{output}",
            port::free_port()
        )
    });
    let listener = system.postern.printed();
    let port = listener.split("127.0.0.1:").nth(1).expect("it listens");
    let port = port.lines().next().unwrap_or_default();
    let Some(postfix) = Postfix::start(&format!(
        "relay_domains = example.test\n\
         smtpd_relay_restrictions = reject_unauth_destination\n\
         smtp_send_xforward_command = yes\n\
         relayhost = [127.0.0.1]:{port}\n"
    )) else {
        return;
    };
    let mut client = testkit::Dialogue::tcp(postfix.port());
    client.play("S: 220\nC: EHLO client.example\nS: 250");
    let reply = give(
        &mut client,
        "a@example.org",
        &["alice@example.test"],
        &letter("by-postfix"),
    );
    assert!(reply.starts_with("250"), "{reply}");
    let message = system.arrived("alice", "Subject: by-postfix");
    assert!(
        message.starts_with("Return-Path: <a@example.org>"),
        "{message}"
    );
    assert!(
        message.contains("by postfix.example.test (Postfix)"),
        "{message}"
    );
}

/// Postfix's sink, ended when it goes out of scope.
struct Sink {
    process: Child,
    folder: Scratch,
    port: u16,
}

impl Sink {
    fn start(options: &[&str]) -> Option<Self> {
        let program = peer::peer("smtp-sink")?;
        let folder = Scratch::new();
        let port = port::free_port();
        let mut command = Command::new(program);
        command
            .current_dir(folder.path())
            .args(options)
            .args(["-d", "m."]);
        if rustix::process::geteuid().is_root() {
            // It refuses to write files as root without a user that is named.
            command.args(["-u", "root"]);
        }
        let process = command
            .args([&format!("127.0.0.1:{port}"), "100"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("smtp-sink can be started");
        let sink = Self {
            process,
            folder,
            port,
        };
        wait::until_true("smtp-sink listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(sink)
    }

    /// The files that it wrote, one a message.
    fn messages(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("the directory is there");
        let read = |entry: fs::DirEntry| fs::read_to_string(entry.path()).ok();
        entries
            .flatten()
            .filter_map(read)
            .filter(|text| !text.is_empty())
            .collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn smtp_sink_takes_what_the_relay_route_sends_with_and_without_pipelining() {
    for options in [&[][..], &["-p"], &["-e"]] {
        let Some(sink) = Sink::start(options) else {
            return;
        };
        let system = System::with_relay(sink.port);
        let mut client = system.at_submission();
        for mark in ["sink-1", "sink-2", "sink-3"] {
            let to = ["x@far.example", "y@far.example"];
            let reply = give(&mut client, "alice@example.test", &to, &letter(mark));
            assert!(reply.starts_with("250"), "{reply}");
        }
        for mark in ["sink-1", "sink-2", "sink-3"] {
            wait::until_true(
                &format!("{mark} is in the sink, sent with {options:?}"),
                || {
                    let messages = sink.messages();
                    messages.iter().filter(|text| text.contains(mark)).count() == 1
                },
            );
        }
        system.drained();
        assert_eq!(sink.messages().len(), 3);
    }
}
