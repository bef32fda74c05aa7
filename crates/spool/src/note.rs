//! What opening a spool found that an operator should know of.

use std::fmt;

use mail::MessageId;

use crate::recover::quarantine;

/// Something at opening that an operator should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The content file of a message is not there. The message is kept, and can be delivered once
    /// the file is back.
    ContentMissing {
        /// The file.
        file: String,
        /// The message.
        id: MessageId,
    },
    /// A content file that no record names, when records could not be read, one of which may be
    /// its own: it was moved away.
    ContentSetAside {
        /// The file.
        file: String,
        /// Where it is now; `None` when it could not be moved.
        quarantine: Option<String>,
    },
    /// A content file that had been moved to quarantine belongs to a message that can be read
    /// again, and was moved back.
    ContentTakenBack {
        /// The file.
        file: String,
        /// The message.
        id: MessageId,
    },
    /// The file system writes nothing in place, so that no room can be set aside on it.
    CopyOnWrite {
        /// Its name.
        file_system: &'static str,
    },
    /// Octets that had been durable are not what was written. What still could be read was kept.
    Damage {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// The copy in the quarantine directory; `None` when it could not be made.
        quarantine: Option<String>,
    },
    /// Segments that were there are gone as whole files, and with them whatever they held.
    SegmentsMissing {
        /// How many.
        n: u32,
    },
    /// One of the two superblocks is damaged or cannot be read. The other one is good.
    Superblock {
        /// The file.
        file: String,
    },
    /// A content file that no record names was removed: its message was never acknowledged.
    StrayContent {
        /// The file.
        file: String,
    },
    /// The end of the last batch was not written whole: none of it had been acknowledged, unless
    /// it was damaged between its sync and now, which looks the same.
    Torn {
        /// The file.
        file: String,
        /// Where in it.
        offset: u64,
        /// The copy in the quarantine directory; `None` when it could not be made.
        quarantine: Option<String>,
    },
    /// The disk cannot read a part of a file. What still could be read was used; the file stays as
    /// it is, and is read again at the next opening.
    Unread {
        /// The file.
        file: String,
        /// Where the first such part begins.
        offset: u64,
        /// How much it is altogether, in octets.
        len: u64,
        /// A copy of the rest, where little else can be done with it.
        quarantine: Option<String>,
    },
}

impl Note {
    /// The name in quarantine of what was put there.
    #[must_use]
    pub fn quarantine(&self) -> Option<&str> {
        let path = match self {
            Self::ContentSetAside { quarantine, .. }
            | Self::Damage { quarantine, .. }
            | Self::Torn { quarantine, .. }
            | Self::Unread { quarantine, .. } => quarantine.as_deref()?,
            Self::ContentMissing { .. }
            | Self::ContentTakenBack { .. }
            | Self::CopyOnWrite { .. }
            | Self::SegmentsMissing { .. }
            | Self::Superblock { .. }
            | Self::StrayContent { .. } => return None,
        };
        path.strip_prefix(quarantine::DIR)?.strip_prefix('/')
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentMissing { file, id } => write!(
                f,
                "{file} is missing: message {id} is kept and is delivered once the file is \
                 restored from a backup; without one, drop it"
            ),
            Self::ContentTakenBack { file, id } => write!(
                f,
                "{file}, the content of message {id}, was moved back from quarantine"
            ),
            Self::CopyOnWrite { file_system } => write!(
                f,
                "{file_system} writes nothing in place, so room for what becomes of messages \
                 cannot be set aside on it: messages are refused while less than that is free, but \
                 where others fill the disk then, deliveries may be repeated; give the state \
                 directory a file system or a reservation of its own"
            ),
            Self::ContentSetAside { file, .. } => {
                write!(f, "{file} may belong to a message whose record is damaged")
            }
            Self::Damage { file, offset, .. } => write!(
                f,
                "{file} is damaged at octet {offset}; what could be read was kept"
            ),
            Self::SegmentsMissing { n } => write!(
                f,
                "{n} of its segment files were removed: the acknowledged messages in them are \
                 lost, unless a backup has them"
            ),
            Self::Superblock { file } => write!(
                f,
                "{file} is damaged or cannot be read or written; the other one is good, so \
                 nothing is lost: check the disk"
            ),
            Self::StrayContent { file } => write!(
                f,
                "{file} belonged to no acknowledged message and was removed"
            ),
            Self::Torn { file, offset, .. } => write!(
                f,
                "the last batch of {file}, at octet {offset}, was not written whole: unless the \
                 disk damaged it later, it had not been acknowledged"
            ),
            Self::Unread {
                file, offset, len, ..
            } => write!(
                f,
                "the disk cannot read {len} bytes of {file}, the first at {offset}: what could be \
                 read was used, and the next start tries again; check the disk"
            ),
        }?;
        self.fmt_quarantine(f)
    }
}

impl Note {
    /// Where what it is about was put.
    fn fmt_quarantine(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentSetAside { quarantine, .. } => match quarantine {
                Some(now) => write!(f, "; it was moved to {now}"),
                None => f.write_str("; it could not be moved"),
            },
            Self::Damage { quarantine, .. } | Self::Torn { quarantine, .. } => match quarantine {
                Some(copy) => write!(f, "; a copy is in {copy}"),
                None => f.write_str("; it could not be copied"),
            },
            Self::Unread {
                quarantine: Some(copy),
                ..
            } => write!(f, "; a copy of the rest is in {copy}"),
            _ => Ok(()),
        }
    }
}
