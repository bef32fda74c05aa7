//! The mail protocol as machines without input, output or clock: bytes and time go in; events,
//! bytes and the next deadline come out.
//!
//! Owns the grammar ([`codec`]), the side that accepts mail ([`server`]), the side that sends it
//! ([`client`]), and what bounds them ([`limits`]). A driver moves the octets and answers the
//! questions; `examples/sink.rs` is the smallest one.
//!
//! # Guarantees
//! A server machine cannot say `250` to a message before its caller said that it is committed.
//! What a peer sends can use no more memory than the limits allow, and can end no process.
//!
//! # Standards
//! RFC 5321, RFC 2920, RFC 1870, RFC 6152, RFC 6531, RFC 3030, RFC 3461, RFC 2034, RFC 3207.

pub mod client;
pub mod codec;
pub mod limits;
pub mod server;
