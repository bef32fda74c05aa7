//! What a check is.

use std::fmt;

use mail::Reply;
use mail::reply::table::Row;

use crate::facts::{Missing, Reading};
use crate::phase::Phase;

/// One question asked of a session. Its settings are its fields.
///
/// `docs/developers/how-to-add-a-check.md` shows how to write one.
pub trait Check: fmt::Debug + Send + Sync {
    /// Its name in logs, trails and configuration.
    fn name(&self) -> &'static str;

    /// When it is asked.
    fn phase(&self) -> Phase;

    /// Looks at the facts. Read all facts that are surely needed before the first `?`, so that they
    /// are gathered at the same time.
    ///
    /// # Errors
    /// When a fact was not gathered yet; the check is asked again when it was.
    fn examine(&self, facts: &mut Reading<'_>) -> Result;
}

/// What a check found, or that a fact is missing.
pub type Result = std::result::Result<Found, Missing>;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A fact that it needs cannot be had, and it lets pass what it cannot decide.
    CannotTell,
    /// Something to act on.
    Fault {
        /// What the client is sent, where the action is to refuse: for now or permanently, as the
        /// reply says.
        reply: Reply,
        /// Why, for operators.
        why: &'static str,
    },
    /// Nothing.
    Nothing,
}

impl Found {
    /// A fault with a reply of the table.
    #[must_use]
    pub const fn fault(row: &Row, why: &'static str) -> Self {
        Self::Fault {
            reply: row.reply(),
            why,
        }
    }
}
