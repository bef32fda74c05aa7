//! A message on its way to submission, or to the maildrop.
//!
//! # Guarantees
//! When the status is 0, each recipient is accepted by submission or stands in a file of the
//! maildrop that survives a power cut.

use mail::{Mailbox, Reply, ReplyClass};
use maildrop::{Envelope, RECIPIENTS_MAX};

use super::super::exit::{Exit, Failure};
use super::super::output::complain;
use super::super::submission::{Late, Letter, submit};
use super::site::Site;
use super::{failure, sysexits};

/// Posts a message, in as many transactions as its recipients need.
///
/// # Errors
/// When nobody takes it, or a part of it.
pub(super) fn post(site: &Site, letter: Letter) -> Result<Exit, Failure> {
    let Letter {
        sender,
        recipients,
        content,
    } = letter;
    let mut refusals = Vec::new();
    let mut part = Letter {
        sender,
        recipients: Vec::new(),
        content,
    };
    let mut is_first = true;
    for recipients in recipients.chunks(RECIPIENTS_MAX) {
        part.recipients = recipients.to_vec();
        let refused = post_part(site, &part).map_err(|failure| match is_first {
            true => failure,
            // To try again would send it to the first ones twice.
            false => Failure {
                exit: Exit::Sysexits(sysexits::UNAVAILABLE),
                text: format!("some recipients have it, others not: {}", failure.text),
            },
        });
        refusals.append(&mut refused?);
        is_first = false;
    }
    Ok(exit_of(&refusals))
}

/// Posts one transaction; returns what was refused for good.
fn post_part(site: &Site, letter: &Letter) -> Result<Vec<Reply>, Failure> {
    let (replies, mut why) = match offer(site, letter) {
        Ok(replies) => (replies, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    let mut replies = replies.into_iter();
    let mut waiting: Vec<Mailbox> = Vec::new();
    let mut refusals = Vec::new();
    for recipient in &letter.recipients {
        match replies.next() {
            Some(reply) if reply.is_positive() => {}
            Some(reply) if reply.class() == ReplyClass::Permanent => {
                complain(&format!("<{recipient}>: {reply}"));
                refusals.push(reply);
            }
            reply => {
                why = why.or_else(|| reply.map(|reply| reply.to_string()));
                waiting.push(recipient.clone());
            }
        }
    }
    if !waiting.is_empty() {
        let is_all = waiting.len() == letter.recipients.len();
        leave(site, letter, waiting).map_err(|(status, error)| {
            // Where some have it, or never will, to try again would be wrong for them.
            let status = if is_all {
                status
            } else {
                sysexits::UNAVAILABLE
            };
            let why = why.unwrap_or_default();
            failure(status, format!("not accepted: {why}; {error}"))
        })?;
    }
    Ok(refusals)
}

/// Offers it to submission: a reply for each recipient, or why there is none.
fn offer(site: &Site, letter: &Letter) -> Result<Vec<Reply>, String> {
    let door = site.door.as_ref().map_err(|error| site.explain(error))?;
    let submitted = submit(door, &site.hostname, letter, || Late::GiveUp);
    let submitted = submitted.map_err(|error| site.explain(&error))?;
    Ok(submitted.replies)
}

/// Leaves a message in the maildrop for those who do not have it. Fails with a status and a text.
pub(super) fn leave(
    site: &Site,
    letter: &Letter,
    recipients: Vec<Mailbox>,
) -> Result<(), (u8, String)> {
    let content_len = letter.content.len() as u64;
    if let Some(most) = site.message_size.filter(|most| content_len > *most) {
        let text = format!("the message has {content_len} bytes; {most} are allowed");
        return Err((sysexits::UNAVAILABLE, text));
    }
    let envelope = Envelope {
        sender: letter.sender.clone(),
        recipients,
        content_len,
    };
    maildrop::leave(&site.state, &envelope, &letter.content)
        .map_err(|error| (sysexits::TEMPFAIL, error.to_string()))
}

/// The status, after some recipients were refused for good.
fn exit_of(refusals: &[Reply]) -> Exit {
    // X.1.X is about addresses (RFC 3463 §3.2).
    let is_no_user = |reply: &Reply| reply.enhanced.is_some_and(|status| status.subject() == 1);
    if refusals.is_empty() {
        Exit::Done
    } else if refusals.iter().all(is_no_user) {
        Exit::Sysexits(sysexits::NOUSER)
    } else {
        Exit::Sysexits(sysexits::UNAVAILABLE)
    }
}

#[cfg(test)]
mod tests {
    use mail::{EnhancedStatus, ReplyCode};

    use super::*;

    #[test]
    fn the_status_says_what_was_refused_for_good() {
        let reply =
            |enhanced: &str| Reply::new(ReplyCode::new(550), EnhancedStatus::parse(enhanced), "x");
        for (refusals, exit) in [
            (&[][..], Exit::Done),
            (&["5.1.1"], Exit::Sysexits(67)),
            (&["5.3.4"], Exit::Sysexits(69)),
            (&["5.1.1", "5.3.4"], Exit::Sysexits(69)),
        ] {
            let refusals: Vec<_> = refusals.iter().copied().map(reply).collect();
            assert_eq!(exit_of(&refusals), exit, "{refusals:?}");
        }
    }
}
