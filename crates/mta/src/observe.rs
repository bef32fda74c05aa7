//! What happens to messages, made visible: events on their way to control, log lines, counters.
//!
//! Instances give their events to an [`EventSink`]; control decodes the batches, counts them and
//! renders each as one line. Every view is made from the same list of fields, so that text, JSON
//! and `trace` cannot disagree.
//!
//! # Guarantees
//! Giving an event never blocks and never fails; what had to be left out is counted and said. A
//! text from a peer can neither end a line, nor look like another field, nor reach a terminal raw.

pub(crate) mod counters;
mod decoding;
pub(crate) mod encoding;
pub(crate) mod fields;
pub(crate) mod line;
mod neutral;
#[cfg(test)]
mod reference;
pub(crate) mod render;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod sink;
mod wire;

pub(crate) use neutral::{neutral, neutral_json};
pub(crate) use render::Format;
pub(crate) use sink::EventSink;
