//! What tests of the whole program need: scratch directories, free ports, the program itself as
//! real processes, dialogues of SMTP that read as transcripts, and other people's programs.
//!
//! # Guarantees
//! Everything is bounded in time: what does not happen within its limit fails the test and says
//! what was waited for. What is started here is ended here, by its process id, also when a test
//! panics.
//!
//! # Limits
//! For tests alone: everything here blocks, and fails by panicking.

#![expect(
    clippy::print_stderr,
    reason = "a test that is skipped or fails says why"
)]

pub mod certificate;
pub mod dialogue;
pub mod load;
pub mod maildir;
pub mod nsd;
pub mod oracle;
pub mod peer;
pub mod port;
pub mod postern;
pub mod postfix;
pub mod power;
pub mod random;
pub mod remote;
pub mod run;
pub mod scratch;
pub mod tracer;
pub mod user;
pub mod wait;

pub use dialogue::Dialogue;
pub use nsd::Nsd;
pub use postern::Postern;
pub use remote::Remote;
pub use scratch::Scratch;
