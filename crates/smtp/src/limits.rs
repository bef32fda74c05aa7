//! Every bound of the protocol machines: what an operator may set, and what is fixed.
//!
//! Defaults of the settable ones live with the configuration, not here; the constants beside
//! them say what the standards ask for at least.

use std::time::Duration;

/// The settable limits of a server session. All hold for one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest command line, in octets with its CR LF; at least [`COMMAND_LEN_LEAST`].
    pub command_len_max: usize,
    /// How long a client may take for a whole command line, however it spreads its octets.
    /// RFC 5321 §4.5.3.2.7 asks for [`COMMAND_TIMEOUT_LEAST`] at least.
    pub command_timeout: Duration,
    /// How many commands may pass without a message being accepted; then the session ends.
    /// Accepted recipients and full chunks are not counted.
    pub commands_max: u32,
    /// The biggest content, in octets after decoding; announced as SIZE.
    pub content_len_max: u64,
    /// The longest line of content, in octets without its CR LF; at least
    /// [`CONTENT_LINE_LEN_LEAST`]. Not applied to BINARYMIME.
    pub content_line_len_max: usize,
    /// The least rate of content, in octets per second; must not be zero.
    pub data_rate_min: u32,
    /// How long content may pause; also the credit from which a slow client draws.
    pub data_timeout: Duration,
    /// How many refused commands may pass without a message being accepted; then the session
    /// ends.
    pub errors_max: u32,
    /// How many recipients a transaction may have; RFC 5321 §4.5.3.1.8 asks for
    /// [`RECIPIENTS_LEAST`] at least.
    pub recipients_max: usize,
    /// How long a TLS handshake may take.
    pub tls_timeout: Duration,
}

/// The least that a command line must be allowed, in octets (RFC 5321 §4.5.3.1.4).
pub const COMMAND_LEN_LEAST: usize = 512;

/// The least that a line of content must be allowed, in octets without its CR LF
/// (RFC 5321 §4.5.3.1.6).
pub const CONTENT_LINE_LEN_LEAST: usize = 998;

/// The least that a client must be given for a command (RFC 5321 §4.5.3.2.7).
pub const COMMAND_TIMEOUT_LEAST: Duration = Duration::from_secs(300);

/// The least number of recipients that a transaction must be allowed (RFC 5321 §4.5.3.1.8).
pub const RECIPIENTS_LEAST: usize = 100;

/// Input of a client, in octets, that may wait for an answer. A window of pipelined commands fits;
/// what is above waits in the kernel, where it slows the sender down. Where a longest command line
/// is longer, it is that much.
pub const INPUT_LEN_MAX: usize = 4 * 1024;

/// The same for another instance, which sends a whole handoff in one write, and for content.
pub const INPUT_LEN_MAX_LARGE: usize = 64 * 1024;

/// Decoded content, in octets, that may wait to be taken before the session wants no more input.
pub const BODY_LEN_MAX: usize = INPUT_LEN_MAX_LARGE;

/// Replies, in octets, that may be unwritten before the next command is looked at, also one
/// that came already: a client that does not read its replies must not be able to fill our memory
/// with them. The replies to one command come on top.
pub const OUTPUT_LEN_MAX: usize = 2 * 1024;

/// Events that may wait to be taken before the next command is looked at.
pub const EVENTS_MAX: usize = 16;

/// How much of a command line that is too long is read over, in octets, before the session ends.
pub const SKIPPED_LEN_MAX: usize = 64 * 1024;

/// Parameters of one MAIL or RCPT, or attributes of one XFORWARD. All that are known are fewer.
pub const PARAMETERS_MAX: usize = 16;

/// A chunk of less than this many octets counts as a command that leads nowhere: a message must
/// not be sent one octet a BDAT.
pub const CHUNK_LEN_USEFUL: u64 = 512;

/// The longest name in HELO or EHLO, in octets (RFC 5321 §4.5.3.1.2).
pub const HELLO_LEN_MAX: usize = 255;

/// The longest ENVID, in octets after decoding (RFC 3461 §4.4).
pub const ENVID_LEN_MAX: usize = 100;

/// The longest ORCPT, in octets after decoding (RFC 3461 §4.2).
pub const ORCPT_LEN_MAX: usize = 500;

// A line that is too long is read over for at least one more line of the greatest length.
const _: () = assert!(SKIPPED_LEN_MAX >= 2 * COMMAND_LEN_LEAST);
