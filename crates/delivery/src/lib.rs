//! Handing a message on: queue, routes and transports, and what becomes of each recipient.
//!
//! # Guarantees
//! An attempt is recorded before it begins, its outcome after the reply. A recipient is done with
//! when its outcome is committed, not before. A permanent failure and its notification are one
//! record.

mod attempt;
mod census;
mod command;
mod delivery;
mod notification;
mod outage;
mod record;
mod recovery;
mod resolver;
mod route;
mod sweep;
mod takeover;
pub mod transport;
mod unreadable;
mod view;

pub use census::{Brief, Counts};
pub use command::Touched;
pub use delivery::{Delivery, FRESH_LEN_MAX, FRESH_MAX, Parts, Settings};
pub use outage::Outage;
pub use recovery::Recovered;
pub use resolver::{Hop, NoResolver, RESOLVE_TIME, Resolver, Resolving, Unresolved, Via};
pub use route::{Asked, Match, OpenTo, Route, Routes, Standing};
pub use sweep::{LAG_MAX, SWEEP_INTERVAL};
pub use takeover::{LateOutcome, LateRecipient, Unfinished};
pub use view::{PageRow, QueueRow, RecipientRow};
