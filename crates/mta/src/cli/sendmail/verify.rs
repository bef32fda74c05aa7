//! `sendmail -bv`: whether submission would take the recipients; nothing is sent.

use std::io::{self, BufRead, BufReader, Write as _};

use mail::{Mailbox, ReversePath};

use super::super::exit::{Exit, Failure};
use super::super::letter::{Draft, Ending};
use super::super::output::{complain, print_line};
use super::super::submission::{Late, Wire, connect};
use super::options::{Options, RecipientsFrom};
use super::site::Site;
use super::{failure, no_recipients, recipients, send, sender, sysexits};

/// The longest reply that is read, in octets.
const REPLY_LEN_MAX: usize = 64 * 1024;

/// Asks, and prints what is answered for each recipient.
///
/// # Errors
/// When there are none, or nobody answers.
pub(super) fn run(site: &Site, options: &Options) -> Result<Exit, Failure> {
    let input = match options.recipients_from {
        RecipientsFrom::Arguments => Vec::new(),
        RecipientsFrom::Header => send::read_bounded(io::stdin().lock())
            .map_err(|error| failure(sysexits::NOINPUT, error.to_string()))?,
    };
    let draft = Draft::read(&input, Ending::AtEnd);
    let found = recipients::find(options, &draft, &site.hostname);
    if found.good.is_empty() && found.bad.is_empty() {
        return Err(no_recipients(options, true));
    }
    let sender = sender(options, &site.hostname).map_err(|text| failure(sysexits::USAGE, text))?;
    let mut worst = Exit::Done;
    for address in &found.bad {
        complain(&format!("{address}: undeliverable"));
        worst = Exit::Sysexits(sysexits::NOUSER);
    }
    let door = site.door.as_ref();
    let away = |text: String| failure(sysexits::TEMPFAIL, text);
    let door = door.map_err(|error| away(site.explain(error)))?;
    let wire = connect(door, || Late::GiveUp).map_err(|error| away(site.explain(&error)))?;
    let replies = ask(wire, site, &sender, &found.good)
        .map_err(|error| away(format!("submission at {door}: {error}")))?;
    for (recipient, reply) in found.good.iter().zip(replies) {
        match reply.as_bytes().first() {
            Some(b'2') => print_line(format!("{recipient}: deliverable: {reply}")),
            Some(b'5') => {
                complain(&format!("{recipient}: undeliverable: {reply}"));
                worst = Exit::Sysexits(sysexits::NOUSER);
            }
            _ => {
                complain(&format!("{recipient}: not known now: {reply}"));
                if worst == Exit::Done {
                    worst = Exit::Sysexits(sysexits::TEMPFAIL);
                }
            }
        }
    }
    Ok(worst)
}

/// The last line of the reply to each RCPT.
fn ask(
    wire: Box<dyn Wire>,
    site: &Site,
    sender: &ReversePath,
    recipients: &[Mailbox],
) -> io::Result<Vec<String>> {
    let mut wire = BufReader::new(wire);
    let mut say = |command: Option<String>| {
        if let Some(command) = command {
            wire.get_mut()
                .write_all(format!("{command}\r\n").as_bytes())?;
        }
        read_reply(&mut wire)
    };
    let expect = |reply: String| match reply.starts_with('2') {
        true => Ok(()),
        false => Err(io::Error::other(reply)),
    };
    expect(say(None)?)?;
    expect(say(Some(format!("EHLO {}", site.hostname)))?)?;
    let mut mailboxes = sender.mailbox().into_iter().chain(recipients);
    let utf8 = if mailboxes.all(Mailbox::is_ascii) {
        ""
    } else {
        " SMTPUTF8"
    };
    expect(say(Some(format!("MAIL FROM:{sender}{utf8}")))?)?;
    let mut replies = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        replies.push(say(Some(format!("RCPT TO:<{recipient}>")))?);
    }
    // Whatever is answered, nothing was sent.
    let _ = say(Some("QUIT".to_owned()));
    Ok(replies)
}

fn read_reply(from: &mut impl BufRead) -> io::Result<String> {
    let mut n_read = 0;
    loop {
        let mut line = Vec::new();
        let room = (REPLY_LEN_MAX - n_read) as u64;
        n_read += io::Read::take(&mut *from, room).read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Err(io::Error::other("the reply ended early"));
        }
        if line.get(3) != Some(&b'-') {
            return Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
        }
    }
}
