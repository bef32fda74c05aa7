//! The key under which one message is handed to the next instance exactly once.

use std::fmt;

use crate::SpoolId;

/// Names one handoff for ever; see docs/handoff.md.
///
/// A number is bound to one recipient set and never used again. Within one `(sender, epoch)` the
/// numbers rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandoffKey {
    /// The spool of the instance that hands off.
    pub sender: SpoolId,
    /// How many times that spool had been opened when the number was drawn.
    pub epoch: u64,
    /// The number, from 1.
    pub number: u64,
}

impl fmt::Display for HandoffKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.sender, self.epoch, self.number)
    }
}
