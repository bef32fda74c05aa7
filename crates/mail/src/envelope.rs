//! The envelope: who a message is from and for, and what the sender asked of its carriers.
//!
//! # Standards
//! RFC 5321 §2.3.1; RFC 3461 for NOTIFY, ORCPT, RET and ENVID; RFC 6152 and RFC 3030 for BODY;
//! RFC 6531 for SMTPUTF8.

use crate::{Mailbox, ReversePath};

/// Everything about a message that is not its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Where failures are reported.
    pub sender: ReversePath,
    /// For whom; in the order in which they were named. A recipient is known by its index here.
    pub recipients: Vec<Recipient>,
    /// What the content may hold.
    pub body: BodyType,
    /// Whether addresses or header fields need RFC 6531.
    pub smtputf8: bool,
    /// What a failure notification shall return, if the sender said.
    pub ret: Option<Return>,
    /// The sender's own name for this transaction, decoded from xtext.
    pub envid: Option<Box<str>>,
}

/// One recipient and what the sender wants to be told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The address to deliver to.
    pub address: Mailbox,
    /// When to notify the sender.
    pub notify: Notify,
    /// The address that the sender named first: `type;address`, decoded from xtext.
    pub orcpt: Option<Box<str>>,
}

impl Recipient {
    /// A recipient of whom nothing special is asked.
    #[must_use]
    pub const fn new(address: Mailbox) -> Self {
        Self {
            address,
            notify: Notify::UNSPECIFIED,
            orcpt: None,
        }
    }
}

/// What octets the content may hold (BODY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BodyType {
    /// `7BIT`: ASCII lines.
    #[default]
    SevenBit,
    /// `8BITMIME`: lines of any octets but NUL, CR and LF.
    EightBitMime,
    /// `BINARYMIME`: any octets; enters and leaves by BDAT only.
    BinaryMime,
}

/// What a failure notification returns (RET).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Return {
    /// The whole message.
    Full,
    /// Only its header section.
    Headers,
}

/// When the sender wants a notification (NOTIFY), as a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Notify(u8);

impl Notify {
    /// Nothing was said: failures are notified, delays may be (RFC 3461 §4.1).
    pub const UNSPECIFIED: Self = Self(0);
    /// Never.
    pub const NEVER: Self = Self(1);
    /// On delivery.
    pub const SUCCESS: Self = Self(2);
    /// On failure.
    pub const FAILURE: Self = Self(4);
    /// On delay.
    pub const DELAY: Self = Self(8);

    /// Both sets together. NEVER cannot be joined with others; who parses must refuse it.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set as bits, for storage.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From stored bits; `None` where they are no legal set.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits == 1 || (bits & 1 == 0 && bits < 16) {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// Whether a failure is to be notified.
    #[must_use]
    pub const fn on_failure(self) -> bool {
        self.0 == 0 || self.0 & Self::FAILURE.0 != 0
    }

    /// Whether a delay is to be notified. Unspecified means yes, as is customary.
    #[must_use]
    pub const fn on_delay(self) -> bool {
        self.0 == 0 || self.0 & Self::DELAY.0 != 0
    }

    /// Whether a success is to be notified.
    #[must_use]
    pub const fn on_success(self) -> bool {
        self.0 & Self::SUCCESS.0 != 0
    }

    /// The keyword form, `FAILURE,DELAY`; `None` when nothing was said.
    #[must_use]
    pub fn keywords(self) -> Option<String> {
        if self == Self::UNSPECIFIED {
            return None;
        }
        let names = [
            (Self::NEVER, "NEVER"),
            (Self::SUCCESS, "SUCCESS"),
            (Self::FAILURE, "FAILURE"),
            (Self::DELAY, "DELAY"),
        ];
        let set: Vec<_> = names
            .iter()
            .filter(|(bit, _)| self.0 & bit.0 != 0)
            .map(|(_, name)| *name)
            .collect();
        Some(set.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_asks_for_failures_and_never_asks_for_nothing() {
        assert!(Notify::UNSPECIFIED.on_failure() && !Notify::UNSPECIFIED.on_success());
        assert!(!Notify::NEVER.on_failure() && !Notify::NEVER.on_delay());
        assert!(!Notify::SUCCESS.on_failure());
    }

    #[test]
    fn stored_bits_are_checked() {
        assert_eq!(Notify::from_bits(3), None);
        assert_eq!(Notify::from_bits(16), None);
        let both = Notify::FAILURE.and(Notify::DELAY);
        assert_eq!(Notify::from_bits(both.bits()), Some(both));
        assert_eq!(both.keywords().as_deref(), Some("FAILURE,DELAY"));
    }
}
