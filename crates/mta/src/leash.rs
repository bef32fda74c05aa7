//! The leash: the socket between the supervisor and each of its children.
//!
//! A child is born with one end as its standard input and nothing else. Over it come its part of
//! the configuration, its listeners, its edges and its channels, each as a frame with the
//! descriptor it speaks of; back come answers. When the other end is closed, the other process
//! is gone: that is how a child learns that it must stop.
//!
//! # Guarantees
//! A frame arrives whole or not at all, in order, with all its descriptors. Descriptors received
//! are never inherited by a process started later.
//!
//! # Limits
//! [`FRAME_LEN_MAX`] octets and [`FRAME_FDS_MAX`] descriptors a frame; [`CONFIG_LEN_MAX`] octets
//! of configuration.
//!
//! # Failure
//! A child may be in hostile hands: what it sends is bounded, read by a few lines of code, and a
//! frame that cannot be read costs it the leash.

mod codec;
mod control_end;
mod document;
mod down;
mod end;
mod hand;
mod socket;
mod up;

pub(crate) use control_end::{
    ControlBootstrap, ControlLeash, ControlOrder, ControlReload, InstanceChannels,
};
pub(crate) use document::Document;
pub(crate) use down::{Down, Purpose, Told, Weight};
pub(crate) use end::{AsyncLeash, Beginning, Bundle, Leash, Rest, take_standard_input};
pub(crate) use hand::Hand;
pub(crate) use socket::{LeashError, pair};
pub(crate) use up::Up;

/// The longest frame, in octets: an answer of control's is the longest that is sent.
pub(crate) const FRAME_LEN_MAX: usize = 64 * 1024;

/// The most descriptors in one frame.
pub(crate) const FRAME_FDS_MAX: usize = 2;

/// The longest configuration, in octets: more than a file may hold. It travels in a file in memory,
/// not in a frame.
pub(crate) const CONFIG_LEN_MAX: u64 = 32 << 20;

/// The most listeners, edges or instances that a child accepts in one bundle.
pub(crate) const BUNDLE_LEN_MAX: usize = 1024;
