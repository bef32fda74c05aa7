//! The DNS servers of the system.
//!
//! # Failure
//! A file that cannot be read or names no usable server is reported with its path; a file that is
//! not there means the server on this machine, as resolv.conf(5) has it.

use std::io::ErrorKind;

use dns::ResolverSettings;

/// Where the system has them.
const PATH: &str = "/etc/resolv.conf";

/// The servers that the system asks.
pub(crate) fn of_system() -> Result<ResolverSettings, String> {
    let text = match std::fs::read_to_string(PATH) {
        Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
        read => read.map_err(|e| format!("cannot read {PATH}: {e}"))?,
    };
    ResolverSettings::from_resolv_conf(&text).map_err(|e| format!("{PATH}: {e}"))
}
