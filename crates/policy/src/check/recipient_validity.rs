//! Recipient validity: what would be refused later is refused at the door.
//!
//! Our own senders are told, too, while they are there to be told. But when nobody can say, their
//! mail is taken: they hear of a failure by notification, and do not wait for the next instance.

use mail::reply::table;

use crate::fact::{FactKey, Reading, Standing};
use crate::verdict::{Finding, Verdict};

pub(super) fn find(facts: &mut Reading<'_>) -> Result<Finding, FactKey> {
    Ok(match facts.recipient_standing()? {
        Standing::Elsewhere | Standing::Ours => Finding::Passes,
        Standing::NoAnswer if facts.origin()?.is_ours() => Finding::Passes,
        Standing::NoAnswer => Finding::Says(Verdict::Defer(table::NEXT_UNAVAILABLE.reply())),
        Standing::Refused(reply) => Finding::Says(Verdict::Reject(reply.clone())),
    })
}
