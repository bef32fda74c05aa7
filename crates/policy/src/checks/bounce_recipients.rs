//! A bounce goes to one sender (RFC 5321 §4.5.5): the null sender with several recipients is no
//! bounce.

use mail::ReversePath;
use mail::reply::table;

use crate::check::{Check, Found, Result};
use crate::facts::Reading;
use crate::phase::Phase;
use crate::value::Gathered;

/// Does mail from the null sender have several recipients?
#[derive(Clone, Copy, Debug)]
pub struct BounceRecipients;

impl Check for BounceRecipients {
    fn name(&self) -> &'static str {
        "bounce-recipients"
    }

    fn phase(&self) -> Phase {
        Phase::Data
    }

    fn examine(&self, facts: &mut Reading<'_>) -> Result {
        let (origin, sender) = (facts.origin(), facts.sender());
        let (Gathered::Known(origin), Gathered::Known(sender)) = (origin?, sender?) else {
            return Ok(Found::CannotTell);
        };
        if origin.is_ours() || *sender != ReversePath::Null {
            return Ok(Found::Nothing);
        }
        Ok(match facts.recipient_count()? {
            Gathered::CannotTell => Found::CannotTell,
            Gathered::Known(0 | 1) => Found::Nothing,
            Gathered::Known(_) => Found::fault(
                &table::BOUNCE_RECIPIENTS,
                "the null sender has several recipients",
            ),
        })
    }
}
