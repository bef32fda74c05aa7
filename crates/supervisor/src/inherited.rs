//! Descriptors that whoever started the supervisor left open.
//!
//! A lock file of a script would stay locked for as long as the system runs, a pipe would never
//! end, and every process would inherit both.

use std::io;
use std::os::fd::RawFd;

/// The last of the standard streams.
const STANDARD_ERROR: RawFd = 2;

/// Closes all descriptors but the standard streams. Only for the beginning of a process, before it
/// has opened anything.
///
/// # Errors
/// When it cannot be found which there are.
pub(super) fn close() -> io::Result<()> {
    for number in open_descriptors()? {
        // One of them was for the list itself, and is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

fn open_descriptors() -> io::Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse::<RawFd>().ok());
        numbers.extend(number.filter(|number| *number > STANDARD_ERROR));
    }
    Ok(numbers)
}
