//! The part that a person reads.

use super::encoded::quoted_printable;
use super::lines::{Charset, Encoding, Lines};
use super::returned::Returned;
use super::{Action, Fate, Report, limits};
use crate::name_or_literal;

/// The part, with its heading.
pub(super) fn written(report: &Report<'_>, boundary: &str, returned: &Returned<'_>) -> Vec<u8> {
    let ascii = report.is_about_ascii();
    let charset = if ascii { Charset::Ascii } else { Charset::Utf8 };
    let mut text = Lines::new(charset);
    write(&mut text, report, returned);
    let text = text.into_bytes();
    let mut part = Lines::new(Charset::Ascii);
    if text.is_ascii() {
        part.begin_part(boundary, "text/plain; charset=us-ascii", Encoding::SevenBit);
        part.raw(&text);
    } else {
        let content_type = "text/plain; charset=utf-8";
        part.begin_part(boundary, content_type, Encoding::QuotedPrintable);
        part.raw(&quoted_printable(&text, usize::MAX));
    }
    part.into_bytes()
}

fn write(lines: &mut Lines, report: &Report<'_>, returned: &Returned<'_>) {
    lines.wrapped("", "", opening(report.action));
    lines.empty();
    for fate in report.fates.iter().take(limits::NAMED_IN_TEXT_MAX) {
        write_fate(lines, fate);
    }
    if report.fates.len() > limits::NAMED_IN_TEXT_MAX {
        let n_more = report.fates.len() - limits::NAMED_IN_TEXT_MAX;
        let more = format!("and {n_more} more, who are listed in the attached report.");
        lines.wrapped("  ", "  ", &more);
        lines.empty();
    }
    if let (Action::Delayed, Some(expires)) = (report.action, report.expires) {
        let until = format!(
            "You need not send it again: it is tried on until {}, and you are told if that fails.",
            expires.rfc5322()
        );
        lines.wrapped("", "", &until);
        lines.empty();
    }
    if let Some(why) = returned.why_so_little() {
        lines.wrapped("", "", why);
        lines.empty();
    }
    let closing = format!(
        "This report was written by the mail system of {host}. Your message arrived there on \
         {arrived} and is known there as {trace}. For help, write to <postmaster@{host}> and name \
         that id.",
        host = name_or_literal(report.hostname),
        arrived = report.original.arrived.rfc5322(),
        trace = report.original.trace,
    );
    lines.wrapped("", "", &closing);
}

fn write_fate(lines: &mut Lines, fate: &Fate<'_>) {
    lines.wrapped("  ", "    ", &format!("<{}>", fate.recipient.address));
    if fate
        .remote
        .is_none_or(|remote| remote.reply != fate.verdict)
    {
        lines.wrapped("    ", "    ", fate.verdict.text());
    }
    if let Some(remote) = fate.remote {
        let said = format!("{} said: {}", name_or_literal(remote.host), remote.reply);
        lines.wrapped("    ", "    ", &said);
    }
    lines.empty();
}

const fn opening(action: Action) -> &'static str {
    match action {
        Action::Delayed => "Your message has not yet been delivered to:",
        Action::Delivered => "As you asked to be told: your message was delivered to:",
        Action::Failed => {
            "Your message could not be delivered to the recipients below. It is not tried again."
        }
        Action::Relayed => {
            "As you asked to be told: your message was passed on for the recipients below, to a \
             mail system that sends no confirmations. There will be no further report unless it \
             fails."
        }
    }
}
