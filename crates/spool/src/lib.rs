//! The durable store of one instance: the only crate that makes a message durable.
//!
//! A [`Spool`] accepts messages, records what became of them, and gives them back after a crash.
//! `docs/spool-format.md` says what is on disk, and what holds there.
//!
//! # Guarantees
//! What a [`Commit`] resolved to `Ok` for survives a loss of power at any time. A message is there
//! whole or not at all. One that is done does not come back.
//!
//! # Limits
//! See [`limits`].
//!
//! # Failure
//! On a full disk accepting is refused and outcomes are still recorded. When storage fails, the
//! spool stops acknowledging; see [`CommitError::Failed`].

mod browser;
mod claim;
mod commit;
mod content;
pub mod disk;
mod engine;
mod format;
mod index_set;
pub mod inspect;
mod ledger;
pub mod limits;
mod message;
mod note;
mod open;
mod planted;
mod recover;
mod shared;
pub mod simulated;
mod spool;
mod usage;

pub use browser::Browser;
pub use claim::{Claimed, KeyClaim};
pub use commit::{Commit, CommitError};
pub use content::{ContentFile, DurableContent, ReadError, Reader};
pub use disk::{Disk, DiskFile, RealDisk};
pub use index_set::IndexSet;
pub use message::{
    AcceptedKey, Content, Ending, Fresh, Message, Outline, Progress, RecipientState, Stored,
};
pub use note::Note;
pub use open::{OpenError, Options, Recovery};
pub use spool::{KeyState, Spool};
pub use usage::{Stats, Usage};

#[cfg(test)]
mod tests;
