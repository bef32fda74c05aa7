//! The grammar of SMTP: command lines, parameters, and the framing of content.
//!
//! Reads and writes octets; knows no order of commands and no state of a session.

pub mod bdat;
pub mod command;
pub mod data;
pub mod line;
pub mod newline;
pub mod params;
pub mod reply;
pub mod xforward;
pub mod xtext;
