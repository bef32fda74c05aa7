//! Messages that local programs left while no session took them.
//!
//! # Guarantees
//! [`Intake::pick_up`] returns only after a commit to the own spool, and a message with the same
//! key is stored once, however often it is given and whatever is killed in between: its key stands
//! in its record, as that of a handoff does.
//!
//! # Failure
//! What cannot be stored now is to be given again; what is no message for this system is refused,
//! and the caller keeps it for people.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use mail::event::Source;
use mail::reply::table;
use mail::{
    BodyType, Envelope, HandoffKey, Mailbox, Origin, Provenance, Recipient, Reply, ReplyClass,
    ReversePath, SpoolId, Timestamp,
};
use smtp::codec::newline::{ContentCheck, ContentFault, ContentRule};
use spool::KeyState;

use crate::accept::Intake;
use crate::transaction::{RecipientsMemory, Transaction};

/// Octets that are read at a time.
const PIECE_LEN: usize = 64 * 1024;

/// A message that was left.
#[derive(Clone, Debug)]
pub struct Left {
    /// Its name for ever.
    pub key: HandoffKey,
    /// Whose program left it, as the kernel says.
    pub uid: u32,
    /// When.
    pub arrived: Timestamp,
    /// The envelope sender.
    pub sender: ReversePath,
    /// For whom.
    pub recipients: Vec<Mailbox>,
    /// Octets of content.
    pub content_len: u64,
    /// The longest line that it may have.
    pub line_len_max: usize,
}

/// Why a message was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PickupError {
    /// Not now: give it again.
    #[error("{0}")]
    Later(Reply),
    /// It is no message that this system takes.
    #[error("{0}")]
    Refused(Box<str>),
}

impl PickupError {
    fn of(reply: Reply) -> Self {
        match reply.class() {
            ReplyClass::Permanent => Self::Refused(reply.to_string().into()),
            _ => Self::Later(reply),
        }
    }
}

impl Intake {
    /// Stores a message that was left. `content` is where its content begins.
    ///
    /// # Errors
    /// When it is not stored.
    pub async fn pick_up(&self, left: Left, content: File) -> Result<(), PickupError> {
        // Held until the commit: a process that gives up its spool stores nothing after that.
        let Ok(_lease) = self.spool_lease.enter() else {
            return Err(PickupError::Later(table::SHUTTING_DOWN.reply()));
        };
        loop {
            match self.spool.lookup_key(&left.key) {
                KeyState::Accepted(_) => return Ok(()),
                KeyState::Pending(commit) => {
                    // Whatever comes of it shows in the next look.
                    let _ = commit.await;
                }
                KeyState::Unknown => break,
            }
        }
        let origin = Origin::Local { uid: left.uid };
        self.room_for(&origin).map_err(PickupError::Later)?;
        // Its process is gone.
        let source = Source {
            uid: Some(left.uid),
            previous: Some("maildrop".into()),
            ..Source::default()
        };
        let mut transaction = self.left_transaction(&left, origin);
        transaction.begin_body(self);
        self.read_left(&mut transaction, content, &left).await?;
        let reply = self.keep(transaction, None, &source).await;
        if reply.is_positive() {
            Ok(())
        } else {
            Err(PickupError::of(reply))
        }
    }

    /// Nothing will ask for this key, or a lower one of its epoch, again.
    pub fn picked_up(&self, key: &HandoffKey) {
        self.spool
            .forget_keys(key.sender, key.epoch, key.number + 1);
    }

    /// Nothing will ask for keys of this sender that are of another epoch.
    pub fn forget_others_keys(&self, sender: SpoolId, epoch: u64) {
        self.spool.forget_epochs(sender, &[epoch]);
    }

    fn left_transaction(&self, left: &Left, origin: Origin) -> Transaction {
        let mailboxes = left.sender.mailbox().into_iter().chain(&left.recipients);
        let smtputf8 = mailboxes.into_iter().any(|mailbox| !mailbox.is_ascii());
        Transaction {
            provenance: Provenance {
                trace: self.entropy.trace_id(self.clock.timestamp()),
                origin,
                arrived: left.arrived,
                client: None,
                visited: Vec::new(),
                about: None,
            },
            envelope: Envelope {
                sender: left.sender.clone(),
                recipients: left
                    .recipients
                    .iter()
                    .cloned()
                    .map(Recipient::new)
                    .collect(),
                body: BodyType::SevenBit,
                smtputf8,
                ret: None,
                envid: None,
            },
            body: None,
            taken: RecipientsMemory::default(),
            size: Some(left.content_len),
            takes_own_route: false,
            handed: None,
            hold: None,
            is_discarded: false,
            left: Some(left.key),
        }
    }

    /// Reads the content as that of a client: whatever ends a line becomes CR LF.
    async fn read_left(
        &self,
        transaction: &mut Transaction,
        content: File,
        left: &Left,
    ) -> Result<(), PickupError> {
        let unreadable = |error: io::Error| {
            self.alarm(&format!(
                "a message in the maildrop cannot be read: {error}"
            ));
            PickupError::Later(table::STORAGE_FAILED.reply())
        };
        let mut check = ContentCheck::new(ContentRule::Normalize, left.line_len_max);
        let content = Arc::new(content);
        let mut n_read = 0;
        loop {
            let file = Arc::clone(&content);
            // Reading may block under a busy disk.
            let reading = tokio::task::spawn_blocking(move || {
                let mut piece = Vec::with_capacity(PIECE_LEN);
                let file = &*file;
                file.take(PIECE_LEN as u64).read_to_end(&mut piece)?;
                Ok::<_, io::Error>(piece)
            });
            let piece = reading.await.map_err(io::Error::other).flatten();
            let piece = piece.map_err(unreadable)?;
            n_read += piece.len() as u64;
            let is_end = piece.is_empty();
            let mut lines = Vec::with_capacity(piece.len() + 1);
            let passed = check.pass(&piece, &mut lines);
            passed.map_err(refused)?;
            if is_end {
                check.finish(&mut lines).map_err(refused)?;
            }
            if !lines.is_ascii() {
                transaction.envelope.body = BodyType::EightBitMime;
            }
            self.take_piece(transaction, lines).await;
            if is_end {
                break;
            }
        }
        if n_read == left.content_len {
            Ok(())
        } else {
            let expected = left.content_len;
            let text = format!("it has {n_read} octets of content instead of {expected}");
            Err(PickupError::Refused(text.into()))
        }
    }

    async fn take_piece(&self, transaction: &mut Transaction, piece: Vec<u8>) {
        if let Some(body) = &mut transaction.body {
            body.receive(piece);
            body.settle(&self.spool, &self.content_memory).await;
        }
    }
}

fn refused(fault: ContentFault) -> PickupError {
    let row = match fault {
        ContentFault::BareNewline => &table::BAD_DATA_NEWLINE,
        ContentFault::LineTooLong => &table::BAD_DATA_LINE,
        ContentFault::Nul => &table::BAD_DATA_NUL,
    };
    PickupError::Refused(row.reply().to_string().into())
}
