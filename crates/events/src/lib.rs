//! What happens to messages, made visible: events on their way to control, log lines, counters.
//!
//! Instances give their events to an [`EventSink`]; control decodes the batches, counts them and
//! renders each as one line. Every view is made from the same list of fields, so that text, JSON
//! and `trace` cannot disagree.
//!
//! # Guarantees
//! Giving an event never blocks and never fails; what had to be left out is counted and said. A
//! text from a peer can neither end a line, nor look like another field, nor reach a terminal raw.

pub mod counters;
mod decoding;
pub mod encoding;
mod escape;
pub mod fields;
pub mod line;
#[cfg(test)]
mod reference;
pub mod render;
#[cfg(any(test, feature = "samples"))]
pub mod samples;
pub mod sink;
mod wire;

pub use escape::{escape, escape_json};
pub use render::Format;
pub use sink::EventSink;
