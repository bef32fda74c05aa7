//! `send`: one message to submission, for people and scripts.

use std::io::{self, Read};
use std::path::Path;

use mail::{Mailbox, ReversePath};
use net::{Clock, Entropy};
use serde_json::json;
use supervisor::Source;

use super::address_list;
use super::arguments::{SendArguments, SystemArguments};
use super::exit::{Exit, Failure};
use super::letter::{self, Draft, Ending};
use super::output::{complain, print_json, print_line};
use super::submission::{Door, Late, Letter, SubmitError, Submitted, submit};
use super::system::{self, System};

/// The longest message that is read, in octets: it is held in memory.
const INPUT_LEN_MAX: u64 = 512 * 1024 * 1024;

/// Sends a message.
///
/// # Errors
/// When an address is none, the file cannot be read, or submission cannot be reached.
pub(crate) fn run(
    arguments: &SystemArguments,
    source: &Source,
    send: &SendArguments,
) -> Result<Exit, Failure> {
    let config = system::config(source)?;
    let address = |text: &String| address_list::parse_one(text, &config.hostname);
    let recipients: Result<Vec<Mailbox>, String> = send.to.iter().map(address).collect();
    let recipients = recipients.map_err(Failure::usage)?;
    let sender = match send.from.as_str() {
        "" | "<>" => ReversePath::Null,
        _ => ReversePath::Mailbox(address(&send.from).map_err(Failure::usage)?),
    };
    let input = read_input(send.file.as_deref()).map_err(|error| {
        let from = send
            .file
            .as_deref()
            .map(|file| format!(" from {}", file.display()));
        let from = from.unwrap_or_default();
        Failure::error(format!("cannot read the message{from}: {error}"))
    })?;
    let mut draft = Draft::read(&input, Ending::AtEnd);
    if let Some(subject) = &send.subject {
        draft.add_missing("Subject", &letter::text(subject));
    }
    let to: Vec<&str> = recipients.iter().map(Mailbox::as_str).collect();
    draft.add_missing("To", &to.join(", "));
    let content = finish(draft, &sender, None, &config.hostname);
    let failure = |error: SubmitError| error.failure(&System::of(source, &config));
    let door = Door::of(&config, arguments.instance.as_deref()).map_err(failure)?;
    let letter = Letter {
        sender,
        recipients,
        content,
    };
    let say_late = || {
        let status = System::of(source, &config).command("status");
        complain(&format!(
            "submission at {door} does not answer yet and is waited for; {status} shows whether it \
             runs"
        ));
        Late::Wait
    };
    let submitted = submit(&door, &config.hostname, &letter, say_late).map_err(failure)?;
    Ok(report(arguments, &letter, &submitted))
}

/// The content of a message from `sender`, who may be nobody.
pub(super) fn finish(
    draft: Draft,
    sender: &ReversePath,
    full_name: Option<&str>,
    hostname: &str,
) -> Vec<u8> {
    let now = Clock::start().timestamp();
    let message_id = format!("<{}@{hostname}>", Entropy::new().trace_id(now));
    let address = match sender {
        ReversePath::Mailbox(mailbox) => mailbox.to_string(),
        ReversePath::Null => format!("MAILER-DAEMON@{hostname}"),
    };
    let from = match full_name {
        Some(name) => format!("{} <{address}>", letter::phrase(name)),
        None => address,
    };
    draft.finish(&from, now, &message_id)
}

/// Reads a file, or standard input; blocks.
fn read_input(file: Option<&Path>) -> io::Result<Vec<u8>> {
    match file {
        Some(path) if path != Path::new("-") => read_bounded(std::fs::File::open(path)?),
        Some(_) | None => read_bounded(io::stdin().lock()),
    }
}

/// Reads everything, up to the limit; blocks.
pub(super) fn read_bounded(input: impl Read) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    input.take(INPUT_LEN_MAX + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > INPUT_LEN_MAX {
        return Err(io::Error::other(format!(
            "longer than {INPUT_LEN_MAX} octets"
        )));
    }
    Ok(octets)
}

/// Says what was refused.
fn complain_about_refused(letter: &Letter, submitted: &Submitted) {
    for (recipient, reply) in letter.recipients.iter().zip(&submitted.replies) {
        if !reply.is_positive() {
            complain(&format!("<{recipient}>: {reply}"));
        }
    }
}

fn report(arguments: &SystemArguments, letter: &Letter, submitted: &Submitted) -> Exit {
    if arguments.json {
        let each = letter.recipients.iter().zip(&submitted.replies);
        let recipients: Vec<_> = each
            .map(|(to, reply)| {
                let accepted = reply.is_positive();
                json!({"to": to.as_str(), "accepted": accepted, "reply": reply.to_string()})
            })
            .collect();
        let trace = submitted.trace.map(|trace| trace.to_string());
        print_json(&json!({"trace": trace, "recipients": recipients}));
    } else {
        complain_about_refused(letter, submitted);
        match submitted.trace {
            Some(trace) => print_line(trace),
            None => submitted
                .replies
                .iter()
                .filter(|reply| reply.is_positive())
                .for_each(print_line),
        }
    }
    let all = submitted.replies.iter().all(mail::Reply::is_positive);
    if all { Exit::Done } else { Exit::Error }
}
