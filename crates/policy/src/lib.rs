//! Facts in, verdict and explanation out.
//!
//! Owns the checks of a session and the order in which they are asked. [`evaluate`] is a pure
//! function: it decides, or names the set of facts that it needs to decide; the caller gathers them
//! in parallel and asks again. So recorded facts can be evaluated again by another set of checks,
//! and the facts that were used are the explanation.
//!
//! # Guarantees
//! - Relay control is always asked first about a recipient, and always enforced: no configuration
//!   makes a relay for the world.
//! - A check that is observed has no effect on the verdict.
//! - A fact that was not gathered is asked for, never guessed; one that cannot be had is
//!   [`Gathered::CannotTell`], which no check takes for a no.
//! - Nothing here holds what only operators are to read of a reply: facts and trails may be kept.
//!
//! # Limits
//! A record of facts is read up to [`RECORD_LEN_MAX`] bytes.
//!
//! # Standards
//! RFC 5321 §3.3, §7.9 for refusing recipients and relaying.

mod check;
mod checks;
mod evaluate;
mod fact;
mod facts;
mod phase;
mod record;
mod value;
mod verdict;

pub use check::{Check, Found, Result};
pub use checks::bounce_recipients::BounceRecipients;
pub use checks::early_talker::EarlyTalker;
pub use checks::hello_identity::HelloIdentity;
pub use checks::own_sender::OwnSender;
pub use checks::recipient_validity::RecipientValidity;
pub use checks::relay_control::RelayControl;
pub use checks::repeated_field::RepeatedField;
pub use checks::{Checks, Configured};
pub use evaluate::{Step, evaluate};
pub use fact::{Fact, FactKey, Scope};
pub use facts::{FactSet, Facts, Missing, Reading};
pub use phase::Phase;
pub use record::{RECORD_LEN_MAX, RecordError};
pub use value::{
    ClientAddress, DomainStatus, Gathered, HeaderField, Milliseconds, RecipientStatus,
};
pub use verdict::{Action, Decision, Finding, Mode, Reason, Verdict};

/// The example of the page for developers is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/developers/how-to-add-a-check.md")]
struct HowToAddACheck;
