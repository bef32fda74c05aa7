//! What can be wrong with a spool: what it means, and what to do.

use std::fmt;

use mail::MessageId;

use super::{ContentState, FINDINGS_MAX};

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, below the spool's directory.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// What is wrong there.
    pub fault: Fault,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// What a crash leaves, or what belongs to no message: the next start puts it right.
    Remark,
    /// Something is not as it was written.
    Damage,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The content of a message is not what was written.
    Content {
        /// The message.
        id: MessageId,
        /// What it is.
        state: ContentState,
        /// Whether anything is left to do for the message.
        is_live: bool,
    },
    /// Two segments have lived the same life, so that records of one could pass in the other.
    GenerationTwice {
        /// The generation.
        generation: u64,
        /// The number of the other segment.
        other: u32,
    },
    /// Neither header of a segment is good, or it is that of another file.
    Header {
        /// Octets of the file.
        len: u64,
    },
    /// One of the two headers of a segment is damaged.
    HeaderSlot,
    /// Two different messages have the same id.
    IdTwice(MessageId),
    /// The operating system cannot read the file.
    Io(String),
    /// Two messages came by the same handoff.
    KeyTwice {
        /// The first.
        first: MessageId,
        /// The second.
        second: MessageId,
    },
    /// A message was accepted after its end.
    LateAcceptance(MessageId),
    /// A file that was being made when the process ended.
    Leftover,
    /// Batches or segments are not in the order in which they were written.
    Order,
    /// Segments that were there are gone as whole files.
    SegmentsMissing {
        /// How many.
        n: u32,
    },
    /// Segments take more than twice what is live and four segments.
    Space {
        /// Octets of all segments.
        used: u64,
        /// The most that they should take, in octets.
        bound: u64,
    },
    /// A content file that no live message names.
    StrayContent,
    /// A summary that is not that of its segment.
    Summary,
    /// A summary with good checksums that does not say what its segment says.
    SummaryDiffers,
    /// One of the two superblocks is damaged or gone.
    Superblock,
    /// The two superblocks are not of one spool.
    SuperblocksDiffer,
    /// The end of the last batch was not written whole.
    Torn {
        /// How much, in octets.
        len: u64,
    },
    /// A file that is none of the spool's.
    Unknown,
    /// Octets that had been durable cannot be read as what they were.
    Unreadable {
        /// How much, in octets.
        len: u64,
    },
}

impl Fault {
    /// The disk cannot read so many octets.
    pub(super) fn unread(len: u64) -> Self {
        Self::Io(format!("the disk fails for {len} bytes"))
    }

    /// How bad it is.
    #[must_use]
    pub const fn grade(&self) -> Grade {
        match self {
            Self::Leftover
            | Self::Space { .. }
            | Self::StrayContent
            | Self::Summary
            | Self::Torn { .. }
            | Self::Unknown
            | Self::Content { is_live: false, .. } => Grade::Remark,
            _ => Grade::Damage,
        }
    }

