//! Passing a message to the next instance, exactly once.
//!
//! Owns the sending side of a handoff (edge, pool of connections, breaker, recipient questions, the
//! book of numbers) and the words that both sides share. docs/handoff.md is its specification.
//!
//! # Guarantees
//! A key is bound to one recipient set and never used for another. A handoff whose outcome is not
//! known is reported as such, and may be repeated under its key without making a duplicate.

mod breaker;
mod content;
mod edge;
mod exchange;
mod ledger;
mod load;
mod next;
mod parameters;
mod questions;
mod refusal;

pub use breaker::{Breaker, Change, PROBE_INTERVAL, TRIAL_PAUSE_MAX};
pub use content::{Content, PIECE_LEN, Source};
pub use edge::{EdgeReceiver, EdgeSender};
pub use ledger::Ledger;
pub use load::Load;
pub use next::{Answer, FULL_FOR, Handoff, Next, OnChange, Settings, mode_for};
pub use parameters::{Mode, ParameterError, Parameters, VISITED_MAX};
pub use questions::{Lifetimes, Questions};
pub use refusal::Refusal;
