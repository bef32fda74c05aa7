//! `sendmail`: the arguments that programs have given it for forty years.
//!
//! `-t` takes recipients from To, Cc and Bcc besides those of the command line; `-i` (`-oi`) lets a
//! single dot be a line like any other; `-f` (`-r`) names the envelope sender, `-F` the full name;
//! `-bp` shows the queue as `mailq` does. Other options of the original are read and ignored.
//!
//! # Failure
//! There is no queue of its own: where submission cannot be reached, nothing is kept and the
//! status is 75 (EX_TEMPFAIL), which programs know as *try again*.

mod options;

use std::ffi::OsString;
use std::io;

use mail::{Mailbox, Reply, ReplyClass, ReversePath};

use super::address_list;
use super::arguments::{FilterArguments, ListArguments, QueueVerb, SystemArguments};
use super::exit::{Exit, Failure};
use super::letter::Draft;
use super::output::print_line;
use super::submission::{Door, Letter, SubmitError, Submitted, submit};
use super::system::System;
use super::{queue, send, system};
use options::{Mode, Options, RecipientsFrom};

/// Of sysexits.h.
mod sysexits {
    pub(super) const USAGE: u8 = 64;
    pub(super) const DATAERR: u8 = 65;
    pub(super) const NOINPUT: u8 = 66;
    pub(super) const NOUSER: u8 = 67;
    pub(super) const UNAVAILABLE: u8 = 69;
    pub(super) const TEMPFAIL: u8 = 75;
    pub(super) const CONFIG: u8 = 78;
}

/// Does what the arguments say.
///
/// # Errors
/// With a status of sysexits.h.
pub(crate) fn run(arguments: &SystemArguments, words: Vec<OsString>) -> Result<Exit, Failure> {
    let options = Options::parse(words).map_err(|text| failure(sysexits::USAGE, text))?;
    let mut arguments = arguments.clone();
    arguments.config = options.config.clone().map(Into::into).or(arguments.config);
    match options.mode {
        Mode::Deliver => deliver(&arguments, options),
        Mode::Initialise => {
            print_line("there is no alias database to be made");
            Ok(Exit::Done)
        }
        Mode::PrintQueue => {
            let at = System::find(&system::source(&arguments))?;
            let list = ListArguments {
                filter: FilterArguments { filter: Vec::new() },
                limit: 1000,
            };
            queue::run(&arguments, &at, QueueVerb::List(list))
        }
    }
}

fn deliver(arguments: &SystemArguments, options: Options) -> Result<Exit, Failure> {
    let source = system::source(arguments);
    let config =
        system::config(&source).map_err(|Failure { text, .. }| failure(sysexits::CONFIG, text))?;
    let input = send::read_bounded(io::stdin().lock()).map_err(|error| {
        failure(
            sysexits::NOINPUT,
            format!("cannot read the message: {error}"),
        )
    })?;
    let draft = Draft::read(&input, options.ending);
    let recipients = recipients(&options, &draft, &config.hostname)
        .map_err(|text| failure(sysexits::DATAERR, text))?;
    if recipients.is_empty() {
        let text = match options.recipients_from {
            RecipientsFrom::Arguments => {
                "no recipients: name them, or let -t take them from the header"
            }
            RecipientsFrom::Header => "no recipients: there are none in To, Cc and Bcc",
        };
        return Err(failure(sysexits::USAGE, text.to_owned()));
    }
    let sender = sender(&options, &config.hostname).map_err(|t| failure(sysexits::USAGE, t))?;
    let content = send::finish(
        draft,
        &sender,
        options.full_name.as_deref(),
        &config.hostname,
    );
    let letter = Letter {
        sender,
        recipients,
        content,
    };
    let submitted = Door::of(&config, arguments.instance.as_deref())
        .and_then(|door| submit(&door, &config.hostname, &letter, || ()));
    match submitted {
        Ok(submitted) => {
            send::complain_about_refused(&letter, &submitted);
            Ok(exit_of(&submitted))
        }
        Err(error @ (SubmitError::NoDoor | SubmitError::Unknown(_))) => {
            Err(failure(sysexits::CONFIG, error.to_string()))
        }
        Err(error @ (SubmitError::Away(..) | SubmitError::Lost(..))) => {
            let Failure { text, .. } = error.failure(&System::of(&source, &config));
            let text = format!("nothing was accepted: {text}");
            Err(failure(sysexits::TEMPFAIL, text))
        }
    }
}

fn failure(status: u8, text: String) -> Failure {
    Failure {
        exit: Exit::Sysexits(status),
        text,
    }
}

