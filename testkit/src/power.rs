//! Power cuts for real processes: what they asked of the file system, recorded by strace, and what
//! a loss of power at any moment could have left of it.
//!
//! A kill leaves the page cache alone, so it cannot show that what must be synced is synced. Here
//! a system runs under strace; its calls are replayed into a model that keeps apart what is
//! written and what is durable; and for any moment the model lays out what could have been found
//! on the disk. Starting the program on that is the test.
//!
//! # Guarantees
//! Stricter than any journaling file system: octets are durable by a sync of their file, names by
//! a sync of their directory, and by nothing else; what is not durable may be lost in any part and
//! any order. A call is effective from its entry on where that hurts (a write may be on the disk
//! then), a sync only from its return on, and only for what had returned when it was entered.
//!
//! # Limits
//! A call that the model does not know fails the recording, so that nothing passes unseen:
//! writable shared mappings and io_uring among them. What lies in memory (`(deleted)` files,
//! sockets) is not looked at, but for what is said over sockets.

mod call;
mod disk;
mod octets;
mod operation;
mod recording;

pub use disk::{Disk, PowerCut};
pub use recording::{Moment, Recorder, Recording};
