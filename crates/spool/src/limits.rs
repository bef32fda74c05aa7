//! Every limit of the spool, with its reason.

use std::time::Duration;

/// The size of a segment that serves most disks: large enough that retiring and sealing cost
/// nothing, small enough that four of them (the slack of the space bound) fit a small disk.
pub const SEGMENT_LEN_DEFAULT: u32 = 16 << 20;

/// The smallest segment, in octets; small ones are for tests.
pub const SEGMENT_LEN_MIN: u32 = 32 << 10;

/// The largest segment, in octets: offsets within one are stored as 32 bits.
pub const SEGMENT_LEN_MAX: u32 = 1 << 30;

/// The longest content that may lie in a segment, in octets; callers stream longer ones to a
/// [`ContentFile`](crate::ContentFile). A longer one would hold up the batch it is written with.
pub const INLINE_CONTENT_LEN_MAX: usize = 1 << 20;

/// The longest encoded envelope and state of one message, in octets. 50,000 recipients of 300
/// octets would pass; RFC 5321 §4.5.3.1.8 asks for 100.
pub const META_LEN_MAX: usize = 16 << 20;

/// So many blocks of a file that the disk cannot read are tried one by one; behind them only what
/// can be read together is read. Each can take a failing disk seconds.
pub const UNREAD_BLOCKS_MAX: usize = 64;

/// The most octets of records that one batch takes; what waits beyond it goes into the next.
pub const BATCH_LEN_MAX: usize = 4 << 20;

/// The most records that one batch takes: each needs up to four of the 1,024 slices that one
/// `pwritev` accepts.
pub const BATCH_RECORDS_MAX: usize = 250;

/// How long outcomes may wait for a batch to ride in.
pub const OUTCOME_DELAY_DEFAULT: Duration = Duration::from_millis(10);

/// How often room is looked for where outcomes wait for some and nobody asks for anything.
pub const UNRECORDED_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// How long at most the committer waits for more messages under load, if fewer come than came
/// before. Chosen by measurement (bench/README.md): with less a message costs more, with more a
/// client waits longer.
pub const GATHERING_DELAY: Duration = Duration::from_millis(1);

/// Messages in a batch from which on there is a load, until batches get smaller. A client that
/// sends one after the other never waits for company.
pub const GATHERING_MESSAGES_MIN: usize = 2;

/// One of so many batches under load waits its whole time, to see how many messages come.
pub const GATHERING_LOOK_INTERVAL: u32 = 16;

/// The most handoff keys that are remembered. A sender has as many in doubt as it has connections
/// open, and in addition what an interrupted connection left; a full table means that a sender
/// never says what it has settled. Of handoffs with hundreds of recipients fewer fit: a snapshot of
/// the keys takes at most half a segment.
pub const KEYS_MAX: usize = 1 << 18;

/// The highest floor of an epoch that is taken; a higher one counts as this, which Unix seconds
/// reach in the year 2242. A clock that is that wrong must not use up the numbers.
pub const EPOCH_FLOOR_MAX: u64 = 1 << 33;
