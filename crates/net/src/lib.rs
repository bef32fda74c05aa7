//! The only crate that opens sockets, reads the clock and does TLS.
//!
//! Owns the tokio driver for the machines of `smtp` ([`Connection`]), listeners, TLS with
//! certificates, the owners of local connections, the clock and the source of randomness.
//!
//! # Guarantees
//! Knows neither the meaning of a verdict nor the spool: it moves bytes and time.
//!
//! # Standards
//! RFC 3207 and RFC 8314 for TLS.

mod clock;
mod connection;
mod entropy;
mod large_reads;
mod listener;
mod machine;
mod owner;
mod stream;
pub mod tls;

pub use clock::Clock;
pub use connection::{ClientConnection, Connection, ServerConnection};
pub use entropy::Entropy;
pub use large_reads::{EXCESS_MAX, Excess};
pub use listener::{Listener, Peer};
pub use machine::Machine;
pub use owner::{OwnerError, peer_uid};
pub use stream::{ConnectError, Stream, host_and_address};
