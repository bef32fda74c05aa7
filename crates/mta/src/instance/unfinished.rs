//! Attempts that outlast the spool of their process, at a reload: a file tells the process that
//! takes the spool which they are, and later what they came to.
//!
//! The file lies in the spool's directory, under the epoch of the process that writes it, which
//! keeps it locked for as long as something can come. The first line names the attempts, each
//! other one is an outcome; both are JSON.
//!
//! # Guarantees
//! The file is durable before the spool is given up, an outcome before its process ends: neither a
//! crash of the new process nor a loss of power makes it forget one. A line that was not written
//! whole counts for nothing.
//!
//! # Limits
//! [`FILE_LEN_MAX`] octets are read of a file.
//!
//! # Failure
//! What cannot be read is an attempt without an outcome, as after a crash.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use delivery::{Delivery, LateOutcome, LateRecipient, Unfinished};
use mail::dsn::Action;
use mail::{Author, EnhancedStatus, MessageId, Outcome, OutcomeKind, Reply, ReplyCode};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

/// The directory in that of the spool.
const DIR: &str = "attempts";

/// The longest file that is read, in octets: each recipient takes under 1 KiB, so it holds those
/// of all attempts that may be under way, and more.
const FILE_LEN_MAX: u64 = 256 << 20;

/// How often it is looked whether an outcome has come. Nobody waits for it.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Where a process without a spool puts outcomes.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Locked until this is dropped.
    file: File,
}

/// Where outcomes of an earlier process come in.
#[derive(Debug)]
pub(crate) struct Inbox {
    path: PathBuf,
    file: File,
    read_to: u64,
    /// The attempts that it waits for.
    pub(crate) unfinished: Vec<Unfinished>,
}

impl Outbox {
    /// Tells which attempts go on. Blocks.
    ///
    /// # Errors
    /// Those of the operating system; nothing is told then.
    pub(crate) fn create(spool: &Path, epoch: u64, unfinished: &[Unfinished]) -> io::Result<Self> {
        let dir = spool.join(DIR);
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => File::open(spool)?.sync_all()?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
        let new = dir.join("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let list: Vec<_> = unfinished
            .iter()
            .map(|of| json!({"id": of.id.0, "recipients": of.recipients}))
            .collect();
        writeln!(file, "{}", Value::Array(list))?;
        file.sync_all()?;
        fs::rename(&new, dir.join(epoch.to_string()))?;
        File::open(&dir)?.sync_all()?;
        Ok(Self { file })
    }

    /// Tells what came of one. Blocks.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn push(&mut self, late: &LateOutcome) -> io::Result<()> {
        let recipients: Vec<_> = late.recipients.iter().map(recipient_value).collect();
        let line = json!({"id": late.id.0, "recipients": recipients});
        self.file.write_all(format!("{line}\n").as_bytes())?;
        self.file.sync_all()
    }
}

impl Inbox {
    /// Those that earlier processes have left in the directory of a spool. Blocks.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn find(spool: &Path) -> io::Result<Vec<Self>> {
        let entries = match fs::read_dir(spool.join(DIR)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_none_or(|name| name.parse::<u64>().is_err()) {
                continue;
            }
            let mut inbox = Self {
                file: File::open(&path)?,
                path,
                read_to: 0,
                unfinished: Vec::new(),
            };
            let lines = inbox.new_lines()?;
            let first = lines.first().and_then(Value::as_array);
            inbox.unfinished = first.into_iter().flatten().filter_map(unfinished).collect();
            // The outcomes are read again when they are asked for.
            inbox.read_to = 0;
            found.push(inbox);
        }
        Ok(found)
    }

    /// What has come since, and whether nothing more can come. Blocks.
    ///
    /// # Errors
    /// Those of the operating system.
    fn read(&mut self) -> io::Result<(Vec<LateOutcome>, bool)> {
        // Before the last lines are read: who has let go of the lock writes no more.
        let is_over = flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok();
        let lines = self.new_lines()?;
        let outcomes = lines.iter().filter_map(late_outcome).collect();
        Ok((outcomes, is_over))
    }

    /// Whole lines that were not read before.
    fn new_lines(&mut self) -> io::Result<Vec<Value>> {
        let len = self.file.metadata()?.len().min(FILE_LEN_MAX);
        let more = usize::try_from(len.saturating_sub(self.read_to)).unwrap_or(0);
        let mut bytes = vec![0; more];
        self.file.read_exact_at(&mut bytes, self.read_to)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = whole.map_or(0, |at| at + 1);
        self.read_to += whole as u64;
        let lines = bytes[..whole].split(|byte| *byte == b'\n');
        Ok(lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect())
    }
}

/// Gives the outcomes that come in to the deliveries, until no more can come. To be dropped before
/// the spool is given up: what was not recorded then stays in the file.
pub(crate) async fn receive(inboxes: Vec<Inbox>, delivery: Arc<Delivery>) {
    for inbox in inboxes {
        receive_from(inbox, &delivery).await;
    }
}

