//! Relay control: the world reaches our recipients, and nobody else's.
//!
//! Trust belongs to a listener and to what a client proved on it, which is what the origin says;
//! never to an address. Which recipients are ours is known by the next instance or by the routes
//! here.

use mail::reply::table;

use crate::check::{Check, Found, Result};
use crate::facts::Reading;
use crate::phase::Phase;
use crate::value::{Gathered, RecipientStatus};

/// May this origin send to this recipient?
#[derive(Clone, Copy, Debug)]
pub struct RelayControl;

impl RelayControl {
    /// Its name.
    pub const NAME: &str = "relay-control";
}

impl Check for RelayControl {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn phase(&self) -> Phase {
        Phase::Rcpt
    }

    fn examine(&self, facts: &mut Reading<'_>) -> Result {
        let origin = facts.origin()?;
        if origin.known().is_some_and(mail::Origin::is_ours) {
            return Ok(Found::Nothing);
        }
        Ok(match facts.recipient_status()? {
            Gathered::Known(RecipientStatus::External) => Found::fault(
                &table::RELAY_DENIED,
                "the recipient is external and the client may not relay",
            ),
            // To accept now what may have to be refused later would make us write to strangers.
            Gathered::CannotTell => Found::fault(
                &table::NEXT_UNAVAILABLE,
                "whether the recipient is internal cannot be told now",
            ),
            // A recipient that does not exist is not reached either; that is another check's.
            Gathered::Known(RecipientStatus::Internal | RecipientStatus::Refused(_)) => {
                Found::Nothing
            }
        })
    }
}
