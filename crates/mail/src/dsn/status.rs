//! The part that a program reads: message/delivery-status (RFC 3464 §2). It is ASCII: an address
//! beyond that stands in the escaped form of RFC 6533 §3, which every host takes.

use std::borrow::Cow;

use crate::{Reply, ReplyClass, name_or_literal};

use super::encoded::escaped_address;
use super::lines::{Charset, Encoding, Lines};
use super::{Action, Fate, Report};

/// The part, with its heading.
pub(super) fn written(report: &Report<'_>, boundary: &str) -> Vec<u8> {
    let mut lines = Lines::new(Charset::Ascii);
    lines.begin_part(boundary, "message/delivery-status", Encoding::SevenBit);
    write(&mut lines, report);
    lines.into_bytes()
}

/// How many octets the part has about one recipient.
pub(super) fn fate_len(report: &Report<'_>, fate: &Fate<'_>) -> usize {
    let mut lines = Lines::new(Charset::Ascii);
    lines.empty();
    write_fate(&mut lines, report, fate);
    lines.into_bytes().len()
}

fn write(lines: &mut Lines, report: &Report<'_>) {
    if let Some(envid) = &report.original.envelope.envid {
        lines.field("Original-Envelope-Id", envid);
    }
    lines.field("Reporting-MTA", &host(report.hostname));
    lines.field("X-Postern-Trace", &report.original.trace.to_string());
    let arrived = report.original.arrived.rfc5322();
    lines.field("Arrival-Date", &arrived.to_string());
    for fate in report.fates {
        lines.empty();
        write_fate(lines, report, fate);
    }
}

fn write_fate(lines: &mut Lines, report: &Report<'_>, fate: &Fate<'_>) {
    let recipient = fate.recipient;
    if let Some(orcpt) = &recipient.orcpt {
        lines.field("Original-Recipient", &spaced(orcpt));
    }
    let address = recipient.address.as_str();
    let (kind, address) = if address.is_ascii() {
        ("rfc822", Cow::Borrowed(address))
    } else {
        ("utf-8", Cow::Owned(escaped_address(address)))
    };
    lines.field("Final-Recipient", &format!("{kind}; {address}"));
    lines.field("Action", report.action.keyword());
    lines.field("Status", &status(report.action, fate.verdict));
    if let Some(remote) = fate.remote {
        lines.field("Remote-MTA", &host(remote.host));
        lines.field("Diagnostic-Code", &format!("smtp; {}", remote.reply));
    } else {
        lines.field(
            "Diagnostic-Code",
            &format!("X-Postern; {}", fate.verdict.text()),
        );
    }
    let last_attempt = fate.last_attempt.rfc5322();
    lines.field("Last-Attempt-Date", &last_attempt.to_string());
    if let (Action::Delayed, Some(expires)) = (report.action, report.expires) {
        lines.field("Will-Retry-Until", &expires.rfc5322().to_string());
    }
}

/// A host by its name in the DNS, or by its address (RFC 3464 §2.1.2).
fn host(host: &str) -> String {
    format!("dns; {}", name_or_literal(host))
}

/// The verdict's enhanced status code if it goes with the action, else the action's most general
/// one: a delay is not reported as 5.x.x, nor a failure as 2.x.x.
fn status(action: Action, verdict: &Reply) -> String {
    let (class, n) = match action {
        Action::Delayed => (ReplyClass::Transient, 4),
        Action::Delivered | Action::Relayed => (ReplyClass::Positive, 2),
        Action::Failed => (ReplyClass::Permanent, 5),
    };
    match verdict.enhanced {
        Some(enhanced) if verdict.class() == class && enhanced.class() == n => enhanced.to_string(),
        _ => format!("{n}.0.0"),
    }
}

/// `type;address` with a space that lets a long one be folded.
fn spaced(orcpt: &str) -> String {
    let (kind, address) = orcpt.split_once(';').unwrap_or(("rfc822", orcpt));
    let address = address.trim_start();
    if address.is_ascii() {
        format!("{kind}; {address}")
    } else {
        format!("utf-8; {}", escaped_address(address))
    }
}
