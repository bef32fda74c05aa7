//! Recipient validity: what would be refused later is refused at RCPT.
//!
//! Our own senders get the refusal, too, while they are connected. But when nothing is known, their
//! mail is taken: they learn of a failure by notification, and do not wait for the next instance.

use mail::reply::table;

use crate::check::{Check, Found, Result};
use crate::facts::Reading;
use crate::phase::Phase;
use crate::value::{Gathered, RecipientStatus};

/// Does the recipient exist?
#[derive(Clone, Copy, Debug)]
pub struct RecipientValidity;

impl RecipientValidity {
    /// Its name.
    pub const NAME: &str = "recipient-validity";
}

impl Check for RecipientValidity {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn phase(&self) -> Phase {
        Phase::Rcpt
    }

    fn examine(&self, facts: &mut Reading<'_>) -> Result {
        Ok(match facts.recipient_status()? {
            Gathered::Known(RecipientStatus::External | RecipientStatus::Internal) => {
                Found::Nothing
            }
            Gathered::Known(RecipientStatus::Refused(reply)) => Found::Fault {
                reply: reply.clone(),
                why: "the recipient is refused where it would be delivered",
            },
            Gathered::CannotTell if facts.origin()?.known().is_some_and(mail::Origin::is_ours) => {
                Found::CannotTell
            }
            Gathered::CannotTell => Found::fault(
                &table::NEXT_UNAVAILABLE,
                "whether the recipient exists cannot be told now",
            ),
        })
    }
}
