//! What a transaction showed, as far as it was gathered.

use mail::{Origin, Reply};

/// Names a fact, so that it can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FactKey {
    /// Where the message enters the system.
    Origin,
    /// What is known about the recipient.
    RecipientStanding,
}

/// A fact, as the caller found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Where the message enters the system: follows from the listener and from what the client
    /// proved, never from an address.
    Origin(Origin),
    /// What is known about the recipient, by the next instance or by the routes here.
    RecipientStanding(Standing),
}

/// What is known about a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its domain is not ours; a route leads out of this system.
    Elsewhere,
    /// Nobody can say now.
    NoAnswer,
    /// A mailbox or alias of ours.
    Ours,
    /// No such user, no such domain, or refused by a route; with the reply that says so.
    Refused(Reply),
}

impl Fact {
    /// Its name.
    #[must_use]
    pub const fn key(&self) -> FactKey {
        match self {
            Self::Origin(_) => FactKey::Origin,
            Self::RecipientStanding(_) => FactKey::RecipientStanding,
        }
    }
}

impl FactKey {
    /// Its name in explanations and records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::RecipientStanding => "recipient-standing",
        }
    }
}

/// The facts of one transaction; those about a recipient are of the current one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    origin: Option<Origin>,
    recipient_standing: Option<Standing>,
}

impl Facts {
    /// Takes a fact; a newer one of the same name replaces it.
    pub fn learn(&mut self, fact: Fact) {
        match fact {
            Fact::Origin(origin) => self.origin = Some(origin),
            Fact::RecipientStanding(standing) => self.recipient_standing = Some(standing),
        }
    }

    /// Another recipient is named: what was known about the last one is no fact any more.
    pub fn begin_recipient(&mut self) {
        self.recipient_standing = None;
    }
}

/// A set of names of facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FactKeys(u32);

impl FactKeys {
    /// Whether the set holds `key`.
    #[must_use]
    pub const fn contains(self, key: FactKey) -> bool {
        self.0 & (1 << key as u32) != 0
    }

    const fn add(&mut self, key: FactKey) {
        self.0 |= 1 << key as u32;
    }
}

/// How a check reads facts: what it read is kept for the explanation, what is missing ends it.
pub(crate) struct Reading<'a> {
    facts: &'a Facts,
    pub(crate) used: FactKeys,
}

impl<'a> Reading<'a> {
    pub(crate) fn of(facts: &'a Facts) -> Self {
        Self {
            facts,
            used: FactKeys::default(),
        }
    }

    pub(crate) fn origin(&mut self) -> Result<&'a Origin, FactKey> {
        self.read(FactKey::Origin, self.facts.origin.as_ref())
    }

    pub(crate) fn recipient_standing(&mut self) -> Result<&'a Standing, FactKey> {
        self.read(
            FactKey::RecipientStanding,
            self.facts.recipient_standing.as_ref(),
        )
    }

    fn read<T>(&mut self, key: FactKey, fact: Option<&'a T>) -> Result<&'a T, FactKey> {
        self.used.add(key);
        fact.ok_or(key)
    }
}
