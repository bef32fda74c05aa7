//! Early talkers: a mail server waits for the greeting (RFC 5321 §4.3.1), programs that send spam
//! often do not.

use mail::reply::table;

use crate::check::{Check, Found, Result};
use crate::facts::Reading;
use crate::phase::Phase;
use crate::value::{Gathered, Milliseconds};

/// Does the client wait for the greeting?
#[derive(Clone, Copy, Debug)]
pub struct EarlyTalker {
    /// For how long the greeting waits, so that a client that does not wait shows itself.
    pub wait: Milliseconds,
}

impl Check for EarlyTalker {
    fn name(&self) -> &'static str {
        "early-talker"
    }

    fn phase(&self) -> Phase {
        Phase::Connect
    }

    fn examine(&self, facts: &mut Reading<'_>) -> Result {
        Ok(match facts.early_talk(self.wait)? {
            Gathered::CannotTell => Found::CannotTell,
            Gathered::Known(false) => Found::Nothing,
            Gathered::Known(true) => Found::fault(
                &table::EARLY_TALKER,
                "the client sent commands before the greeting",
            ),
        })
    }
}
