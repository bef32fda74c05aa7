//! What strangers can make longer, and how far.

use std::time::Duration;

/// How many exchangers of a domain are considered, the best ones.
pub const EXCHANGERS_MAX: usize = 20;

/// How many addresses of one exchanger are considered.
pub const ADDRESSES_MAX: usize = 8;

/// How many servers are asked, in turn.
pub const SERVERS_MAX: usize = 8;

/// How many aliases (CNAME) lead from a name to its records at most.
pub const ALIASES_MAX: usize = 8;

/// How many answers are remembered. One has 64 KiB at most.
pub const CACHE_ENTRIES_MAX: u64 = 2_048;

/// For how long an answer is remembered at most, whatever its time to live.
pub const TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// For how long it is remembered at most that something does not exist.
pub const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(15 * 60);

/// How much longer the addresses of one family are waited for when those of the other are there.
pub const FAMILY_GRACE: Duration = Duration::from_secs(1);

/// How long a server may take to show that it answers anything at all.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
