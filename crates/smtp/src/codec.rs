//! The grammar of SMTP: command lines, parameters, and the framing of content.
//!
//! Reads and writes octets; knows no order of commands and no state of a session.

pub mod xforward;
