//! The Received field that this system adds where a message enters.
//!
//! # Standards
//! RFC 5321 §4.4, where the system counts as one server and a handoff adds no field
//! (quirk: one-received-field); RFC 3848 and RFC 6531 §4.3 for the protocol names.

use std::fmt::Write as _;

use mail::{Client, Envelope, Provenance, Security, address_literal};

/// The whole field with its line end.
pub(crate) fn received(
    provenance: &Provenance,
    envelope: &Envelope,
    hostname: &str,
    instance: &str,
) -> String {
    let mut field = String::with_capacity(256);
    field.push_str("Received: ");
    if let Some(client) = &provenance.client {
        put_from(&mut field, client);
    }
    // Writing to a String cannot fail.
    let _ = write!(field, "by {hostname} ({instance}) with ");
    field.push_str(protocol(provenance.client.as_ref(), envelope.smtputf8));
    let _ = write!(field, " id {}", provenance.trace);
    // With several recipients the field would show each to all the others (RFC 5321 §7.2).
    if let [only] = envelope.recipients.as_slice() {
        let _ = write!(field, "\r\n\tfor <{}>", only.address);
    }
    let _ = write!(field, ";\r\n\t{}\r\n", provenance.arrived.rfc5322());
    field
}

fn put_from(field: &mut String, client: &Client) {
    let helo = match &*client.helo {
        "" => "unknown".into(),
        helo => word(helo),
    };
    let _ = write!(field, "from {helo}");
    let address = client.address.map(address_literal);
    match (client.name.as_deref().map(word), address) {
        (Some(name), Some(address)) => {
            let _ = write!(field, " ({name} {address})");
        }
        (None, Some(address)) => {
            let _ = write!(field, " ({address})");
        }
        (_, None) => field.push_str(" (local)"),
    }
    field.push_str("\r\n\t");
}

/// A name as one word of a field. What a session hears in EHLO is one already; what a peer hands on
/// by XFORWARD need not be, and must not look like the rest of the field, or like another's.
fn word(name: &str) -> String {
    let fits = |c: char| c.is_ascii_graphic() && !"\"(),;<>@\\".contains(c);
    name.chars()
        .map(|c| if fits(c) { c } else { '?' })
        .collect()
}

fn protocol(client: Option<&Client>, smtputf8: bool) -> &'static str {
    let Some(client) = client else {
        return "local";
    };
    let tls = client.security == Security::Tls;
    match (smtputf8, client.extended, tls) {
        (true, _, true) => "UTF8SMTPS",
        (true, _, false) => "UTF8SMTP",
        (false, true, true) => "ESMTPS",
        (false, true, false) => "ESMTP",
        (false, false, _) => "SMTP",
    }
}

#[cfg(test)]
mod tests {
    use mail::{BodyType, Mailbox, Origin, Recipient, ReversePath, Timestamp, TraceId};

    use super::*;

    fn message(recipients: &[&str]) -> (Provenance, Envelope) {
        let arrived = Timestamp::from_unix_ms(1_795_477_800_000);
        let provenance = Provenance {
            trace: TraceId::new(arrived, 1),
            origin: Origin::Outside,
            arrived,
            client: Some(Client {
                address: Some("192.0.2.7".parse().unwrap()),
                port: 1,
                helo: "c.example".into(),
                name: None,
                security: Security::Tls,
                extended: true,
            }),
            visited: Vec::new(),
            about: None,
        };
        let recipients = recipients
            .iter()
            .map(|r| Recipient::new(Mailbox::parse(r).unwrap()))
            .collect();
        let envelope = Envelope {
            sender: ReversePath::Null,
            recipients,
            body: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
        };
        (provenance, envelope)
    }

    #[test]
    fn the_field_says_who_brought_it_how_when_and_for_whom() {
        let (provenance, envelope) = message(&["a@x.org"]);
        assert_eq!(
            received(&provenance, &envelope, "mail.x.org", "input"),
            format!(
                "Received: from c.example ([192.0.2.7])\r\n\tby mail.x.org (input) with ESMTPS \
                 id {}\r\n\tfor <a@x.org>;\r\n\tMon, 23 Nov 2026 23:50:00 +0000\r\n",
                provenance.trace
            )
        );
    }

    #[test]
    fn an_ipv6_client_is_written_as_an_ipv6_literal() {
        let (mut provenance, envelope) = message(&["a@x.org"]);
        for (name, expected) in [
            (None, "([IPv6:2001:db8::7])"),
            (Some("c.example".into()), "(c.example [IPv6:2001:db8::7])"),
        ] {
            if let Some(client) = &mut provenance.client {
                client.address = Some("2001:db8::7".parse().unwrap());
                client.name = name;
            }
            let field = received(&provenance, &envelope, "h", "i");
            assert!(field.contains(expected), "{field}");
        }
    }

    #[test]
    fn recipients_do_not_learn_of_each_other() {
        let (provenance, envelope) = message(&["a@x.org", "b@x.org"]);
        assert!(!received(&provenance, &envelope, "h", "i").contains("x.org"));
    }

    /// What a peer says by XFORWARD of the client behind it is the client's word, handed on.
    #[test]
    fn a_name_that_a_client_made_up_stays_a_name() {
        let (mut provenance, envelope) = message(&["a@x.org"]);
        if let Some(client) = &mut provenance.client {
            client.helo = "x ([10.0.0.1]) by mail.x.org; Mon".into();
            client.name = Some("käthe.example (unknown".into());
        }
        let field = received(&provenance, &envelope, "h", "i");
        let first = field.lines().next();
        assert_eq!(
            first,
            Some(
                "Received: from x??[10.0.0.1]??by?mail.x.org??Mon \
                 (k?the.example??unknown [192.0.2.7])"
            )
        );
    }
}
