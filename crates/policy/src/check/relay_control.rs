//! Relay control: the world reaches our recipients, and nobody else's.
//!
//! Trust belongs to a listener and to what a client proved on it, which is what the origin says;
//! never to an address. Who is ours is known by the next instance or by the routes here.

use mail::reply::table;

use crate::fact::{FactKey, Reading, Standing};
use crate::verdict::{Finding, Verdict};

pub(super) fn find(facts: &mut Reading<'_>) -> Result<Finding, FactKey> {
    if facts.origin()?.is_ours() {
        return Ok(Finding::Passes);
    }
    Ok(match facts.recipient_standing()? {
        Standing::Elsewhere => Finding::Says(Verdict::Reject(table::RELAY_DENIED.reply())),
        // To accept now what may have to be refused later would make us write to strangers.
        Standing::NoAnswer => Finding::Says(Verdict::Defer(table::NEXT_UNAVAILABLE.reply())),
        // A recipient that does not exist is not reached either; saying so is another check's.
        Standing::Ours | Standing::Refused(_) => Finding::Passes,
    })
}
