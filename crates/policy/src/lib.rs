//! Facts in, verdict and explanation out.
//!
//! Owns the checks of a transaction and the order in which they are asked. [`evaluate`] is a pure
//! function: it decides, or says which fact it needs to decide; the caller gathers that fact and
//! asks again. So a recorded transaction can be judged anew by another set of checks, and the facts
//! that were used are the explanation.
//!
//! # Guarantees
//! - Relay control is always asked first about a recipient, and always enforced: no configuration
//!   makes a relay for the world.
//! - A check that is observed has no effect on the verdict.
//! - A fact that is not there is asked for, never guessed.
//!
//! # Standards
//! RFC 5321 §3.3, §7.9 for refusing recipients and relaying.

mod check;
mod evaluate;
mod fact;
mod phase;
mod verdict;

pub use check::{Check, Checks, Configured};
pub use evaluate::{Step, evaluate};
pub use fact::{Fact, FactKey, FactKeys, Facts, Standing};
pub use phase::Phase;
pub use verdict::{Decision, Finding, Mode, Reason, Verdict};
