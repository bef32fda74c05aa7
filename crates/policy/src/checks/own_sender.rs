//! A sender in a domain of ours, from a client that proved nothing: often forged, to look like
//! mail from a colleague. Forwarders and mailing lists that keep the sender do the same honestly.

use mail::ReversePath;
use mail::reply::table;

use crate::check::{Check, Found, Result};
use crate::facts::Reading;
use crate::phase::Phase;
use crate::value::{DomainStatus, Gathered};

/// Does a stranger give a sender of ours?
#[derive(Clone, Copy, Debug)]
pub struct OwnSender;

impl Check for OwnSender {
    fn name(&self) -> &'static str {
        "own-sender"
    }

    fn phase(&self) -> Phase {
        Phase::Mail
    }

    fn examine(&self, facts: &mut Reading<'_>) -> Result {
        // Whose domain it is may have to be looked up: only for strangers that give a sender.
        let (origin, sender) = (facts.origin(), facts.sender());
        let (Gathered::Known(origin), Gathered::Known(sender)) = (origin?, sender?) else {
            return Ok(Found::CannotTell);
        };
        if origin.is_ours() || *sender == ReversePath::Null {
            return Ok(Found::Nothing);
        }
        Ok(match facts.sender_domain()? {
            Gathered::CannotTell => Found::CannotTell,
            Gathered::Known(DomainStatus::External) => Found::Nothing,
            Gathered::Known(DomainStatus::Internal) => Found::fault(
                &table::SENDER_UNPROVED,
                "the sender's domain is ours and the client proved nothing",
            ),
        })
    }
}
