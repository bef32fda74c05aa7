//! `spool`: looking into the spools of all instances, running or not, without changing anything.

mod dump;
mod places;
mod quarantine;
mod recover;
mod verify;
mod view;

use super::arguments::{QuarantineVerb, SpoolVerb, SystemArguments};
use super::exit::{Exit, Failure};
use super::system::{self, System};
use places::Place;
use supervisor::Source;

/// Carries out a verb on the spools of the system.
///
/// # Errors
/// When the configuration cannot be read, or what was asked for is in none of the spools.
pub(crate) fn run(
    arguments: &SystemArguments,
    source: &Source,
    verb: &SpoolVerb,
) -> Result<Exit, Failure> {
    let config = system::config(source)?;
    let places = Place::all(arguments, &config)?;
    let system = System::of(source, &config);
    match verb {
        SpoolVerb::Dump(what) => dump::run(arguments, &places, what),
        SpoolVerb::Quarantine(quarantine) => match &quarantine.verb {
            QuarantineVerb::List => quarantine::list(arguments, &places),
            QuarantineVerb::Recover(what) => recover::run(arguments, &system, &places, what),
            QuarantineVerb::Show { name } => quarantine::show(arguments, &places, name),
        },
        SpoolVerb::Verify => verify::run(arguments, &places),
    }
}
