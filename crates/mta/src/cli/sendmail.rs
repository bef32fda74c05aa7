//! `sendmail`: the arguments that programs have given it for forty years.
//!
//! `-t` takes recipients from To, Cc and Bcc besides those of the command line; `-i` (`-oi`) lets a
//! single dot be a line like any other; `-f` (`-r`) names the envelope sender, `-F` the full name;
//! `-bs` speaks SMTP on standard input and output; `-bv` asks about recipients and sends nothing;
//! `-bp` shows the queue as `mailq` does; `-bi` and `-q` have nothing to do. Other options of the
//! original are read and ignored.
//!
//! # Failure
//! What submission does not take now is left in the maildrop, and counts as accepted: it is picked
//! up when the system runs. Where that is not possible either the status is 75 (EX_TEMPFAIL), which
//! programs know as *try again*.

mod options;
mod post;
mod recipients;
mod site;
mod smtp;
mod verify;

use std::ffi::OsString;
use std::io;

use mail::ReversePath;

use super::address_list;
use super::arguments::{FilterArguments, ListArguments, QueueVerb, SystemArguments};
use super::exit::{Exit, Failure};
use super::letter::Draft;
use super::output::{complain, print_line};
use super::submission::Letter;
use super::system::System;
use super::{queue, send, system};
use options::{Mode, Options, RecipientsFrom};
use site::Site;

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
        Mode::Initialise => Ok(initialise()),
        Mode::PrintQueue => {
            let at = System::find(&system::source(&arguments))?;
            let list = ListArguments {
                filter: FilterArguments { filter: Vec::new() },
                limit: 1000,
            };
            queue::run(&arguments, &at, QueueVerb::List(list))
        }
        Mode::RunQueue => Ok(Exit::Done),
        Mode::Smtp => smtp::run(&Site::find(&arguments)?),
        Mode::Verify => verify::run(&Site::find(&arguments)?, &options),
    }
}

/// `-bi`, and `newaliases`: aliases need no database.
pub(crate) fn initialise() -> Exit {
    print_line("there is no alias database to be made");
    Exit::Done
}

fn deliver(arguments: &SystemArguments, options: Options) -> Result<Exit, Failure> {
    let site = Site::find(arguments)?;
    let input = send::read_bounded(io::stdin().lock()).map_err(|error| {
        failure(
            sysexits::NOINPUT,
            format!("cannot read the message: {error}"),
        )
    })?;
    let draft = Draft::read(&input, options.ending);
    let found = recipients::find(&options, &draft, &site.hostname);
    for address in &found.bad {
        complain(&format!("not sent to {address}"));
    }
    if found.good.is_empty() {
        return Err(no_recipients(&options, found.bad.is_empty()));
    }
    let sender = sender(&options, &site.hostname).map_err(|t| failure(sysexits::USAGE, t))?;
    let full_name = options.full_name.as_deref();
    let content = send::finish(draft, &sender, full_name, &site.hostname);
    let letter = Letter {
        sender,
        recipients: found.good,
        content,
    };
    let exit = post::post(&site, letter)?;
    // The others have it; who gave it should know that one of them has not.
    Ok(match exit {
        Exit::Done if !found.bad.is_empty() => Exit::Sysexits(sysexits::DATAERR),
        exit => exit,
    })
}

fn no_recipients(options: &Options, has_none: bool) -> Failure {
    if !has_none {
        let text = "nothing was sent: none of the recipients is an address";
        return failure(sysexits::DATAERR, text.to_owned());
    }
    let text = match options.recipients_from {
        RecipientsFrom::Arguments => {
            "no recipients: name them, or let -t take them from the header"
        }
        RecipientsFrom::Header => "no recipients: there are none in To, Cc and Bcc",
    };
    failure(sysexits::USAGE, text.to_owned())
}

fn failure(status: u8, text: String) -> Failure {
    Failure {
        exit: Exit::Sysexits(status),
        text,
    }
}

fn sender(options: &Options, domain: &str) -> Result<ReversePath, String> {
    let one = |text: &str| address_list::parse_sender(text, domain).map(ReversePath::Mailbox);
    match options.sender.as_deref().map(str::trim) {
        Some("" | "<>") => Ok(ReversePath::Null),
        Some(text) => one(text),
        None => one(&login_name()),
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
    use super::*;

    #[test]
    fn a_user_is_found_by_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbad line\nalice:x:1000:1000::/:\n";
        assert_eq!(name_of(1000, users).as_deref(), Some("alice"));
        assert_eq!(name_of(1, users), None);
    }
}