/// A permanent refusal weighs more: who tries again would hear it again.
fn exit_of(submitted: &Submitted) -> Exit {
    let refusals: Vec<&Reply> = submitted
        .replies
        .iter()
        .filter(|r| !r.is_positive())
        .collect();
    let is_permanent = |reply: &&Reply| reply.class() == ReplyClass::Permanent;
    // X.1.X is about addresses (RFC 3463 §3.2).
    let is_no_user = |reply: &&Reply| {
        is_permanent(reply) && reply.enhanced.is_some_and(|status| status.subject() == 1)
    };
    if refusals.is_empty() {
        Exit::Done
    } else if refusals.iter().all(is_no_user) {
        Exit::Sysexits(sysexits::NOUSER)
    } else if refusals.iter().any(is_permanent) || submitted.trace.is_some() {
        // Also when some recipients have it already: to try again would send it to them twice.
        Exit::Sysexits(sysexits::UNAVAILABLE)
    } else {
        Exit::Sysexits(sysexits::TEMPFAIL)
    }
}

fn recipients(options: &Options, draft: &Draft, domain: &str) -> Result<Vec<Mailbox>, String> {
    let mut found = Vec::new();
    for word in &options.recipients {
        found.extend(address_list::parse(word, domain)?);
    }
    if options.recipients_from == RecipientsFrom::Header {
        // A message that is sent again goes to those whom it is sent to now (RFC 5322 §3.6.6).
        let resent = ["Resent-To", "Resent-Cc", "Resent-Bcc"];
        let is_resent = resent.iter().any(|name| draft.has(name));
        for name in if is_resent {
            resent
        } else {
            ["To", "Cc", "Bcc"]
        } {
            for value in draft.values(name) {
                found.extend(address_list::parse(&value, domain)?);
            }
        }
    }
    let mut unique: Vec<Mailbox> = Vec::with_capacity(found.len());
    let mut seen = std::collections::HashSet::new();
    unique.extend(
        found
            .into_iter()
            .filter(|mailbox| seen.insert(mailbox.as_str().to_owned())),
    );
    Ok(unique)
}

fn sender(options: &Options, domain: &str) -> Result<ReversePath, String> {
    match options.sender.as_deref() {
        Some("" | "<>") => Ok(ReversePath::Null),
        Some(text) => address_list::parse_one(text, domain).map(ReversePath::Mailbox),
        None => address_list::parse_one(&login_name(), domain).map(ReversePath::Mailbox),
    }
}

/// The name of who runs this program.
fn login_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_of(uid, &users).unwrap_or_else(|| format!("uid-{uid}"))
}

/// The name of a user in a file as `/etc/passwd`.
fn name_of(uid: u32, users: &str) -> Option<String> {
    users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use mail::{EnhancedStatus, ReplyCode};

    use super::super::letter::Ending;
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        Options::parse(words.iter().map(Into::into).collect())
    }

    #[test]
    fn recipients_come_from_arguments_and_header_once_each() {
        let input = b"To: a@x, b@x\nCc: \"C\" <c@x>\nBcc: d\n\nbody";
        let draft = Draft::read(input, Ending::AtEnd);
        let found = |words: &[&str]| {
            let options = parse(words).expect("options");
            let list = recipients(&options, &draft, "host.example").expect("addresses");
            list.iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            found(&["-t", "b@x", "root"]),
            "b@x root@host.example a@x c@x d@host.example"
        );
        assert_eq!(found(&["b@x,c@y"]), "b@x c@y");
        let resent = Draft::read(b"To: a@x\nResent-To: e@x\n\n", Ending::AtEnd);
        let options = parse(&["-t"]).expect("options");
        let list = recipients(&options, &resent, "host.example").expect("addresses");
        assert_eq!(list.len(), 1);
        let bad = Draft::read(b"To: a b\n\n", Ending::AtEnd);
        assert!(recipients(&options, &bad, "host.example").is_err());
    }

    #[test]
    fn the_status_says_whether_to_try_again() {
        let reply = |text: &str| {
            let (code, enhanced) = text.split_once(' ').expect("two parts");
            let code = ReplyCode::new(code.parse().expect("a number"));
            Reply::new(code, EnhancedStatus::parse(enhanced), "x")
        };
        let submitted = |replies: &[&str], is_accepted: bool| Submitted {
            replies: replies.iter().copied().map(reply).collect(),
            trace: is_accepted.then(|| mail::TraceId::from_bytes([0; 16])),
        };
        for (replies, is_accepted, exit) in [
            (&["250 2.0.0", "250 2.0.0"][..], true, Exit::Done),
            (&["451 4.3.0"], false, Exit::Sysexits(75)),
            (&["550 5.1.1"], false, Exit::Sysexits(67)),
            (&["552 5.3.4", "451 4.3.0"], false, Exit::Sysexits(69)),
            (&["250 2.0.0", "451 4.3.0"], true, Exit::Sysexits(69)),
            (&["250 2.0.0", "550 5.1.1"], true, Exit::Sysexits(67)),
        ] {
            assert_eq!(
                exit_of(&submitted(replies, is_accepted)),
                exit,
                "{replies:?}"
            );
        }
    }

    #[test]
    fn a_user_is_found_by_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbad line\nalice:x:1000:1000::/:\n";
        assert_eq!(name_of(1000, users).as_deref(), Some("alice"));
        assert_eq!(name_of(1, users), None);
    }
}