    /// A word for it that stays, for programs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::GenerationTwice { .. } => "generation_twice",
            Self::Header { .. } => "header",
            Self::HeaderSlot => "header_slot",
            Self::KeyTwice { .. } => "key_twice",
            Self::LateAcceptance(_) => "late_acceptance",
            Self::Content { .. } => "content",
            Self::Leftover => "leftover",
            Self::Order => "order",
            Self::SegmentsMissing { .. } => "segments_missing",
            Self::Space { .. } => "space",
            Self::StrayContent => "stray_content",
            Self::Summary => "summary",
            Self::SummaryDiffers => "summary_differs",
            Self::Superblock => "superblock",
            Self::SuperblocksDiffer => "superblocks_differ",
            Self::Torn { .. } => "torn",
            Self::Unknown => "unknown_file",
            Self::Unreadable { .. } => "unreadable",
            Self::Io(_) => "io",
            Self::IdTwice(_) => "id_twice",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        const RESTORE: &str = "keep a copy of the whole directory before anything else";
        match self {
            Self::Content { is_live: false, .. } => "nothing: the message is done",
            Self::Content { .. } => {
                "`spool dump --id … --content` gives what is there; restore the message from a \
                 backup, or drop it: it is never delivered in part"
            }
            Self::Header { .. } | Self::Unreadable { .. } => {
                "check the disk; the next start puts it into quarantine and uses the rest, see \
                 `spool quarantine`"
            }
            Self::HeaderSlot => "check the disk; the other header is good, so nothing is lost",
            Self::Superblock => {
                "check the disk; the other one is good, and the next start writes both"
            }
            Self::Leftover | Self::StrayContent => {
                "nothing: the next start clears it away; no acknowledged message was in it"
            }
            Self::Torn { .. } => {
                "after a crash or a power cut nothing: it had not been acknowledged, and the next \
                 start clears it away; else check the disk, which may have damaged it"
            }
            Self::SegmentsMissing { .. } => {
                "stop the instance and put them back, if somebody moved them; else restore the \
                 directory from a backup: the next start tells it once more and goes on without"
            }
            Self::Space { .. } => "nothing: a running instance gives it back",
            Self::Summary => "nothing: it is made again",
            Self::SummaryDiffers => "remove the summary: the segment itself counts then",
            Self::Unknown => "look whose it is; the spool leaves it alone",
            Self::Io(_) => "check the disk, and the owner and mode of the file",
            Self::GenerationTwice { .. }
            | Self::IdTwice(_)
            | Self::KeyTwice { .. }
            | Self::LateAcceptance(_)
            | Self::Order
            | Self::SuperblocksDiffer => RESTORE,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GenerationTwice { generation, other } => {
                write!(f, "generation {generation} is also that of segment {other}")
            }
            Self::Header { len } => write!(
                f,
                "neither of its headers is good for a segment of this name and {len} octets: none \
                 of it can be read"
            ),
            Self::HeaderSlot => f.write_str("one of the two headers is damaged"),
            Self::KeyTwice { first, second } => {
                write!(f, "messages {first} and {second} came by the same handoff")
            }
            Self::LateAcceptance(id) => write!(f, "message {id} was accepted after its end"),
            Self::Content { id, state, .. } => {
                write!(f, "the content of message {id} ")?;
                match state {
                    ContentState::Damaged => f.write_str("is damaged"),
                    ContentState::Missing => f.write_str("is gone"),
                    ContentState::WrongLength(len) => {
                        write!(f, "is {len} octets long, not as long as it was written")
                    }
                    ContentState::Whole => f.write_str("is whole"),
                }
            }
            Self::Leftover => f.write_str("was being made when the process ended"),
            Self::Order => f.write_str("is not in the order of writing"),
            Self::SegmentsMissing { n } => {
                write!(f, "{n} segment files are gone, and the messages in them")
            }
            Self::Space { used, bound } => {
                write!(
                    f,
                    "segments take {used} octets, which should be {bound} at most"
                )
            }
            Self::StrayContent => f.write_str("belongs to no message"),
            Self::Summary => f.write_str("is not a good summary of its segment"),
            Self::SummaryDiffers => {
                f.write_str("has good checksums, but does not say what its segment says")
            }
            Self::Superblock => f.write_str("is damaged or gone"),
            Self::SuperblocksDiffer => f.write_str("the two superblocks are not of one spool"),
            Self::Torn { len } => {
                write!(f, "the last batch was not written whole: {len} octets")
            }
            Self::Unknown => f.write_str("is no file of a spool"),
            Self::Unreadable { len } => {
                write!(f, "{len} octets are not what was written")
            }
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::IdTwice(id) => write!(f, "two different messages have the id {id}"),
        }
    }
}

/// Findings, up to a bound.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) kept: Vec<Finding>,
    /// How many more there were.
    pub(super) n_more: u64,
}

impl Findings {
    pub(super) fn add(&mut self, file: impl Into<String>, offset: u64, fault: Fault) {
        if self.kept.len() >= FINDINGS_MAX {
            self.n_more += 1;
            return;
        }
        self.kept.push(Finding {
            file: file.into(),
            offset,
            fault,
        });
    }
}
