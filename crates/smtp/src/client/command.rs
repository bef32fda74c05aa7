//! Writes the commands of a transaction.
//!
//! # Standards
//! RFC 5321 §4.1.1; RFC 1870 for SIZE, RFC 6152 and RFC 3030 for BODY, RFC 6531 for SMTPUTF8,
//! RFC 3461 for RET, ENVID, NOTIFY and ORCPT. XFORWARD as Postfix documents it.

use std::io::Write as _;
use std::net::IpAddr;

use mail::{BodyType, Return, xtext};

use super::capabilities::{Capabilities, Capability, XforwardAttribute};
use super::transaction::{ClientRecipient, Transaction};
use crate::codec::xforward::XforwardAttributes;
use crate::limits::COMMAND_LEN_LEAST;

macro_rules! put {
    ($out:expr, $($format:tt)*) => {
        write!($out, $($format)*).expect("invariant: a Vec takes all that is written")
    };
}

/// MAIL, with every parameter that has something to say and that the server takes.
pub(super) fn write_mail(out: &mut Vec<u8>, t: &Transaction, can: &Capabilities) {
    put!(out, "MAIL FROM:<{}>", t.sender.as_str());
    if can.has(Capability::Size) {
        put!(out, " SIZE={}", t.size);
    }
    match t.body {
        BodyType::BinaryMime => put!(out, " BODY=BINARYMIME"),
        BodyType::EightBitMime => put!(out, " BODY=8BITMIME"),
        BodyType::SevenBit => {}
    }
    if t.needs_smtputf8() {
        put!(out, " SMTPUTF8");
    }
    if can.has(Capability::Dsn) {
        match t.ret {
            Some(Return::Full) => put!(out, " RET=FULL"),
            Some(Return::Headers) => put!(out, " RET=HDRS"),
            None => {}
        }
        if let Some(envid) = &t.envid {
            put!(out, " ENVID={}", xtext::encode(envid));
        }
    }
    if let Some(edge) = t.edge.as_ref().filter(|_| can.has(Capability::Xpostern)) {
        put!(out, " XPOSTERN={}", xtext::encode(edge));
    }
    put!(out, "\r\n");
}

/// RCPT, likewise.
pub(super) fn write_rcpt(out: &mut Vec<u8>, recipient: &ClientRecipient, can: &Capabilities) {
    put!(out, "RCPT TO:<{}>", recipient.address);
    if can.has(Capability::Dsn) {
        if let Some(keywords) = recipient.notify.keywords() {
            put!(out, " NOTIFY={keywords}");
        }
        // `type;address`: the type is an atom and stays as it is (RFC 3461 §4.2).
        if let Some((kind, address)) = recipient.orcpt.as_ref().and_then(|o| o.split_once(';')) {
            put!(out, " ORCPT={kind};{}", xtext::encode(address));
        }
    }
    put!(out, "\r\n");
}

/// As many XFORWARD commands as the attributes need; returns how many.
///
/// An attribute that is not known is said to be so: a server may remember what the transaction
/// before this one said.
pub(super) fn write_xforward(
    out: &mut Vec<u8>,
    attributes: &XforwardAttributes,
    can: &Capabilities,
) -> usize {
    const COMMAND: &str = "XFORWARD";
    let mut n_commands = 0;
    let mut len = usize::MAX;
    for attribute in XforwardAttribute::ALL {
        if !can.xforward(attribute) {
            continue;
        }
        let value = xforward_value(attribute, attributes);
        let value = value.map_or_else(|| "[UNAVAILABLE]".into(), |value| xtext::encode(&value));
        let name = attribute.keyword();
        let more = name.len() + value.len() + " =\r\n".len();
        if len.saturating_add(more) > COMMAND_LEN_LEAST {
            if n_commands > 0 {
                put!(out, "\r\n");
            }
            put!(out, "{COMMAND}");
            len = COMMAND.len();
            n_commands += 1;
        }
        put!(out, " {name}={value}");
        len += more;
    }
    if n_commands > 0 {
        put!(out, "\r\n");
    }
    n_commands
}

fn xforward_value(attribute: XforwardAttribute, from: &XforwardAttributes) -> Option<String> {
    let text = |value: &Option<Box<str>>| value.as_deref().map(String::from);
    match attribute {
        XforwardAttribute::Addr => from.addr.map(|address| match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("IPV6:{v6}"),
        }),
        XforwardAttribute::Helo => text(&from.helo),
        XforwardAttribute::Ident => text(&from.ident),
        XforwardAttribute::Name => text(&from.name),
        XforwardAttribute::Port => from.port.map(|port| port.to_string()),
        XforwardAttribute::Proto => text(&from.proto),
        XforwardAttribute::Source => text(&from.source),
    }
}
