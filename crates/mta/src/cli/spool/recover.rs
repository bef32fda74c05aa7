//! `spool quarantine recover`: messages out of quarantine, into a folder of files.
//!
//! # Guarantees
//! Nothing in the spool is changed, and no file in the folder is written over.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mail::Mailbox;
use serde_json::json;
use spool::Message;
use spool::inspect::{ContentPlace, ContentState, CopyOf, Lay, Salvage, Salvaged};

use super::super::arguments::{RecoverArguments, SystemArguments};
use super::super::exit::{Exit, Failure};
use super::super::output::{Page, print_json};
use super::super::system::{System, quoted};
use super::super::words;
use super::dump::state_text;
use super::places::Place;
use super::quarantine::{Wanted, find, salvaged_value, standing_word};

/// As many recipients are written into one command that is proposed.
const RECIPIENTS_SHOWN: usize = 20;

/// A message that was written to the folder.
struct Written {
    file: PathBuf,
    salvaged: Salvaged,
    state: ContentState,
    standing: &'static str,
}

/// Writes each message in a file of a quarantine to a folder.
///
/// # Errors
/// When there is no such file, or the folder cannot be written.
pub(super) fn run(
    arguments: &SystemArguments,
    system: &System,
    places: &[Place],
    what: &RecoverArguments,
) -> Result<Exit, Failure> {
    let wanted = find(places, &what.name)?;
    let standings = wanted.standings()?;
    let folder = std::path::absolute(&what.to).unwrap_or_else(|_| what.to.clone());
    let cannot = |path: &Path, error: &io::Error| {
        Failure::error(format!("cannot write {}: {error}", path.display()))
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| cannot(&folder, &error))?;
    let mut written = Vec::new();
    let mut failure = None;
    let end = wanted.each(&mut |mut salvaged| {
        let Some((place, state)) = salvaged.content.take() else {
            return;
        };
        if failure.is_some() {
            return;
        }
        let standing = standing_word(standings.get(&salvaged.id));
        let file = folder.join(file_name(&wanted, &salvaged));
        salvaged.content = Some((place.clone(), state));
        match write(&wanted, &file, &salvaged, &place, standing) {
            Ok(()) => written.push(Written {
                file,
                salvaged,
                state,
                standing,
            }),
            Err(error) => failure = Some(cannot(&file, &error)),
        }
    })?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    report(arguments, system, &wanted, &written, end);
    let is_whole = |written: &Written| {
        let envelope = written.salvaged.record.is_some();
        envelope && written.state == ContentState::Whole
    };
    Ok(if written.is_empty() || !written.iter().all(is_whole) {
        Exit::Findings
    } else {
        Exit::Done
    })
}

/// A name that is made of what lies in the spool, and of nothing that a stranger chose.
fn file_name(wanted: &Wanted<'_>, salvaged: &Salvaged) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let name = wanted.file.name.chars();
    let name: String = name.map(|c| if plain(c) { c } else { '_' }).collect();
    let place = &wanted.place.name;
    format!("{place}-{name}-{}-{}.eml", salvaged.at, salvaged.id)
}

/// Writes the content, where there is one, and beside it what is known of the message.
fn write(
    wanted: &Wanted<'_>,
    file: &Path,
    salvaged: &Salvaged,
    content: &ContentPlace,
    standing: &str,
) -> io::Result<()> {
    if !matches!(salvaged.content, Some((_, ContentState::Missing))) {
        let mut out = create(file)?;
        let take = &mut |piece: &[u8]| out.write_all(piece);
        wanted.inspection.copy_content(content, take)?;
        out.sync_all()?;
    }
    let mut value = salvaged_value(salvaged, standing);
    value["instance"] = json!(wanted.place.name);
    value["quarantine"] = json!(wanted.file.name);
    let mut out = create(&file.with_extension("json"))?;
    out.write_all(format!("{value:#}\n").as_bytes())?;
    out.sync_all()
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn report(
    arguments: &SystemArguments,
    system: &System,
    wanted: &Wanted<'_>,
    written: &[Written],
    end: Salvage,
) {
    if arguments.json {
        let rows = written.iter().map(|written| {
            let mut value = salvaged_value(&written.salvaged, written.standing);
            value["file"] = json!(written.file.display().to_string());
            value["send"] = json!(command(system, written));
            value
        });
        print_json(&json!({
            "instance": wanted.place.name,
            "name": wanted.file.name,
            "complete": end == Salvage::Complete,
            "messages": rows.collect::<Vec<_>>(),
        }));
        return;
    }
    let mut page = Page::default();
    let n = words::count(written.len() as u64, "message");
    page.line(format!("{n} got back; nothing was removed from the spool"));
    if matches!(
        wanted.file.lay,
        Some(Lay::Part {
            of: CopyOf::Torn,
            ..
        })
    ) {
        page.line("None of it was acknowledged: who sent it sends it again by itself.");
    }
    for written in written {
        page.line(format!(
            "{}  content {}, {}",
            written.file.display(),
            state_text(written.state),
            written.standing
        ));
        if !written.salvaged.is_vouched {
            page.line("  nobody vouches for it: a sender could have made it up. Read it first.");
        }
        match command(system, written) {
            Some(command) => page.line(format!("  to send it again: {command}")),
            None => page.line("  its content or its envelope is lost; see the .json beside it"),
        }
    }
    if end == Salvage::GaveUp {
        page.line("not all of it was looked through: it is full of what looks like records");
    }
    if !written.is_empty() {
        page.line(
            "What became of a message later is not in these files: look with `postern trace`",
        );
        page.line("and its trace id, and send only to whom it was not delivered.");
    }
    page.print();
}

/// What would send it again.
fn command(system: &System, written: &Written) -> Option<String> {
    let record = written.salvaged.record.as_ref()?;
    let message = record.message.as_ref()?;
    if written.state != ContentState::Whole {
        return None;
    }
    let to = recipients(written, message);
    let shown = to.iter().take(RECIPIENTS_SHOWN);
    let shown: String = shown
        .map(|address| format!(" --to {}", quoted(Path::new(address.as_str()))))
        .collect();
    let more = if to.len() > RECIPIENTS_SHOWN {
        " (and the others in the .json)"
    } else {
        ""
    };
    let from = quoted(Path::new(message.envelope.sender.as_str()));
    let file = quoted(&written.file);
    let typed = &system.typed;
    Some(format!(
        "postern{typed} send --from {from}{shown} {file}{more}"
    ))
}

/// The recipients for whom something was left to do when the record was written.
fn recipients<'a>(written: &'a Written, message: &'a Message) -> Vec<&'a Mailbox> {
    let record = written.salvaged.record.as_ref();
    let state = record.and_then(|record| record.state.as_ref());
    let is_open = |index: usize| {
        let at = state.and_then(|state| state.recipients.get(index));
        at.is_none_or(|at| !at.disposition.is_final())
    };
    let all = message.envelope.recipients.iter().enumerate();
    all.filter(|(index, _)| is_open(*index))
        .map(|(_, recipient)| &recipient.address)
        .collect()
}
