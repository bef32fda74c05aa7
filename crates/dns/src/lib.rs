//! Asks the DNS where the mail of a domain goes.
//!
//! Owns the resolver (a stub that asks the servers it is given) and the rules of RFC 5321 §5 for
//! what it answers. No type of the library behind it leaves this crate.
//!
//! # Guarantees
//! "Cannot tell" is never "no": only an answer that denies the domain, or a null MX, is permanent.
//! Every question has a deadline, and so has all that belongs to one domain.
//!
//! # Limits
//! Those of [`limits`]; the memory of answers is bounded too.
//!
//! # Standards
//! RFC 5321 §5, RFC 7505, RFC 5891 (A-labels), RFC 2308 (what denies), RFC 8305 (both families).
//!
//! # Failure
//! [`Failure`]. That no server answers at all is a state of its own: it says nothing about any
//! domain.

mod exchangers;
pub mod limits;
mod lookup;
mod name;
mod order;
mod settings;

pub use exchangers::{Exchanger, Failure, OwnHost, Resolver};
pub use settings::{ResolverSettings, SettingsError};
