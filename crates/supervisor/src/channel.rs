//! The control channel: the socket between the supervisor and each of its children.
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
//! frame that cannot be read costs it the control channel.

mod codec;
mod control_end;
mod document;
mod end;
mod from_child;
mod hand;
mod socket;
mod to_child;

pub use control_end::{
    ControlBootstrap, ControlOrder, ControlProcessChannel, ControlReload, InstanceChannels,
};
pub use document::Document;
pub use end::{
    AsyncControlChannel, Beginning, ChildCommand, ControlChannel, Setup, take_standard_input,
};
pub use from_child::FromChild;
pub use hand::Hand;
pub use socket::{ChannelError, pair};
pub use to_child::{LogLine, Purpose, ToChild, Weight};

/// The longest frame, in octets: an answer of control's is the longest that is sent.
pub const FRAME_LEN_MAX: usize = 64 * 1024;

/// The most descriptors in one frame.
pub const FRAME_FDS_MAX: usize = 2;

/// The longest configuration, in octets: more than a file may hold. It travels in a file in memory,
/// not in a frame.
pub const CONFIG_LEN_MAX: u64 = 32 << 20;

/// The most listeners, edges or instances that a child accepts in one setup.
pub const SETUP_LEN_MAX: usize = 1024;
