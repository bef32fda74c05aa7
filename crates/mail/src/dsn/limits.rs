//! How much a notification may hold.

/// Octets of the original that are returned at most. A longer one is represented by its header
/// section, whatever RET asks for: who sent 25 MB has them still, and the way back may be narrower
/// than the way here. The text for people says so.
pub const RETURNED_LEN_MAX: usize = 64 * 1024;

/// Octets of the report about all recipients of one notification. What does not fit goes into
/// another: 1,000 recipients with usual addresses fill half of it.
pub const REPORT_LEN_MAX: usize = 512 * 1024;

/// No notification is longer, in octets, whatever it reports on: header and text for people have
/// bounds too. Less than any host takes, and than a spool keeps in one record.
pub const NOTIFICATION_LEN_MAX: usize = 800 * 1024;

/// Recipients that the text for people names; the report names all.
pub const NAMED_IN_TEXT_MAX: usize = 20;

/// The longest Message-ID that is referred to, in octets. It must fit a line of RFC 5322 §2.1.1
/// with the field's name; longer ones are no honest ids.
pub const REFERENCE_LEN_MAX: usize = 250;

/// Where lines of the text and long values are folded, in octets (RFC 5322 §2.1.1: 78).
pub const LINE_LEN: usize = 76;

/// The longest line, in octets without its end (RFC 5322 §2.1.1): hosts refuse longer ones, and a
/// notification that is refused is lost.
pub const LINE_LEN_MAX: usize = 998;

/// The longest word that stays whole, in octets; a longer one is broken, so that no line that holds
/// it passes [`LINE_LEN_MAX`].
pub const WORD_LEN_MAX: usize = 800;
