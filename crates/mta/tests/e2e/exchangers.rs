//! Mail between systems that know of each other by the DNS alone.

use std::io::Write as _;
use std::net::TcpListener;

use testkit::{Nsd, maildir};

use crate::system::{System, give, letter};

/// What the DNS has: for each domain first an exchanger that nobody is at, then one that is busy,
/// then the system itself.
const RECORDS: &str = "\
far.test. MX 10 dead.test.
far.test. MX 20 busy.test.
far.test. MX 30 far.test.
near.test. MX 10 dead.test.
near.test. MX 20 near.test.
null.test. MX 0 .
dead.test. A 127.0.2.1
busy.test. A 127.0.2.2
far.test. A 127.0.0.1
near.test. A 127.0.0.1
";

/// A system for `domain`, which sends everything else to exchangers that listen at `port`.
fn system(domain: &str, nsd: &Nsd, port: u16) -> System {
    let resolver = nsd.address();
    System::with(|config| {
        let mx = format!("{{ mx = {{ port = {port}, resolver = \"{resolver}\" }} }}");
        let held = config.find("{ hold = ").expect("a route that holds");
        let end = held + config[held..].find('}').expect("its end");
        let config = format!("{}{mx}{}", &config[..held], &config[end + 1..]);
        config.replace("example.test", domain).replace(
            "hostname = \"localhost\"",
            &format!("hostname = \"{domain}\""),
        )
    })
}

#[test]
fn two_systems_exchange_mail_by_the_dns_past_dead_and_busy_exchangers() {
    let Some(nsd) = Nsd::start(RECORDS, &[]) else {
        return;
    };
    let far = system("far.test", &nsd, 1);
    let busy = TcpListener::bind(("127.0.2.2", far.ports.input)).expect("a port of its own");
    std::thread::spawn(move || {
        for mut client in busy.incoming().flatten() {
            let _ = client.write_all(b"421 4.3.2 busy\r\n");
        }
    });
    let near = system("near.test", &nsd, far.ports.input);
    let mut client = near.at_submission();
    let reply = give(
        &mut client,
        "bob@near.test",
        &["alice@far.test"],
        &letter("over-the-dns"),
    );
    assert!(reply.starts_with("250 2.0.0"), "{reply}");
    let mailbox = far
        .postern
        .scratch()
        .path()
        .join("state/mail/far.test/alice");
    let arrived = maildir::message_with(&mailbox, "Subject: over-the-dns");
    assert!(arrived.contains("by mail.near.test"), "{arrived}");
}

#[test]
fn a_domain_that_takes_no_mail_is_a_bounce_that_says_so() {
    let Some(nsd) = Nsd::start(RECORDS, &[]) else {
        return;
    };
    let near = system("near.test", &nsd, 1);
    let mut client = near.at_submission();
    for (to, status) in [("x@null.test", "5.1.10"), ("x@none.test", "5.1.2")] {
        give(&mut client, "alice@near.test", &[to], &letter("nobody"));
        let mailbox = near
            .postern
            .scratch()
            .path()
            .join("state/mail/near.test/alice");
        let bounce = maildir::message_with(&mailbox, &format!("Status: {status}"));
        assert!(bounce.contains(to), "{bounce}");
    }
}
