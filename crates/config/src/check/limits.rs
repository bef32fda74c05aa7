//! Limits that do not fit: to the next instance, or to each other.
//!
//! A front that accepts what the next instance refuses answers 250 and then has to bounce.

use super::Findings;
use crate::model::{InstanceConfig, Next, Role};
use crate::value::show_size;

/// What an instance may add to a message that enters there, in octets: trace fields.
const TRACE_LEN_MAX: u64 = 64 << 10;

pub(super) fn check(findings: &mut Findings<'_>) {
    let config = findings.config;
    for instance in &config.instances {
        itself(findings, instance);
        if let Some(Next::Instance(name)) = &instance.next
            && let Some(next) = config.instance(name)
        {
            against_next(findings, instance, next);
        }
    }
}

fn against_next(findings: &mut Findings<'_>, on: &InstanceConfig, next: &InstanceConfig) {
    let (own, offered) = (&on.limits, &next.limits);
    let name = &next.name;
    // Trace fields are added once, where a message enters.
    let added = if on.listen.is_empty() {
        0
    } else {
        TRACE_LEN_MAX
    };
    if own.message_size + added > offered.message_size {
        let text = format!(
            "messages of {} are accepted here and grow by up to {}, but `{name}` takes {}; lower \
             it, or write `message_size = \"{}\"` in [instance.{name}.limits]",
            show_size(own.message_size),
            show_size(added),
            show_size(offered.message_size),
            show_size(own.message_size + added),
        );
        findings.error(on, &["limits", "message_size"], text);
    }
    if own.recipients > offered.recipients {
        let text = format!(
            "{0} recipients are accepted here, but `{name}` takes {1}; lower it, or write \
             `recipients = {0}` in [instance.{name}.limits]",
            own.recipients, offered.recipients
        );
        findings.error(on, &["limits", "recipients"], text);
    }
    if own.line_length > offered.line_length {
        let text = format!(
            "lines of {0} are accepted here, but `{name}` takes {1}; lower it, or write \
             `line_length = \"{0}\"` in [instance.{name}.limits]",
            show_size(own.line_length.into()),
            show_size(offered.line_length.into()),
        );
        findings.error(on, &["limits", "line_length"], text);
    }
}

fn itself(findings: &mut Findings<'_>, on: &InstanceConfig) {
    let knows_users = on.role == Role::Submission;
    if knows_users && on.limits.connections_per_user > on.limits.connections {
        let text = "one user may have more connections than there are: programs of that user can \
                    shut out all others";
        findings.warning(on, &["limits", "connections_per_user"], text.to_owned());
    }
    if on.limits.connections_per_client > on.limits.connections {
        let text = "one client may have more connections than there are: it can shut out all \
                    others";
        findings.warning(on, &["limits", "connections_per_client"], text.to_owned());
    }
    if on.handoff.patience >= on.limits.answer_timeout {
        let text = "`patience` must be below `limits.answer_timeout`: otherwise clients are \
                    refused before the own spool is used";
        findings.error(on, &["handoff", "patience"], text.to_owned());
    }
    if on.queue.concurrency_per_site > on.queue.concurrency {
        let text = "`concurrency_per_site` is above `concurrency`, of which one site never has \
                    more than half";
        findings.warning(on, &["queue", "concurrency_per_site"], text.to_owned());
    }
}
