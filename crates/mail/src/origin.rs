//! Where a message entered this system.

/// Set once, where the message enters, and carried over every hop; never inferred from an
/// address. Signing, relaying and limits go by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// From a client that proved this identity (SASL).
    Authenticated(Box<str>),
    /// Made by this system: notifications.
    Generated,
    /// From a program of this machine, run by this user, as the kernel says.
    Local {
        /// The user id of the program.
        uid: u32,
    },
    /// From the world.
    Outside,
}

impl Origin {
    /// Whether a failure after acceptance may be answered in parts: senders of our own learn of
    /// each recipient by notification, the world learns of all or none by its reply.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        !matches!(self, Self::Outside)
    }
}