async fn receive_from(mut inbox: Inbox, delivery: &Arc<Delivery>) {
    loop {
        let reading = tokio::task::spawn_blocking(move || {
            let read = inbox.read();
            (inbox, read)
        });
        let Ok((back, read)) = reading.await else {
            return;
        };
        inbox = back;
        // An unreadable file is one to which nothing more comes.
        let (outcomes, is_over) = read.unwrap_or_else(|_| (Vec::new(), true));
        for outcome in outcomes {
            delivery.take_outcome(outcome).await;
        }
        if is_over {
            break;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    delivery.expect_no_more(&inbox.unfinished).await;
    // What cannot be removed is read again at the next start, and changes nothing.
    let _ = tokio::task::spawn_blocking(move || fs::remove_file(&inbox.path)).await;
}

fn unfinished(value: &Value) -> Option<Unfinished> {
    let recipients = value["recipients"].as_array()?.iter();
    let index = |value: &Value| u32::try_from(value.as_u64()?).ok();
    Some(Unfinished {
        id: MessageId(value["id"].as_u64()?),
        recipients: recipients.filter_map(index).collect(),
    })
}

fn late_outcome(value: &Value) -> Option<LateOutcome> {
    let recipients = value["recipients"].as_array()?.iter();
    Some(LateOutcome {
        id: MessageId(value["id"].as_u64()?),
        recipients: recipients.map(late_recipient).collect::<Option<_>>()?,
    })
}

fn recipient_value(of: &LateRecipient) -> Value {
    let kind = match of.outcome.kind {
        OutcomeKind::Deferred => "deferred",
        OutcomeKind::Delivered => "delivered",
        OutcomeKind::Failed => "failed",
        OutcomeKind::Held => "held",
    };
    let by = match of.outcome.by {
        Author::Peer => "peer",
        Author::Us => "us",
    };
    let reply = &of.outcome.reply;
    let success = of.success.map(|action| match action {
        Action::Relayed => "relayed",
        Action::Delayed | Action::Delivered | Action::Failed => "delivered",
    });
    json!({
        "index": of.index,
        "outcome": kind,
        "code": reply.code.value(),
        "enhanced": reply.enhanced.map(|enhanced| enhanced.to_string()),
        "text": reply.text(),
        "by": by,
        "transport": of.transport,
        "host": of.host,
        "success": success,
    })
}

fn late_recipient(value: &Value) -> Option<LateRecipient> {
    let code = u16::try_from(value["code"].as_u64()?).ok()?;
    let enhanced = value["enhanced"].as_str().and_then(EnhancedStatus::parse);
    let text = value["text"].as_str()?;
    let reply = Reply::new(ReplyCode::from_peer(code)?, enhanced, text);
    let kind = match value["outcome"].as_str()? {
        "deferred" => OutcomeKind::Deferred,
        "delivered" => OutcomeKind::Delivered,
        "failed" => OutcomeKind::Failed,
        "held" => OutcomeKind::Held,
        _ => return None,
    };
    let by = match value["by"].as_str()? {
        "peer" => Author::Peer,
        "us" => Author::Us,
        _ => return None,
    };
    Some(LateRecipient {
        index: u32::try_from(value["index"].as_u64()?).ok()?,
        outcome: Outcome { kind, reply, by },
        transport: value["transport"].as_str()?.into(),
        host: value["host"].as_str().map(Into::into),
        success: match value["success"].as_str() {
            Some("delivered") => Some(Action::Delivered),
            Some("relayed") => Some(Action::Relayed),
            Some(_) | None => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use testkit::scratch::Scratch;

    use super::*;

    fn attempt(id: u64, recipients: &[u32]) -> Unfinished {
        Unfinished {
            id: MessageId(id),
            recipients: recipients.to_vec(),
        }
    }

    fn outcomes() -> LateOutcome {
        let reply =
            |code, text| Reply::new(ReplyCode::new(code), EnhancedStatus::parse("2.0.0"), text);
        let recipient = |index, outcome, success| LateRecipient {
            index,
            outcome,
            transport: "relay mx.example:25".into(),
            host: Some("mx.example".into()),
            success,
        };
        LateOutcome {
            id: MessageId(7),
            recipients: vec![
                recipient(
                    0,
                    Outcome::from_peer(reply(250, "ok \"ü\"")),
                    Some(Action::Relayed),
                ),
                recipient(1, Outcome::deferred(reply(450, "later")), None),
                recipient(
                    2,
                    Outcome::from_peer(reply(550, "no")),
                    Some(Action::Delivered),
                ),
                recipient(3, Outcome::held(reply(250, "held")), None),
            ],
        }
    }

    #[test]
    fn what_is_put_in_comes_out_and_the_end_is_seen() {
        let scratch = Scratch::new();
        let left = [attempt(7, &[0, 1, 2, 3]), attempt(9, &[0])];
        assert!(Inbox::find(scratch.path()).unwrap().is_empty());
        let mut outbox = Outbox::create(scratch.path(), 12, &left).unwrap();
        let mut found = Inbox::find(scratch.path()).unwrap();
        assert_eq!(found[0].unfinished, left);
        assert_eq!(found[0].read().unwrap(), (Vec::new(), false));
        outbox.push(&outcomes()).unwrap();
        assert_eq!(found[0].read().unwrap(), (vec![outcomes()], false));
        assert_eq!(found[0].read().unwrap(), (Vec::new(), false));
        drop(outbox);
        assert_eq!(found[0].read().unwrap(), (Vec::new(), true));
        // A process that comes after the one that read it finds it whole.
        let mut again = Inbox::find(scratch.path()).unwrap();
        drop(found);
        assert_eq!(again[0].read().unwrap(), (vec![outcomes()], true));
    }

    #[test]
    fn a_line_that_was_cut_off_counts_for_nothing() {
        let scratch = Scratch::new();
        let mut outbox = Outbox::create(scratch.path(), 12, &[attempt(7, &[0])]).unwrap();
        outbox.file.write_all(b"{\"id\":7,\"recip").unwrap();
        let mut found = Inbox::find(scratch.path()).unwrap();
        assert_eq!(found[0].read().unwrap(), (Vec::new(), false));
    }
}
