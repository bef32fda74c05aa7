//! Figures of a spool.

/// What the spool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Messages.
    pub n_messages: u64,
    /// Octets of the records that are needed.
    pub live_bytes: u64,
    /// Octets of all segment files.
    pub segment_bytes: u64,
    /// Octets of the content files.
    pub content_file_bytes: u64,
    /// Handoff keys that are remembered.
    pub n_keys: u64,
}

/// What the spool did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Batches written.
    pub n_batches: u64,
    /// Records in them.
    pub n_records: u64,
    /// Sync calls of the committer, of any kind.
    pub n_syncs: u64,
    /// Octets written to segments.
    pub bytes_written: u64,
    /// Messages refused for want of room, their records
    /// ([`CommitError::Full`](crate::CommitError::Full)) or their contents.
    pub n_refused: u64,
}
