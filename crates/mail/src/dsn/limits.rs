//! How much a notification may hold.

/// Octets of the original that are returned at most. A longer one is represented by its header
/// section: who sent 25 MB has them still, and the way back may be narrower than the way here.
pub const RETURNED_LEN_MAX: usize = 64 * 1024;

/// Recipients that the text for people names; the report names all.
pub const NAMED_IN_TEXT_MAX: usize = 20;

/// The longest Message-ID that is referred to, in octets. It must fit a line of RFC 5322 §2.1.1
/// with the field's name; longer ones are no honest ids.
pub const REFERENCE_LEN_MAX: usize = 250;

/// Where lines of the text and long values are folded, in octets (RFC 5322 §2.1.1: 78).
pub const LINE_LEN: usize = 76;
