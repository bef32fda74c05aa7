//! The words of mail: what every other crate means by an address, an envelope, a reply.
//!
//! Owns the vocabulary types and nothing that acts. Each type is valid by construction: what
//! comes from outside goes through a `parse` and is correct from then on.
//!
//! # Guarantees
//! No input or output, no clock, no randomness, no asynchrony: time, bytes and entropy are given.
//!
//! # Standards
//! RFC 5321, RFC 5322, RFC 3461, RFC 3463, RFC 3464, RFC 5890, RFC 6531.

mod address;
mod address_literal;
mod client;
mod disposition;
mod domain_key;
pub mod dsn;
mod enhanced_status;
mod envelope;
pub mod event;
mod handoff_key;
mod header;
mod id;
mod origin;
mod provenance;
pub mod reply;
mod time;
pub mod xtext;

pub use address::{AddressError, ForwardPath, Mailbox, ReversePath};
pub use address_literal::{address_literal, name_or_literal, parse_address_literal};
pub use client::{Client, Security};
pub use disposition::{Author, Disposition, Outcome, OutcomeKind};
pub use domain_key::DomainKey;
pub use enhanced_status::EnhancedStatus;
pub use envelope::{BodyType, Envelope, Notify, Recipient, Return};
pub use handoff_key::HandoffKey;
pub use header::{
    ADDRESSES_LEN_MAX, Additions, Found, Header, HeaderEnd, HeaderStream, Seen, Treatment,
};
pub use id::{IdError, InstanceName, MessageId, SpoolId, TraceId};
pub use origin::Origin;
pub use provenance::Provenance;
pub use reply::{Reply, ReplyClass, ReplyCode};
pub use time::{Moment, Rfc3339, Rfc5322, Timestamp};
